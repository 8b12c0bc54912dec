//! A real PostgreSQL in each test: what it promises is about processes and files.

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::{Command, Stdio};

use sqlx::Row as _;
use tempfile::TempDir;

use super::*;

const HELPER_HOME: &str = "JUGGERNAUT_LOCALDB_TEST_HOME";

/// A home that also clears what was put outside of it.
struct Home(TempDir);

impl Home {
    /// One that an unprivileged PostgreSQL reaches.
    fn open() -> Home {
        Home::with_mode(0o755)
    }

    /// As `mktemp -d` makes it.
    fn closed() -> Home {
        Home::with_mode(0o700)
    }

    fn with_mode(mode: u32) -> Home {
        let dir = tempfile::tempdir().expect("tempdir");
        std::fs::set_permissions(dir.path(), Permissions::from_mode(mode)).expect("chmod");
        Home(dir)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        remove_link_target(&self.path().join("postgres"));
    }
}

fn remove_link_target(link: &Path) {
    if let Ok(target) = std::fs::read_link(link) {
        std::fs::remove_dir_all(target).expect("clear /var/tmp");
    }
}

async fn start(home: &Path) -> LocalDb {
    LocalDb::start(home).await.unwrap_or_else(|error| panic!("{error}"))
}

async fn execute(db: &LocalDb, database: &str, statement: &'static str) {
    let mut connection = PgConnection::connect(&db.url(database)).await.expect("connect");
    sqlx::query(statement).execute(&mut connection).await.expect(statement);
    connection.close().await.expect("close");
}

async fn query_text(db: &LocalDb, database: &str, query: &'static str) -> String {
    let mut connection = PgConnection::connect(&db.url(database)).await.expect("connect");
    let row = sqlx::query(query).fetch_one(&mut connection).await.expect(query);
    connection.close().await.expect("close");
    row.get(0)
}

fn is_root() -> bool {
    Account::detect().expect("account").become_user.is_some()
}

#[tokio::test]
async fn data_survives_a_stop_and_a_drop() {
    let home = Home::open();
    let db = start(home.path()).await;
    db.ensure_database("shop").await.expect("created");
    db.ensure_database("shop").await.expect("already there");
    execute(&db, "shop", "create table kept (name text)").await;
    execute(&db, "shop", "insert into kept values ('one')").await;
    assert_eq!(query_text(&db, "shop", "show fsync").await, "on");
    assert_eq!(query_text(&db, "shop", "show listen_addresses").await, "");
    let mode = std::fs::metadata(db.data_dir().parent().expect("parent")).expect("metadata").mode();
    assert_eq!(mode & 0o777, 0o700);
    db.stop().await.expect("stopped");

    // A drop does not wait, so the next start has to.
    drop(start(home.path()).await);
    let db = start(home.path()).await;
    assert_eq!(query_text(&db, "shop", "select name from kept").await, "one");
    let error = db.ensure_database("no\"name").await.expect_err("refused");
    assert!(matches!(error, LocalDbError::InvalidName { .. }), "{error}");
    db.stop().await.expect("stopped");
}

#[tokio::test]
async fn a_second_start_on_the_same_home_is_refused() {
    let home = Home::open();
    let db = start(home.path()).await;
    let error = LocalDb::start(home.path()).await.expect_err("refused");
    let pid = std::process::id().to_string();
    assert!(matches!(&error, LocalDbError::AlreadyRunning { holder, .. } if holder.contains(&pid)), "{error}");
    db.stop().await.expect("stopped");
}

