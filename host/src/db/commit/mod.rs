//! Group commit: what several runs have to have written, in one transaction with few statements.
//!
//! Invariants: every write names the lease that it was claimed with, and one whose lease is lost writes nothing while the
//! others are written; a write is there whole, with its audit events, or not at all; a result is written once.

mod ends;
mod lines;
mod steps;

use std::borrow::Cow;
use std::collections::HashSet;

use sqlx::{PgConnection, Postgres, Transaction};
use uuid::Uuid;

use super::journal::{Batch, RunKey};
use super::outcomes::Ending;
use super::queue::CLAIMED;
use super::{Db, DbError, alerts, approvals};
use crate::audit::Event;
use crate::crash::{self, Point};
use crate::journal::{self, Raised};
use crate::task::{Risk, TaskStatus};

/// What one run has to have written, and how its claim ends with it.
#[derive(Debug, Clone)]
pub struct Write {
    pub key: RunKey,
    pub batch: Batch,
    pub end: Option<End>,
}

/// The end of a claim.
#[derive(Debug, Clone)]
pub struct End {
    pub ending: Ending,
    /// What kind of end it is, for the log.
    pub cause: &'static str,
}

/// What came of a group.
#[derive(Debug)]
pub struct Committed {
    /// Each write's own: `LeaseLost` where it wrote nothing.
    pub outcomes: Vec<Result<(), DbError>>,
    /// Whether a task became claimable by it.
    pub frees: bool,
}

impl Write {
    pub fn new(key: RunKey, batch: Batch) -> Self {
        Self { key, batch, end: None }
    }

    pub fn ending(key: RunKey, batch: Batch, ending: Ending, cause: &'static str) -> Self {
        Self { key, batch, end: Some(End { ending: ending.storable(), cause }) }
    }

    /// Whether it can fail for a reason of its own that is no mistake: nobody else's write goes with it.
    pub fn is_delicate(&self) -> bool {
        let waits = self.end.as_ref().is_some_and(|end| matches!(end.ending, Ending::WaitingApproval { .. }));
        waits || !self.batch.uses.is_empty() || self.batch.raised.is_some() || !self.batch.alerts.is_empty()
    }

    /// Bytes of what it carries, about.
    pub fn bytes(&self) -> usize {
        let steps = self.batch.steps.iter().map(|row| {
            let result = row.step.outcome.as_ref().map_or(0, |outcome| journal::weight(&outcome.result));
            journal::weight(&row.arguments) + result
        });
        let lines = self.batch.lines.iter().chain(&self.batch.calls).map(|line| line.message.len());
        let end = match &self.end {
            Some(End { ending: Ending::Completed { evidence, text }, .. }) => evidence.get().len() + text.len(),
            Some(_) | None => 0,
        };
        steps.sum::<usize>() + lines.sum::<usize>() + end
    }

    /// Rows, about.
    pub fn rows(&self) -> usize {
        let Batch { steps, lines, calls, raised: _, uses, audit, alerts } = &self.batch;
        1 + steps.len() + lines.len() + calls.len() + uses.len() + audit.len() + alerts.len()
    }
}

