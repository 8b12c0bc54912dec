//! What a store holds: everything that one run has, and nothing of any other.

use std::sync::Arc;
use std::time::Instant;

use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::determinism::{self, GuestClock};
use super::imports::{ImportRoots, ScratchFiles};
use super::limits::Limiter;
use super::log::{self, LogBuffer, LogLimits, SharedLog};
use super::output::GuestOutput;
use super::run::{RunError, RunInput, RunMode};
use crate::approval::Versions;
use crate::egress::WebClient;
use crate::github::GitHub;
use crate::journal::{Alert, Cursor, Message};
use crate::llm::Models;
use crate::manifest::Manifest;
use crate::policy::{Assessment, Authority, OwnRun};
use crate::repo::Sha;
use crate::secrets::Scanner;
use crate::task::{LogLevel, Target, Task};

/// Handles (streams, pollables) that a guest may hold at once; the host keeps memory for each.
const RESOURCES_MAX: usize = 1024;
/// Random bytes that one call may ask for.
const RANDOM_BYTES_MAX: u64 = 64 * 1024;

/// Clients of the outside world that imports act through.
#[derive(Clone, Debug)]
pub struct Services {
    /// None where no token is configured: calls answer `unavailable`.
    pub github: Option<GitHub>,
    pub web: WebClient,
    /// None where no key is configured: calls answer `unavailable`.
    pub models: Option<Models>,
    /// Looks through what leaves a run.
    pub secrets: Arc<Scanner>,
    /// For what people have to look at and a run that lost its claim can not say any more.
    pub alerts: mpsc::Sender<Alert>,
}

/// The data of a store.
pub(super) struct RunState {
    pub(super) wasi: WasiCtx,
    pub(super) table: ResourceTable,
    pub(super) limiter: Limiter,
    pub(super) task: Arc<Task>,
    /// What the task's payload names.
    pub(super) target: Option<Target>,
    pub(super) manifest: Arc<Manifest>,
    /// The role under the host's policies.
    pub(super) authority: Arc<Authority>,
    /// The task's risk, as far as it has been raised.
    pub(super) risk: Assessment,
    /// What runs, for approvals: they are good for nothing else.
    pub(super) versions: Versions,
    /// What the newest denial stood on.
    pub(super) denied_by: Vec<String>,
    pub(super) services: Arc<Services>,
    pub(super) outside: Handle,
    pub(super) recorder: mpsc::Sender<Box<Message>>,
    pub(super) cursor: Cursor,
    /// What the calls of this attempt weigh so far, replayed ones included.
    pub(super) journal_bytes: usize,
    pub(super) clock: GuestClock,
    pub(super) log: SharedLog,
    pub(super) stdout: GuestOutput,
    pub(super) stderr: GuestOutput,
    pub(super) scratch: ScratchFiles,
    /// Commits that calls of this task made, in any attempt.
    pub(super) own_commits: Vec<Sha>,
    /// Runs of workflows that calls of this task dispatched, in any attempt.
    pub(super) own_runs: Vec<OwnRun>,
    /// Of the branch that the run writes Python to.
    pub(super) import_roots: Option<ImportRoots>,
    /// Until when effects may begin; moves on with each renewal of the lease.
    pub(super) act_until: watch::Receiver<Instant>,
    pub(super) mode: RunMode,
    /// Why the host ended the run, once it has.
    pub(super) stop: Option<RunError>,
}

impl RunState {
    pub(super) fn new(
        manifest: Arc<Manifest>,
        component: [u8; 32],
        services: Arc<Services>,
        outside: Handle,
        input: RunInput,
    ) -> Self {
        let RunInput {
            task,
            authority,
            steps,
            log_lines,
            started_at,
            own_commits,
            own_runs,
            recorder,
            act_until,
            mode,
        } = input;
        let versions = Versions { component, manifest: manifest.sha256, policy: authority.policies.digest() };
        let limits = &manifest.limits;
        let log_limits = LogLimits { lines_max: limits.log_lines, line_bytes_max: limits.log_line_bytes };
        let log = LogBuffer::shared(log_limits, log_lines, Arc::clone(&services.secrets), task.id);
        let stdout = GuestOutput::new(Arc::clone(&log), LogLevel::Info, "stdout");
        let stderr = GuestOutput::new(Arc::clone(&log), LogLevel::Warn, "stderr");
        let clock = GuestClock::new(started_at);
        let seed = |purpose| determinism::random(task.id, task.attempt, purpose);
        let wasi = WasiCtx::builder()
            .stdout(stdout.clone())
            .stderr(stderr.clone())
            .wall_clock(clock.clone())
            .monotonic_clock(clock.clone())
            .secure_random(seed("secure"))
            .insecure_random(seed("insecure"))
            .max_random_size(RANDOM_BYTES_MAX)
            .insecure_random_seed(u128::from_be_bytes(*task.id.0.as_bytes()))
            .build();
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES_MAX);
        Self {
            wasi,
            table,
            limiter: Limiter::new(limits.memory_mib),
            scratch: ScratchFiles::new(manifest.grants.scratch.as_ref().map(|grant| grant.as_ref().clone())),
            target: task.target(),
            risk: Assessment::new(task.risk, task.risk_reasons.clone()),
            authority,
            task,
            versions,
            denied_by: Vec::new(),
            manifest,
            services,
            outside,
            recorder,
            cursor: Cursor::new(steps),
            journal_bytes: 0,
            clock,
            log,
            stdout,
            stderr,
            own_commits,
            own_runs,
            import_roots: None,
            act_until,
            mode,
            stop: None,
        }
    }

    /// Sends what the guest has said to the recorder.
    pub(super) async fn drain_log(&mut self) -> Result<(), RunError> {
        let (alerts, lines) = log::lock(&self.log).take();
        for alert in alerts {
            self.send(Message::Alert(Box::new(alert))).await?;
        }
        for line in lines {
            self.send(Message::Log(line)).await?;
        }
        Ok(())
    }

    /// The recorder is gone only when the run is being given up.
    pub(super) async fn send(&mut self, message: Message) -> Result<(), RunError> {
        self.recorder.send(Box::new(message)).await.map_err(|_| RunError::LeaseLost)
    }
}

impl WasiView for RunState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}
