//! The loop of one worker: a role in this process.
//!
//! A task goes through [`run_task`] top to bottom: begin, run, verify, finish. Claims are short; no transaction is open
//! while a guest runs; every write names the lease, and a lost lease stops the run and writes nothing.

mod acceptance;
mod ending;
mod leases;
mod recorder;
mod registry;
mod verify;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tracing::{debug, error, info, warn};

use crate::crash::{self, Point};
use crate::db::Db;
use crate::db::DbError;
use crate::db::journal::{Batch, RunKey};
use crate::db::outcomes::Ending;
use crate::db::queue::{Claim, ClaimRequest};
use crate::journal::NotDurable;
use crate::policy::Authority;
use crate::sandbox::{LoadedRole, RunEnd, RunError, RunInput, Sandbox, Services};
use crate::task::{HostId, Task, WorkerId};
use ending::Cause;
use leases::{Held, Stop};
use recorder::Recorder;

/// Messages from a run that may wait for the recorder.
const RECORDER_QUEUE_MAX: usize = 16;
/// Most tasks claimed by one statement.
const CLAIM_BATCH_MAX: usize = 32;
/// Pause after a failed claim: the database is away.
const CLAIM_RETRY_PAUSE: Duration = Duration::from_secs(1);

/// How a worker works.
#[derive(Debug, Clone)]
pub struct WorkerSettings {
    /// Runs at once.
    pub concurrency: usize,
    pub lease: Duration,
    pub heartbeat: Duration,
    /// How long an idle worker waits before it looks for tasks again, unless it is woken.
    pub poll: Duration,
    /// How long running tasks may take to finish after a shutdown was asked for.
    pub grace: Duration,
    /// Pause before the second attempt; it doubles with each further one.
    pub retry_base: Duration,
}

/// A role at work.
#[derive(Debug)]
pub struct Worker {
    pub db: Db,
    pub sandbox: Arc<Sandbox>,
    pub services: Services,
    pub role: Arc<LoadedRole>,
    /// The role under the host's policies.
    pub authority: Arc<Authority>,
    /// Of its manifest's task types, those that policy lets it claim.
    pub task_types: Vec<String>,
    pub settings: WorkerSettings,
    pub host: HostId,
    /// The name it registered under.
    pub id: WorkerId,
    /// Signalled when a task may have become claimable.
    pub wake: watch::Sender<()>,
}

impl Worker {
    /// Claims and runs tasks until `shutdown` turns true; then lets running tasks finish or releases them.
    pub async fn work(self: Arc<Self>, mut shutdown: watch::Receiver<bool>, mut woken: watch::Receiver<()>) {
        let held = Arc::new(Held::new());
        let keeper = tokio::spawn(leases::keep(Arc::clone(&self), Arc::clone(&held)));
        let beat = tokio::spawn(registry::beat(Arc::clone(&self), Arc::clone(&held)));
        let mut runs = JoinSet::new();
        info!(worker = %self.id, "worker is up");
        while !*shutdown.borrow() {
            let claimed = self.claim(&held, &mut runs).await;
            let pause = match claimed {
                Ok(0) => self.settings.poll,
                // There may be more, and there may be a free slot for it.
                Ok(_) if runs.len() < self.settings.concurrency => continue,
                Ok(_) => self.settings.poll,
                Err(error) => {
                    warn!(worker = %self.id, %error, "claiming tasks failed; trying again");
                    CLAIM_RETRY_PAUSE
                }
            };
            tokio::select! {
                _ = shutdown.changed() => {}
                _ = woken.changed(), if runs.len() < self.settings.concurrency => {}
                Some(ended) = runs.join_next() => report(ended),
                () = tokio::time::sleep(pause) => {}
            }
        }
        self.drain(&held, &mut runs).await;
        beat.abort();
        keeper.abort();
        registry::sign_off(&self).await;
    }

    async fn claim(self: &Arc<Self>, held: &Arc<Held>, runs: &mut JoinSet<()>) -> Result<usize, DbError> {
        while let Some(ended) = runs.try_join_next() {
            report(ended);
        }
        let free = self.settings.concurrency.saturating_sub(runs.len()).min(CLAIM_BATCH_MAX);
        if free == 0 {
            return Ok(0);
        }
        let request = ClaimRequest {
            worker_id: &self.id,
            worker_type: &self.role.manifest.role.worker_type,
            task_types: &self.task_types,
            lease: self.settings.lease,
            tasks_max: u32::try_from(free).unwrap_or(1),
        };
        let asked_at = Instant::now();
        let claims = self.db.claim_tasks(&request).await?;
        if runs.is_empty() {
            held.renewed(asked_at, self.settings.lease);
        }
        let count = claims.len();
        if count > 0 {
            crash::point(Point::Claimed);
        }
        for claim in claims {
            let stop = held.add(claim.task.id, claim.lease);
            let (worker, held) = (Arc::clone(self), Arc::clone(held));
            runs.spawn(async move {
                let (task, lease) = (claim.task.id, claim.lease);
                worker.run_task(claim, stop, held.act_until()).await;
                held.remove(task, lease);
            });
        }
        Ok(count)
    }

