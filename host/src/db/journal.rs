//! Runs and their journal.

use serde_json::{Value, json};
use sqlx::{Postgres, Transaction};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Db, DbError, alerts, approvals};
use crate::approval::Use;
use crate::audit::{Event, EventKind};
use crate::journal::{Alert, Effect, LogLine, NotDurable, Outcome, Raised, Step};
use crate::repo::Sha;
use crate::task::{Attempt, Lease, LogLevel, Risk, Task, TaskId, WorkerId};

/// Whose run writes, and by which claim.
#[derive(Debug, Clone)]
pub struct RunKey {
    pub task: TaskId,
    pub attempt: Attempt,
    pub lease: Lease,
    pub worker: WorkerId,
}

/// An attempt as it began.
#[derive(Debug, Clone)]
pub struct Run {
    pub started_at: OffsetDateTime,
    pub log_lines: u32,
    /// Whether the attempt has run before.
    pub resumed: bool,
}

/// What a run has written down since the last flush, in order.
#[derive(Debug, Default)]
pub struct Batch {
    pub steps: Vec<StepRow>,
    pub lines: Vec<LogLine>,
    /// Lines of the host about this run's calls.
    pub calls: Vec<LogLine>,
    pub raised: Option<Raised>,
    /// Approvals that steps use up, by the steps' positions.
    pub uses: Vec<(u32, Use)>,
    /// What else has to be recorded with it, decisions above all. Mutations need not be said here: see
    /// [`Batch::events`].
    pub audit: Vec<Event>,
    /// Each fingerprint once.
    pub alerts: Vec<Alert>,
}

/// A step as it is stored. The same position may come twice in a batch: first the intent, then the result.
#[derive(Debug, Clone)]
pub struct StepRow {
    pub step: Step,
    /// The arguments, fit for people.
    pub arguments: Value,
}

impl Batch {
    pub fn is_empty(&self) -> bool {
        let Self { steps, lines, calls, raised, uses, audit, alerts } = self;
        let host = alerts.is_empty() && calls.is_empty() && raised.is_none() && uses.is_empty() && audit.is_empty();
        steps.is_empty() && lines.is_empty() && host
    }

    /// What the audit log says of this batch: first what was given, then each intent and each end of a mutation.
    pub(super) fn events(&self, key: &RunKey) -> Vec<Event> {
        let mutations = self.steps.iter().filter(|row| row.step.effect == Effect::Write);
        self.audit.iter().cloned().chain(mutations.map(|row| host_call(key, &row.step))).collect()
    }
}

/// A use of the host's authority: the arguments are in the journal, under this digest.
fn host_call(key: &RunKey, step: &Step) -> Event {
    let outcome = match &step.outcome {
        None => "intended",
        Some(outcome) if outcome.ok().is_some() => "ok",
        Some(_) => "err",
    };
    let details = json!({
        "interface": step.interface, "function": step.function, "arguments_sha256": hex::encode(step.digest),
        "attempt": key.attempt, "position": step.position, "outcome": outcome,
    });
    Event::new(EventKind::HostCall, &key.worker.0, details).of(key.task)
}

impl Db {
    /// Begins an attempt, or finds it begun. Fenced like every write of a run.
    pub async fn begin_run(
        &self,
        key: &RunKey,
        task: &Task,
        role: &str,
        component: &[u8],
        manifest: &[u8],
    ) -> Result<Run, DbError> {
        let mut transaction = self.begin_audited().await?;
        hold(&mut transaction, key).await?;
        let before = sqlx::query!(
            "select component_sha256, manifest_sha256 from task_runs where task_id = $1 and attempt = $2",
            key.task.0,
            key.attempt.0,
        )
        .fetch_optional(&mut **transaction)
        .await?;
        let row = sqlx::query!(
            r#"insert into task_runs (task_id, attempt, worker_id, role, component_sha256, manifest_sha256)
               values ($1, $2, $3, $4, $5, $6)
               on conflict (task_id, attempt) do update set worker_id = excluded.worker_id, role = excluded.role,
                   component_sha256 = excluded.component_sha256, manifest_sha256 = excluded.manifest_sha256
               returning started_at, log_lines"#,
            key.task.0,
            key.attempt.0,
            key.worker.0,
            role,
            component,
            manifest,
        )
        .fetch_one(&mut **transaction)
        .await?;
        if let Some(before) = &before
            && (before.component_sha256 != component || before.manifest_sha256 != manifest)
        {
            log_change(&mut transaction, key, &before.component_sha256, component).await?;
        }
        let resumed = before.is_some();
        log_start(&mut transaction, key, task, resumed, component).await?;
        let kind = if resumed { EventKind::RunResumed } else { EventKind::RunStarted };
        let details = json!({
            "attempt": key.attempt, "lease": key.lease.0, "role": role, "component_sha256": hex::encode(component),
            "manifest_sha256": hex::encode(manifest),
        });
        transaction.commit(vec![Event::new(kind, &key.worker.0, details).of(key.task)]).await?;
        Ok(Run { started_at: row.started_at, log_lines: u32::try_from(row.log_lines).unwrap_or(0), resumed })
    }

