//! One PostgreSQL for the test binary, and a database for each test.
//!
//! Invariant: the server ends with this process (its supervisor sees to that), and its files are removed after it by a
//! watcher that waits for the same.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use juggernaut::db::Db;
use juggernaut::localdb::LocalDb;
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool};
use tempfile::TempDir;
use tokio::runtime::{Handle, Runtime};

const TEMPLATE: &str = "juggernaut_template";

/// Waits until the tests are gone, ends what children they left behind (`+PID` was started, `-PID` has ended), waits
/// until the server is gone too, and clears its home.
const CLEAN_UP_WHEN_OVER: &str = r#"
trap '' HUP INT TERM
live=
while read -r line; do
    case $line in
        +*) live="$live ${line#+}" ;;
        -*) kept=; for pid in $live; do [ "$pid" = "${line#-}" ] || kept="$kept $pid"; done; live=$kept ;;
    esac
done
for pid in $live; do kill -KILL "$pid"; done
tries=0
while [ -e "$1/postgres/data/postmaster.pid" ] && [ "$tries" -lt 900 ]; do sleep 0.1; tries=$((tries + 1)); done
rm -rf -- "$1"
"#;

/// The server with what keeps it alive.
struct Cluster {
    runtime: Runtime,
    server: LocalDb,
    /// Open for as long as this process lives.
    cleaner: Mutex<ChildStdin>,
    temporary: PathBuf,
}

fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    // On a thread of its own: a test's runtime can not block on another one.
    CLUSTER.get_or_init(|| std::thread::spawn(Cluster::start).join().expect("the database for the tests starts"))
}

/// A runtime that outlives single tests and that no test holds up.
pub fn background() -> Handle {
    cluster().runtime.handle().clone()
}

/// A folder that is removed with the value, or after this process if that is killed.
pub(crate) fn temporary(prefix: &str) -> TempDir {
    tempfile::Builder::new().prefix(prefix).tempdir_in(temporary_home()).expect("a folder")
}

/// What children are told to use as TMPDIR.
pub(crate) fn temporary_home() -> &'static Path {
    &cluster().temporary
}

/// Has a child ended with this process, if this process does not come to it.
pub(crate) fn child_started(pid: u32) {
    tell_cleaner(&format!("+{pid}\n"));
}

pub(crate) fn child_ended(pid: u32) {
    tell_cleaner(&format!("-{pid}\n"));
}

fn tell_cleaner(line: &str) {
    let mut cleaner = cluster().cleaner.lock().unwrap_or_else(PoisonError::into_inner);
    cleaner.write_all(line.as_bytes()).expect("the cleaner listens");
}

impl Cluster {
    fn start() -> Self {
        rustls::crypto::ring::default_provider().install_default().unwrap_or_default();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        let home = home();
        let cleaner = Mutex::new(clean_up_when_over(&home));
        let temporary = home.join("tmp");
        std::fs::create_dir(&temporary).expect("a folder");
        let server = runtime.block_on(async {
            let server = LocalDb::start(&home).await.unwrap_or_else(|error| panic!("{error}"));
            server.ensure_database(TEMPLATE).await.unwrap_or_else(|error| panic!("{error}"));
            let db = Db::from_pool(PgPool::connect(&server.url(TEMPLATE)).await.expect("the template"));
            db.migrate().await.expect("the migrations");
            // A template can not be copied while somebody is connected to it.
            db.pool().close().await;
            server
        });
        Self { runtime, server, cleaner, temporary }
    }

    async fn execute(&self, statement: String) {
        let mut connection = PgConnection::connect(&self.server.url("postgres")).await.expect("the cluster");
        let done = sqlx::query(AssertSqlSafe(statement.clone())).execute(&mut connection).await;
        done.unwrap_or_else(|error| panic!("{statement}: {error}"));
        connection.close().await.expect("the cluster");
    }
}

/// Short, for the socket's path, and open to the account that PostgreSQL runs under.
fn home() -> PathBuf {
    open_folder("juggernaut-it-", Path::new("/tmp"))
}

pub(crate) fn open_folder(prefix: &str, parent: &Path) -> PathBuf {
    let home = tempfile::Builder::new().prefix(prefix).tempdir_in(parent).expect("a folder").keep();
    std::fs::set_permissions(&home, PermissionsExt::from_mode(0o755)).expect("chmod");
    home
}

fn clean_up_when_over(home: &Path) -> ChildStdin {
    Command::new("/bin/sh")
        .args(["-c", CLEAN_UP_WHEN_OVER, "sh"])
        .arg(home)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("/bin/sh")
        .stdin
        .expect("a pipe")
}

/// A database with all migrations, dropped with this value. What still is connected to it is cut off then.
#[derive(Debug)]
pub struct Database {
    /// None where it ends with its server.
    name: Option<String>,
    url: String,
    pool: PgPool,
}

impl Database {
    /// A copy of the migrated template.
    pub async fn create() -> Self {
        Self::copy_of(Some(TEMPLATE)).await
    }

    /// One without any table.
    pub async fn empty() -> Self {
        Self::copy_of(None).await
    }

    async fn copy_of(template: Option<&str>) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let template = template.unwrap_or("template0");
        let statement = format!("create database {name} template {template}");
        background().spawn(async move { cluster().execute(statement).await }).await.expect("create database");
        let url = cluster().server.url(&name);
        let pool = Self::connect(&url, 16);
        Self { name: Some(name), url, pool }
    }

    /// One of a server that is not the tests' common one.
    pub(crate) fn on_private_server(url: String) -> Self {
        let pool = Self::connect(&url, 16);
        Self { name: None, url, pool }
    }

    fn connect(url: &str, connections_max: u32) -> PgPool {
        PgPoolOptions::new().max_connections(connections_max).connect_lazy(url).expect("a URL")
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// The host's own view of it.
    pub fn db(&self) -> Db {
        Db::from_pool(self.pool.clone())
    }

    /// As another process would connect.
    pub fn another_pool(&self, connections_max: u32) -> PgPool {
        Self::connect(&self.url, connections_max)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let Some(name) = &self.name else { return };
        let statement = format!("drop database if exists {name} with (force)");
        background().spawn(async move { cluster().execute(statement).await });
    }
}
