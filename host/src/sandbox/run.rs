//! One run: a fresh instance, its limits, and how it ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use time::OffsetDateTime;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use wasmtime::{Engine, Store, Trap, UpdateDeadline};

use super::engine::Sandbox;
use super::imports;
use super::log;
use super::role::LoadedRole;
use super::script::Script;
use super::state::{RunState, Services};
use crate::approval::ApprovalId;
use crate::journal::{Call, Diverged, Message, Next, Step};
use crate::policy::{Authority, OwnRun};
use crate::repo::Sha;
use crate::task::{Claim, Failure, Task};

/// How long past its limit a run is waited for before its thread is given up.
const ABORT_GRACE: Duration = Duration::from_millis(50);

/// What wasmtime says of a call whose arguments exceed `limits.call_kib`; an integration test holds it to that.
const HOSTCALL_FUEL_EXHAUSTED: &str = "fuel allocated for hostcalls has been exhausted";

/// What a run starts from.
#[derive(Debug)]
pub struct RunInput {
    pub task: Arc<Task>,
    pub authority: Arc<Authority>,
    /// What the journal of this attempt holds, in order.
    pub steps: Vec<Step>,
    /// Lines of the guest that the execution log has already.
    pub log_lines: u32,
    /// When the attempt began: the guest's clock starts here.
    pub started_at: OffsetDateTime,
    /// Commits that calls of earlier attempts made.
    pub own_commits: Vec<Sha>,
    /// Runs of workflows that calls of this task dispatched.
    pub own_runs: Vec<OwnRun>,
    pub recorder: mpsc::Sender<Box<Message>>,
    /// Until when an effect on the world may begin. Past it the lease may be another host's.
    pub act_until: watch::Receiver<Instant>,
    pub mode: RunMode,
}

/// Whether a run may make calls that its journal does not answer.
#[derive(Debug, Clone)]
pub enum RunMode {
    Live,
    /// It ends at the first such call, before anything is decided or done.
    Replay,
    /// The script answers it; where the script does not, the same.
    Scripted(Arc<Script>),
}

impl RunMode {
    /// The one gate to everything that a call does: neither a replay nor a scripted run passes it.
    pub(super) fn admit(&self, next: Next, call: &Call) -> Result<Next, RunError> {
        let (Next::Fresh(position) | Next::Unfinished(position, _)) = next else { return Ok(next) };
        let unanswered = || RunError::BeyondJournal { position, call: call.describe() };
        match self {
            Self::Live => Ok(next),
            Self::Replay => Err(unanswered()),
            Self::Scripted(script) => Ok(Next::Recorded(position, script.answer(call).ok_or_else(unanswered)?)),
        }
    }
}

/// How a run ends by the role's own word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunEnd {
    Completed(Claim),
    Failed(Failure),
}

/// How a run ends otherwise. Each case is another thing to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    #[error("the run is suspended until {wake_at}")]
    Suspended { wake_at: OffsetDateTime },
    #[error("the run waits until {wake_at}, or for more than {ended} tasks of its goal to end")]
    WaitingGoal { wake_at: OffsetDateTime, ended: u32 },
    #[error("{action} waits for approval {approval}")]
    WaitingApproval { approval: ApprovalId, action: String },
    #[error("another worker holds the task now")]
    LeaseLost,
    #[error("the role crashed: {0}")]
    Trapped(String),
    #[error("the role ran longer than its limit of {limit_ms} ms (limits.wall_ms)")]
    OutOfTime { limit_ms: u64 },
    #[error("the role needed more than {limit_mib} MiB of memory (limits.memory_mib)")]
    OutOfMemory { limit_mib: u32 },
    #[error("the role made more than {calls_max} host calls (limits.host_calls)")]
    OutOfHostCalls { calls_max: u32 },
    #[error("the role's host calls carried more than {limit_kib} KiB (limits.journal_kib)")]
    OutOfJournal { limit_kib: u32 },
    #[error("the role wrote more than {lines_max} lines to its log (limits.log_lines)")]
    OutOfLog { lines_max: u32 },
    #[error(transparent)]
    Diverged(#[from] Diverged),
    /// Of replays and scripted runs alone.
    #[error("the journal does not answer step {position}, {call}")]
    BeyondJournal { position: u32, call: String },
    #[error("what became of step {step} can not be found out: {cause}")]
    Unreconciled { step: String, cause: String },
    /// Final: the same run would find out no more.
    #[error(
        "nobody knows whether step {step}, {call}, took effect, and it is not made again: {cause}; look there, then let \
         `juggernaut task retry` begin anew if that is right"
    )]
    Lost { step: String, call: String, cause: String },
    #[error("the host failed: {0}")]
    Host(String),
}

