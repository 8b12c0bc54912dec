//! `cargo xtask`: builds, tests and demonstrates Juggernaut.
//!
//! Invariant: it does not depend on the host, so that it starts in a second on a fresh checkout. What it needs of the
//! host it asks of the built binary.

mod bench;
mod build;
mod db;
mod demo;
mod interrupt;
mod prepare;
mod test;
mod workspace;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use bench::Settings;
use build::Profile;
use workspace::Workspace;

#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask", about, version)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Build the host, the forge and the roles, and put the roles together in target/roles
    Build {
        #[arg(long, value_enum, default_value_t = Profile::Release)]
        profile: Profile,
    },
    /// Check format and lints, build everything, run all tests and the demo
    Test {
        /// Run only the integration tests whose name contains this, and nothing else
        filter: Option<String>,
    },
    /// Write the data of the checked queries to .sqlx/
    Prepare {
        /// Change nothing; fail if .sqlx/ is not what it would write
        #[arg(long)]
        check: bool,
        /// Use this migrated database rather than a private one, for when the host can not be built because its
        /// queries changed
        #[arg(long, value_name = "URL")]
        database_url: Option<String>,
    },
    /// Show a task going from creation to a merged pull request, on this machine alone
    Demo {
        #[arg(long, value_enum, default_value_t = Profile::Release)]
        profile: Profile,
    },
    /// Measure the engine against a PostgreSQL of its own; docs/BENCHMARKS.md says what the figures mean
    Bench(Settings),
}

fn main() -> ExitCode {
    match run(Arguments::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where stderr is closed there is nobody to tell; the status says it too.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<()> {
    let workspace = Workspace::load()?;
    match task {
        Task::Build { profile } => build::run(&workspace, profile),
        Task::Test { filter: None } => test::everything(&workspace),
        Task::Test { filter: Some(filter) } => test::filtered(&workspace, &filter),
        Task::Prepare { check, database_url } => prepare::run(&workspace, check, database_url.as_deref()),
        Task::Demo { profile } => {
            build::run(&workspace, profile)?;
            build::test_guests(&workspace)?;
            demo::run(&workspace, profile, &workspace.root.join(".juggernaut"))
        }
        Task::Bench(settings) => bench::run(&workspace, &settings),
    }
}