    /// No new claims; what runs may finish within the grace time and is released after it.
    async fn drain(&self, held: &Held, runs: &mut JoinSet<()>) {
        info!(worker = %self.id, running = runs.len(), "worker is draining");
        let finished = tokio::time::timeout(self.settings.grace, async {
            while let Some(ended) = runs.join_next().await {
                report(ended);
            }
        });
        if finished.await.is_err() {
            held.stop_all(Stop::Release);
            while let Some(ended) = runs.join_next().await {
                report(ended);
            }
        }
    }

    /// One claim, from begin to finish. What goes wrong ends up in the task's state and log, or, where the claim is
    /// lost, nowhere: the task is somebody else's then.
    async fn run_task(&self, claim: Claim, mut stop: watch::Receiver<Stop>, act_until: watch::Receiver<Instant>) {
        let key =
            RunKey { task: claim.task.id, attempt: claim.task.attempt, lease: claim.lease, worker: self.id.clone() };
        let (ending, batch, cause) = tokio::select! {
            ended = self.execute(&claim, &key, act_until) => match ended {
                Ok(ended) => ended,
                Err(DbError::LeaseLost) => return self.lost(&key),
                Err(error) => return warn!(task.id = %key.task, %error, "the run can not be stored; its lease runs out"),
            },
            stop = leases::stopped(&mut stop) => match stop {
                Stop::Lost => return self.lost(&key),
                Stop::Release | Stop::Go => {
                    let reason = "released: the host is shutting down".to_owned();
                    (Ending::Released { reason }, Batch::default(), Cause::Shutdown)
                }
            },
        };
        let (before, after) = ending::crash_points(&ending);
        crash::point(before);
        let ended = self.db.end_claim(&key, &batch, &ending, cause.name()).await;
        crash::point(after);
        match ended {
            Ok(()) => debug!(task.id = %key.task, cause = cause.name(), "claim ended"),
            Err(DbError::LeaseLost) => self.lost(&key),
            Err(error) => error!(task.id = %key.task, %error, "the end of a run was not stored; its lease runs out"),
        }
        // A finished task may have freed others.
        self.wake.send_replace(());
    }

    async fn execute(
        &self,
        claim: &Claim,
        key: &RunKey,
        act_until: watch::Receiver<Instant>,
    ) -> Result<(Ending, Batch, Cause), DbError> {
        let task = Arc::new(claim.task.clone());
        let manifest = &self.role.manifest;
        let run =
            self.db.begin_run(key, &task, &manifest.role.name, &self.role.component_sha256, &manifest.sha256).await?;
        let steps = self.db.load_steps(key.task, key.attempt).await?;
        let own_commits = self.db.commits_of_task(key.task).await?;
        let (recorder, messages) = mpsc::channel(RECORDER_QUEUE_MAX);
        let started_at = run.started_at;
        let input = RunInput {
            task: Arc::clone(&task),
            authority: Arc::clone(&self.authority),
            steps,
            log_lines: run.log_lines,
            started_at,
            own_commits,
            recorder,
            act_until,
        };
        let (end, batch) = tokio::join!(
            self.sandbox.run(&self.role, &self.services, input),
            Recorder::new(self.db.clone(), key.clone(), task.risk).record(messages),
        );
        // What could not be stored is not lost: the journal is short of it, and the run will be made again from there.
        let batch = batch.map_err(not_durable)?;
        let (ending, cause) = match end {
            Err(RunError::LeaseLost) => return Err(DbError::LeaseLost),
            Ok(RunEnd::Completed(claim)) => {
                self.db.store_batch(key, &batch).await.map_err(not_durable)?;
                // As far as this very run has raised it.
                let risk = self.db.risk_of_task(key.task).await?;
                let task = Task { risk, ..Task::clone(&task) };
                let verdict = match verify::verify(self, &task, key, &claim).await? {
                    verify::Answer::Verdict(verdict) => verdict,
                    verify::Answer::NeedsAcceptance { verified, criteria } => {
                        return acceptance::ask(self, &task, key, &verified, &criteria).await;
                    }
                };
                let (ending, cause) = ending::of_verdict(&task, started_at, verdict, self.settings.retry_base);
                return Ok((ending, Batch::default(), cause));
            }
            Ok(RunEnd::Failed(failure)) => ending::of_failure(&task, failure, self.settings.retry_base),
            Err(error) => {
                // What the last call did to the world is not known: the same attempt finds out before it goes on.
                let unsettled = self.db.has_unsettled_step(key.task, key.attempt).await?;
                ending::of_error(&task, started_at, &error, unsettled, self.settings.retry_base)
            }
        };
        Ok((ending, batch, cause))
    }

    fn lost(&self, key: &RunKey) {
        warn!(task.id = %key.task, worker = %self.id, "the claim is lost; this run writes nothing more");
    }
}

fn not_durable(error: NotDurable) -> DbError {
    match error {
        NotDurable::LeaseLost => DbError::LeaseLost,
        NotDurable::Storage(cause) => DbError::Unavailable(cause),
        NotDurable::NotApproved => DbError::NotApproved,
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        error!(%error, "a run's task broke off; its lease runs out");
    }
}
