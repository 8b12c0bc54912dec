//! A worker's place among those of its host that wait for a task.

use std::future::pending;
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::db::queue::{Claimant, HandedOver, IdleWorkers};

#[derive(Debug)]
pub(super) struct Waiting {
    workers: IdleWorkers,
    claimant: Arc<Claimant>,
    given: Option<oneshot::Receiver<HandedOver>>,
}

impl Waiting {
    pub(super) fn new(workers: &IdleWorkers, claimant: &Arc<Claimant>) -> Self {
        Self { workers: workers.clone(), claimant: Arc::clone(claimant), given: None }
    }

    /// Whether the worker waits from now on. It goes on waiting where a task is being created for it.
    pub(super) fn set(&mut self, waits: bool) {
        match (waits, self.given.is_some()) {
            (true, false) => self.given = Some(self.workers.wait(&self.claimant)),
            (false, true) if self.workers.leave(&self.claimant.worker_id) => self.given = None,
            (false, true | false) | (true, true) => {}
        }
    }

    /// The task that was created for it; none where that failed. Never comes while it does not wait.
    pub(super) async fn given(&mut self) -> Option<HandedOver> {
        let Some(given) = &mut self.given else { return pending().await };
        let given = given.await.ok();
        self.given = None;
        given
    }

    /// The task that is being created for it, if there is one; it waits for no other.
    pub(super) async fn last(&mut self) -> Option<HandedOver> {
        self.set(false);
        if self.given.is_some() { self.given().await } else { None }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.workers.leave(&self.claimant.worker_id);
    }
}
