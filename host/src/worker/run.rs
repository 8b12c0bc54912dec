//! One task's way through a claim, top to bottom: run, verify, finish.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tracing::{debug, error, warn};

use super::ending::{self, Cause};
use super::leases::{Standing, Stop, stopped};
use super::recorder::{Left, Recorder};
use super::{Slots, Worker, acceptance, verify};
use crate::crash;
use crate::db::DbError;
use crate::db::commit::Write;
use crate::db::journal::{Batch, RunKey};
use crate::db::outcomes::Ending;
use crate::db::queue::Claim;
use crate::journal::{Alert, Message, NotDurable};
use crate::manifest::Interface;
use crate::policy::OwnRun;
use crate::sandbox::{RunEnd, RunError, RunInput, RunMode};
use crate::task::{self, Task};

/// Messages from a run that may wait for the recorder.
const RECORDER_QUEUE_MAX: usize = 16;
/// How long a claimed task may wait for a free slot; then another worker may have it.
const QUEUED_TIME_MAX: Duration = Duration::from_secs(1);

/// How a claim ends: what is left to be written with it, and why it ended.
type Ended = (Ending, Batch, Cause);

impl Worker {
    /// One claim to its end. What goes wrong ends up in the task's state and log, or, where the claim is lost, nowhere:
    /// the task is somebody else's then.
    pub(super) async fn run_task(&self, claim: Claim, standing: Standing, slots: &Slots) {
        let key =
            RunKey { task: claim.task.id, attempt: claim.task.attempt, lease: claim.lease, worker: self.id().clone() };
        let mut stop = standing.stop.clone();
        let (ending, batch, cause) = tokio::select! {
            ended = self.execute(&claim, &key, &standing, slots) => match ended {
                Ok(ended) => ended,
                Err(DbError::LeaseLost) => return self.lost(&key),
                Err(error) => return warn!(task.id = %key.task, %error, "the run can not be stored; its lease runs out"),
            },
            stop = stopped(&mut stop) => match stop {
                Stop::Lost => return self.lost(&key),
                Stop::Release | Stop::Go => released("released: the host is shutting down"),
            },
        };
        let (before, after) = ending::crash_points(&ending);
        crash::point(before);
        let ended = self.writer.commit(Write::ending(key.clone(), batch, ending, cause.name())).await;
        crash::point(after);
        match ended {
            Ok(()) => debug!(task.id = %key.task, cause = cause.name(), "claim ended"),
            Err(NotDurable::LeaseLost) => self.lost(&key),
            Err(error) => error!(task.id = %key.task, %error, "the end of a run was not stored; its lease runs out"),
        }
    }

    async fn execute(&self, claim: &Claim, key: &RunKey, standing: &Standing, slots: &Slots) -> Result<Ended, DbError> {
        let Ok(Ok(slot)) = tokio::time::timeout(QUEUED_TIME_MAX, slots.free.acquire()).await else {
            return Ok(released("released: this worker has no free slot"));
        };
        let task = Arc::new(claim.task.clone());
        let (recorder, messages) = mpsc::channel(RECORDER_QUEUE_MAX);
        let input = self.load(claim, key, &task, standing, recorder).await?;
        let recording = Recorder::new(self.db.clone(), self.writer.clone(), self.wake.clone(), key.clone(), task.risk)
            .record(messages);
        let began = Instant::now();
        let running = async {
            let end = self.sandbox.run(&self.role, &self.services, input).await;
            slots.pace.ran(began.elapsed());
            // What remains needs no guest.
            drop(slot);
            end
        };
        let (end, left) = tokio::join!(running, recording);
        // What could not be stored is not lost: the journal is short of it, and the run will be made again from there.
        let left = left.map_err(not_durable)?;
        self.finish(claim, key, &task, end, left).await
    }

