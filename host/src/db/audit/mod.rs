//! Appending to the audit log.
//!
//! Invariants: whatever this process changes is committed by [`AuditedTx::commit`], with the events that say so as the
//! transaction's last statement, or by a statement that is [`Audited`] and stores them itself: either both are there or
//! neither. A chain's next row is computed from rows that are committed, so the head is held from the insertion until the
//! commit is answered; where the answer does not come, the chain has ended, and the next transaction begins another one.

mod checkpoint;

use std::borrow::Borrow;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use futures_util::future::BoxFuture;
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
        in_time(state.append_and_commit(ledger, tx, &events, &Append)).await.map(|_| ())
    }

    /// Runs the statement as the transaction's last one, and commits. None: it found nothing to do, and nothing is changed.
    pub(super) async fn commit_with<A: Audited>(
        self,
        events: &[Event],
        last: &A,
    ) -> Result<Option<A::Answer>, DbError> {
        let Self { tx, ledger } = self;
        let mut state = ledger.state.lock().await;
        in_time(state.append_and_commit(ledger, tx, events, last)).await
    }
}

/// A statement that changes something and stores the rows of the audit log that say so, all in one.
pub(super) trait Audited {
    type Answer: Send;

    /// None: it found nothing to do, and stored no row.
    fn run<'a>(
        &'a self,
        connection: &'a mut PgConnection,
        rows: &'a Rows<'a>,
    ) -> BoxFuture<'a, Result<Option<Self::Answer>, sqlx::Error>>;

    /// What an error of it means.
    fn failed(error: sqlx::Error) -> DbError {
        error.into()
    }
}

async fn in_time<T>(commit: impl Future<Output = Result<T, DbError>>) -> Result<T, DbError> {
    let late = || DbError::Unavailable("a commit was not answered in time".to_owned());
    tokio::time::timeout(COMMIT_TIME_MAX, commit).await.unwrap_or_else(|_| Err(late()))
}

impl Ledger {
    pub(super) fn new(host: HostId, key: Option<SigningKey>) -> Self {
        Self { host, key, state: Mutex::default() }
    }
}

impl State {
    async fn append_and_commit<E: Borrow<Event>, A: Audited>(
        &mut self,
        ledger: &Ledger,
        mut tx: Transaction<'static, Postgres>,
        events: &[E],
        last: &A,
    ) -> Result<Option<A::Answer>, DbError> {
        let before = self.head.take();
        let head = match before {
            Some(head) => head,
            None => begin_chain(&mut tx, ledger).await.map_err(refused)?,
        };
        let rows = Rows::following(head, events, now_micros(OffsetDateTime::now_utc()));
        let answer = match last.run(&mut tx, &rows).await {
            Ok(Some(answer)) => answer,
            Ok(None) => {
                self.head = before;
                return Ok(None);
            }
            // Never sent for commit.
            Err(error) => {
                self.head = if is_taken(&error) { None } else { before };
                return Err(A::failed(error));
            }
        };
        match tx.commit().await {
            Ok(()) => {
                self.head = Some(rows.head);
                self.known = self.head;
                Ok(Some(answer))
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

    /// None, too, while there is no chain: a statement by itself begins none.
    async fn commit_alone<A: Audited>(
        &mut self,
        connection: &mut PgConnection,
        events: &[Event],
        statement: &A,
    ) -> Result<Option<A::Answer>, DbError> {
        let Some(before) = self.head.take() else { return Ok(None) };
        let rows = Rows::following(before, events, now_micros(OffsetDateTime::now_utc()));
        match statement.run(connection, &rows).await {
            Ok(Some(answer)) => {
                self.head = Some(rows.head);
                self.known = self.head;
                Ok(Some(answer))
            }
            Ok(None) => {
                self.head = Some(before);
                Ok(None)
            }
            Err(error) => {
                let is_refused = matches!(error, sqlx::Error::Database(_)) && !is_taken(&error);
                let error = A::failed(error);
                // As for a commit: where the database did not say no, nobody knows, and the chain ends here.
                if is_refused && !matches!(error, DbError::Unavailable(_)) {
                    self.head = Some(before);
                }
                Err(error)
            }
        }
    }
}

/// The row exists already: somebody else writes this chain, and it is left to them.
fn is_taken(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.constraint() == Some("audit_log_pkey"))
}

fn refused(error: sqlx::Error) -> DbError {
    match DbError::from(error) {
        error if error.is_passing() => error,
        error => DbError::AuditRefused(error.to_string()),
    }
}

/// Nothing but the rows.
struct Append;

impl Audited for Append {
    type Answer = ();

    fn run<'a>(
        &'a self,
        connection: &'a mut PgConnection,
        rows: &'a Rows<'a>,
    ) -> BoxFuture<'a, Result<Option<()>, sqlx::Error>> {
        Box::pin(async { rows.insert(connection).await.map(Some) })
    }

    fn failed(error: sqlx::Error) -> DbError {
        refused(error)
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
pub(super) struct Rows<'a> {
    pub(super) head: Head,
    pub(super) at: OffsetDateTime,
    pub(super) seqs: Vec<i64>,
    pub(super) kinds: Vec<&'a str>,
    pub(super) actors: Vec<&'a str>,
    pub(super) tasks: Vec<Option<Uuid>>,
    pub(super) details: Vec<&'a str>,
    pub(super) previous: Vec<[u8; 32]>,
    pub(super) hashes: Vec<[u8; 32]>,
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

    /// The same on a connection that does not wait long for a lock.
    pub(super) async fn begin_handover(&self) -> Result<AuditedTx<'_>, DbError> {
        Ok(AuditedTx { tx: self.handover.begin().await?, ledger: &self.ledger })
    }

    /// Commits one statement by itself: one way to the server, where a transaction has four. None, and nothing is done, where
    /// it finds nothing to do, and while this process has no chain: a transaction begins one. It does not wait long for a
    /// lock: whoever has that may wait for this process's chain.
    pub(super) async fn commit_statement<A: Audited>(
        &self,
        events: &[Event],
        statement: &A,
    ) -> Result<Option<A::Answer>, DbError> {
        let mut connection = self.handover.acquire().await?;
        let mut state = self.ledger.state.lock().await;
        in_time(state.commit_alone(&mut connection, events, statement)).await
    }

    /// Records what happened outside of the database.
    pub async fn record(&self, events: Vec<Event>) -> Result<(), DbError> {
        self.begin_audited().await?.commit(events).await
    }
}
