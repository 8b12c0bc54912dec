//! The audit log as it is verified, exported and read.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures_util::TryStreamExt as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::{Connection as _, PgConnection};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use super::audit::StoredAnchor;
use super::{Db, DbError, rows};
use crate::audit::{ChainStart, Checkpoint, PublicKey, Report, Row, Source, Verifier, micros};
use crate::task::{TaskId, TaskStatus};

/// Tasks that [`Db::unaudited_changes`] lists at most.
const CHANGES_MAX: i64 = 1_000;
/// Rows of an export that are fetched together.
pub const EXPORT_ROWS: i64 = 5_000;

/// A row, for people.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AuditEntry {
    pub chain: Uuid,
    pub seq: i64,
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    pub kind: String,
    pub actor: String,
    pub task_id: Option<TaskId>,
    #[schema(value_type = Object)]
    pub details: Value,
}

/// A row's place in the list, newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditCursor {
    pub at: OffsetDateTime,
    pub chain: Uuid,
    pub seq: i64,
}

impl AuditCursor {
    /// Before the newest.
    pub const START: Self =
        Self { at: time::macros::datetime!(9999-12-31 0:00 UTC), chain: Uuid::max(), seq: i64::MAX };
}

/// A row with all that is hashed, exactly.
#[derive(Clone, Debug)]
pub struct ExportedRow {
    pub chain: Uuid,
    pub seq: i64,
    pub at: OffsetDateTime,
    pub kind: String,
    pub actor: String,
    pub task_id: Option<Uuid>,
    /// The bytes, not the value.
    pub details: String,
    pub prev_hash: Vec<u8>,
    pub hash: Vec<u8>,
}

/// A task whose status is not what the log last saw.
#[derive(Clone, Debug, Serialize)]
pub struct UnauditedChange {
    pub task: TaskId,
    pub status: TaskStatus,
    pub recorded: String,
    #[serde(with = "time::serde::rfc3339")]
    pub recorded_at: OffsetDateTime,
}

impl Db {
    /// Verifies every chain in one snapshot. Without `trusted`, the keys that the chains themselves name. Rows older than
    /// `unsigned_max` should have been signed.
    pub async fn verify_audit(
        &self,
        trusted: Option<Vec<PublicKey>>,
        outside: Vec<Checkpoint>,
        unsigned_max: Duration,
    ) -> Result<Report, DbError> {
        let mut connection = self.untimed().await?;
        let mut tx = connection.begin().await?;
        sqlx::query!("set transaction isolation level repeatable read, read only").execute(&mut *tx).await?;
        let starts = chain_starts(&mut tx).await?;
        let recorded = || {
            let keys: HashSet<PublicKey> = starts.iter().filter_map(|start| start.public_key).map(PublicKey).collect();
            keys.into_iter().collect()
        };
        let trusted = trusted.unwrap_or_else(recorded);
        let mut verifier = Verifier::new(trusted, micros(OffsetDateTime::now_utc() - unsigned_max));
        starts.iter().for_each(|start| verifier.chain(start));
        verifier.checkpoints(checkpoints(&mut tx).await?, Source::Database);
        verifier.checkpoints(outside, Source::File);
        let mut stream = sqlx::query!(
            r#"select chain, seq, at, kind, actor, task_id, details::text as "details!", prev_hash, hash
            from audit_log order by chain, seq"#
        )
        .fetch(&mut *tx);
        while let Some(row) = stream.try_next().await? {
            let hashed = Row {
                at: micros(row.at),
                kind: &row.kind,
                actor: &row.actor,
                task: row.task_id,
                details: &row.details,
            };
            verifier.row(row.chain, row.seq, &hashed, &row.prev_hash, &row.hash);
        }
        Ok(verifier.finish())
    }

    /// A connection for statements that look at everything.
    async fn untimed(&self) -> Result<PgConnection, DbError> {
        let mut connection = self.pool.acquire().await?.detach();
        sqlx::query!("set statement_timeout = 0").execute(&mut connection).await?;
        Ok(connection)
    }

    /// Tasks that somebody changed past the host since it last recorded them.
    pub async fn unaudited_changes(&self) -> Result<Vec<UnauditedChange>, DbError> {
        let mut connection = self.untimed().await?;
        let changes = sqlx::query_as!(
            UnauditedChange,
            r#"select t.id as "task!: TaskId", t.status as "status!: TaskStatus", r.status as "recorded!",
                r.at as "recorded_at!"
            from governance_tasks as t
            cross join lateral (
                select details ->> 'status' as status, at from audit_log
                where task_id = t.id and kind like 'task\_%'
                order by at desc, chain desc, seq desc limit 1
            ) as r
            where t.status::text <> r.status
            order by r.at, t.id limit $1"#,
            CHANGES_MAX
        )
        .fetch_all(&mut connection)
        .await?;
        Ok(changes)
    }

