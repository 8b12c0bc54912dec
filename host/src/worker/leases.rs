//! The claims that this host holds, of all its workers: renewed together, and stopped when one is lost.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tracing::warn;

use crate::db::queue::Renewed;
use crate::db::{Db, DbError};
use crate::task::{Lease, TaskId, WorkerId};

/// How often claims are looked after: a task that was cancelled through another host stops within about this.
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

/// A claim as the host keeps it.
#[derive(Debug)]
struct Entry {
    lease: Lease,
    worker: WorkerId,
    stop: watch::Sender<Stop>,
    /// Until when its run may begin an effect.
    act_until: watch::Sender<Instant>,
}

/// What a run is told of its claim.
#[derive(Debug, Clone)]
pub(super) struct Standing {
    pub(super) stop: watch::Receiver<Stop>,
    pub(super) act_until: watch::Receiver<Instant>,
}

/// The claims of this host, by task.
#[derive(Debug, Default)]
pub struct Held {
    claims: Mutex<HashMap<TaskId, Entry>>,
}

impl Held {
    fn lock(&self) -> MutexGuard<'_, HashMap<TaskId, Entry>> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A claim that was made by a statement sent at `asked_at`. An older one of the same task is lost.
    pub(super) fn add(
        &self,
        worker: &WorkerId,
        (task, lease): (TaskId, Lease),
        asked_at: Instant,
        length: Duration,
    ) -> Standing {
        let (stop, told) = watch::channel(Stop::Go);
        let (act_until, until) = watch::channel(may_act_until(asked_at, length));
        let entry = Entry { lease, worker: worker.clone(), stop, act_until };
        if let Some(older) = self.lock().insert(task, entry) {
            older.stop.send_replace(Stop::Lost);
        }
        Standing { stop: told, act_until: until }
    }

    /// The same task may have been claimed again meanwhile, with another lease.
    pub(super) fn remove(&self, task: TaskId, lease: Lease) {
        let mut held = self.lock();
        if held.get(&task).is_some_and(|entry| entry.lease == lease) {
            held.remove(&task);
        }
    }

    pub(super) fn stop_all_of(&self, worker: &WorkerId, stop: Stop) {
        for entry in self.lock().values().filter(|entry| entry.worker == *worker) {
            entry.stop.send_replace(stop);
        }
    }

    /// What was claimed last of what a worker holds, as ids go.
    pub(super) fn newest_of(&self, worker: &WorkerId) -> Option<TaskId> {
        let held = self.lock();
        held.iter().filter(|(_, entry)| entry.worker == *worker).map(|(task, _)| *task).max()
    }

    fn list(&self) -> Vec<(TaskId, Lease)> {
        self.lock().iter().map(|(task, entry)| (*task, entry.lease)).collect()
    }

    /// Of what was asked about, what does not stand is lost. Whose lease is longer now may act until the new one's half.
    fn settle(&self, asked: &[(TaskId, Lease)], found: &Renewed, act_until: Instant) {
        let held = self.lock();
        for (task, lease) in asked {
            let Some(entry) = held.get(task).filter(|entry| entry.lease == *lease) else { continue };
            if !found.standing.contains(task) {
                entry.stop.send_replace(Stop::Lost);
            } else if found.extended.contains(task) {
                entry.act_until.send_replace(act_until);
            }
        }
    }
}

/// Effects may begin in the first half of a lease: a request takes up to 30 s (half of the default lease) to arrive and
/// to be answered.
fn may_act_until(asked_at: Instant, length: Duration) -> Instant {
    asked_at + length / 2
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

/// Renews every third of a lease, all claims of the host in one statement; looks every half second, and at once when this
/// host has ended somebody's task; and stops runs whose claim is gone, or whose lease must have run out because the
/// database could not be asked.
pub async fn keep(db: Db, held: Arc<Held>, lease: Duration, mut look: watch::Receiver<()>) {
    let renew_every = lease / 3;
    let mut renewed_at = Instant::now();
    let mut answered_at = Instant::now();
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY.min(renew_every)) => {}
            Ok(()) = look.changed() => {}
        }
        let claims = held.list();
        if claims.is_empty() {
            (renewed_at, answered_at) = (Instant::now(), Instant::now());
            continue;
        }
        let renew = renewed_at.elapsed() >= renew_every;
        let asked_at = Instant::now();
        match ask(&db, &claims, renew.then_some(lease), renew_every).await {
            Ok(found) => {
                answered_at = asked_at;
                // Those that somebody else held just then are tried again at the next look.
                if renew && found.extended.len() == found.standing.len() {
                    renewed_at = asked_at;
                }
                held.settle(&claims, &found, may_act_until(asked_at, lease));
            }
            Err(error) if answered_at.elapsed() > lease => {
                warn!(%error, "the leases could not be renewed in time; giving the runs up");
                held.settle(&claims, &Renewed::default(), asked_at);
            }
            Err(error) => warn!(%error, "the leases could not be looked after; trying again"),
        }
    }
}

/// A database that does not answer is an error like any other, so that the runs can be given up in time.
async fn ask(
    db: &Db,
    claims: &[(TaskId, Lease)],
    renew: Option<Duration>,
    limit: Duration,
) -> Result<Renewed, DbError> {
    let question = async {
        match renew {
            Some(lease) => db.renew_leases(claims, lease).await,
            None => Ok(Renewed { standing: db.held_leases(claims).await?, ..Renewed::default() }),
        }
    };
    let answered = tokio::time::timeout(limit, question).await;
    answered.unwrap_or_else(|_| Err(DbError::Unavailable(format!("no answer within {limit:?}"))))
}
