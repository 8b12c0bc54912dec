//! What all runs of this host have to have written, in groups: while one is being committed the next one gathers, so
//! that a commit acknowledges as many writes as came meanwhile, and an idle host waits for nobody.
//!
//! Invariant: a reply is sent only after the write is committed, or known not to be.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc, oneshot};
use tracing::{debug, warn};

use crate::db::commit::{Committed, Write};
use crate::db::wakeups::Wake;
use crate::db::{Db, DbError};
use crate::journal::NotDurable;

/// Groups under way at once: one is prepared while the other's commit is awaited. The audit chain lets one commit at a
/// time, so more would only wait.
const GROUPS_MAX: usize = 2;
/// Limits of one group.
const WRITES_MAX: usize = 256;
const ROWS_MAX: usize = 8192;
const BYTES_MAX: usize = 16 << 20;
/// Writes that may wait for a group.
const WAITING_MAX: usize = 1024;
/// How often a group is tried while the database does not answer.
const TRIES: u32 = 6;
/// How long one try may take.
const TRY_LIMIT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(250);

type Outcome = Result<(), NotDurable>;

struct Request {
    write: Write,
    reply: oneshot::Sender<Outcome>,
}

/// Where writes go. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Writer {
    requests: mpsc::Sender<Request>,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request").field("write", &self.write).finish_non_exhaustive()
    }
}

impl Writer {
    /// Starts to write, until the last clone is gone. `wake` is signalled when a task may have become claimable.
    pub fn start(db: &Db, wake: &Wake) -> Self {
        let (requests, waiting) = mpsc::channel(WAITING_MAX);
        let waiting = Arc::new(Mutex::new(Waiting { requests: waiting, left: None }));
        for _ in 0..GROUPS_MAX {
            tokio::spawn(write_groups(db.clone(), Arc::clone(&waiting), wake.clone()));
        }
        Self { requests }
    }

    /// Returns once the write is committed, or will never be.
    pub(super) async fn commit(&self, write: Write) -> Outcome {
        let gone = || NotDurable::Storage("the host's writer is gone".to_owned());
        let (reply, committed) = oneshot::channel();
        self.requests.send(Request { write, reply }).await.map_err(|_| gone())?;
        committed.await.map_err(|_| gone())?
    }
}

/// What is to be written, for whoever is free to write it.
struct Waiting {
    requests: mpsc::Receiver<Request>,
    /// Taken out already and unfit for the group before. Here and not with who took it: the next one that is free may be
    /// another, and waits for `requests` with the lock held.
    left: Option<Request>,
}

async fn write_groups(db: Db, waiting: Arc<Mutex<Waiting>>, wake: Wake) {
    loop {
        let Some(group) = waiting.lock().await.gather().await else { return };
        let writes: Vec<&Write> = group.iter().map(|request| &request.write).collect();
        let (outcomes, frees) = commit(&db, &writes).await;
        for (request, outcome) in group.into_iter().zip(outcomes) {
            // A run that was stopped meanwhile does not listen any more.
            drop(request.reply.send(outcome));
        }
        if frees {
            wake.everybody();
        }
    }
}

impl Waiting {
    /// What waits, at least one. A delicate write is a group of its own, and so is what is too large for any other.
    async fn gather(&mut self) -> Option<Vec<Request>> {
        let first = match self.left.take() {
            Some(request) => request,
            None => self.requests.recv().await?,
        };
        let (mut rows, mut bytes) = (first.write.rows(), first.write.bytes());
        let alone = first.write.is_delicate();
        let mut group = vec![first];
        while !alone && group.len() < WRITES_MAX {
            let Ok(next) = self.requests.try_recv() else { break };
            rows += next.write.rows();
            bytes += next.write.bytes();
            // The same run waits for its answer before it writes again, but a new claim of its task may be here already.
            let twice = group.iter().any(|request| request.write.key.task == next.write.key.task);
            // Ends need no lock of their own if nothing else is with them.
            let other = next.write.end.is_some() != group.iter().all(|request| request.write.end.is_some());
            if next.write.is_delicate() || rows > ROWS_MAX || bytes > BYTES_MAX || twice || other {
                self.left = Some(next);
                break;
            }
            group.push(next);
        }
        Some(group)
    }
}

