//! What can be typed after `juggernaut role`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::args::{forge_check, forge_seed};
use crate::manifest::Interface;

#[derive(Debug, Subcommand)]
pub(super) enum RoleCommand {
    /// Write a crate for a new role, which builds and runs at once.
    New(NewArguments),
    /// Run a role's component against fixtures, without a host, a database or a network; exits 1 if one fails.
    Test(TestArguments),
    /// Run one task with a role, on a host, a database and a forge that live as long as the task; exits 0 if it is completed.
    Run(RunArguments),
    /// Show what a role's component imports and what its manifest grants.
    Inspect {
        /// A role's directory, or a component; the manifest is looked for beside it.
        #[arg(value_name = "FILE|DIR")]
        place: PathBuf,
    },
    /// Hold world, manifest and component of each role in a folder against each other.
    Check {
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
    /// Show what changed between two versions of a role or of a folder of roles; exits 3 if authority grew.
    Diff {
        #[arg(value_name = "OLD_DIR")]
        old: PathBuf,
        #[arg(value_name = "NEW_DIR")]
        new: PathBuf,
    },
    /// Write roles.lock, the digests that `serve` demands, into a folder of roles.
    Lock {
        #[arg(value_name = "DIR")]
        folder: PathBuf,
        /// Write nothing; compare, and exit 1 if they differ.
        #[arg(long)]
        check: bool,
    },
    /// Print the JSON Schema of capabilities.toml, for editors.
    Schema,
}

#[derive(Debug, Args)]
pub(super) struct NewArguments {
    /// The role's name: lower-case letters, digits and '-'.
    pub(super) name: String,
    /// The crate's folder, new or empty; one of that name here if unset.
    #[arg(long, value_name = "DIR")]
    pub(super) path: Option<PathBuf>,
    /// The folder guest-sdk of Juggernaut's repository; where this binary was built if unset.
    #[arg(long, value_name = "DIR")]
    pub(super) sdk: Option<PathBuf>,
    /// A capability that it is granted; can be given more than once. github-read if unset.
    #[arg(long = "grant", value_name = "INTERFACE", value_parser = interface)]
    pub(super) grants: Vec<Interface>,
}

/// Where the component comes from.
#[derive(Debug, Args)]
pub(super) struct ComponentArguments {
    /// The role's directory: the component is the newest of NAME.wasm and what cargo built below target/.
    #[arg(value_name = "DIR")]
    pub(super) directory: PathBuf,
    /// Build it first, with `cargo build --release`.
    #[arg(long)]
    pub(super) build: bool,
    /// Another component.
    #[arg(long, value_name = "FILE", conflicts_with = "build")]
    pub(super) component: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct TestArguments {
    #[command(flatten)]
    pub(super) component: ComponentArguments,
    /// A fixture; can be given more than once. All of DIR/tests/*.toml if unset.
    #[arg(long = "fixture", value_name = "FILE")]
    pub(super) fixtures: Vec<PathBuf>,
    /// Print what the role says also where a fixture passes.
    #[arg(long)]
    pub(super) log: bool,
}

#[derive(Debug, Args)]
pub(super) struct RunArguments {
    #[command(flatten)]
    pub(super) component: ComponentArguments,
    /// The task as JSON, as `task create --file` takes it, from a file or - for stdin. One attempt, if it says nothing else.
    #[arg(long, value_name = "FILE")]
    pub(super) task: PathBuf,
    /// A repository of the forge and the folder that it is filled from; can be given more than once.
    #[arg(long = "forge-seed", value_name = "OWNER/NAME=DIR", value_parser = forge_seed)]
    pub(super) forge_seeds: Vec<(String, PathBuf)>,
    /// A check run that the forge gives to each new head of a feature branch, for example ci=success@500; can be given
    /// more than once.
    #[arg(long = "forge-check", value_name = "NAME=CONCLUSION@MS", value_parser = forge_check)]
    pub(super) forge_checks: Vec<String>,
    /// Write the run as a fixture for `role test`; the file must not exist.
    #[arg(long, value_name = "FILE")]
    pub(super) record: Option<PathBuf>,
    /// Keep database and forge in this folder; removed after the run if unset.
    #[arg(long, value_name = "DIR")]
    pub(super) home: Option<PathBuf>,
}

fn interface(text: &str) -> Result<Interface, String> {
    let names = || Interface::ALL.iter().map(|interface| interface.name()).collect::<Vec<_>>().join(", ");
    Interface::from_name(text).ok_or_else(|| format!("there is no such capability; there are {}", names()))
}
