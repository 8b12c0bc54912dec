//! Builds the binaries and the guests, and puts each guest beside its manifest.
//!
//! Invariant: a directory in target/roles holds exactly a component and the manifest that it was built with; a lock
//! beside them is of what lies there, for whoever clears the folder clears the lock.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;

use crate::workspace::{Kind, Package, Steps, WASM_TARGET, Workspace, execute, say};

const MANIFEST: &str = "capabilities.toml";

/// Built and tested together. Cargo unifies features over what a command selects, so that another selection would
/// compile wasmtime a second time.
pub(crate) const TESTED_PACKAGES: [&str; 8] =
    ["-p", "juggernaut", "-p", "forge", "-p", "juggernaut-tests", "-p", "quality"];

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Profile {
    Dev,
    Release,
}

/// `cargo xtask build`.
pub(crate) fn run(workspace: &Workspace, profile: Profile) -> Result<()> {
    let mut steps = Steps::new(5);
    steps.step("target wasm32-wasip2", ensure_wasm_target)?;
    steps.step("host and forge", || binaries(workspace, profile))?;
    steps.step("components of the roles", || guests(workspace, &roles(workspace)?))?;
    steps.step("roles with their manifests", || assemble_roles(workspace))?;
    steps.step("roles.lock", || lock_roles(workspace, profile))
}

/// Installs the target if rustup does not have it.
pub(crate) fn ensure_wasm_target() -> Result<()> {
    let output = Command::new("rustup")
        .args(["target", "list", "--installed"])
        .output()
        .context("could not run rustup; install it from https://rustup.rs")?;
    if !output.status.success() {
        bail!(
            "`rustup target list --installed` failed: {}; repair rustup first",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    let installed = String::from_utf8_lossy(&output.stdout).lines().any(|line| line.trim() == WASM_TARGET);
    if installed {
        return Ok(());
    }
    say(&format!("the target {WASM_TARGET} is absent; adding it with rustup"))?;
    execute(Command::new("rustup").args(["target", "add", WASM_TARGET]))
}

pub(crate) fn binaries(workspace: &Workspace, profile: Profile) -> Result<()> {
    let mut cargo = workspace.cargo(["build", "--locked"]);
    match profile {
        // The tests are built along, for the sake of the features that they add.
        Profile::Dev => cargo.args(["--bins", "--tests"]).args(TESTED_PACKAGES),
        Profile::Release => cargo.args(["--release", "-p", "juggernaut", "-p", "forge"]),
    };
    execute(&mut cargo)
}

/// The bench that `cargo xtask bench` measures from within, a target of the host's package.
pub(crate) const PROBE: &str = "engine";

/// What the bench needs of the host side.
pub(crate) fn binaries_and_probe(workspace: &Workspace, profile: Profile) -> Result<()> {
    execute(select_probe(&mut workspace.cargo(["build", "--locked"]), profile))
}

/// Completes a build command, such that it is the same build each time.
pub(crate) fn select_probe(cargo: &mut Command, profile: Profile) -> &mut Command {
    match profile {
        Profile::Dev => cargo.args(["--bins", "--tests"]).args(TESTED_PACKAGES),
        Profile::Release => cargo.args(["--release", "--bins", "-p", "juggernaut", "-p", "forge"]),
    };
    cargo.args(["--bench", PROBE])
}

/// Every directory of roles/ with a manifest; without a manifest a role is not finished, and is not shipped.
pub(crate) fn roles(workspace: &Workspace) -> Result<Vec<&Package>> {
    let found: Vec<&Package> =
        workspace.packages(Kind::Role).filter(|package| package.dir.join(MANIFEST).is_file()).collect();
    if found.is_empty() {
        bail!("no package in roles/ has a {MANIFEST}; write one, or merge the branch that does");
    }
    Ok(found)
}

fn guests(workspace: &Workspace, packages: &[&Package]) -> Result<()> {
    let mut cargo = workspace.cargo(["build", "--locked", "--profile", "guest"]);
    cargo.args(["--target", WASM_TARGET]);
    for package in packages {
        cargo.args(["-p", &package.name]);
    }
    execute(&mut cargo)
}

fn assemble_roles(workspace: &Workspace) -> Result<()> {
    let roles = roles(workspace)?;
    assemble(workspace, &roles, &workspace.roles_dir())
}

/// Builds the roles and puts them together in target/roles.
pub(crate) fn all_roles(workspace: &Workspace) -> Result<()> {
    guests(workspace, &roles(workspace)?)?;
    assemble_roles(workspace)
}

/// Pins what lies in target/roles: `serve` starts with nothing else. The host that was just built writes the lock, so
/// that there is one definition of it.
pub(crate) fn lock_roles(workspace: &Workspace, profile: Profile) -> Result<()> {
    lock(workspace, profile, &workspace.roles_dir())
}

pub(crate) fn lock(workspace: &Workspace, profile: Profile, roles: &Path) -> Result<()> {
    let mut juggernaut = Command::new(workspace.bin_dir(profile).join("juggernaut"));
    execute(juggernaut.args(["role", "lock"]).arg(roles))
}

/// Builds the guests of the integration tests and puts them together in target/guests.
pub(crate) fn test_guests(workspace: &Workspace) -> Result<()> {
    let packages: Vec<&Package> = workspace.packages(Kind::TestGuest).collect();
    guests(workspace, &packages)?;
    assemble(workspace, &packages, &workspace.test_guests_dir())
}

/// Lays out `<into>/<name>/{<name>.wasm,capabilities.toml}` afresh: what was removed from the sources is gone here too.
fn assemble(workspace: &Workspace, packages: &[&Package], into: &Path) -> Result<()> {
    match fs::remove_dir_all(into) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("could not clear {}", into.display()));
        }
        Ok(()) | Err(_) => {}
    }
    let built = workspace.target_dir.join(WASM_TARGET).join("guest");
    for package in packages {
        let name = package.dir_name();
        let dir = into.join(&name);
        fs::create_dir_all(&dir).with_context(|| format!("could not create {}", dir.display()))?;
        copy(&built.join(package.wasm_file()), &dir.join(format!("{name}.wasm")))?;
        let manifest = package.dir.join(MANIFEST);
        if manifest.is_file() {
            copy(&manifest, &dir.join(MANIFEST))?;
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).with_context(|| format!("could not copy {} to {}", from.display(), to.display()))?;
    Ok(())
}
