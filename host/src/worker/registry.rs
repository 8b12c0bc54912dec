//! The worker's row in `worker_registry`: heartbeat with its state and its newest task.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::warn;

use super::Worker;
use crate::db::DbError;
use crate::task::{TaskId, WorkerStatus};

/// How soon a change between idle and busy shows.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a worker that ends may take to say so.
const SIGN_OFF_TIME_MAX: Duration = Duration::from_secs(5);

/// Sends a heartbeat at each interval, and when the worker becomes busy or idle.
pub(super) async fn beat(worker: Arc<Worker>) {
    let mut sent: Option<(Instant, WorkerStatus, Option<TaskId>)> = None;
    loop {
        let task = worker.held.newest_of(worker.id());
        let status = if task.is_some() { WorkerStatus::Busy } else { WorkerStatus::Idle };
        let due =
            sent.is_none_or(|(at, was, on)| at.elapsed() >= worker.settings.heartbeat || was != status || on != task);
        if due {
            match worker.db.heartbeat(worker.id(), worker.host, status, task).await {
                Ok(()) => sent = Some((Instant::now(), status, task)),
                Err(error) => warn!(worker = %worker.id(), %error, "the heartbeat failed; trying again"),
            }
        }
        tokio::time::sleep(LOOK_EVERY.min(worker.settings.heartbeat)).await;
    }
}

pub(super) async fn sign_off(worker: &Worker) {
    let said = worker.db.heartbeat(worker.id(), worker.host, WorkerStatus::Offline, None);
    let said = tokio::time::timeout(SIGN_OFF_TIME_MAX, said).await;
    if let Err(error) = said.unwrap_or_else(|_| Err(DbError::Unavailable("no answer".to_owned()))) {
        warn!(worker = %worker.id(), %error, "could not sign off; the worker will count as stale");
    }
}