    /// Writes a batch, whole or not at all, if the lease still stands.
    pub async fn store_batch(&self, key: &RunKey, batch: &Batch) -> Result<(), NotDurable> {
        let storage = not_durable;
        let mut transaction = self.begin_audited().await.map_err(storage)?;
        hold(&mut transaction, key).await.map_err(storage)?;
        write_batch(&mut transaction, key, batch).await.map_err(storage)?;
        let mut events = batch.events(key);
        if !batch.uses.is_empty() || batch.raised.is_some() {
            events.extend(approvals::changed(&mut transaction, &[key.task.0]).await.map_err(storage)?);
        }
        transaction.commit(events).await.map_err(storage)
    }

    /// The journal of one attempt, in order.
    pub async fn load_steps(&self, task: TaskId, attempt: Attempt) -> Result<Vec<Step>, DbError> {
        let rows = sqlx::query!(
            r#"select position, interface, function, effect as "effect: Effect", arguments_sha256,
                      arguments as "arguments: Value", result as "result: Value", intended_at, done_at
               from task_steps where task_id = $1 and attempt = $2 order by position"#,
            task.0,
            attempt.0,
        )
        .fetch_all(self.pool())
        .await?;
        rows.into_iter()
            .map(|row| {
                let digest = row.arguments_sha256.try_into().map_err(|_| DbError::corrupt("arguments_sha256"))?;
                Ok(Step {
                    position: u32::try_from(row.position).map_err(|_| DbError::corrupt("position"))?,
                    interface: row.interface,
                    function: row.function,
                    effect: row.effect,
                    digest,
                    arguments: row.arguments,
                    intended_at: row.intended_at,
                    outcome: row.result.zip(row.done_at).map(|(result, at)| Outcome { result, at }),
                })
            })
            .collect()
    }

    /// The risk of a task, as far as its runs have raised it.
    pub async fn risk_of_task(&self, task: TaskId) -> Result<Risk, DbError> {
        let risk = sqlx::query_scalar!(r#"select risk as "risk: Risk" from governance_tasks where id = $1"#, task.0)
            .fetch_optional(self.pool())
            .await?;
        risk.ok_or(DbError::UnknownTask(task))
    }

    /// Whether a mutation of the attempt began and its end is not known.
    pub async fn has_unsettled_step(&self, task: TaskId, attempt: Attempt) -> Result<bool, DbError> {
        let found = sqlx::query_scalar!(
            r#"select exists (
                   select from task_steps
                   where task_id = $1 and attempt = $2 and effect = 'write' and state = 'intended'
               ) as "found!""#,
            task.0,
            attempt.0,
        )
        .fetch_one(self.pool())
        .await?;
        Ok(found)
    }

    /// Commits that calls of a task made, in any attempt.
    pub async fn commits_of_task(&self, task: TaskId) -> Result<Vec<Sha>, DbError> {
        let rows = sqlx::query_scalar!(
            r#"select result -> 'ok' ->> 'commit' as "commit!" from task_steps
               where task_id = $1 and interface = 'github-write' and function = 'put-file'
                   and result -> 'ok' ->> 'commit' is not null
               order by attempt, position"#,
            task.0,
        )
        .fetch_all(self.pool())
        .await?;
        rows.iter().map(|sha| Sha::parse(sha).map_err(|_| DbError::corrupt("result"))).collect()
    }
}

pub(super) fn not_durable(error: DbError) -> NotDurable {
    match error {
        DbError::LeaseLost => NotDurable::LeaseLost,
        DbError::NotApproved => NotDurable::NotApproved,
        error => NotDurable::Storage(error.to_string()),
    }
}

