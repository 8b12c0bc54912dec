//! Fires the schedules whose time has come, and keeps the host's own. Every host looks; each firing is one host's.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::json;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::db::schedules::{Fired, Firing};
use crate::db::wakeups::Wake;
use crate::db::{Db, DbError};
use crate::policy::Policies;
use crate::sandbox::LoadedRole;
use crate::schedule::SCHEDULES_MAX;

/// A firing comes within about this.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The host's own schedule, and the type of its tasks.
const WATCHDOG: &str = "watchdog";
const MONITORING: &str = "monitoring";

/// Sees to it that monitoring is done, where a role of this host does it.
pub(super) async fn keep_watch(db: &Db, cron: &str, roles: &[Arc<LoadedRole>]) -> Result<()> {
    if !roles.iter().any(|role| role.manifest.role.task_types.iter().any(|name| name == MONITORING)) {
        return Ok(());
    }
    let task = serde_json::from_value(json!({
        "title": "Watch over workers, tasks and budgets", "task_type": MONITORING, "priority": "high", "attempts_max": 1,
    }))
    .context("the task of the schedule `watchdog`")?;
    match db.ensure_schedule(WATCHDOG, cron, task).await {
        // A person has a schedule of that name: it is theirs to say when.
        Err(DbError::ScheduleExists(name)) => {
            warn!(schedule = name, "somebody keeps this schedule by hand; the host leaves it alone");
            Ok(())
        }
        ensured => ensured.with_context(|| format!("JUGGERNAUT_WATCHDOG_CRON = {cron:?}")),
    }
}

pub(super) async fn fire(db: Db, policies: Arc<Policies>, wake: Wake, mut shutdown: watch::Receiver<bool>) {
    while !*shutdown.borrow() {
        // Each schedule moves on when it is looked after, so one round is bounded.
        for _ in 0..SCHEDULES_MAX {
            match db.fire_due_schedule(&policies).await {
                Ok(None) => break,
                Ok(Some(fired)) => {
                    tell(&fired);
                    if fired.claimable {
                        wake.everybody();
                    }
                }
                Err(error) => {
                    warn!(%error, "schedules were not looked after; trying again");
                    break;
                }
            }
        }
        tokio::select! {
            _ = shutdown.changed() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

fn tell(fired: &Fired) {
    let Fired { name, firing, claimable: _ } = fired;
    match firing {
        Firing::Created(tasks) => info!(schedule = name, ?tasks, "schedule fired"),
        Firing::Overlaps => info!(schedule = name, "schedule did not fire: its task before has not ended"),
        Firing::Missed => info!(schedule = name, "schedule did not fire: no host was there in time"),
        Firing::Refused(why) => warn!(schedule = name, why, "schedule could not create its task"),
    }
}
