//! The database: all SQL of the host, behind typed methods of [`Db`].
//!
//! Invariants: no SQL outside this module; every list has a limit; a change that a person asked for and its line in
//! the execution log and the audit log are one transaction; what a caller can act on is a variant of [`DbError`], not a driver's error.

pub mod alerts;
pub mod approvals;
mod attempts;
mod audit;
pub mod audit_read;
#[cfg(test)]
mod audited;
pub mod bulk;
pub mod commit;
pub mod completed;
pub mod decisions;
mod error;
pub mod goals;
pub mod journal;
pub mod learnings;
pub mod logs;
pub mod models;
pub mod notices;
pub mod outcomes;
pub mod queue;
mod records;
pub mod registry;
pub mod replay;
pub mod reports;
pub mod request_keys;
pub mod schedules;
mod steer;
pub mod steps;
pub mod sweep;
pub mod task_types;
pub mod task_views;
pub mod tasks;
pub mod tokens;
pub mod wakeups;
pub mod workers;

use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret as _;
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection as _, PgConnection, PgPool};

use crate::config::{ApprovalConfig, DatabaseConfig, ModelBudget};
use crate::task::HostId;
use audit::Ledger;

pub use error::DbError;

/// Connections of one process for everything but the engine: API, sweeper, what a run reads.
const CONNECTIONS_MAX: u32 = 14;
/// Connections for claims and group commits: no flood of requests keeps them from being made.
const ENGINE_CONNECTIONS_MAX: u32 = 6;
/// Connections for tasks that are created as claims of idle workers.
const HANDOVER_CONNECTIONS_MAX: u32 = 2;
/// Longest that such a creation waits for a lock, milliseconds. It waits with this process's chain in the audit log in its
/// hands, so that whoever has the lock may be waiting for it; it is given up then, and the task created as all others are.
const HANDOVER_LOCK_MS_MAX: &str = "200";
/// Longest that the server works on one statement, milliseconds; ours take moments.
const STATEMENT_MS_MAX: &str = "30000";
/// Longest that it leaves a transaction open for a client that says nothing, milliseconds. A host that stands still in the
/// middle of one must not keep its locks, that of the sweep above all, from all the others.
const IDLE_IN_TRANSACTION_MS_MAX: &str = "20000";
/// Claims and commits find each row by an index, whatever the planner thinks of the tables: it makes its plans when they are
/// nearly empty, and keeps them while they grow. What it is kept from costs more than any limit in its eyes, so that it would
/// compile what can not be planned otherwise, each time.
const ENGINE_PLANNING: [(&str, &str); 3] =
    [("plan_cache_mode", "force_generic_plan"), ("enable_seqscan", "off"), ("jit", "off")];
/// A connection that was used so recently is taken to be alive.
const TRUSTED_FOR: Duration = Duration::from_secs(1);
/// How long a query waits for a connection before the database counts as lost.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// Rows of one page, for every list there is.
pub const PAGE_ROWS_MAX: u32 = 200;

static MIGRATOR: Migrator = sqlx::migrate!("../migrations");

/// A pool of connections, and this process's chain in the audit log. Cheap to clone; all clones share both.
#[derive(Clone, Debug)]
pub struct Db {
    pool: PgPool,
    engine: PgPool,
    handover: PgPool,
    approvals: ApprovalConfig,
    /// Digest of the policies that this host works under; none where it is no host.
    policies: Option<[u8; 32]>,
    models: ModelBudget,
    ledger: Arc<Ledger>,
}

/// Whether requests can be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    Ready,
    /// The database answers, but its tables are not those of this program.
    MigrationsMissing {
        newest_applied: i64,
        newest_known: i64,
    },
}

