//! A PostgreSQL of one test's own, which may crash.

use std::path::PathBuf;

use juggernaut::db::Db;
use juggernaut::localdb::LocalDb;
use sqlx::PgPool;

use crate::Database;
use crate::cluster::{open_folder, temporary_home};

const NAME: &str = "juggernaut";

/// A server beside the tests' common one. Its files are removed after the tests.
#[derive(Debug)]
pub struct PrivateServer {
    home: PathBuf,
    /// None while it is being started anew, and where it does not come back.
    running: Option<LocalDb>,
}

impl PrivateServer {
    pub async fn start() -> Self {
        let home = open_folder("pg-", temporary_home());
        let running = Some(LocalDb::start(&home).await.unwrap_or_else(|error| panic!("{error}")));
        Self { home, running }
    }

    fn running(&self) -> &LocalDb {
        self.running.as_ref().expect("the server runs")
    }

    /// Its one database, with all migrations.
    pub async fn database(&self) -> Database {
        self.running().ensure_database(NAME).await.unwrap_or_else(|error| panic!("{error}"));
        let url = self.running().url(NAME);
        let db = Db::from_pool(PgPool::connect(&url).await.expect("the database"));
        db.migrate().await.expect("the migrations");
        db.pool().close().await;
        Database::on_private_server(url)
    }

    /// What `pg_ctl restart -m immediate` does: every backend ends without cleaning up, and the server comes back by
    /// crash recovery.
    pub async fn crash_and_restart(&mut self) {
        self.crash();
        self.running = Some(LocalDb::start(&self.home).await.unwrap_or_else(|error| panic!("{error}")));
    }

    /// The same without coming back.
    pub fn crash(&mut self) {
        let file = self.running().data_dir().join("postmaster.pid");
        let pid = std::fs::read_to_string(&file).expect("a running server");
        let pid = pid.lines().next().expect("a process id").to_owned();
        let sent = std::process::Command::new("kill").arg("-QUIT").arg(&pid).status();
        assert!(sent.expect("kill").success(), "no server {pid}");
        // It lets go of its lock; what it still asks for has happened already.
        self.running = None;
    }
}