/// Run by the test below in a process of its own, which that test kills.
#[tokio::test]
#[ignore = "a helper of another test"]
async fn helper_holds_a_database() {
    #[expect(clippy::disallowed_methods, reason = "how a test hands a path to its own process")]
    let Some(home) = std::env::var_os(HELPER_HOME) else {
        return;
    };
    let db = start(Path::new(&home)).await;
    execute(&db, "postgres", "create table kept (name text)").await;
    execute(&db, "postgres", "insert into kept values ('before')").await;
    std::fs::write(Path::new(&home).join("ready"), "").expect("say so");
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_parent_killed_with_9_takes_its_database_along() {
    let home = Home::open();
    let mut helper = Command::new(std::env::current_exe().expect("own path"))
        .args(["--exact", "localdb::tests::helper_holds_a_database"])
        .args(["--ignored", "--nocapture"])
        .env(HELPER_HOME, home.path())
        .stdout(Stdio::null())
        .spawn()
        .expect("helper");
    wait_until("the helper is ready", || home.path().join("ready").exists()).await;
    let pid_file = home.path().join("postgres/data/postmaster.pid");
    let text = std::fs::read_to_string(&pid_file).expect("a server runs");
    let pid = text.lines().next().expect("its pid").to_owned();

    helper.kill().expect("kill -9");
    helper.wait().expect("reaped");
    // At once, while the old server may still be stopping.
    let db = start(home.path()).await;
    assert_ne!(std::fs::read_to_string(&pid_file).expect("new").lines().next(), Some(pid.as_str()));
    let kept = query_text(&db, "postgres", "select name from kept").await;
    assert_eq!(kept, "before");
    db.stop().await.expect("stopped");
    assert!(!pid_file.exists());
}

async fn wait_until(what: &str, ready: impl Fn() -> bool) {
    let began = Instant::now();
    while !ready() {
        assert!(began.elapsed() < READY_LIMIT * 2, "waited in vain: {what}");
        tokio::time::sleep(READY_POLL).await;
    }
}

#[tokio::test]
async fn a_home_closed_to_others_works_also_as_root() {
    let home = Home::closed();
    let db = start(home.path()).await;
    let link = home.path().join("postgres");
    assert_eq!(link.is_symlink(), is_root());
    execute(&db, "postgres", "create table kept (name text)").await;
    db.stop().await.expect("stopped");

    let db = start(home.path()).await;
    execute(&db, "postgres", "insert into kept values ('x')").await;
    db.stop().await.expect("stopped");
}

#[tokio::test]
async fn a_link_to_elsewhere_is_refused() {
    let home = Home::open();
    std::os::unix::fs::symlink("/nonexistent", home.path().join("postgres")).expect("symlink");
    let error = LocalDb::start(home.path()).await.expect_err("refused");
    assert!(matches!(error, LocalDbError::Untrusted { .. }), "{error}");
    std::fs::remove_file(home.path().join("postgres")).expect("removed");
}

#[tokio::test]
async fn a_deep_home_with_odd_names_gets_a_short_socket() {
    let home = Home::open();
    let deep = home.path().join("a b,c+%".repeat(8)).join("x".repeat(120));
    let db = start(&deep).await;
    assert_eq!(query_text(&db, "postgres", "select 'yes'").await, "yes");
    let socket_dir = db.place.socket_dir.clone();
    assert!(socket_dir.starts_with("/tmp"));
    db.stop().await.expect("stopped");
    std::fs::remove_dir_all(socket_dir).expect("clear /tmp");
}

#[tokio::test]
async fn an_interrupted_initdb_is_begun_again() {
    let home = Home::open();
    start(home.path()).await.stop().await.expect("stopped");
    let base = home.path().join("postgres");
    std::fs::rename(base.join("data"), base.join("data.unfinished-1")).expect("as after a crash");
    start(home.path()).await.stop().await.expect("stopped");
    assert!(!base.join("data.unfinished-1").exists());
}

#[tokio::test]
async fn a_cluster_of_another_version_says_what_to_delete() {
    let home = Home::open();
    start(home.path()).await.stop().await.expect("stopped");
    let data = home.path().join("postgres/data");
    std::fs::write(data.join("PG_VERSION"), "9\n").expect("write");
    let error = LocalDb::start(home.path()).await.expect_err("refused");
    let text = error.to_string();
    assert!(text.contains("PostgreSQL 9") && text.contains("delete"), "{text}");
}

#[tokio::test]
async fn a_server_that_dies_at_start_is_reported_with_its_log() {
    let home = Home::open();
    start(home.path()).await.stop().await.expect("stopped");
    let settings = home.path().join("postgres/data/postgresql.conf");
    std::fs::write(settings, "nonsense = 1\n").expect("write");
    let began = Instant::now();
    let error = LocalDb::start(home.path()).await.expect_err("refused");
    assert!(matches!(error, LocalDbError::Died { .. }), "{error}");
    assert!(error.to_string().contains("nonsense"), "{error}");
    assert!(began.elapsed() < READY_LIMIT / 2);
}

#[tokio::test]
async fn run_with_passes_the_url_and_the_status() {
    let home = Home::open();
    let command = ["/bin/sh", "-c", "case $DATABASE_URL in postgres:///juggernaut*) exit 7;; *) exit 1;; esac"];
    let code = run_with(home.path(), &command.map(Into::into)).await.expect("it ran");
    assert_eq!(code, std::process::ExitCode::from(7));
}
