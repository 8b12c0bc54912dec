//! Appending to the audit log.
//!
//! Invariants: whatever this process changes is committed by [`AuditedTx::commit`], with the events that say so as the
//! transaction's last statement: either both are there or neither. A chain's next row is computed from rows that are
//! committed, so the head is held from the insertion until the commit is answered; where the answer does not come, the
//! chain has ended, and the next transaction begins another one.

use std::borrow::Borrow;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use sqlx::{PgConnection, Postgres, Transaction};
use time::OffsetDateTime;
use tokio::sync::Mutex;
use uuid::Uuid;

use super::{Db, DbError};
use crate::audit::{Anchor, ChainStart, Checkpoint, Event, Head, Row, SigningKey, micros, now_micros};
use crate::task::HostId;

/// Longest time for insertion and commit; a connection that hangs must not hold up every other one.
const COMMIT_TIME_MAX: Duration = Duration::from_secs(10);
/// Chains that one beginning anchors, the newest; what is left over, the next ones anchor.
const ANCHORS_MAX: i64 = 1_000;

/// This process's chain.
#[derive(Debug)]
pub(super) struct Ledger {
    host: HostId,
    key: Option<SigningKey>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// None: no chain has begun, or it is not known where it ended. Taken while a commit is under way, so that one that
    /// is broken off leaves it so.
    head: Option<Head>,
    /// The newest row that is known to be committed.
    known: Option<Head>,
    signed: Option<Checkpoint>,
    /// Made, and perhaps not stored.
    pending: Option<Checkpoint>,
}

/// A transaction that can not be committed without saying what it did.
#[derive(Debug)]
pub(super) struct AuditedTx<'a> {
    tx: Transaction<'static, Postgres>,
    ledger: &'a Ledger,
}

impl Deref for AuditedTx<'_> {
    type Target = Transaction<'static, Postgres>;

    fn deref(&self) -> &Self::Target {
        &self.tx
    }
}

impl DerefMut for AuditedTx<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.tx
    }
}

impl AuditedTx<'_> {
    /// Records the events and commits. Without any, nothing that has to be recorded was done.
    pub(super) async fn commit<E: Borrow<Event>>(self, events: Vec<E>) -> Result<(), DbError> {
        let Self { tx, ledger } = self;
        if events.is_empty() {
            return Ok(tx.commit().await?);
        }
        let mut state = ledger.state.lock().await;
        let commit = state.append_and_commit(ledger, tx, &events);
        tokio::time::timeout(COMMIT_TIME_MAX, commit)
            .await
            .unwrap_or_else(|_| Err(DbError::Unavailable("a commit was not answered in time".to_owned())))
    }
}

impl Ledger {
    pub(super) fn new(host: HostId, key: Option<SigningKey>) -> Self {
        Self { host, key, state: Mutex::default() }
    }
}

impl State {
    async fn append_and_commit<E: Borrow<Event>>(
        &mut self,
        ledger: &Ledger,
        mut tx: Transaction<'static, Postgres>,
        events: &[E],
    ) -> Result<(), DbError> {
        let before = self.head.take();
        let head = match before {
            Some(head) => head,
            None => begin_chain(&mut tx, ledger).await.map_err(refused)?,
        };
        let rows = Rows::following(head, events, now_micros(OffsetDateTime::now_utc()));
        if let Err(error) = rows.insert(&mut tx).await {
            // Never sent for commit. Where the row exists already, somebody else writes this chain: leave it to them.
            let taken = error.as_database_error().is_some_and(|error| error.constraint() == Some("audit_log_pkey"));
            self.head = if taken { None } else { before };
            return Err(refused(error));
        }
        match tx.commit().await {
            Ok(()) => {
                self.head = Some(rows.head);
                self.known = self.head;
                Ok(())
            }
            Err(error) => {
                let error = error.into();
                // The database said no: nothing is committed. Otherwise nobody knows, and the chain ends here.
                if !matches!(error, DbError::Unavailable(_)) {
                    self.head = before;
                }
                Err(error)
            }
        }
    }
}

