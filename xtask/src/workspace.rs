//! The workspace as cargo sees it, and how programs are run in it.
//!
//! Invariant: paths come from `cargo metadata`, which honours CARGO_TARGET_DIR and the configuration files alike.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::build::Profile;

pub(crate) const WASM_TARGET: &str = "wasm32-wasip2";

/// The library that guests are written with; it builds only for them.
const GUEST_LIBRARY_DIR: &str = "guest-sdk";

/// What cargo sets for a program that it runs, and build scripts may depend on.
const OF_CARGO_RUN: [&str; 8] = [
    "CARGO_MANIFEST_DIR",
    "CARGO_MANIFEST_LINKS",
    "CARGO_MANIFEST_PATH",
    "CARGO_PKG_NAME",
    "CARGO_PKG_VERSION_MAJOR",
    "CARGO_PKG_VERSION_MINOR",
    "CARGO_PKG_VERSION_PATCH",
    "CARGO_PKG_VERSION_PRE",
];

/// What a package is built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The machine that we stand on.
    Native,
    /// A component of `roles/`.
    Role,
    /// A component of `tests/guests/`.
    TestGuest,
    GuestLibrary,
}

#[derive(Debug, Clone)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) dir: PathBuf,
    pub(crate) kind: Kind,
}

impl Package {
    /// The name of the directory, which is that of the role or guest.
    pub(crate) fn dir_name(&self) -> String {
        self.dir.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The file that cargo makes of a guest.
    pub(crate) fn wasm_file(&self) -> String {
        format!("{}.wasm", self.name.replace('-', "_"))
    }
}

#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    pub(crate) target_dir: PathBuf,
    packages: Vec<Package>,
}

impl Workspace {
    pub(crate) fn load() -> Result<Workspace> {
        let output = Command::new("cargo")
            .args(["metadata", "--locked", "--no-deps", "--format-version=1"])
            .stderr(Stdio::inherit())
            .output()
            .context("could not run cargo; install it from https://rustup.rs")?;
        if !output.status.success() {
            bail!("`cargo metadata` failed as shown above; correct the workspace first");
        }
        let metadata: Value = serde_json::from_slice(&output.stdout)
            .context("`cargo metadata` printed no JSON; check which cargo is in PATH")?;
        let root = PathBuf::from(text(&metadata, "workspace_root")?);
        let packages = metadata["packages"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|package| read_package(&root, package))
            .collect::<Result<_>>()?;
        Ok(Workspace { target_dir: PathBuf::from(text(&metadata, "target_directory")?), root, packages })
    }

    pub(crate) fn packages(&self, kind: Kind) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(move |package| package.kind == kind)
    }

    /// Names of all that is built for WebAssembly.
    pub(crate) fn guest_names(&self) -> impl Iterator<Item = &str> {
        self.packages.iter().filter(|package| package.kind != Kind::Native).map(|package| package.name.as_str())
    }

    pub(crate) fn bin_dir(&self, profile: Profile) -> PathBuf {
        self.target_dir.join(match profile {
            Profile::Dev => "debug",
            Profile::Release => "release",
        })
    }

    pub(crate) fn roles_dir(&self) -> PathBuf {
        self.target_dir.join("roles")
    }

    pub(crate) fn test_guests_dir(&self) -> PathBuf {
        self.target_dir.join("guests")
    }

    /// A cargo command in the workspace that shows its output as it comes.
    pub(crate) fn cargo<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = Command::new("cargo");
        command.current_dir(&self.root).args(arguments);
        // `cargo run`, which started us, described xtask in these; ring's build script watches them, so that ring and all
        // that uses it would be compiled again whenever plain `cargo` and `cargo xtask` take turns.
        for name in OF_CARGO_RUN {
            command.env_remove(name);
        }
        command
    }
}

fn read_package(root: &Path, package: &Value) -> Result<Package> {
    let manifest = PathBuf::from(text(package, "manifest_path")?);
    let dir = manifest.parent().unwrap_or(root).to_owned();
    let inside = dir.strip_prefix(root).unwrap_or(&dir);
    let kind = if inside.starts_with("roles") {
        Kind::Role
    } else if inside.starts_with("tests/guests") {
        Kind::TestGuest
    } else if inside == Path::new(GUEST_LIBRARY_DIR) {
        Kind::GuestLibrary
    } else {
        Kind::Native
    };
    Ok(Package { name: text(package, "name")?.to_owned(), dir, kind })
}

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str> {
    value[key].as_str().with_context(|| format!("`cargo metadata` has no `{key}`; check the version of cargo"))
}

/// Runs `command` to its end; anything but success is an error that names it.
pub(crate) fn execute(command: &mut Command) -> Result<()> {
    let shown = show(command);
    let status = command.status().with_context(|| format!("could not run `{shown}`; check that it is installed"))?;
    if !status.success() {
        bail!("`{shown}` ended with {status}; its output is above");
    }
    Ok(())
}

fn show(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Tells the person at the terminal; standard output is left to the programs that we run.
pub(crate) fn say(line: &str) -> Result<()> {
    writeln!(std::io::stderr(), "{line}").context("could not write to standard error")
}

/// A sequence that stops at the first failure and says how far it is.
#[derive(Debug)]
pub(crate) struct Steps {
    done: usize,
    total: usize,
}

impl Steps {
    pub(crate) fn new(total: usize) -> Steps {
        Steps { done: 0, total }
    }

    pub(crate) fn step<T>(&mut self, name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        self.done += 1;
        let position = format!("[{}/{}]", self.done, self.total);
        let began = Instant::now();
        let result = work().with_context(|| format!("step {position} `{name}` failed"))?;
        say(&format!("{position} {name} ({:.1} s)", began.elapsed().as_secs_f64()))?;
        Ok(result)
    }
}
