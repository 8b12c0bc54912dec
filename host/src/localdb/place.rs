//! Where the cluster lies: data, socket and log, each in a directory that its account alone can enter.
//!
//! Invariants: a directory under /tmp or /var/tmp, whose names anybody can guess, is used only if it is a real
//! directory of the right owner that nobody else can enter. The socket's path fits the kernel's limit. An existing
//! cluster is never passed over silently in favour of a new, empty one.

use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::LocalDbError;
use super::account::Account;

/// The shortest limit of the systems that we run on (macOS: 104 with its closing zero; Linux: 108).
const SOCKET_PATH_BYTES_MAX: usize = 103;
const SOCKET_FILE: &str = ".s.PGSQL.5432";

/// Enough to tell the homes of one machine apart, short enough for a socket's path.
const HASH_HEX_CHARS: usize = 16;

const DIRECTORY_MODE: u32 = 0o700;

/// The paths of one cluster.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) data: PathBuf,
    /// Holds `data` and what else is the account's own.
    pub(super) base: PathBuf,
    pub(super) socket_dir: PathBuf,
    /// Where downloaded PostgreSQL versions are unpacked.
    pub(super) downloads: PathBuf,
}

impl Place {
    /// `home` must be absolute and exist.
    pub(super) fn prepare(home: &Path, account: &Account) -> Result<Place, LocalDbError> {
        let short_name = format!("juggernaut-{}", home_hash(home));
        let (base, moved) = base_directory(home, &short_name, account)?;

        // Nobody else enters `base`, so the socket may lie in it as it is.
        let socket_dir = if fits_as_socket(&base) {
            base.clone()
        } else {
            let short = Path::new("/tmp").join(&short_name);
            private_directory(&short, account)?;
            short
        };

        Ok(Place {
            data: base.join("data"),
            downloads: if moved { &base } else { home }.join("postgresql"),
            socket_dir,
            base,
        })
    }
}

/// Finds or makes the directory of the cluster; true if it lies outside `home`.
///
/// What is at `home/postgres` decides, since that is where an earlier run recorded its choice.
fn base_directory(home: &Path, short_name: &str, account: &Account) -> Result<(PathBuf, bool), LocalDbError> {
    let inside = home.join("postgres");
    // Some systems clear files in /var/tmp that nobody touched for a month; it is still the one directory that
    // every account reaches and that outlives a reboot.
    let outside = Path::new("/var/tmp").join(short_name);
    match fs::symlink_metadata(&inside) {
        Ok(found) if found.is_symlink() => {
            let target = fs::read_link(&inside).map_err(LocalDbError::io("read the link", &inside))?;
            if target != outside {
                return Err(LocalDbError::Untrusted {
                    problem: format!("links to {}, not to {}", target.display(), outside.display()),
                    path: inside,
                });
            }
            private_directory(&outside, account)?;
            Ok((outside, true))
        }
        Ok(_) if !account.can_reach(home)? => Err(LocalDbError::Unreachable { path: inside, user: account.name() }),
        Err(error) if error.kind() == ErrorKind::NotFound && !account.can_reach(home)? => {
            private_directory(&outside, account)?;
            std::os::unix::fs::symlink(&outside, &inside).map_err(LocalDbError::io("create the link", &inside))?;
            Ok((outside, true))
        }
        Err(error) if error.kind() != ErrorKind::NotFound => Err(LocalDbError::io("look at", inside)(error)),
        Ok(_) | Err(_) => {
            private_directory(&inside, account)?;
            Ok((inside, false))
        }
    }
}

/// Makes `path` a directory of `account` that nobody else can enter, or checks that it is one.
fn private_directory(path: &Path, account: &Account) -> Result<(), LocalDbError> {
    match DirBuilder::new().mode(DIRECTORY_MODE).create(path) {
        Ok(()) => return account.give(path),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(LocalDbError::io("create the directory", path)(error)),
    }
    let found = fs::symlink_metadata(path).map_err(LocalDbError::io("look at", path))?;
    let untrusted = |problem: String| LocalDbError::Untrusted { path: path.to_owned(), problem };
    if !found.is_dir() {
        return Err(untrusted("is not a directory".to_owned()));
    }
    if found.uid() == 0 && account.become_user.is_some() {
        // Only root can have made it: an earlier run ended between creating it and handing it over.
        account.give(path)?;
    } else if found.uid() != account.uid {
        return Err(untrusted(format!("belongs to uid {}, not to {}", found.uid(), account.name())));
    }
    if found.mode() & 0o077 != 0 {
        // Not repaired: whoever could enter may have left something.
        return Err(untrusted("is open to other users".to_owned()));
    }
    Ok(())
}

/// PostgreSQL reads its socket directories as a list with commas and quotes, and a URL holds text alone.
fn fits_as_socket(directory: &Path) -> bool {
    directory.as_os_str().len() + 1 + SOCKET_FILE.len() <= SOCKET_PATH_BYTES_MAX
        && directory.to_str().is_some_and(|text| !text.contains([',', '"', '\\']))
}

fn home_hash(home: &Path) -> String {
    let digest = Sha256::digest(home.as_os_str().as_bytes());
    let mut hash = hex::encode(digest);
    hash.truncate(HASH_HEX_CHARS);
    hash
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn ourselves() -> Account {
        let mut account = Account::detect().expect("an account");
        if account.become_user.take().is_some() {
            account.uid = 0;
        }
        account
    }

    #[test]
    fn refuses_a_link_where_its_directory_should_be() {
        let dir = tempfile::tempdir().expect("tempdir");
        let link = dir.path().join("planted");
        std::os::unix::fs::symlink("/etc", &link).expect("symlink");
        let error = private_directory(&link, &ourselves()).expect_err("refused");
        assert!(error.to_string().contains("is not a directory"), "{error}");
    }

    #[test]
    fn refuses_a_directory_of_another_owner() {
        let dir = tempfile::tempdir().expect("tempdir");
        let mut other = ourselves();
        other.uid += 1;
        let error = private_directory(dir.path(), &other).expect_err("refused");
        assert!(error.to_string().contains("belongs to uid"), "{error}");
    }

    #[test]
    fn refuses_a_directory_that_others_can_enter() {
        let dir = tempfile::tempdir().expect("tempdir");
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).expect("chmod");
        let error = private_directory(dir.path(), &ourselves()).expect_err("refused");
        assert!(error.to_string().contains("is open to other"), "{error}");
    }

    #[test]
    fn socket_paths_must_be_short_and_plain() {
        assert!(fits_as_socket(Path::new("/var/tmp/juggernaut-0123456789abcdef")));
        assert!(!fits_as_socket(Path::new("/a,b")));
        assert!(!fits_as_socket(&Path::new("/").join("x".repeat(90))));
    }
}
