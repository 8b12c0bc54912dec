//! Where a role's component is: beside its manifest, or where cargo built it.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use anyhow::{Context as _, Result, bail, ensure};

use crate::manifest::{self, Manifest};

/// What a Rust role is built for.
const WASM_TARGET: &str = "wasm32-wasip2";

/// The newest of `NAME.wasm` and what cargo built, in `release` or `debug`.
pub(super) fn newest(directory: &Path, manifest: &Manifest) -> Result<PathBuf> {
    let name = &manifest.role.name;
    let built = directory.join("target").join(WASM_TARGET);
    let file = format!("{}.wasm", name.replace('-', "_"));
    let places =
        [directory.join(format!("{name}.wasm")), built.join("release").join(&file), built.join("debug").join(&file)];
    let age = |path: &PathBuf| -> Option<SystemTime> { std::fs::metadata(path).ok()?.modified().ok() };
    match places.iter().filter(|path| path.is_file()).max_by_key(|path| age(path)) {
        Some(path) => Ok(path.clone()),
        None => bail!(
            "the role has no component: neither {} nor {} exists; add --build, or build it with \
             `cargo build --release --target {WASM_TARGET}`",
            places[0].display(),
            places[1].display()
        ),
    }
}

/// Builds the role's crate with cargo, whose messages say where the component is.
pub fn build(directory: &Path) -> Result<PathBuf> {
    let manifest = Manifest::read(&directory.join(manifest::FILE_NAME))?;
    let file = format!("{}.wasm", manifest.role.name.replace('-', "_"));
    let built = Command::new("cargo")
        .args(["build", "--release", "--target", WASM_TARGET, "--message-format", "json-render-diagnostics"])
        .current_dir(directory)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cargo does not start; install Rust from https://rustup.rs, or build the component yourself")?;
    ensure!(built.status.success(), "`cargo build` failed in {}; its errors are above", directory.display());
    let said = String::from_utf8_lossy(&built.stdout);
    let messages = said.lines().filter_map(|line| serde_json::from_str::<Artifact>(line).ok());
    let mut files = messages.flat_map(|message| message.filenames);
    files.rfind(|path| path.file_name().is_some_and(|name| name == file.as_str())).with_context(|| {
        format!("cargo built no {file}; the package in {} must have the role's name", directory.display())
    })
}

/// Of cargo's messages, what is looked at.
#[derive(serde::Deserialize)]
struct Artifact {
    filenames: Vec<PathBuf>,
}

/// Puts a role into a folder of roles, which holds nothing else then. Returns its manifest.
pub fn stage(directory: &Path, component: Option<PathBuf>, roles: &Path) -> Result<Manifest> {
    let manifest = Manifest::read(&directory.join(manifest::FILE_NAME))?;
    let component = match component {
        Some(component) => component,
        None => newest(directory, &manifest)?,
    };
    clear(roles)?;
    let role = roles.join(&manifest.role.name);
    std::fs::create_dir_all(&role).with_context(|| format!("{} can not be made", role.display()))?;
    for (from, to) in [
        (manifest.path.clone(), role.join(manifest::FILE_NAME)),
        (component, role.join(format!("{}.wasm", manifest.role.name))),
    ] {
        std::fs::copy(&from, &to)
            .with_context(|| format!("{} can not be copied to {}", from.display(), to.display()))?;
    }
    Ok(manifest)
}

/// Removes a folder with all that is in it, if it is there.
pub fn clear(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} can not be cleared", folder.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