fn refused(error: sqlx::Error) -> DbError {
    match DbError::from(error) {
        error if error.is_passing() => error,
        error => DbError::AuditRefused(error.to_string()),
    }
}

async fn begin_chain(tx: &mut PgConnection, ledger: &Ledger) -> Result<Head, sqlx::Error> {
    let id = Uuid::now_v7();
    let anchors = sqlx::query_as!(
        StoredAnchor,
        "insert into audit_anchors (chain, anchored, seq, hash)
        select $1, other.id, newest.seq, newest.hash
        from audit_chains as other
        cross join lateral (
            select seq, hash from audit_log where chain = other.id order by seq desc limit 1
        ) as newest
        where not exists (select from audit_anchors as a where a.anchored = other.id and a.seq = newest.seq)
        order by other.started_at desc, other.id
        limit $2
        returning anchored, seq, hash",
        id,
        ANCHORS_MAX
    )
    .fetch_all(&mut *tx)
    .await?;
    let start = ChainStart {
        id,
        host: ledger.host.0,
        started_at: now_micros(OffsetDateTime::now_utc()),
        public_key: ledger.key.as_ref().map(|key| key.public().0),
        anchors: anchors.into_iter().filter_map(StoredAnchor::read).collect(),
    };
    sqlx::query!(
        "insert into audit_chains (id, host_id, started_at, public_key) values ($1, $2, $3, $4)",
        start.id,
        start.host,
        start.started_at,
        start.public_key.as_ref().map(<[u8; 32]>::as_slice)
    )
    .execute(tx)
    .await?;
    Ok(start.head())
}

pub(super) struct StoredAnchor {
    pub(super) anchored: Uuid,
    pub(super) seq: i64,
    pub(super) hash: Vec<u8>,
}

impl StoredAnchor {
    /// The columns' checks leave no other length.
    pub(super) fn read(self) -> Option<Anchor> {
        Some(Anchor { chain: self.anchored, seq: self.seq, hash: self.hash.try_into().ok()? })
    }
}

/// Rows that are ready to be inserted, column by column, and the head after them.
struct Rows<'a> {
    head: Head,
    at: OffsetDateTime,
    seqs: Vec<i64>,
    kinds: Vec<&'a str>,
    actors: Vec<&'a str>,
    tasks: Vec<Option<Uuid>>,
    details: Vec<&'a str>,
    previous: Vec<[u8; 32]>,
    hashes: Vec<[u8; 32]>,
}

impl<'a> Rows<'a> {
    fn following<E: Borrow<Event>>(head: Head, events: &'a [E], at: OffsetDateTime) -> Self {
        let mut rows = Self {
            head,
            at,
            seqs: Vec::with_capacity(events.len()),
            kinds: Vec::with_capacity(events.len()),
            actors: Vec::with_capacity(events.len()),
            tasks: Vec::with_capacity(events.len()),
            details: Vec::with_capacity(events.len()),
            previous: Vec::with_capacity(events.len()),
            hashes: Vec::with_capacity(events.len()),
        };
        for event in events.iter().map(Borrow::borrow) {
            let (actor, details) = (event.actor(), event.details());
            let task = event.task.map(|task| task.0);
            let row = Row { at: micros(at), kind: event.kind.as_str(), actor, task, details };
            let after = rows.head.after(&row);
            rows.seqs.push(after.seq);
            rows.kinds.push(event.kind.as_str());
            rows.previous.push(rows.head.hash);
            rows.hashes.push(after.hash);
            rows.tasks.push(task);
            rows.actors.push(actor);
            rows.details.push(details);
            rows.head = after;
        }
        rows
    }

