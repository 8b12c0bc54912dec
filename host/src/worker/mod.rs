//! The loop of one worker: a role in this process.
//!
//! Claims are short and come in batches; no transaction is open while a guest runs; every write names the lease, and a
//! lost lease stops the run and writes nothing. One task's way is in [`run`].

mod acceptance;
mod claims;
mod ending;
mod idle;
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
use crate::db::queue::{Claim, Claimant, HandedOver, IdleWorkers, Places};
use crate::db::wakeups::Wake;
use crate::policy::Authority;
use crate::sandbox::{LoadedRole, Sandbox, Services};
use crate::task::{HostId, WorkerId};
use claims::{Claimed, Queue};
use idle::Waiting;
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
    /// The name that it registered under, and what it claims: of its manifest's task types, those that policy lets it.
    pub claimant: Arc<Claimant>,
    pub settings: WorkerSettings,
    pub host: HostId,
    /// The host's, like the next three.
    pub held: Arc<Held>,
    pub writer: Writer,
    pub wake: Wake,
    pub idle: IdleWorkers,
}

/// What a worker's loop and its tasks share.
#[derive(Debug)]
struct Slots {
    /// One permit for each guest that may run at once.
    free: Semaphore,
    pace: Pace,
}

impl Worker {
    pub fn id(&self) -> &WorkerId {
        &self.claimant.worker_id
    }

    /// Claims and runs tasks until `shutdown` turns true; then lets running tasks finish or releases them.
    pub async fn work(self: Arc<Self>, mut shutdown: watch::Receiver<bool>) {
        let slots = Arc::new(Slots { free: Semaphore::new(self.settings.concurrency), pace: Pace::new() });
        let beat = tokio::spawn(registry::beat(Arc::clone(&self)));
        let (mut woken, mut queue, mut tasks) = (self.wake.woken(), Queue::new(), JoinSet::new());
        let (mut claims, mut waiting) = (FuturesUnordered::new(), Waiting::new(&self.idle, &self.claimant));
        info!(worker = %self.id(), "worker is up");
        while !*shutdown.borrow() {
            while let Some(ended) = tasks.try_join_next() {
                report(ended);
                queue.look();
            }
            let wanted = if queue.is_worth_a_claim() { self.wanted(&slots, tasks.len() + queue.coming()) } else { 0 };
            if wanted > 0 {
                let places = queue.begin(&self.claimant, wanted);
                claims.push(self.claim(wanted, places));
                continue;
            }
            waiting.set(queue.is_empty() && tasks.len() < self.settings.concurrency);
            tokio::select! {
                _ = shutdown.changed() => {}
                Some(claimed) = claims.next() => {
                    queue.end(&self.claimant, &claimed);
                    self.start(claimed, &slots, &mut tasks);
                }
                given = waiting.given() => self.start_given(given, &slots, &mut tasks),
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
        if let Ok(given) = tokio::time::timeout_at(claimed_until.into(), waiting.last()).await {
            self.start_given(given, &slots, &mut tasks);
        }
        drop(waiting);
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

    async fn claim(&self, wanted: usize, places: Places) -> Claimed {
        let (asked_at, beginning) = (Instant::now(), places.beginning);
        let claims = self.db.claim_from(&self.claimant, claims::tasks(wanted), places).await;
        Claimed { wanted, beginning, asked_at, claims }
    }

    fn start(self: &Arc<Self>, claimed: Claimed, slots: &Arc<Slots>, tasks: &mut JoinSet<()>) {
        match claimed.claims {
            Ok(claims) => self.start_all(claims, claimed.asked_at, slots, tasks),
            Err(error) => warn!(worker = %self.id(), %error, "claiming tasks failed; trying again"),
        }
    }

    fn start_given(self: &Arc<Self>, given: Option<HandedOver>, slots: &Arc<Slots>, tasks: &mut JoinSet<()>) {
        if let Some(HandedOver { claim, asked_at }) = given {
            self.start_all(vec![claim], asked_at, slots, tasks);
        }
    }

    fn start_all(self: &Arc<Self>, claims: Vec<Claim>, asked_at: Instant, slots: &Arc<Slots>, tasks: &mut JoinSet<()>) {
        if !claims.is_empty() {
            crash::point(Point::Claimed);
        }
        for claim in claims {
            let (task, lease) = (claim.task.id, claim.lease);
            let standing = self.held.add(self.id(), (task, lease), asked_at, self.claimant.lease);
            let (worker, slots) = (Arc::clone(self), Arc::clone(slots));
            tasks.spawn(async move {
                worker.run_task(claim, standing, &slots).await;
                worker.held.remove(task, lease);
            });
        }
    }

    /// No new claims; what runs may finish until the grace time is over, and is released then.
    async fn drain(&self, tasks: &mut JoinSet<()>, until: Instant) {
        info!(worker = %self.id(), running = tasks.len(), "worker is draining");
        let finished = tokio::time::timeout_at(until.into(), async {
            while let Some(ended) = tasks.join_next().await {
                report(ended);
            }
        });
        if finished.await.is_err() {
            self.held.stop_all_of(self.id(), Stop::Release);
            let released = tokio::time::timeout(RELEASE_TIME_MAX, async {
                while let Some(ended) = tasks.join_next().await {
                    report(ended);
                }
            });
            if released.await.is_err() {
                warn!(worker = %self.id(), running = tasks.len(), "runs could not be released; their leases run out");
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
