//! The account that PostgreSQL runs under: ours, or an unprivileged one when we are root.
//!
//! Invariant: no program of PostgreSQL ever runs as root (it refuses to), nor with our environment, which may hold
//! secrets that it has no use for.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::LocalDbError;

const PASSWD: &str = "/etc/passwd";

/// `postgres` comes first: packages create it, and its files mean what they seem to mean.
const UNPRIVILEGED_USERS: [&str; 2] = ["postgres", "nobody"];

/// What a child finds in its PATH: the scripts here use `mv`, `sleep` and nothing else.
const CHILD_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Who owns the files of the cluster and runs its programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) uid: u32,
    /// Set only where we are root and have to become somebody else.
    pub(super) become_user: Option<User>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl Account {
    pub(super) fn detect() -> Result<Account, LocalDbError> {
        let uid = own_uid()?;
        if uid != 0 {
            return Ok(Account { uid, become_user: None });
        }
        let passwd = fs::read_to_string(PASSWD).map_err(LocalDbError::io("read the users in", PASSWD))?;
        let user = unprivileged_user(&passwd).ok_or(LocalDbError::NoUnprivilegedUser)?;
        Ok(Account { uid: user.uid, become_user: Some(user) })
    }

    /// A command that runs under this account with a bare environment.
    pub(super) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", CHILD_PATH)
            // Messages that we may have to read; and macOS needs a fixed locale to start at all.
            .env("LC_ALL", "C")
            // Ours may be closed to the account.
            .current_dir("/")
            .stdin(Stdio::null());
        if let Some(user) = &self.become_user {
            command.uid(user.uid).gid(user.gid);
        }
        command
    }

    /// Whether the account can search `directory`. Asks the kernel through a shell of that account, since mode bits
    /// alone say nothing about access control lists.
    pub(super) fn can_reach(&self, directory: &Path) -> Result<bool, LocalDbError> {
        if self.become_user.is_none() {
            return Ok(true);
        }
        let status = self
            .command("/bin/sh")
            .args(["-c", "cd -- \"$1\"", "sh"])
            .arg(directory)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .map_err(LocalDbError::spawn("/bin/sh"))?;
        Ok(status.success())
    }

    /// Hands `path` to the account where it is not ours already.
    pub(super) fn give(&self, path: &Path) -> Result<(), LocalDbError> {
        match &self.become_user {
            None => Ok(()),
            Some(user) => std::os::unix::fs::lchown(path, Some(user.uid), Some(user.gid))
                .map_err(LocalDbError::io("change the owner of", path)),
        }
    }

    pub(super) fn name(&self) -> String {
        match &self.become_user {
            Some(user) => user.name.clone(),
            None => format!("uid {}", self.uid),
        }
    }
}

/// std has no `geteuid`, and calling it through libc would be our only unsafe code.
fn own_uid() -> Result<u32, LocalDbError> {
    let output = Command::new("id").arg("-u").stdin(Stdio::null()).output().map_err(LocalDbError::spawn("id"))?;
    String::from_utf8_lossy(&output.stdout).trim().parse().map_err(|_| LocalDbError::Spawn {
        program: "id -u".into(),
        source: std::io::Error::other("it printed no number"),
    })
}

fn unprivileged_user(passwd: &str) -> Option<User> {
    UNPRIVILEGED_USERS.iter().find_map(|name| passwd.lines().find_map(|line| parse_user(line, name)))
}

fn parse_user(line: &str, name: &str) -> Option<User> {
    let mut fields = line.split(':');
    if fields.next()? != name {
        return None;
    }
    let uid = parse_id(fields.nth(1)?)?;
    let gid = parse_id(fields.next()?)?;
    (uid != 0).then(|| User { name: name.to_owned(), uid, gid })
}

/// macOS writes `nobody` as -2.
fn parse_id(text: &str) -> Option<u32> {
    text.parse().ok().or_else(|| text.parse().ok().map(i32::cast_unsigned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefers_postgres_and_never_returns_root() {
        let passwd = "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65533::/:/bin/false\npostgres:x:101:104::/:/bin/sh\n";
        let user = unprivileged_user(passwd).expect("a user");
        assert_eq!((user.name.as_str(), user.uid, user.gid), ("postgres", 101, 104));

        let user = unprivileged_user("nobody:*:-2:-2::/:/usr/bin/false").expect("a user");
        assert_eq!((user.uid, user.gid), (u32::MAX - 1, u32::MAX - 1));

        assert_eq!(unprivileged_user("postgres:x:0:0::/:/bin/sh"), None);
    }
}