impl Sandbox {
    /// Runs the role once. Whatever the guest does, this returns within its wall time and a little.
    pub async fn run(
        &self,
        role: &Arc<LoadedRole>,
        services: &Arc<Services>,
        input: RunInput,
    ) -> Result<RunEnd, RunError> {
        let limit_ms = role.manifest.limits.wall_ms;
        let wall = Duration::from_millis(limit_ms);
        let Some(guests) = self.guests() else {
            return Err(RunError::Host("the sandbox is shutting down".to_owned()));
        };
        let start = Start {
            engine: self.engine.clone(),
            role: Arc::clone(role),
            services: Arc::clone(services),
            outside: self.outside.clone(),
            input,
            deadline: Instant::now() + wall,
        };
        // All of it on one thread, so that no memory of a store is given back by another thread than took it.
        let run = guests.spawn(async move { start.run().await });
        let abort = run.abort_handle();
        // Epochs end a guest that computes; this ends one that sleeps in a host call. Dropping the run, as a lost
        // lease does, ends it too.
        let _abort_when_dropped = AbortOnDrop(abort);
        match tokio::time::timeout(wall + ABORT_GRACE, run).await {
            Ok(Ok(end)) => end,
            Ok(Err(join)) => Err(RunError::Host(format!("the run broke off: {join}"))),
            Err(_) => Err(RunError::OutOfTime { limit_ms }),
        }
    }
}

/// What a run takes to its thread.
struct Start {
    engine: Engine,
    role: Arc<LoadedRole>,
    services: Arc<Services>,
    outside: Handle,
    input: RunInput,
    deadline: Instant,
}

impl Start {
    async fn run(self) -> Result<RunEnd, RunError> {
        let role = Arc::clone(&self.role);
        run_guest(&role, self.store()).await
    }

    /// The only place where limits are set.
    fn store(self) -> Store<RunState> {
        let Self { engine, role, services, outside, input, deadline } = self;
        let limits = &role.manifest.limits;
        let state = RunState::new(Arc::clone(&role.manifest), role.component_sha256, services, outside, input);
        let mut store = Store::new(&engine, state);
        store.limiter(|state| &mut state.limiter);
        store.set_hostcall_fuel(limits.call_kib as usize * 1024);
        store.set_epoch_deadline(1);
        let limit_ms = limits.wall_ms;
        store.epoch_deadline_callback(move |mut context| {
            if Instant::now() < deadline {
                return Ok(UpdateDeadline::Yield(1));
            }
            context.data_mut().stop = Some(RunError::OutOfTime { limit_ms });
            Ok(UpdateDeadline::Interrupt)
        });
        store
    }
}

struct AbortOnDrop(tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn run_guest(role: &LoadedRole, mut store: Store<RunState>) -> Result<RunEnd, RunError> {
    let called = match role.pre.instantiate_async(&mut store).await {
        Ok(instance) => instance.call_run(&mut store).await,
        Err(error) => Err(error),
    };
    let ended = match called {
        Ok(outcome) => {
            let state = store.data();
            let clean = |place: &str, text: &str| state.clean(place, text);
            state.cursor.ended().map(|()| imports::run_end(outcome, clean)).map_err(RunError::from)
        }
        Err(error) => Err(classify(store.data(), &error)),
    };
    let state = store.data_mut();
    let ended = state.cleaned(ended);
    // An unfinished line of a run that goes on later is finished then, and counted once.
    let goes_on = matches!(
        ended,
        Err(RunError::Suspended { .. }
            | RunError::WaitingGoal { .. }
            | RunError::WaitingApproval { .. }
            | RunError::LeaseLost)
    );
    let streams = if goes_on { Ok(()) } else { state.stdout.finish().and_then(|()| state.stderr.finish()) };
    log::lock(&state.log).release();
    let drained = state.drain_log().await;
    match ended {
        // A role that said too much ends for that, even where its last word came with its outcome.
        Ok(end) => streams.and(drained).map(|()| end),
        Err(error) => Err(error),
    }
}

/// What a trap means: the host's own reason first, then what the limits saw, then the trap itself.
fn classify(state: &RunState, error: &wasmtime::Error) -> RunError {
    if let Some(stop) = state.stop.clone().or_else(|| error.downcast_ref::<RunError>().cloned()) {
        return stop;
    }
    if state.limiter.memory_refused {
        return RunError::OutOfMemory { limit_mib: state.manifest.limits.memory_mib };
    }
    // wasmtime's own type for it is private.
    if error.root_cause().to_string().contains(HOSTCALL_FUEL_EXHAUSTED) {
        let call_kib = state.manifest.limits.call_kib;
        return RunError::Trapped(format!("a call carried more than {call_kib} KiB into the host (limits.call_kib)"));
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => RunError::Trapped("its stack overflowed; a recursion without end?".to_owned()),
        Some(trap) => RunError::Trapped(trap.to_string()),
        None => RunError::Trapped(format!("{error:#}")),
    }
}
