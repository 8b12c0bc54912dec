//! The cluster on disk: made once, completely or not at all.
//!
//! Invariant: a directory called `data` was finished by initdb, because it got that name only afterwards. What a
//! crash leaves is called `data.unfinished-…`, which the next start throws away.

use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::LocalDbError;
use super::account::Account;
use super::binaries::Binaries;
use super::place::Place;
use super::supervisor::Supervised;

pub(super) const SUPERUSER: &str = "juggernaut";

const OLD_SERVER_WAIT: Duration = Duration::from_secs(15);
const OLD_SERVER_POLL: Duration = Duration::from_millis(50);

/// It takes a second or two; a slow disk that is shared with a build takes longer.
const INITDB_LIMIT: Duration = Duration::from_mins(3);

const UNFINISHED_PREFIX: &str = "data.unfinished-";

/// The major version of the cluster at `data`, if there is one.
pub(super) fn existing_version(data: &Path) -> Result<Option<u32>, LocalDbError> {
    match fs::symlink_metadata(data) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(LocalDbError::io("look at", data)(error)),
    }
    let damaged = |problem: String| LocalDbError::Damaged { data: data.to_owned(), problem };
    let text = fs::read_to_string(data.join("PG_VERSION"))
        .map_err(|error| damaged(format!("its PG_VERSION can not be read: {error}")))?;
    let major = text.trim().parse().map_err(|_| damaged(format!("its PG_VERSION is `{}`", text.trim())))?;
    Ok(Some(major))
}

/// Runs initdb for a new cluster at `place.data`.
pub(super) async fn create(place: &Place, account: &Account, binaries: &Binaries) -> Result<(), LocalDbError> {
    remove_unfinished(&place.base)?;
    // A name of this attempt: the initdb of a killed run may take a moment to end.
    let unfinished = place.base.join(format!("{UNFINISHED_PREFIX}{}", std::process::id()));
    let arguments = [
        OsStr::new("--pgdata"),
        unfinished.as_os_str(),
        // Whoever can enter the socket's directory is the owner of the data; over TCP nobody comes in, should
        // somebody ever switch it on.
        OsStr::new("--auth-local=trust"),
        OsStr::new("--auth-host=reject"),
        OsStr::new("--no-locale"),
        OsStr::new("--encoding=UTF8"),
        OsStr::new("--username"),
        OsStr::new(SUPERUSER),
    ];
    let log = place.base.join("initdb.log");
    let program = binaries.dir.join("initdb");
    let mut initdb = Supervised::spawn(account, &log, &program, arguments)?;
    match initdb.wait(INITDB_LIMIT).await? {
        Some(status) if status.success() => {
            fs::rename(&unfinished, &place.data).map_err(LocalDbError::io("name the cluster", &place.data))
        }
        ended => Err(LocalDbError::Initdb {
            data: place.data.clone(),
            outcome: ended.map_or_else(|| format!("not finished after {INITDB_LIMIT:?}"), |status| status.to_string()),
            output: initdb.log_tail(),
        }),
    }
}

/// Throws away what an interrupted initdb left.
fn remove_unfinished(base: &Path) -> Result<(), LocalDbError> {
    let entries = fs::read_dir(base).map_err(LocalDbError::io("list", base))?;
    for entry in entries {
        let entry = entry.map_err(LocalDbError::io("list", base))?;
        if !entry.file_name().as_bytes().starts_with(UNFINISHED_PREFIX.as_bytes()) {
            continue;
        }
        // What can not be deleted now, because that initdb is still ending, is in nobody's way.
        match fs::remove_dir_all(entry.path()) {
            Ok(()) => tracing::info!("an earlier initdb was interrupted; beginning again"),
            Err(error) => {
                tracing::warn!(path = %entry.path().display(), %error, "could not delete an unfinished cluster");
            }
        }
    }
    Ok(())
}

/// Waits for the server of a run that was killed: its supervisor is stopping it, which takes a moment.
///
/// A postmaster.pid that names no server of this cluster is removed. PostgreSQL would refuse to start if the number
/// has meanwhile gone to another process, as it does when a container is started again. Where processes of the old
/// server still exist, PostgreSQL finds their shared memory by itself and refuses.
pub(super) async fn wait_for_old_server(data: &Path) -> Result<(), LocalDbError> {
    let pid_file = data.join("postmaster.pid");
    let began = Instant::now();
    loop {
        let text = match fs::read_to_string(&pid_file) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(LocalDbError::io("read", pid_file)(error)),
        };
        let pid = text.lines().next().and_then(|line| line.trim().parse().ok());
        let Some(pid) = pid.filter(|pid| is_server_of(*pid, data)) else {
            return match fs::remove_file(&pid_file) {
                Err(error) if error.kind() != ErrorKind::NotFound => Err(LocalDbError::io("delete", pid_file)(error)),
                Ok(()) | Err(_) => Ok(()),
            };
        };
        if began.elapsed() > OLD_SERVER_WAIT {
            return Err(LocalDbError::OldServer { pid, data: data.to_owned(), waited_secs: OLD_SERVER_WAIT.as_secs() });
        }
        tokio::time::sleep(OLD_SERVER_POLL).await;
    }
}

/// Whether the process is a postmaster of `data`, by its command line, which names the directory.
fn is_server_of(pid: u32, data: &Path) -> bool {
    let command_line = if cfg!(target_os = "linux") {
        // Gone, or not visible to us: not ours in either case.
        fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default()
    } else {
        Command::new("ps")
            .args(["-ww", "-o", "command=", "-p"])
            .arg(pid.to_string())
            .output()
            .map(|output| output.stdout)
            .unwrap_or_default()
    };
    String::from_utf8_lossy(&command_line).contains(&*data.to_string_lossy())
}

/// At most `max` characters from the end.
pub(super) fn last_chars(text: &str, max: usize) -> &str {
    let start = text.char_indices().rev().nth(max.saturating_sub(1)).map_or(0, |(index, _)| index);
    &text[start..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_pid_file_of_another_process_is_cleared() {
        let dir = tempfile::tempdir().expect("tempdir");
        let pid_file = dir.path().join("postmaster.pid");
        fs::write(&pid_file, format!("{}\n", std::process::id())).expect("write");
        wait_for_old_server(dir.path()).await.expect("no server");
        assert!(!pid_file.exists());
    }

    #[test]
    fn a_directory_that_is_no_cluster_is_reported_not_replaced() {
        let dir = tempfile::tempdir().expect("tempdir");
        let error = existing_version(dir.path()).expect_err("no cluster");
        assert!(error.to_string().contains("delete"), "{error}");
        let absent = existing_version(&dir.path().join("data")).expect("looked");
        assert_eq!(absent, None);
    }

    #[test]
    fn last_chars_keeps_whole_characters() {
        assert_eq!(last_chars("aéü", 2), "éü");
        assert_eq!(last_chars("a", 5), "a");
    }
}