impl Db {
    /// Commits the writes of different runs together. An error is the transaction's: nothing at all was written.
    /// `LeaseLost` means that one of several has lost its lease, and which one is seen when they are written one by one.
    pub async fn commit_runs(&self, writes: &[&Write]) -> Result<Committed, DbError> {
        let mut transaction = self.begin_engine().await?;
        let standing = if writes.len() > 1 && writes.iter().all(|write| write.end.is_some()) {
            // Each is held by the statement that ends it. Where one is not this claim's any more, nothing is written, and
            // the caller writes one by one; to lock all of them first would cost a fifth of the whole.
            writes.iter().map(|write| write.key.task.0).collect()
        } else {
            hold_all(&mut transaction, writes.iter().map(|write| &write.key)).await?
        };
        let held: Vec<&Write> = writes.iter().copied().filter(|write| standing.contains(&write.key.task.0)).collect();
        let stands =
            |write: &&Write| if standing.contains(&write.key.task.0) { Ok(()) } else { Err(DbError::LeaseLost) };
        let outcomes = writes.iter().map(stands).collect();
        if held.is_empty() {
            return Ok(Committed { outcomes, frees: false });
        }
        write_batches(&mut transaction, &held).await?;
        let freed = ends::lock_freed(&mut transaction, &held).await?;
        ends::set_states(&mut transaction, &held).await?;
        ends::end_attempts(&mut transaction, &held).await?;
        ends::wait_for_goals(&mut transaction, &held).await?;
        let mut events: Vec<Cow<'_, Event>> = held.iter().flat_map(|write| write.batch.events(&write.key)).collect();
        // A claim's end closes what was open, and what it waits for may have been decided meanwhile.
        let touched: Vec<Uuid> = held
            .iter()
            .filter(|write| write.end.is_some() || write.is_delicate())
            .map(|write| write.key.task.0)
            .collect();
        if !touched.is_empty() {
            events.extend(approvals::changed(&mut transaction, &touched).await?.into_iter().map(Cow::Owned));
        }
        events.extend(ends::events(&mut transaction, &held).await?.into_iter().map(Cow::Owned));
        let put_back = |write: &&Write| write.end.as_ref().is_some_and(|end| end.ending.puts_back());
        let claimable = !freed.is_empty() || held.iter().any(put_back);
        events.extend(freed.into_iter().map(Cow::Owned));
        if held.iter().any(|write| write.end.is_some()) {
            crash::point(Point::EndingUncommitted);
        }
        transaction.commit(events).await?;
        Ok(Committed { outcomes, frees: claimable })
    }

    /// The same for one run.
    pub async fn commit_run(&self, write: &Write) -> Result<(), DbError> {
        self.commit_runs(&[write]).await?.outcomes.pop().unwrap_or(Err(DbError::LeaseLost))
    }
}

/// Stores what runs have written down, in the caller's transaction, which holds their claims.
pub(super) async fn write_batches(
    transaction: &mut Transaction<'static, Postgres>,
    held: &[&Write],
) -> Result<(), DbError> {
    steps::write(transaction, held).await?;
    for write in held.iter().filter(|write| write.is_delicate()) {
        for (position, used) in &write.batch.uses {
            approvals::consume(transaction, &write.key, *position, used).await?;
        }
        if let Some(raised) = &write.batch.raised {
            raise(transaction, &write.key, raised).await?;
        }
        alerts::raise_all(transaction, &write.batch.alerts, Some(&write.key)).await?;
    }
    lines::write(transaction, held).await
}

/// Fails unless the claim still stands, and keeps it standing until the transaction ends.
pub(super) async fn hold(connection: &mut PgConnection, key: &RunKey) -> Result<(), DbError> {
    hold_all(connection, [key]).await?.contains(&key.task.0).then_some(()).ok_or(DbError::LeaseLost)
}

/// The tasks whose claims still stand, kept standing until the transaction ends.
async fn hold_all<'a>(
    connection: &mut PgConnection,
    keys: impl IntoIterator<Item = &'a RunKey>,
) -> Result<HashSet<Uuid>, DbError> {
    let (ids, leases): (Vec<Uuid>, Vec<i64>) = keys.into_iter().map(|key| (key.task.0, key.lease.0)).unzip();
    let standing = sqlx::query_scalar!(
        r#"select t.id from governance_tasks as t
           join unnest($1::uuid[], $2::bigint[]) as held (id, lease) on held.id = t.id and held.lease = t.lease
           where t.status = $3
           order by t.id for no key update of t"#,
        &ids,
        &leases,
        CLAIMED as TaskStatus,
    )
    .fetch_all(connection)
    .await?;
    Ok(standing.into_iter().collect())
}

async fn raise(connection: &mut PgConnection, key: &RunKey, raised: &Raised) -> Result<(), DbError> {
    sqlx::query!(
        "update governance_tasks set risk = greatest(risk, $2), risk_reasons = $3 where id = $1",
        key.task.0,
        raised.level as Risk,
        serde_json::json!(raised.reasons),
    )
    .execute(connection)
    .await?;
    Ok(())
}
