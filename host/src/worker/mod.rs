//! The loop of one worker: a role in this process.
//!
//! Claims are short and come in batches; no transaction is open while a guest runs; every write names the lease, and a
//! lost lease stops the run and writes nothing. One task's way is in [`run`].

mod acceptance;
mod claims;
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

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use crate::crash::{self, Point};
use crate::db::Db;
use crate::db::queue::{ClaimRequest, Places};
use crate::db::wakeups::Wake;
use crate::policy::Authority;
use crate::sandbox::{LoadedRole, Sandbox, Services};
use crate::task::{HostId, WorkerId};
use claims::{Claimed, Queue};
use leases::Stop;
use pace::Pace;

pub use leases::{Held, keep};
pub use writer::Writer;

/// Most tasks claimed by one statement.
const CLAIM_BATCH_MAX: usize = 128;
/// How long released runs may take to say so. Where that is not enough the database is away, and their leases run out.
const RELEASE_TIME_MAX: Duration = Duration::from_secs(10);

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
    pub services: Arc<Services>,
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
        let (mut woken, mut queue, mut tasks) = (self.wake.woken(), Queue::new(), JoinSet::new());
        let mut claims = FuturesUnordered::new();
        info!(worker = %self.id, "worker is up");
        while !*shutdown.borrow() {
            while let Some(ended) = tasks.try_join_next() {
                report(ended);
                queue.look();
            }
            let wanted = if queue.is_worth_a_claim() { self.wanted(&slots, tasks.len() + queue.coming()) } else { 0 };
            if wanted > 0 {
                let places = queue.begin(&self.request(wanted), wanted);
                claims.push(self.claim(wanted, places));
                continue;
            }
            tokio::select! {
                _ = shutdown.changed() => {}
                Some(claimed) = claims.next() => {
                    queue.end(&self.request(claimed.wanted), &claimed);
                    self.start(claimed, &slots, &mut tasks);
                }
                _ = woken.changed() => queue.look(),
                Some(ended) = tasks.join_next() => {
                    report(ended);
                    queue.look();
                }
                () = tokio::time::sleep(queue.pause(self.settings.poll)) => queue.look(),
            }
        }
        let until = Instant::now() + self.settings.grace;
        // What they claim would wait for its lease to run out; it is released at once where there is no time left.
        let claimed_until = until.max(Instant::now() + RELEASE_TIME_MAX);
        while let Ok(Some(claimed)) = tokio::time::timeout_at(claimed_until.into(), claims.next()).await {
            self.start(claimed, &slots, &mut tasks);
        }
        drop(claims);
        self.drain(&mut tasks, until).await;
        beat.abort();
        registry::sign_off(&self).await;
    }

    /// How many tasks to claim now: none, until it is worth a statement.
    fn wanted(&self, slots: &Slots, held: usize) -> usize {
        let ahead = slots.pace.ahead(self.settings.concurrency);
        let free = (self.settings.concurrency + ahead).saturating_sub(held).min(CLAIM_BATCH_MAX);
        if free < (ahead / 4).clamp(1, CLAIM_BATCH_MAX) { 0 } else { free }
    }

    fn request(&self, wanted: usize) -> ClaimRequest<'_> {
        ClaimRequest {
            worker_id: &self.id,
            worker_type: &self.role.manifest.role.worker_type,
            task_types: &self.task_types,
            lease: self.settings.lease,
            tasks_max: u32::try_from(wanted).unwrap_or(1),
            role: &self.role.manifest.role.name,
            component_sha256: &self.role.component_sha256,
            manifest_sha256: &self.role.manifest.sha256,
            versions_sha256: &self.versions_sha256,
        }
    }

    async fn claim(&self, wanted: usize, places: Places) -> Claimed {
        let (asked_at, beginning) = (Instant::now(), places.beginning);
        let claims = self.db.claim_from(&self.request(wanted), places).await;
        Claimed { wanted, beginning, asked_at, claims }
    }

    fn start(self: &Arc<Self>, claimed: Claimed, slots: &Arc<Slots>, tasks: &mut JoinSet<()>) {
        let claims = match claimed.claims {
            Ok(claims) => claims,
            Err(error) => return warn!(worker = %self.id, %error, "claiming tasks failed; trying again"),
        };
        if !claims.is_empty() {
            crash::point(Point::Claimed);
        }
        for claim in claims {
            let (task, lease) = (claim.task.id, claim.lease);
            let standing = self.held.add(&self.id, (task, lease), claimed.asked_at, self.settings.lease);
            let (worker, slots) = (Arc::clone(self), Arc::clone(slots));
            tasks.spawn(async move {
                worker.run_task(claim, standing, &slots).await;
                worker.held.remove(task, lease);
            });
        }
    }

    /// No new claims; what runs may finish until the grace time is over, and is released then.
    async fn drain(&self, tasks: &mut JoinSet<()>, until: Instant) {
        info!(worker = %self.id, running = tasks.len(), "worker is draining");
        let finished = tokio::time::timeout_at(until.into(), async {
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