    /// What a run starts from.
    async fn load(
        &self,
        claim: &Claim,
        key: &RunKey,
        task: &Arc<Task>,
        standing: &Standing,
        recorder: mpsc::Sender<Box<Message>>,
    ) -> Result<RunInput, DbError> {
        let resumed = claim.run.resumed;
        let first = task.attempt == task::Attempt::FIRST && !resumed;
        Ok(RunInput {
            task: Arc::clone(task),
            authority: Arc::clone(&self.authority),
            steps: if resumed { self.db.load_steps(key.task, key.attempt).await? } else { Vec::new() },
            log_lines: claim.run.log_lines,
            started_at: claim.run.started_at,
            own_commits: if first { Vec::new() } else { self.db.commits_of_task(key.task).await? },
            own_runs: self.own_runs(key, first).await?,
            recorder,
            act_until: standing.act_until.clone(),
            mode: RunMode::Live,
        })
    }

    /// Of roles that can dispatch any.
    async fn own_runs(&self, key: &RunKey, first: bool) -> Result<Vec<OwnRun>, DbError> {
        if first || !self.authority.manifest.grants(Interface::Deploy) {
            return Ok(Vec::new());
        }
        self.db.runs_of_task(key.task).await
    }

    async fn finish(
        &self,
        claim: &Claim,
        key: &RunKey,
        task: &Task,
        end: Result<RunEnd, RunError>,
        mut left: Left,
    ) -> Result<Ended, DbError> {
        let (ending, cause) = match end {
            Err(RunError::LeaseLost) => return Err(DbError::LeaseLost),
            Ok(RunEnd::Completed(claimed)) => return self.complete(claim, key, task, &claimed, left).await,
            Ok(RunEnd::Failed(failure)) => ending::of_failure(task, failure, self.settings.retry_base),
            Err(error) => {
                // What the last call did to the world is not known: the same attempt finds out before it goes on.
                let unsettled = if left.stored || claim.run.resumed {
                    self.db.unsettled_step(key.task, key.attempt).await?
                } else {
                    None
                };
                let unsettled = unsettled.as_ref();
                if let Some(alert) = ending::alert(task, &error, unsettled) {
                    Alert::gather(&mut left.batch.alerts, alert);
                }
                ending::of_error(task, claim.run.started_at, &error, unsettled, self.settings.retry_base)
            }
        };
        Ok((ending, left.batch, cause))
    }

    async fn complete(
        &self,
        claim: &Claim,
        key: &RunKey,
        task: &Task,
        claimed: &task::Claim,
        left: Left,
    ) -> Result<Ended, DbError> {
        let known = verify::world_of(task, claim.run.resumed, &left);
        let mut batch = left.batch;
        let mut task = task.clone();
        let world = match known {
            Some(world) => world,
            None => {
                self.store(key, std::mem::take(&mut batch)).await?;
                // As far as this very run has raised it.
                task.risk = self.db.risk_of_task(key.task).await?;
                verify::world(self, key).await?
            }
        };
        let verdict = match verify::verify(self, &task, claimed, world, &mut batch.audit).await {
            verify::Answer::Verdict(verdict) => verdict,
            verify::Answer::NeedsAcceptance { verified, criteria } => {
                // What was done is durable before anybody is asked about it.
                self.store(key, batch).await?;
                return acceptance::ask(self, &task, key, &verified, &criteria).await;
            }
        };
        let (ending, cause) = ending::of_verdict(&task, claim.run.started_at, verdict, self.settings.retry_base);
        Ok((ending, batch, cause))
    }

    async fn store(&self, key: &RunKey, batch: Batch) -> Result<(), DbError> {
        if batch.is_empty() {
            return Ok(());
        }
        self.writer.commit(Write::new(key.clone(), batch)).await.map_err(not_durable)
    }

    fn lost(&self, key: &RunKey) {
        warn!(task.id = %key.task, worker = %self.id(), "the claim is lost; this run writes nothing more");
    }
}

fn released(reason: &str) -> Ended {
    (Ending::Released { reason: reason.to_owned() }, Batch::default(), Cause::Released)
}

fn not_durable(error: NotDurable) -> DbError {
    match error {
        NotDurable::LeaseLost => DbError::LeaseLost,
        NotDurable::Storage(cause) => DbError::Unavailable(cause),
        NotDurable::NotApproved => DbError::NotApproved,
    }
}
