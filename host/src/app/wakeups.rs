//! Wake-ups between hosts, over LISTEN and NOTIFY. Polling is what makes sure; this makes it quick.
//!
//! NOTIFY is sent outside of the transactions that it tells of, and only while a worker of another host is idle: inside,
//! every commit would queue behind a lock of the whole server.

use std::time::Duration;

use tokio::sync::watch;
use tracing::warn;

use crate::db::Db;
use crate::db::wakeups::Wake;
use crate::task::HostId;

/// Signals that come closer than this are one message. Workers of this host are woken at once, and what they claim meanwhile
/// needs nobody else.
const TOGETHER: Duration = Duration::from_millis(3);
/// Pause before the connection is made again.
const AGAIN: Duration = Duration::from_secs(2);

/// Tells idle workers of other hosts that there may be something to claim.
pub(super) async fn tell(db: Db, host: HostId, mut told: watch::Receiver<()>) {
    while told.changed().await.is_ok() {
        tokio::time::sleep(TOGETHER).await;
        told.mark_unchanged();
        if let Err(error) = db.wake_other_hosts(host).await {
            warn!(%error, "other hosts could not be woken; they find out when they look");
        }
    }
}

/// Wakes this host's workers when another host says so.
pub(super) async fn listen(db: Db, wake: Wake) {
    loop {
        match db.wake_messages().await {
            Ok(mut messages) => {
                // What came while nobody listened.
                wake.here();
                while let Ok(()) = messages.next().await {
                    wake.here();
                }
            }
            Err(error) => warn!(%error, "wake-ups from other hosts are not heard; trying again"),
        }
        tokio::time::sleep(AGAIN).await;
    }
}
