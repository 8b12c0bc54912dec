//! Looks after what no single worker does: wakes suspended tasks, takes back expired claims, keeps the log's tables.

use std::time::{Duration, Instant};

use tokio::sync::watch;
use tracing::{info, warn};

use crate::db::wakeups::Wake;
use crate::db::{Db, DbError};

/// How often expired leases and silent workers are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(2);
/// How often the log's partitions are looked after.
const MAINTAIN_EVERY: Duration = Duration::from_hours(1);
/// A suspended task wakes within about this, or within `poll` where that is shorter.
const WAKE_EVERY_MAX: Duration = Duration::from_millis(250);

pub(super) async fn sweep(
    db: Db,
    wake: Wake,
    poll: Duration,
    keep_logs: Duration,
    mut shutdown: watch::Receiver<bool>,
) {
    let mut swept_at: Option<Instant> = None;
    let mut maintained_at: Option<Instant> = None;
    let due = |at: Option<Instant>, every: Duration| at.is_none_or(|at| at.elapsed() >= every);
    while !*shutdown.borrow() {
        if let Err(error) = keep_time(&db, &wake).await {
            warn!(%error, "suspended and late tasks were not looked after; trying again");
        }
        if due(swept_at, SWEEP_EVERY) {
            swept_at = Some(Instant::now());
            if let Err(error) = take_back(&db, &wake).await {
                warn!(%error, "the sweep failed; trying again");
            }
            match db.sweep_approvals().await {
                Ok(swept) if swept.expired + swept.asked == 0 => {}
                Ok(swept) => info!(swept.expired, swept.asked, "approvals were looked after"),
                Err(error) => warn!(%error, "approvals were not looked after; trying again"),
            }
        }
        if due(maintained_at, MAINTAIN_EVERY) {
            maintained_at = Some(Instant::now());
            if let Err(error) = db.forget_request_keys().await {
                warn!(%error, "old request keys were not forgotten; trying again in an hour");
            }
            match db.maintain_logs(keep_logs).await {
                Ok(dropped) if dropped.is_empty() => {}
                Ok(dropped) => info!(?dropped, "log partitions are past their retention and were dropped"),
                Err(error) => warn!(%error, "the log's partitions were not looked after; trying again in an hour"),
            }
        }
        tokio::select! {
            _ = shutdown.changed() => {}
            () = tokio::time::sleep(poll.min(WAKE_EVERY_MAX)) => {}
        }
    }
}

/// Wakes what is due, and ends what is late.
async fn keep_time(db: &Db, wake: &Wake) -> Result<(), DbError> {
    if db.wake_due_tasks().await? > 0 {
        wake.everybody();
    }
    if db.settle_goals().await? {
        wake.everybody();
    }
    let late = db.fail_late_tasks().await?;
    if late > 0 {
        wake.look_at_claims();
        warn!(late, "tasks have not ended by their deadline and failed");
    }
    Ok(())
}

async fn take_back(db: &Db, wake: &Wake) -> Result<(), DbError> {
    let swept = db.sweep().await?;
    if swept.reclaimed + swept.dead + swept.stale_workers > 0 {
        warn!(swept.reclaimed, swept.dead, swept.stale_workers, "hosts went away without a word");
        wake.everybody();
    }
    Ok(())
}
