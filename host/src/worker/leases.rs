//! The claims that this worker holds: renewed together, and stopped when one is lost.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tracing::warn;

use super::Worker;
use crate::db::DbError;
use crate::task::{Lease, TaskId};

/// How often claims are looked after: a cancelled task stops within about this.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What a run is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    Go,
    /// The claim is lost: stop, and write nothing.
    Lost,
    /// The host shuts down: give the task back.
    Release,
}

/// Claims by task, and until when their runs may begin an effect.
#[derive(Debug)]
pub(super) struct Held {
    claims: Mutex<HashMap<TaskId, (Lease, watch::Sender<Stop>)>>,
    act_until: watch::Sender<Instant>,
}

impl Held {
    pub(super) fn new() -> Self {
        Self { claims: Mutex::default(), act_until: watch::channel(Instant::now()).0 }
    }

    /// A lease was taken or renewed by a statement that was sent at `asked_at`. Effects may begin in the first half of
    /// it: a request takes up to 30 s (half of the default lease) to arrive and to be answered.
    pub(super) fn renewed(&self, asked_at: Instant, lease: Duration) {
        self.act_until.send_replace(asked_at + lease / 2);
    }

    pub(super) fn act_until(&self) -> watch::Receiver<Instant> {
        self.act_until.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TaskId, (Lease, watch::Sender<Stop>)>> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, task: TaskId, lease: Lease) -> watch::Receiver<Stop> {
        let (sender, receiver) = watch::channel(Stop::Go);
        self.lock().insert(task, (lease, sender));
        receiver
    }

    /// The same task may have been claimed again meanwhile, with another lease.
    pub(super) fn remove(&self, task: TaskId, lease: Lease) {
        let mut held = self.lock();
        if held.get(&task).is_some_and(|(current, _)| *current == lease) {
            held.remove(&task);
        }
    }

    pub(super) fn stop_all(&self, stop: Stop) {
        for (_, sender) in self.lock().values() {
            sender.send_replace(stop);
        }
    }

    pub(super) fn list(&self) -> Vec<(TaskId, Lease)> {
        self.lock().iter().map(|(task, (lease, _))| (*task, *lease)).collect()
    }

    fn stop_lost(&self, asked: &[(TaskId, Lease)], kept: &[TaskId]) {
        let held = self.lock();
        for (task, lease) in asked.iter().filter(|(task, _)| !kept.contains(task)) {
            if let Some((current, sender)) = held.get(task)
                && current == lease
            {
                sender.send_replace(Stop::Lost);
            }
        }
    }
}

/// Resolves when the run is to stop.
pub(super) async fn stopped(stop: &mut watch::Receiver<Stop>) -> Stop {
    let told = stop.wait_for(|stop| *stop != Stop::Go).await.map(|stop| *stop);
    match told {
        Ok(stop) => stop,
        // The sender goes away only with the claim's entry, which outlives the run.
        Err(_) => std::future::pending().await,
    }
}

/// Renews every third of a lease, looks every half second, and stops runs whose claim is gone, or whose lease must
/// have run out because the database could not be asked.
pub(super) async fn keep(worker: Arc<Worker>, held: Arc<Held>) {
    let renew_every = worker.settings.lease / 3;
    let mut renewed_at = Instant::now();
    let mut answered_at = Instant::now();
    loop {
        tokio::time::sleep(LOOK_EVERY.min(renew_every)).await;
        let claims = held.list();
        if claims.is_empty() {
            (renewed_at, answered_at) = (Instant::now(), Instant::now());
            continue;
        }
        let renew = renewed_at.elapsed() >= renew_every;
        let asked_at = Instant::now();
        let kept = ask(&worker, &claims, renew, renew_every).await;
        match kept {
            Ok(kept) => {
                answered_at = asked_at;
                if renew {
                    renewed_at = asked_at;
                    held.renewed(asked_at, worker.settings.lease);
                }
                held.stop_lost(&claims, &kept);
            }
            Err(error) if answered_at.elapsed() > worker.settings.lease => {
                warn!(worker = %worker.id, %error, "the leases could not be renewed in time; giving the runs up");
                held.stop_lost(&claims, &[]);
            }
            Err(error) => warn!(worker = %worker.id, %error, "the leases could not be looked after; trying again"),
        }
    }
}

/// A database that does not answer is an error like any other, so that the runs can be given up in time.
async fn ask(
    worker: &Worker,
    claims: &[(TaskId, Lease)],
    renew: bool,
    limit: Duration,
) -> Result<Vec<TaskId>, DbError> {
    let question = async {
        if renew {
            worker.db.renew_leases(claims, worker.settings.lease).await
        } else {
            worker.db.held_leases(claims).await
        }
    };
    let answered = tokio::time::timeout(limit, question).await;
    answered.unwrap_or_else(|_| Err(DbError::Unavailable(format!("no answer within {limit:?}"))))
}
