//! `cargo xtask test`: what has to hold before a change is merged, cheapest first.
//!
//! Invariant: it stops at the first failing step and names it, with status 1.

use std::process::Command;

use anyhow::Result;

use crate::build::{self, Profile, TESTED_PACKAGES};
use crate::demo;
use crate::workspace::{Kind, Steps, WASM_TARGET, Workspace, execute};

/// All steps, and then the demo.
pub(crate) fn everything(workspace: &Workspace) -> Result<()> {
    let mut steps = Steps::new(11);
    steps.step("format", || execute(&mut workspace.cargo(["fmt", "--all", "--check"])))?;
    steps.step("lints of the host side", || execute(&mut clippy_native(workspace)))?;
    steps.step("lints of the guests", || {
        build::ensure_wasm_target()?;
        execute(&mut clippy_guests(workspace))
    })?;
    artefacts(workspace, &mut steps)?;
    steps.step("tests", || {
        execute(with_paths(workspace, workspace.cargo(["test", "--locked"]).args(TESTED_PACKAGES)))
    })?;
    steps.step("unit tests of the roles", || execute(&mut role_tests(workspace)))?;
    steps.step("examples of the SDK", || {
        execute(workspace.cargo(["test", "--locked", "--doc", "--all-features", "-p", "juggernaut-guest"]).args(["-q"]))
    })?;
    steps.step("demo", || demo::run(workspace, Profile::Dev, &workspace.target_dir.join("demo-home")))
}

/// The integration tests whose name contains `filter`, with what they need built first.
pub(crate) fn filtered(workspace: &Workspace, filter: &str) -> Result<()> {
    let mut steps = Steps::new(5);
    build::ensure_wasm_target()?;
    artefacts(workspace, &mut steps)?;
    steps.step("tests", || {
        execute(with_paths(
            workspace,
            workspace.cargo(["test", "--locked", "--test", "it"]).args(TESTED_PACKAGES).args(["--", filter]),
        ))
    })
}

/// Four steps: what the integration tests drive.
fn artefacts(workspace: &Workspace, steps: &mut Steps) -> Result<()> {
    steps.step("roles", || build::all_roles(workspace))?;
    steps.step("guests of the tests", || build::test_guests(workspace))?;
    steps.step("host and forge", || build::binaries(workspace, Profile::Dev))?;
    steps.step("roles.lock", || build::lock_roles(workspace, Profile::Dev))
}

fn clippy_native(workspace: &Workspace) -> Command {
    let mut cargo = workspace.cargo(["clippy", "--locked", "--workspace", "--all-targets"]);
    for guest in workspace.guest_names() {
        cargo.args(["--exclude", guest]);
    }
    cargo.args(["--", "-D", "warnings"]);
    cargo
}

fn clippy_guests(workspace: &Workspace) -> Command {
    let mut cargo = workspace.cargo(["clippy", "--locked", "--target", WASM_TARGET]);
    for guest in workspace.guest_names() {
        cargo.args(["-p", guest]);
    }
    cargo.args(["--", "-D", "warnings"]);
    cargo
}

/// What of a role is pure is tested on this machine; a capability's stub would end the test.
fn role_tests(workspace: &Workspace) -> Command {
    let mut cargo = workspace.cargo(["test", "--locked", "--lib"]);
    for role in workspace.packages(Kind::Role) {
        cargo.args(["-p", &role.name]);
    }
    cargo
}

/// Tells the tests where things were built, which only cargo knows.
fn with_paths<'a>(workspace: &Workspace, command: &'a mut Command) -> &'a mut Command {
    command
        .env("JUGGERNAUT_TEST_BIN_DIR", workspace.bin_dir(Profile::Dev))
        .env("JUGGERNAUT_TEST_ROLES", workspace.roles_dir())
        .env("JUGGERNAUT_TEST_GUESTS", workspace.test_guests_dir())
}
