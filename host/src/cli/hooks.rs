//! The commands that are the host itself: each hands over to `app`. Nothing but that belongs here.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use tokio::signal::unix::{SignalKind, signal};

use super::output::{Output, note, visible};
use crate::app::{self, DevHost, DevSettings, Host, HostSettings};
use crate::config::{
    ApprovalConfig, AuditKey, CheckpointSchedule, DatabaseConfig, EgressSettings, HostConfig, WorkerConfig,
};
use crate::localdb;
use crate::sandbox::{RoleCheck, RoleReport};

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
    pub egress: EgressSettings,
    pub worker: WorkerConfig,
    pub approvals: ApprovalConfig,
    /// None: one that is kept in `home`.
    pub audit_key: Option<AuditKey>,
    pub checkpoints: CheckpointSchedule,
}

/// Runs the host until it is told to stop.
pub async fn serve(config: HostConfig) -> Result<ExitCode> {
    let HostConfig { database, server, github, model, egress, worker, approvals, audit, log: _ } = config;
    let mut stop = StopSignal::new()?;
    let other_secrets = model.api_key.map(|key| ("OPENROUTER_API_KEY".to_owned(), key)).into_iter().collect();
    let listen = server.listen;
    let settings = HostSettings { database, listen, github, egress, worker, approvals, audit, other_secrets };
    let host = Host::start(settings).await?;
    note(&format!("listening on http://{}", host.address()));
    stop.wait().await;
    note("stopping: no new claims; running tasks finish or are released");
    host.stop().await?;
    Ok(ExitCode::SUCCESS)
}

/// Runs the host on a laptop, with a database and a forge of its own.
pub async fn dev(options: DevOptions) -> Result<ExitCode> {
    let DevOptions {
        listen,
        home,
        roles,
        forge_seeds,
        forge_checks,
        database,
        egress,
        worker,
        approvals,
        audit_key,
        checkpoints,
    } = options;
    let mut stop = StopSignal::new()?;
    note("starting the database, the forge and the roles");
    let start = DevHost::start(DevSettings {
        home,
        listen,
        roles,
        forge_seeds,
        forge_checks,
        database,
        egress,
        worker,
        approvals,
        audit_key,
        checkpoints,
    });
    let dev = tokio::select! {
        started = start => started?,
        () = stop.wait() => return Ok(ExitCode::SUCCESS),
    };
    let workers: Vec<String> = dev.host().worker_names().iter().map(ToString::to_string).collect();
    note(&format!("workers   {}", workers.join(", ")));
    note(&format!("forge     {}", dev.forge_url()));
    note(&format!("token     {} (the command line finds it)", dev.client_file().display()));
    note(&format!("listening on http://{}", dev.host().address()));
    stop.wait().await;
    note("stopping");
    dev.stop().await?;
    Ok(ExitCode::SUCCESS)
}

/// Shows what a component imports and what its manifest grants.
pub fn role_inspect(file: &Path, output: Output) -> Result<ExitCode> {
    let report = app::inspect(file)?;
    if output.json {
        output.line(&serde_json::to_string_pretty(&report)?)?;
    } else {
        print_report(&report, output)?;
    }
    Ok(exit(report.problems.is_empty()))
}

fn print_report(report: &RoleReport, output: Output) -> Result<()> {
    let RoleReport { role, component, component_sha256, manifest_sha256, imports, problems } = report;
    output.line(&format!("role       {}", visible(role.as_deref().unwrap_or("(no manifest beside it)"))))?;
    output.line(&format!("component  {} sha256:{component_sha256}", component.display()))?;
    if let Some(sha256) = manifest_sha256 {
        output.line(&format!("manifest   sha256:{sha256}"))?;
    }
    let rows = imports.iter().map(|import| vec![visible(&import.name), import.verdict.to_owned()]).collect();
    output.table(&["IMPORT", "VERDICT"], rows)?;
    for problem in problems {
        note(&format!("problem: {}", visible(problem)));
    }
    Ok(())
}

/// Holds world, manifest and component of each role in a folder against each other.
pub fn role_check(folder: &Path, output: Output) -> Result<ExitCode> {
    let checks = app::check(folder)?;
    let passed = checks.iter().all(|check| check.problems.is_empty());
    if output.json {
        output.line(&serde_json::to_string_pretty(&checks)?)?;
        return Ok(exit(passed));
    }
    for RoleCheck { role, world, granted, problems, component: _ } in &checks {
        let verdict = if problems.is_empty() { "ok" } else { "REFUSED" };
        let grants: Vec<&str> = granted.iter().map(|interface| interface.name()).collect();
        output.line(&format!("{role}: {verdict}; {}; grants {}", visible(world), grants.join(", ")))?;
        for problem in problems {
            note(&format!("  problem: {}", visible(problem)));
        }
    }
    Ok(exit(passed))
}

fn exit(passed: bool) -> ExitCode {
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
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
