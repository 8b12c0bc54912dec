//! The commands that are the host itself: each hands over to `app`. Nothing but that belongs here.
#![expect(clippy::unused_async, reason = "what they hand over to is not linked yet")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;

use super::output::Output;
use crate::config::{HostConfig, LogConfig, ModelSettings, WorkerConfig};

/// How `dev` was called.
#[derive(Clone, Debug)]
pub struct DevOptions {
    pub listen: Option<SocketAddr>,
    pub home: PathBuf,
    pub roles: Option<PathBuf>,
    /// Repositories of the local forge, `owner/name`, and the folder that each is filled from.
    pub forge_seeds: Vec<(String, PathBuf)>,
    pub model: ModelSettings,
    pub worker: WorkerConfig,
    pub log: LogConfig,
}

/// Runs the host until it is told to stop.
pub async fn serve(config: HostConfig) -> anyhow::Result<ExitCode> {
    let HostConfig { database: _, server: _, github: _, model: _, worker: _, log: _ } = config;
    bail!("`serve` is not linked yet")
}

/// Runs the host on a laptop, with a database and a forge of its own.
pub async fn dev(options: DevOptions) -> anyhow::Result<ExitCode> {
    let DevOptions { listen: _, home: _, roles: _, forge_seeds: _, model: _, worker: _, log: _ } = options;
    bail!("`dev` is not linked yet")
}

/// Shows what a component imports and what its manifest grants.
pub async fn role_inspect(file: PathBuf, output: Output) -> anyhow::Result<ExitCode> {
    bail!("`role inspect {}` is not linked yet (json: {})", file.display(), output.json)
}

/// Holds world, manifest and component of each role in a folder against each other.
pub async fn role_check(folder: PathBuf, output: Output) -> anyhow::Result<ExitCode> {
    bail!("`role check {}` is not linked yet (json: {})", folder.display(), output.json)
}

/// Runs a command with a private database in its environment.
pub async fn dev_database(home: PathBuf, command: Vec<String>) -> anyhow::Result<ExitCode> {
    bail!("`dev-database --home {} -- {command:?}` is not linked yet", home.display())
}