    async fn insert(&self, tx: &mut PgConnection) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "insert into audit_log (chain, seq, at, kind, actor, task_id, details, prev_hash, hash)
            select $1, row.seq, $2, row.kind, row.actor, row.task_id, row.details::json, row.prev_hash, row.hash
            from unnest($3::bigint[], $4::text[], $5::text[], $6::uuid[], $7::text[], $8::bytea[], $9::bytea[])
                as row (seq, kind, actor, task_id, details, prev_hash, hash)",
            self.head.chain,
            self.at,
            &self.seqs,
            &self.kinds as &[&str],
            &self.actors as &[&str],
            &self.tasks as &[Option<Uuid>],
            &self.details as &[&str],
            &self.previous as &[[u8; 32]],
            &self.hashes as &[[u8; 32]]
        )
        .execute(tx)
        .await?;
        Ok(())
    }
}

impl Db {
    /// The same database, with a chain of its own for this process. Without a key its chain has no checkpoints, and only
    /// the chains that begin later hold it.
    #[must_use]
    pub fn audited_by(self, host: HostId, key: Option<SigningKey>) -> Self {
        Self { ledger: std::sync::Arc::new(Ledger::new(host, key)), ..self }
    }

    /// Begins a transaction that changes something which has to be recorded.
    pub(super) async fn begin_audited(&self) -> Result<AuditedTx<'_>, DbError> {
        Ok(AuditedTx { tx: self.pool.begin().await?, ledger: &self.ledger })
    }

    /// The same on a connection of the engine's.
    pub(super) async fn begin_engine(&self) -> Result<AuditedTx<'_>, DbError> {
        Ok(AuditedTx { tx: self.engine.begin().await?, ledger: &self.ledger })
    }

    /// Records what happened outside of the database.
    pub async fn record(&self, events: Vec<Event>) -> Result<(), DbError> {
        self.begin_audited().await?.commit(events).await
    }

    /// Rows of this process's chain that no checkpoint covers yet.
    pub async fn audit_rows_unsigned(&self) -> i64 {
        let state = self.ledger.state.lock().await;
        let Some(known) = state.known else { return 0 };
        match &state.signed {
            Some(signed) if signed.chain == known.chain => known.seq - signed.seq,
            Some(_) | None => known.seq,
        }
    }

    /// Signs how far the chain has come. None if there is nothing new, or no key.
    pub async fn audit_checkpoint(&self) -> Result<Option<Checkpoint>, DbError> {
        let Some(key) = &self.ledger.key else { return Ok(None) };
        let mut state = self.ledger.state.lock().await;
        let checkpoint = match (&state.pending, state.known) {
            // The same again: it may have been stored after all, and the next one names its digest.
            (Some(pending), _) => pending.clone(),
            (None, Some(known)) => {
                let signed = state.signed.as_ref().filter(|signed| signed.chain == known.chain);
                if signed.is_some_and(|signed| signed.seq == known.seq) {
                    return Ok(None);
                }
                let previous = signed.map_or([0; 32], Checkpoint::digest);
                Checkpoint::sign(key, known, micros(OffsetDateTime::now_utc()), previous)
            }
            (None, None) => return Ok(None),
        };
        state.pending = Some(checkpoint.clone());
        drop(state);
        insert_checkpoint(&self.pool, &checkpoint).await?;
        let mut state = self.ledger.state.lock().await;
        state.pending = None;
        state.signed = Some(checkpoint.clone());
        Ok(Some(checkpoint))
    }
}

async fn insert_checkpoint(pool: &sqlx::PgPool, checkpoint: &Checkpoint) -> Result<(), DbError> {
    let at = OffsetDateTime::UNIX_EPOCH + time::Duration::microseconds(checkpoint.at);
    sqlx::query!(
        "insert into audit_checkpoints (chain, seq, hash, at, previous, key_id, signature)
        values ($1, $2, $3, $4, $5, $6, $7) on conflict do nothing",
        checkpoint.chain,
        checkpoint.seq,
        checkpoint.hash.as_slice(),
        at,
        checkpoint.previous.as_slice(),
        checkpoint.key_id.as_slice(),
        checkpoint.signature.as_slice()
    )
    .execute(pool)
    .await?;
    Ok(())
}
