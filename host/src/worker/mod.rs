//! The loop of one worker: a role in this process.
//!
//! Claims are short and come in batches; no transaction is open while a guest runs; every write names the lease, and a
//! lost lease stops the run and writes nothing. One task's way is in [`run`].

mod acceptance;
mod ending;
mod leases;
mod pace;
mod recorder;
mod registry;
mod run;
mod verify;
mod writer;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use crate::crash::{self, Point};
use crate::db::queue::{ClaimRequest, QueuePosition};
use crate::db::wakeups::Wake;
use crate::db::{Db, DbError};
use crate::policy::Authority;
use crate::sandbox::{LoadedRole, Sandbox, Services};
use crate::task::{HostId, WorkerId};
use leases::Stop;
use pace::Pace;

pub use leases::{Held, keep};
pub use writer::Writer;

/// Most tasks claimed by one statement.
const CLAIM_BATCH_MAX: usize = 128;
/// How long released runs may take to say so. Where that is not enough the database is away, and their leases run out.
const RELEASE_TIME_MAX: Duration = Duration::from_secs(10);
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
    /// Of what it runs tasks with: the component, its manifest, the policies.
    pub versions_sha256: [u8; 32],
    pub settings: WorkerSettings,
    pub host: HostId,
    /// The name it registered under.
    pub id: WorkerId,
    /// The host's, like the next two.
    pub held: Arc<Held>,
    pub writer: Writer,
    pub wake: Wake,
}

/// What a worker's loop and its tasks share.
#[derive(Debug)]
struct Slots {
    /// One permit for each guest that may run at once.
    free: Semaphore,
    pace: Pace,
}

impl Worker {
    /// Claims and runs tasks until `shutdown` turns true; then lets running tasks finish or releases them.
    pub async fn work(self: Arc<Self>, mut shutdown: watch::Receiver<bool>) {
        let slots = Arc::new(Slots { free: Semaphore::new(self.settings.concurrency), pace: Pace::new() });
        let beat = tokio::spawn(registry::beat(Arc::clone(&self)));
        let (mut woken, mut position, mut tasks) = (self.wake.woken(), QueuePosition::default(), JoinSet::new());
        info!(worker = %self.id, "worker is up");
        while !*shutdown.borrow() {
            while let Some(ended) = tasks.try_join_next() {
                report(ended);
            }
            let wanted = self.wanted(&slots, tasks.len());
            let pause = match self.claim(wanted, &slots, &mut position, &mut tasks).await {
                // There may be more.
                Ok(claimed) if claimed > 0 && claimed == wanted => continue,
                Ok(_) => self.settings.poll,
                Err(error) => {
                    warn!(worker = %self.id, %error, "claiming tasks failed; trying again");
                    CLAIM_RETRY_PAUSE
                }
            };
            tokio::select! {
                _ = shutdown.changed() => {}
                _ = woken.changed(), if wanted > 0 => {}
                Some(ended) = tasks.join_next() => report(ended),
                () = tokio::time::sleep(pause) => {}
            }
        }
        self.drain(&mut tasks).await;
        beat.abort();
        registry::sign_off(&self).await;
    }

    /// How many tasks to claim now: none, until it is worth a statement.
    fn wanted(&self, slots: &Slots, held: usize) -> usize {
        let ahead = slots.pace.ahead(self.settings.concurrency);
        let free = (self.settings.concurrency + ahead).saturating_sub(held).min(CLAIM_BATCH_MAX);
        if free < (ahead / 4).clamp(1, CLAIM_BATCH_MAX) { 0 } else { free }
    }

    async fn claim(
        self: &Arc<Self>,
        wanted: usize,
        slots: &Arc<Slots>,
        position: &mut QueuePosition,
        tasks: &mut JoinSet<()>,
    ) -> Result<usize, DbError> {
        if wanted == 0 {
            return Ok(0);
        }
        let request = ClaimRequest {
            worker_id: &self.id,
            worker_type: &self.role.manifest.role.worker_type,
            task_types: &self.task_types,
            lease: self.settings.lease,
            tasks_max: u32::try_from(wanted).unwrap_or(1),
            role: &self.role.manifest.role.name,
            component_sha256: &self.role.component_sha256,
            manifest_sha256: &self.role.manifest.sha256,
            versions_sha256: &self.versions_sha256,
        };
        let asked_at = Instant::now();
        let claims = self.db.claim_tasks(&request, position).await?;
        let count = claims.len();
        if count > 0 {
            crash::point(Point::Claimed);
        }
        for claim in claims {
            let (task, lease) = (claim.task.id, claim.lease);
            let standing = self.held.add(&self.id, (task, lease), asked_at, self.settings.lease);
            let (worker, slots) = (Arc::clone(self), Arc::clone(slots));
            tasks.spawn(async move {
                worker.run_task(claim, standing, &slots).await;
                worker.held.remove(task, lease);
            });
        }
        Ok(count)
    }

    /// No new claims; what runs may finish within the grace time and is released after it.
    async fn drain(&self, tasks: &mut JoinSet<()>) {
        info!(worker = %self.id, running = tasks.len(), "worker is draining");
        let finished = tokio::time::timeout(self.settings.grace, async {
            while let Some(ended) = tasks.join_next().await {
                report(ended);
            }
        });
        if finished.await.is_err() {
            self.held.stop_all_of(&self.id, Stop::Release);
            let released = tokio::time::timeout(RELEASE_TIME_MAX, async {
                while let Some(ended) = tasks.join_next().await {
                    report(ended);
                }
            });
            if released.await.is_err() {
                warn!(worker = %self.id, running = tasks.len(), "runs could not be released; their leases run out");
                tasks.shutdown().await;
            }
        }
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        error!(%error, "a run's task broke off; its lease runs out");
    }
}
