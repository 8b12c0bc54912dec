//! A database for a command, lent by the built binary.
//!
//! Invariant: no database code here; `juggernaut dev-database` starts it, sets DATABASE_URL and stops it.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

/// Where the host puts a cluster that root asks for in a directory closed to others (its `localdb::place`).
const MOVED_PREFIX: &str = "/var/tmp/juggernaut-";

/// Wraps `command` so that it runs with DATABASE_URL naming the private database of `home`.
pub(crate) fn with_database(juggernaut: &Path, home: &Path, command: &Command) -> Command {
    let mut wrapped = Command::new(juggernaut);
    wrapped.args(["dev-database", "--home"]).arg(home).arg("--").arg(command.get_program()).args(command.get_args());
    if let Some(dir) = command.get_current_dir() {
        wrapped.current_dir(dir);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(name, value),
            None => wrapped.env_remove(name),
        };
    }
    wrapped
}

/// Deletes the home of a database and the cluster, wherever it lies.
pub(crate) fn delete(home: &Path) -> Result<()> {
    let moved = fs::read_link(home.join("postgres"));
    if let Ok(target) = moved
        && target.to_string_lossy().starts_with(MOVED_PREFIX)
    {
        delete_directory(&target)?;
    }
    delete_directory(home)
}

pub(crate) fn delete_directory(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("could not delete {}", path.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
