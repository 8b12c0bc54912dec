//! The commands that are the host itself: each hands over to `app`. Nothing but that belongs here.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use tokio::signal::unix::{SignalKind, signal};

use super::output::note;
use crate::app::{DevHost, DevSettings, Host, HostSettings, Pinning};
use crate::config::{
    ApprovalConfig, AuditKey, CheckpointSchedule, DatabaseConfig, EgressSettings, HostConfig, ModelSettings,
    WebhookConfig, WorkerConfig,
};
use crate::{crash, localdb};

/// How `dev` was called.
#[derive(Clone, Debug)]
pub struct DevOptions {
    pub listen: Option<SocketAddr>,
    pub home: PathBuf,
    pub roles: Option<PathBuf>,
    /// Repositories of the local forge, `owner/name`, and the folder that each is filled from.
    pub forge_seeds: Vec<(String, PathBuf)>,
    /// Check runs that the local forge gives to new heads: `NAME=CONCLUSION@MS`.
    pub forge_checks: Vec<String>,
    /// None: a private one.
    pub database: Option<DatabaseConfig>,
    pub model: ModelSettings,
    pub egress: EgressSettings,
    pub worker: WorkerConfig,
    pub approvals: ApprovalConfig,
    /// None: one that is kept in `home`.
    pub audit_key: Option<AuditKey>,
    pub checkpoints: CheckpointSchedule,
    pub webhook: Option<WebhookConfig>,
}

/// Runs the host until it is told to stop.
pub async fn serve(config: HostConfig) -> Result<ExitCode> {
    let HostConfig { database, server, github, model, egress, worker, approvals, audit, webhook, log: _, crash_at } =
        config;
    crash::arm(crash_at.as_deref())?;
    let mut stop = StopSignal::new()?;
    let settings = HostSettings {
        database,
        listen: server.listen,
        github,
        model,
        egress,
        worker,
        approvals,
        audit,
        webhook,
        other_secrets: Vec::new(),
        pinning: Pinning::Locked,
    };
    let host = Host::start(settings).await?;
    note(&format!("listening on http://{}", host.address()));
    stop.wait().await;
    note("stopping: no new claims; running tasks finish or are released");
    host.stop().await?;
    Ok(ExitCode::SUCCESS)
}

/// Runs the host on a laptop, with a database and a forge of its own.
pub async fn dev(options: DevOptions) -> Result<ExitCode> {
    let mut stop = StopSignal::new()?;
    note("starting the database, the forge and the roles");
    let dev = tokio::select! {
        started = start_dev(options) => started?,
        () = stop.wait() => return Ok(ExitCode::SUCCESS),
    };
    let workers: Vec<String> = dev.host().worker_names().iter().map(ToString::to_string).collect();
    note(&format!("workers   {}", workers.join(", ")));
    note(&format!("forge     {}", dev.forge_url()));
    if let Some(url) = dev.database_url() {
        note(&format!("database  {url}"));
    }
    note(&format!("token     {} (the command line finds it)", dev.client_file().display()));
    note(&format!("listening on http://{}", dev.host().address()));
    stop.wait().await;
    note("stopping");
    dev.stop().await?;
    Ok(ExitCode::SUCCESS)
}

/// The same, for a command that uses it and stops it.
pub(super) async fn start_dev(options: DevOptions) -> Result<DevHost> {
    let DevOptions {
        listen,
        home,
        roles,
        forge_seeds,
        forge_checks,
        database,
        model,
        egress,
        worker,
        approvals,
        audit_key,
        checkpoints,
        webhook,
    } = options;
    DevHost::start(DevSettings {
        home,
        listen,
        roles,
        forge_seeds,
        forge_checks,
        database,
        model,
        egress,
        worker,
        approvals,
        audit_key,
        checkpoints,
        webhook,
    })
    .await
}

/// Runs a command with a private database in its environment.
pub async fn dev_database(home: PathBuf, command: Vec<OsString>) -> Result<ExitCode> {
    localdb::run_with(&home, &command).await
}

/// SIGTERM (a deployment platform) or SIGINT (Ctrl-C).
struct StopSignal {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl StopSignal {
    fn new() -> Result<Self> {
        let on = |kind| signal(kind).context("signals can not be handled");
        Ok(Self { terminate: on(SignalKind::terminate())?, interrupt: on(SignalKind::interrupt())? })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
