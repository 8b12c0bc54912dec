//! Everything that can keep the local database from running, worded for the person at the terminal.
//!
//! Invariant: each message names the path or command concerned and ends with what to do about it.

use std::io;
use std::path::PathBuf;

/// Why the private PostgreSQL could not be started, used or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LocalDbError {
    #[error("could not {action} {path}: {source}; check that the directory exists and is writable, then try again", path = path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },

    #[error("could not run {program}: {source}; check that it is installed and executable", program = program.display())]
    Spawn {
        program: PathBuf,
        #[source]
        source: io::Error,
    },

    #[error(
        "no PostgreSQL {minimum} or newer was found ({searched}), and it could not be downloaded ({download}); \
         install it with `{install}`, or set DATABASE_URL to a server that you run yourself"
    )]
    NoBinaries { minimum: u32, searched: String, download: String, install: &'static str },

    #[error(
        "another process{holder} already runs the local database of {home}; stop that process, \
         or use another directory with --home", home = home.display()
    )]
    AlreadyRunning { home: PathBuf, holder: String },

    #[error(
        "the PostgreSQL with process id {pid}, left by an earlier run, still uses {data} after {waited_secs} s; \
         stop it with `kill -INT {pid}`, then try again", data = data.display()
    )]
    OldServer { pid: u32, data: PathBuf, waited_secs: u64 },

    #[error(
        "{data} was made by PostgreSQL {cluster}, but only {installed} is installed; install PostgreSQL {cluster}, \
         or delete {data} to begin with an empty database", data = data.display()
    )]
    VersionMismatch { data: PathBuf, cluster: u32, installed: String },

    #[error(
        "{data} is not a PostgreSQL cluster ({problem}); delete it to begin with an empty database", data = data.display()
    )]
    Damaged { data: PathBuf, problem: String },

    #[error(
        "{path} {problem}, so the local database will not use it; delete it, or use another directory with --home",
        path = path.display()
    )]
    Untrusted { path: PathBuf, problem: String },

    #[error(
        "{path} can not be reached by the user `{user}`, which runs PostgreSQL because root may not; \
         allow it with `chmod o+x` on each parent directory, or use another directory with --home",
        path = path.display()
    )]
    Unreachable { path: PathBuf, user: String },

    #[error(
        "running as root, but /etc/passwd has neither `postgres` nor `nobody` to run PostgreSQL as, which refuses root; \
         add one with `useradd --system postgres`, or run as another user"
    )]
    NoUnprivilegedUser,

    #[error("initdb failed for {data} ({outcome}):\n{output}\nCorrect that and try again", data = data.display())]
    Initdb { data: PathBuf, outcome: String, output: String },

    #[error("PostgreSQL stopped while starting ({status}); the end of {log}:\n{tail}\nCorrect that and try again", log = log.display())]
    Died { status: String, log: PathBuf, tail: String },

    #[error(
        "PostgreSQL accepted no connection within {waited_secs} s ({last}); the end of {log}:\n{tail}\n\
         If the machine is merely slow, try again", log = log.display()
    )]
    NotReady { waited_secs: u64, last: String, log: PathBuf, tail: String },

    #[error(
        "PostgreSQL did not stop within {waited_secs} s; see {log}; it goes on stopping by itself, or end it with \
         `kill -QUIT` on the process id in postmaster.pid", log = log.display()
    )]
    StopTimeout { waited_secs: u64, log: PathBuf },

    #[error("PostgreSQL ended with {status} when it was stopped; see {log}; the next start recovers what was committed", log = log.display())]
    StopFailed { status: String, log: PathBuf },

    #[error("`{name}` is not a database name; use a letter or _, then up to 62 lower-case letters, digits or _")]
    InvalidName { name: String },

    #[error("could not create the database `{name}`: {source}; see the log {log}", log = log.display())]
    CreateDatabase {
        name: String,
        log: PathBuf,
        #[source]
        source: sqlx::Error,
    },
}

impl LocalDbError {
    /// For `map_err`: says what was done to which path.
    pub(super) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> LocalDbError {
        let path = path.into();
        move |source| LocalDbError::Io { action, path, source }
    }

    /// For `map_err`: says which program could not be run.
    pub(super) fn spawn(program: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> LocalDbError {
        let program = program.into();
        move |source| LocalDbError::Spawn { program, source }
    }
}
