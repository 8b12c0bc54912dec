//! Wake-ups: who made a task claimable says so to the workers of its host, and to idle ones of other hosts. What they
//! say is in the tables already; losing one costs a poll interval.

use sqlx::postgres::PgListener;
use tokio::sync::watch;

use super::workers::STALE_AFTER_SECONDS;
use super::{Db, DbError};
use crate::task::{HostId, WorkerStatus};

/// Whoever writes a task by hand may `NOTIFY` it, too.
const CHANNEL: &str = "juggernaut_wake";

/// A signal without content: who gets it looks at the queue. Signals that nobody has seen yet are one.
#[derive(Debug, Clone)]
pub struct Wake {
    here: watch::Sender<()>,
    elsewhere: watch::Sender<()>,
    claims: watch::Sender<()>,
}

impl Default for Wake {
    fn default() -> Self {
        Self { here: watch::channel(()).0, elsewhere: watch::channel(()).0, claims: watch::channel(()).0 }
    }
}

impl Wake {
    /// Wakes this host's workers.
    pub fn here(&self) {
        self.here.send_replace(());
    }

    /// Wakes this host's workers, and has the other hosts told.
    pub fn everybody(&self) {
        self.here.send_replace(());
        self.elsewhere.send_replace(());
    }

    /// Has this host look at once whether its claims still stand: somebody ended a task. Other hosts look twice a second.
    pub fn look_at_claims(&self) {
        self.claims.send_replace(());
    }

    /// For who looks after the claims of this host.
    pub fn claims_to_look_at(&self) -> watch::Receiver<()> {
        self.claims.subscribe()
    }

    /// For a worker.
    pub fn woken(&self) -> watch::Receiver<()> {
        self.here.subscribe()
    }

    /// For who tells the other hosts.
    pub fn to_tell(&self) -> watch::Receiver<()> {
        self.elsewhere.subscribe()
    }
}

/// Messages as they come in, over a connection that is made again when it is lost.
#[derive(Debug)]
pub struct WakeMessages(PgListener);

impl WakeMessages {
    /// Returns when there may be something to claim: at a message, and after a loss, which may have cost some.
    pub async fn next(&mut self) -> Result<(), DbError> {
        self.0.try_recv().await?;
        Ok(())
    }
}

impl Db {
    /// Sends a message, if a worker of another host is idle.
    pub async fn wake_other_hosts(&self, host: HostId) -> Result<(), DbError> {
        sqlx::query_scalar!(
            r#"select pg_notify($1, '')::text from (
                   select from worker_registry
                   where status = $2 and host_id <> $3 and last_heartbeat > now() - make_interval(secs => $4) limit 1
               ) as idle"#,
            CHANNEL,
            WorkerStatus::Idle as WorkerStatus,
            host.0,
            STALE_AFTER_SECONDS,
        )
        .fetch_optional(self.pool())
        .await?;
        Ok(())
    }

    /// Listens, on a connection of its own.
    pub async fn wake_messages(&self) -> Result<WakeMessages, DbError> {
        let mut listener = PgListener::connect_with(self.pool()).await?;
        listener.listen(CHANNEL).await?;
        Ok(WakeMessages(listener))
    }
}