/// One outcome for each write, in order, and whether a task became claimable. A group that is refused is written one
/// by one, so that nobody's mistake is another's. A database that is away is nobody's mistake, and what waits behind the
/// group must not wait for each of it.
async fn commit(db: &Db, writes: &[&Write]) -> (Vec<Outcome>, bool) {
    let own = |outcome: Result<(), DbError>| outcome.map_err(not_durable);
    match persist("the journal", || db.commit_runs(writes)).await {
        Ok(Committed { outcomes, frees }) => (outcomes.into_iter().map(own).collect(), frees),
        Err(error) if writes.len() == 1 => (vec![Err(not_durable(error))], false),
        Err(DbError::Unavailable(cause)) => {
            warn!(cause, writes = writes.len(), "the database is away; a group is given up");
            let away = || Err(not_durable(DbError::Unavailable(cause.clone())));
            (writes.iter().map(|_| away()).collect(), false)
        }
        Err(error) => {
            if matches!(error, DbError::LeaseLost) {
                debug!(writes = writes.len(), "a lease of a group is lost; writing them one by one");
            } else {
                warn!(%error, writes = writes.len(), "a group was refused; writing them one by one");
            }
            let mut outcomes = Vec::with_capacity(writes.len());
            for write in writes {
                outcomes.push(own(persist("the journal", || db.commit_run(write)).await));
            }
            (outcomes, true)
        }
    }
}

/// A database that is away for a moment is waited for; the lease decides in the end.
pub(super) async fn persist<T, F>(what: &str, store: impl Fn() -> F) -> Result<T, DbError>
where
    F: Future<Output = Result<T, DbError>>,
{
    let mut pause = PAUSE;
    let mut attempt = 1;
    loop {
        let stored = tokio::time::timeout(TRY_LIMIT, store()).await;
        match stored.unwrap_or_else(|_| Err(DbError::Unavailable(format!("no answer within {TRY_LIMIT:?}")))) {
            Err(error) if error.is_passing() && attempt < TRIES => {
                warn!(%error, "{what} could not be written; trying again");
                tokio::time::sleep(pause).await;
                pause *= 2;
                attempt += 1;
            }
            ended => return ended,
        }
    }
}

pub(super) fn not_durable(error: DbError) -> NotDurable {
    match error {
        DbError::LeaseLost => NotDurable::LeaseLost,
        DbError::NotApproved => NotDurable::NotApproved,
        error => NotDurable::Storage(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::db::journal::{Batch, RunKey};
    use crate::db::outcomes::Ending;
    use crate::task::{Attempt, Lease, TaskId, WorkerId};

    fn request(write: impl FnOnce(RunKey) -> Write) -> Request {
        let task = TaskId(Uuid::now_v7());
        let key = RunKey { task, attempt: Attempt::FIRST, lease: Lease(1), worker: WorkerId("W".to_owned()) };
        Request { write: write(key), reply: oneshot::channel().0 }
    }

    /// Whoever is free takes it, also where that is not the one who had it in hand; nothing else need come.
    #[tokio::test]
    async fn what_is_left_over_is_the_next_group() {
        let (sender, requests) = mpsc::channel(4);
        let waiting = Mutex::new(Waiting { requests, left: None });
        for request in [
            request(|key| Write::new(key, Batch::default())),
            request(|key| Write::ending(key, Batch::default(), Ending::Released { reason: String::new() }, "Released")),
        ] {
            sender.send(request).await.unwrap();
        }
        for is_end in [false, true] {
            let gathered = async { waiting.lock().await.gather().await };
            let group = tokio::time::timeout(TRY_LIMIT, gathered).await.unwrap().unwrap();
            assert_eq!(group.len(), 1);
            assert_eq!(group[0].write.end.is_some(), is_end);
        }
    }
}