/// The `task_start` row of the specification.
async fn log_start(
    transaction: &mut Transaction<'_, Postgres>,
    key: &RunKey,
    task: &Task,
    resumed: bool,
    component: &[u8],
) -> Result<(), DbError> {
    let verb = if resumed { "Resuming" } else { "Starting" };
    sqlx::query!(
        r#"insert into execution_logs (task_id, worker_id, attempt, action, level, message, metadata)
           values ($1, $2, $3, $4, 'info', $5, $6)"#,
        Some(key.task.0) as Option<Uuid>,
        key.worker.0,
        key.attempt.0,
        if resumed { "task_resume" } else { "task_start" },
        format!("{verb} task: {}", task.title),
        json!({
            "task_type": task.task_type, "priority": task.priority, "risk": task.risk,
            "component_sha256": hex::encode(component),
        }),
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// The attempt goes on with another component or manifest than it began with. Its journal holds the new one to the
/// same calls; people get to know.
async fn log_change(
    transaction: &mut Transaction<'_, Postgres>,
    key: &RunKey,
    before: &[u8],
    now: &[u8],
) -> Result<(), DbError> {
    sqlx::query!(
        r#"insert into execution_logs (task_id, worker_id, attempt, action, level, message, metadata)
           values ($1, $2, $3, 'role_changed', 'warn',
               'the role or its manifest changed while the task waited; it is replayed against the journal', $4)"#,
        Some(key.task.0) as Option<Uuid>,
        key.worker.0,
        key.attempt.0,
        json!({ "component_before": hex::encode(before), "component_now": hex::encode(now) }),
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Fails unless the claim still stands, and keeps it standing until the transaction ends.
pub(super) async fn hold(transaction: &mut Transaction<'_, Postgres>, key: &RunKey) -> Result<(), DbError> {
    sqlx::query_scalar!(
        "select 1 from governance_tasks where id = $1 and lease = $2 and status = 'in_progress' for no key update",
        key.task.0,
        key.lease.0,
    )
    .fetch_optional(&mut **transaction)
    .await?
    .map(|_| ())
    .ok_or(DbError::LeaseLost)
}

pub(super) async fn write_batch(
    transaction: &mut Transaction<'_, Postgres>,
    key: &RunKey,
    batch: &Batch,
) -> Result<(), DbError> {
    for row in &batch.steps {
        write_step(transaction, key, row).await?;
    }
    for (position, used) in &batch.uses {
        approvals::consume(transaction, key, *position, used).await?;
    }
    if let Some(raised) = &batch.raised {
        raise(transaction, key, raised).await?;
    }
    if !batch.calls.is_empty() {
        write_lines(transaction, key, &batch.calls).await?;
    }
    alerts::raise_all(transaction, &batch.alerts, Some(key)).await?;
    if batch.lines.is_empty() {
        return Ok(());
    }
    write_lines(transaction, key, &batch.lines).await?;
    sqlx::query!(
        "update task_runs set log_lines = log_lines + $3 where task_id = $1 and attempt = $2",
        key.task.0,
        key.attempt.0,
        i32::try_from(batch.lines.len()).unwrap_or(i32::MAX),
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

async fn raise(transaction: &mut Transaction<'_, Postgres>, key: &RunKey, raised: &Raised) -> Result<(), DbError> {
    sqlx::query!(
        "update governance_tasks set risk = greatest(risk, $2), risk_reasons = $3 where id = $1",
        key.task.0,
        raised.level as Risk,
        json!(raised.reasons),
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

async fn write_step(transaction: &mut Transaction<'_, Postgres>, key: &RunKey, row: &StepRow) -> Result<(), DbError> {
    let StepRow { step, arguments } = row;
    let outcome = step.outcome.as_ref();
    let written = sqlx::query!(
        r#"insert into task_steps (task_id, attempt, position, interface, function, effect, arguments_sha256, arguments,
                                   state, result, lease, intended_at, done_at)
           values ($1, $2, $3, $4, $5, $6, $7, $8, case when $9::json is null then 'intended' else 'done' end::step_state,
                   $9, $10, $11, $12)
           on conflict (task_id, attempt, position) do update
           set state = excluded.state, result = excluded.result, done_at = excluded.done_at, lease = excluded.lease
           where task_steps.state = 'intended' and excluded.state = 'done'"#,
        key.task.0,
        key.attempt.0,
        i32::try_from(step.position).unwrap_or(i32::MAX),
        step.interface,
        step.function,
        step.effect as Effect,
        step.digest.as_slice(),
        arguments,
        outcome.map(|outcome| &outcome.result),
        key.lease.0,
        step.intended_at,
        outcome.map(|outcome| outcome.at),
    )
    .execute(&mut **transaction)
    .await?;
    // A result is written once. A second one would mean that something was done twice.
    if written.rows_affected() == 0 {
        return Err(DbError::corrupt("task_steps: a step that is done was written again"));
    }
    Ok(())
}

async fn write_lines(
    transaction: &mut Transaction<'_, Postgres>,
    key: &RunKey,
    lines: &[LogLine],
) -> Result<(), DbError> {
    let mut levels: Vec<LogLevel> = Vec::with_capacity(lines.len());
    let (mut actions, mut messages, mut times) = (Vec::new(), Vec::new(), Vec::new());
    for LogLine { level, action, message, at } in lines {
        levels.push(*level);
        actions.push((*action).to_owned());
        messages.push(message.clone());
        times.push(*at);
    }
    sqlx::query!(
        r#"insert into execution_logs (task_id, worker_id, attempt, level, action, message, created_at)
           select $1, $2, $3, line.level, line.action, line.message, line.at
           from unnest($4::log_level[], $5::text[], $6::text[], $7::timestamptz[])
               with ordinality as line (level, action, message, at, number)
           order by line.number"#,
        Some(key.task.0) as Option<Uuid>,
        key.worker.0,
        key.attempt.0,
        levels as Vec<LogLevel>,
        &actions,
        &messages,
        &times,
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}
