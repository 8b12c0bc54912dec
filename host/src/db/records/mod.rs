//! What runs ask of the tables and have written to them; one file for each kind.
//!
//! Invariant: a change, its step in the journal and its audit events are one transaction, under the run's lease. A change
//! that is refused leaves its step behind, and nothing else.

mod alerts;
mod bounds;
mod goals;
mod learnings;
mod logs;
mod metrics;
mod recommendation_shown;
mod recommendations;
mod reports;
mod tasks;
mod workers;

use std::borrow::Cow;

use serde_json::Value;
use sqlx::PgConnection;
use time::OffsetDateTime;

use super::audit::AuditedTx;
use super::commit::{Write, hold, write_batches};
use super::journal::{Batch, RunKey, StepRow};
use super::{Db, DbError};
use crate::audit::Event;
use crate::journal::Outcome;
use crate::records::{self, Change, Changed, Query, Refused};

/// Why a look or a change came to nothing.
#[derive(Debug)]
pub(super) enum RecordError {
    Refused(Refused),
    Db(DbError),
}

impl From<Refused> for RecordError {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<DbError> for RecordError {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}

impl From<sqlx::Error> for RecordError {
    fn from(error: sqlx::Error) -> Self {
        Self::Db(error.into())
    }
}

/// A change that was made, before its transaction is committed.
#[derive(Debug)]
pub(super) struct Applied {
    /// What the guest is given.
    value: Value,
    /// What the audit log says beside the call itself.
    events: Vec<Event>,
    /// Whether a task may have become claimable.
    frees: bool,
}

impl Applied {
    pub(super) fn new(value: Value) -> Self {
        Self { value, events: Vec::new(), frees: false }
    }
}

impl Db {
    /// Answers a look of a run.
    pub async fn look(&self, key: &RunKey, query: &Query) -> Result<Result<Value, Refused>, DbError> {
        let answer = match query {
            Query::Tasks(query) => tasks::look(self, key, query).await,
            Query::Goals(query) => goals::look(self, key, query).await,
            Query::Workers(query) => workers::look(self, query).await,
            Query::Metrics(query) => metrics::look(self, query).await,
            Query::Logs(query) => logs::look(self, query).await,
            Query::Alerts(query) => alerts::look(self, query).await,
            Query::Learnings(query) => learnings::look(self, key, query).await,
            Query::Models(query) => self.look_at_models(key, query).await.map_err(RecordError::from),
        };
        match answer {
            Ok(value) => Ok(Ok(value)),
            Err(RecordError::Refused(refused)) => Ok(Err(refused)),
            Err(RecordError::Db(error)) => Err(error),
        }
    }

    /// Makes a change of a run, and stores its step with the result. `row` is the step as far as it is known: without an
    /// outcome. `batch` is what the run has written down before it. Says, too, whether a task may have become claimable.
    ///
    /// A change that is refused is rolled back whole and its step stored in a transaction of its own, rather than behind a
    /// savepoint: what a transaction did to approvals is found by its id, which a savepoint has not.
    pub async fn change(
        &self,
        key: &RunKey,
        batch: Batch,
        row: StepRow,
        change: &Change,
    ) -> Result<(Changed, bool), DbError> {
        let mut tx = self.begin_audited().await?;
        hold(&mut tx, key).await?;
        // A commit whose answer was lost: it is done.
        if let Some(changed) = changed_before(&mut tx, key, row.step.position).await? {
            return Ok((changed, true));
        }
        match apply(self, &mut tx, key, row.step.position, change).await {
            Ok(Applied { value, events, frees }) => {
                let changed = store(tx, key, batch, row, Ok(value), events).await?;
                Ok((changed, frees))
            }
            Err(RecordError::Db(error)) => Err(error),
            Err(RecordError::Refused(refused)) => {
                drop(tx);
                let mut tx = self.begin_audited().await?;
                hold(&mut tx, key).await?;
                let changed = store(tx, key, batch, row, Err(refused), Vec::new()).await?;
                Ok((changed, false))
            }
        }
    }
}

/// Writes the step with what came of it, and commits.
async fn store(
    mut tx: AuditedTx<'_>,
    key: &RunKey,
    mut batch: Batch,
    mut row: StepRow,
    outcome: Result<Value, Refused>,
    events: Vec<Event>,
) -> Result<Changed, DbError> {
    let changed = Changed { outcome, at: OffsetDateTime::now_utc() };
    row.step.outcome = Some(Outcome { result: records::stored(&changed.outcome), at: changed.at });
    batch.steps.push(row);
    let write = Write::new(key.clone(), batch);
    write_batches(&mut tx, &[&write]).await?;
    let events = events.into_iter().map(Cow::Owned);
    tx.commit(write.batch.events(key).chain(events).collect()).await?;
    Ok(changed)
}

async fn apply(
    db: &Db,
    tx: &mut PgConnection,
    key: &RunKey,
    position: u32,
    change: &Change,
) -> Result<Applied, RecordError> {
    match change {
        Change::Tasks(change) => tasks::apply(db, tx, key, change).await,
        Change::Goals(change) => goals::apply(db, tx, key, change).await,
        Change::Alerts(change) => alerts::apply(tx, key, change).await,
        Change::Learnings(change) => learnings::apply(tx, key, change).await,
        Change::Reports(change) => reports::apply(tx, key, change).await,
        Change::Recommendations(change) => recommendations::apply(db, tx, key, position, change).await,
    }
}

async fn changed_before(tx: &mut PgConnection, key: &RunKey, position: u32) -> Result<Option<Changed>, DbError> {
    let row = sqlx::query!(
        r#"select result as "result!: Value", done_at as "done_at!" from task_steps
           where task_id = $1 and attempt = $2 and position = $3 and state = 'done'"#,
        key.task.0,
        key.attempt.0,
        i32::try_from(position).unwrap_or(i32::MAX),
    )
    .fetch_optional(tx)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let outcome = records::read_stored(&row.result).ok_or_else(|| DbError::corrupt("task_steps.result"))?;
    Ok(Some(Changed { outcome, at: row.done_at }))
}
