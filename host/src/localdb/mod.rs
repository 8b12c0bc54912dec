//! A private PostgreSQL for `juggernaut dev`, the tests and `cargo xtask`: nothing to install by hand, nothing shared.
//!
//! ```text
//! let db = LocalDb::start(Path::new(".juggernaut")).await?;
//! db.ensure_database("juggernaut").await?;
//! let pool = PgPool::connect(&db.url("juggernaut")).await?;
//! db.stop().await?;
//! ```
//!
//! Invariants: one server per home, held by a file lock. It listens on a Unix socket that only its owner reaches.
//! It is durable like a real one (`fsync`), since the crash tests stand on it. It never outlives this process,
//! whatever ends this process (`supervisor`).

mod account;
mod binaries;
mod cluster;
mod error;
mod place;
mod run;
mod supervisor;
#[cfg(test)]
mod tests;

use std::fs::{self, File, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

pub use error::LocalDbError;
pub use run::run_with;

use account::Account;
use binaries::Binaries;
use place::Place;
use supervisor::Supervised;

const READY_LIMIT: Duration = Duration::from_secs(30);
const READY_POLL: Duration = Duration::from_millis(30);
/// How long a lock may be taken before it counts as somebody's.
const LOCK_WAIT: Duration = Duration::from_secs(1);
const LOCK_POLL: Duration = Duration::from_millis(20);

/// Longer than the supervisor waits before it insists.
const STOP_LIMIT: Duration = Duration::from_secs(75);

/// Each test that runs in parallel brings a pool; shared buffers are raised a little to go with it.
const SETTINGS: [&str; 8] = [
    "listen_addresses=",
    "port=5432",
    "fsync=on",
    "synchronous_commit=on",
    "full_page_writes=on",
    "max_connections=200",
    "shared_buffers=256MB",
    "logging_collector=off",
];

/// PostgreSQL's own limit is 63 bytes.
const DATABASE_NAME_CHARS_MAX: usize = 63;

/// What stays readable in a URL and means nothing there.
const URL_ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.');

/// A running private server. Dropping it stops the server in good order, without waiting; [`LocalDb::stop`] waits.
#[derive(Debug)]
pub struct LocalDb {
    // Fields drop in this order: the lock goes last, when the server was asked to stop.
    server: Supervised,
    place: Place,
    binaries: Binaries,
    _lock: File,
}

impl LocalDb {
    /// Starts the server of `home` (created if absent), making its cluster first where there is none.
    pub async fn start(home: &Path) -> Result<LocalDb, LocalDbError> {
        fs::create_dir_all(home).map_err(LocalDbError::io("create the directory", home))?;
        let home = home.canonicalize().map_err(LocalDbError::io("resolve the path", home))?;
        let lock = lock(&home).await?;
        let account = Account::detect()?;
        let place = Place::prepare(&home, &account)?;

        let existing = cluster::existing_version(&place.data)?;
        let binaries = binaries::find(&place, &account, existing).await?;
        if existing.is_none() {
            cluster::create(&place, &account, &binaries).await?;
        }
        cluster::wait_for_old_server(&place.data).await?;

        let server = launch(&place, &account, &binaries)?;
        let mut db = LocalDb { server, place, binaries, _lock: lock };
        db.wait_until_ready().await?;
        tracing::debug!(data = %db.data_dir().display(), version = db.binaries.major, "local database is ready");
        Ok(db)
    }

    /// The URL of `database`, for sqlx and psql alike.
    ///
    /// Port and TLS mode are named because both would otherwise come from PGPORT and PGSSLMODE.
    pub fn url(&self, database: &str) -> String {
        let encode = |text: &str| utf8_percent_encode(text, URL_ENCODED).to_string();
        format!(
            "postgres:///{}?host={}&port=5432&user={}&sslmode=disable",
            encode(database),
            encode(&self.place.socket_dir.to_string_lossy()),
            cluster::SUPERUSER
        )
    }

    /// Creates the database `name` unless it exists.
    pub async fn ensure_database(&self, name: &str) -> Result<(), LocalDbError> {
        if !is_plain_name(name) {
            return Err(LocalDbError::InvalidName { name: name.to_owned() });
        }
        let failed =
            |source| LocalDbError::CreateDatabase { name: name.to_owned(), log: self.server.log().to_owned(), source };
        let mut connection = PgConnection::connect(&self.url("postgres")).await.map_err(failed)?;
        // Safe as text: `is_plain_name` leaves nothing to escape, and a name can not be a parameter.
        let created = sqlx::query(AssertSqlSafe(format!("create database \"{name}\""))).execute(&mut connection).await;
        match created {
            Err(error) if !says_it_exists(&error) => return Err(failed(error)),
            Ok(_) | Err(_) => {}
        }
        connection.close().await.map_err(failed)
    }

    /// Stops the server (PostgreSQL's fast shutdown: transactions are rolled back, data is flushed) and waits for it.
    pub async fn stop(mut self) -> Result<(), LocalDbError> {
        self.server.request_stop();
        match self.server.wait(STOP_LIMIT).await? {
            Some(status) if status.success() => Ok(()),
            Some(status) => {
                Err(LocalDbError::StopFailed { status: status.to_string(), log: self.server.log().to_owned() })
            }
            None => {
                Err(LocalDbError::StopTimeout { waited_secs: STOP_LIMIT.as_secs(), log: self.server.log().to_owned() })
            }
        }
    }

    /// The cluster's data directory.
    pub fn data_dir(&self) -> &Path {
        &self.place.data
    }

    /// Where `psql`, `pg_dump` and the like of this server's version are, if they are installed.
    pub fn bin_dir(&self) -> &Path {
        &self.binaries.dir
    }

    async fn wait_until_ready(&mut self) -> Result<(), LocalDbError> {
        let url = self.url("postgres");
        let began = Instant::now();
        loop {
            let error = match PgConnection::connect(&url).await {
                Ok(connection) => match connection.close().await {
                    Ok(()) => return Ok(()),
                    Err(error) => error,
                },
                Err(error) => error,
            };
            let log = self.server.log().to_owned();
            if let Some(status) = self.server.exited()? {
                return Err(LocalDbError::Died { status: status.to_string(), log, tail: self.server.log_tail() });
            }
            if began.elapsed() > READY_LIMIT {
                return Err(LocalDbError::NotReady {
                    waited_secs: READY_LIMIT.as_secs(),
                    last: error.to_string(),
                    log,
                    tail: self.server.log_tail(),
                });
            }
            tokio::time::sleep(READY_POLL).await;
        }
    }
}

/// Takes the lock of `home`. The kernel lets go of it when this process ends; the number in the file is for people.
async fn lock(home: &Path) -> Result<File, LocalDbError> {
    let path = home.join("postgres.lock");
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(LocalDbError::io("open the lock", &path))?;
    let began = Instant::now();
    let mut locked = file.try_lock();
    // A child that another thread is just starting holds a copy of the lock until its exec.
    while matches!(locked, Err(TryLockError::WouldBlock)) && began.elapsed() < LOCK_WAIT {
        tokio::time::sleep(LOCK_POLL).await;
        locked = file.try_lock();
    }
    match locked {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            file.read_to_string(&mut pid).map_err(LocalDbError::io("read the lock", &path))?;
            return Err(LocalDbError::AlreadyRunning {
                home: home.to_owned(),
                holder: match pid.trim() {
                    "" => String::new(),
                    pid => format!(" (process id {pid})"),
                },
            });
        }
        Err(TryLockError::Error(source)) => {
            return Err(LocalDbError::io("lock", path)(source));
        }
    }
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(LocalDbError::io("write the lock", path))?;
    Ok(file)
}

fn launch(place: &Place, account: &Account, binaries: &Binaries) -> Result<Supervised, LocalDbError> {
    let mut arguments = vec!["-D".into(), place.data.clone().into_os_string()];
    for setting in SETTINGS {
        arguments.extend(["-c".into(), setting.into()]);
    }
    arguments.extend(["-k".into(), quoted_directory(&place.socket_dir).into()]);
    let log = place.base.join("postgres.log");
    Supervised::spawn(account, &log, &binaries.dir.join("postgres"), arguments)
}

/// The setting is a list: a name with blanks at its ends would lose them without the quotes.
fn quoted_directory(directory: &Path) -> PathBuf {
    format!("\"{}\"", directory.display()).into()
}

fn is_plain_name(name: &str) -> bool {
    name.len() <= DATABASE_NAME_CHARS_MAX
        && name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// duplicate_database, or unique_violation where two processes create it at once.
fn says_it_exists(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .is_some_and(|code| code == "42P04" || code == "23505")
}