    /// Rows, newest first.
    pub async fn audit_entries(&self, after: AuditCursor, limit: u32) -> Result<Vec<AuditEntry>, DbError> {
        let entries = sqlx::query_as!(
            AuditEntry,
            r#"select chain, seq, at, kind, actor, task_id as "task_id: TaskId", details as "details: Value"
            from audit_log where (at, chain, seq) < ($1::timestamptz, $2::uuid, $3::bigint)
            order by at desc, chain desc, seq desc limit $4"#,
            after.at,
            after.chain,
            after.seq,
            rows(limit)
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(entries)
    }

    /// The same of one task: a statement of its own, so that each keeps to its index.
    pub async fn audit_entries_of(
        &self,
        task: TaskId,
        after: AuditCursor,
        limit: u32,
    ) -> Result<Vec<AuditEntry>, DbError> {
        let entries = sqlx::query_as!(
            AuditEntry,
            r#"select chain, seq, at, kind, actor, task_id as "task_id: TaskId", details as "details: Value"
            from audit_log where task_id = $1 and (at, chain, seq) < ($2::timestamptz, $3::uuid, $4::bigint)
            order by at desc, chain desc, seq desc limit $5"#,
            task.0,
            after.at,
            after.chain,
            after.seq,
            rows(limit)
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(entries)
    }

    pub async fn audit_chains(&self) -> Result<Vec<ChainStart>, DbError> {
        let mut connection = self.pool.acquire().await?;
        chain_starts(&mut connection).await
    }

    pub async fn audit_checkpoints(&self) -> Result<Vec<Checkpoint>, DbError> {
        let mut connection = self.pool.acquire().await?;
        checkpoints(&mut connection).await
    }

    /// The next rows of an export, by chain and number.
    pub async fn export_audit(
        &self,
        chain: Option<Uuid>,
        since: OffsetDateTime,
        after: (Uuid, i64),
    ) -> Result<Vec<ExportedRow>, DbError> {
        let rows = sqlx::query_as!(
            ExportedRow,
            r#"select chain, seq, at, kind, actor, task_id, details::text as "details!", prev_hash, hash
            from audit_log
            where (chain, seq) > ($1::uuid, $2::bigint) and ($3::uuid is null or chain = $3) and at >= $4
            order by chain, seq limit $5"#,
            after.0,
            after.1,
            chain,
            since,
            EXPORT_ROWS
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows)
    }

    /// The digests that the newest hosts ran with, newest first.
    pub async fn recorded_digests(&self) -> Result<Vec<Value>, DbError> {
        const HOSTS_MAX: i64 = 50;
        let found = sqlx::query_scalar!(
            r#"select details -> 'digests' as "digests: Value" from audit_log
            where kind = 'host_started' order by at desc limit $1"#,
            HOSTS_MAX
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(found.into_iter().flatten().collect())
    }
}

async fn chain_starts(connection: &mut PgConnection) -> Result<Vec<ChainStart>, DbError> {
    let chains = sqlx::query!("select id, host_id, started_at, public_key from audit_chains order by started_at, id")
        .fetch_all(&mut *connection)
        .await?;
    let stored = sqlx::query!("select chain, anchored, seq, hash from audit_anchors order by chain, anchored")
        .fetch_all(&mut *connection)
        .await?;
    let mut anchors: HashMap<Uuid, Vec<_>> = HashMap::new();
    for row in stored {
        let anchor = StoredAnchor { anchored: row.anchored, seq: row.seq, hash: row.hash };
        anchors.entry(row.chain).or_default().extend(anchor.read());
    }
    Ok(chains
        .into_iter()
        .map(|row| ChainStart {
            id: row.id,
            host: row.host_id,
            started_at: row.started_at,
            public_key: row.public_key.and_then(|key| key.try_into().ok()),
            anchors: anchors.remove(&row.id).unwrap_or_default(),
        })
        .collect())
}

async fn checkpoints(connection: &mut PgConnection) -> Result<Vec<Checkpoint>, DbError> {
    let stored = sqlx::query!(
        "select chain, seq, hash, at, previous, key_id, signature from audit_checkpoints order by chain, seq"
    )
    .fetch_all(connection)
    .await?;
    let wrong = |_| DbError::corrupt("audit_checkpoints");
    stored
        .into_iter()
        .map(|row| {
            Ok(Checkpoint {
                chain: row.chain,
                seq: row.seq,
                hash: row.hash.try_into().map_err(wrong)?,
                at: micros(row.at),
                previous: row.previous.try_into().map_err(wrong)?,
                key_id: row.key_id.try_into().map_err(wrong)?,
                signature: row.signature.try_into().map_err(wrong)?,
            })
        })
        .collect()
}