impl Db {
    /// Connects, and fails if the database does not answer.
    pub async fn connect(config: &DatabaseConfig) -> Result<Self, DbError> {
        let options = PgConnectOptions::from_str(config.url.expose_secret())
            .map_err(|_| DbError::Unavailable("DATABASE_URL is not a PostgreSQL URL".into()))?
            .application_name("juggernaut")
            .options([
                ("statement_timeout", STATEMENT_MS_MAX),
                ("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION_MS_MAX),
            ]);
        // By itself first: the pool would try again until its time is over, and then no longer know why.
        let first = tokio::time::timeout(ACQUIRE_TIMEOUT, PgConnection::connect_with(&options))
            .await
            .map_err(|_| DbError::Unavailable(format!("no answer within {} seconds", ACQUIRE_TIMEOUT.as_secs())))??;
        first.close().await?;
        // Not looked at before each use, which costs a way to the server and back.
        let pool = |connections| {
            let pool = PgPoolOptions::new().max_connections(connections).acquire_timeout(ACQUIRE_TIMEOUT);
            pool.test_before_acquire(false)
        };
        let trusted = |connections| {
            pool(connections).before_acquire(|connection, meta| {
                Box::pin(async move {
                    if meta.idle_for >= TRUSTED_FOR {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
        };
        // Claims and commits are tried again where a connection turns out to be dead.
        let engine = pool(ENGINE_CONNECTIONS_MAX).connect_lazy_with(options.clone().options(ENGINE_PLANNING));
        let handover = options.clone().options(ENGINE_PLANNING).options([("lock_timeout", HANDOVER_LOCK_MS_MAX)]);
        let handover = trusted(HANDOVER_CONNECTIONS_MAX).connect_lazy_with(handover);
        let pool = trusted(CONNECTIONS_MAX).connect_lazy_with(options);
        Ok(Self { engine, handover, ..Self::from_pool(pool) })
    }

    /// All of it over one pool.
    pub fn from_pool(pool: PgPool) -> Self {
        let ledger = Arc::new(Ledger::new(HostId::generate(), None));
        let (approvals, models) = (ApprovalConfig::default(), ModelBudget::default());
        Self { engine: pool.clone(), handover: pool.clone(), pool, approvals, policies: None, models, ledger }
    }

    /// The same, with this host's rules for approvals.
    #[must_use]
    pub fn with_approvals(self, approvals: ApprovalConfig) -> Self {
        Self { approvals, ..self }
    }

    /// The same, with this host's budget for language models.
    #[must_use]
    pub fn with_model_budget(self, models: ModelBudget) -> Self {
        Self { models, ..self }
    }

    /// The same, under these policies: a recommendation that was filed under others is not applied.
    #[must_use]
    pub fn with_policies(self, digest: [u8; 32]) -> Self {
        Self { policies: Some(digest), ..self }
    }

    pub fn approval_rules(&self) -> ApprovalConfig {
        self.approvals
    }

    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Applies what is missing, under a lock, so that hosts which start together do not collide.
    pub async fn migrate(&self) -> Result<(), DbError> {
        let mut connection = self.pool.acquire().await?.detach();
        // A migration may take its time; the connection is not used for anything else.
        sqlx::query("set statement_timeout = 0").execute(&mut connection).await?;
        MIGRATOR.run(&mut connection).await.map_err(|error| DbError::Migration(error.to_string()))
    }

    /// Whether the database answers and this program's migrations are applied.
    pub async fn is_ready(&self) -> Result<Readiness, DbError> {
        let newest_known = MIGRATOR.iter().map(|migration| migration.version).max().unwrap_or(0);
        // Unchecked: the table is the migrator's own and appears with its first run.
        let exists: bool =
            sqlx::query_scalar("select to_regclass('_sqlx_migrations') is not null").fetch_one(&self.pool).await?;
        let newest_applied: i64 = if exists {
            sqlx::query_scalar("select coalesce(max(version) filter (where success), 0) from _sqlx_migrations")
                .fetch_one(&self.pool)
                .await?
        } else {
            0
        };
        // A newer host may have migrated further: migrations only expand, so this program still works.
        if newest_applied >= newest_known {
            Ok(Readiness::Ready)
        } else {
            Ok(Readiness::MigrationsMissing { newest_applied, newest_known })
        }
    }
}

/// A page's rows as the database counts them. One more than the limit is let through: it tells whether a page follows.
pub(crate) fn rows(limit: u32) -> i64 {
    i64::from(limit.clamp(1, PAGE_ROWS_MAX + 1))
}
