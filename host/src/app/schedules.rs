//! Fires the schedules whose time has come. Every host looks; each firing is one host's.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::{info, warn};

use crate::db::Db;
use crate::db::schedules::{Fired, Firing};
use crate::db::wakeups::Wake;
use crate::policy::Policies;
use crate::schedule::SCHEDULES_MAX;

/// A firing comes within about this.
const LOOK_EVERY: Duration = Duration::from_secs(1);

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
