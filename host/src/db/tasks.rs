//! Tasks as people handle them: create, look, cancel, retry. The queue's side (claim, lease, finish) is elsewhere.

use std::time::Duration;

use serde_json::json;
use sqlx::PgConnection;
use tracing::warn;

use super::attempts::{Ended, end_attempts};
use super::bulk::{Admitted, Origin, create_in, waiting_status};
use super::logs::{LogEntry, append};
use super::queue::IdleWorkers;
use super::request_keys::{RequestKey, remember};
use super::task_views::{Dependency, RunView, TaskContent, TaskCursor, TaskDetail, TaskFilter, TaskSummary};
use super::{Db, DbError, approvals, goals, rows};
use crate::audit::{Event, EventKind, short};
use crate::task::{GoalId, LogLevel, Priority, Risk, TaskId, TaskStatus};

/// Why a task of this risk waits before it runs; none if it does not.
fn approval_reason(risk: Risk) -> Option<String> {
    risk.needs_start_approval().then(|| format!("Declared risk {risk}: a person has to approve before it runs"))
}

impl Db {
    /// Adds a task and its dependencies, and says where it stands. A worker that is idle and would claim it has it at once.
    /// Fails if there was a request with the same key.
    pub async fn create_task(
        &self,
        task: &Admitted,
        principal: &str,
        key: Option<&RequestKey>,
        idle: &IdleWorkers,
    ) -> Result<TaskSummary, DbError> {
        let handed = self.hand_over(idle, task, principal, key).await;
        if let Ok(Some(created)) = handed {
            return Ok(created);
        }
        let mut tx = self.begin_audited().await?;
        match handed {
            Err(DbError::RequestRepeated) => return Err(DbError::RequestRepeated),
            Err(error) => {
                warn!(task.id = %task.id, %error, "a task could not be handed to an idle worker; it waits for a claim");
                // Perhaps only the answer was lost.
                match summary(&mut tx, task.id).await {
                    Err(DbError::UnknownTask(_)) => {}
                    found => return found,
                }
            }
            Ok(_) => {}
        }
        if let Some(key) = key {
            remember(&mut tx, principal, key, &[task.id]).await?;
        }
        let tasks = std::slice::from_ref(task);
        let (mut created, events) = create_in(&mut tx, tasks, Origin::of(principal), self.approvals.lifetime).await?;
        let created = match created.pop() {
            Some(created) if created.status != TaskStatus::WaitingApproval => created,
            // It was asked for meanwhile.
            Some(_) | None => summary(&mut tx, task.id).await?,
        };
        tx.commit(events).await?;
        Ok(created)
    }

    /// A task with its dependencies and the run of its newest attempt.
    pub async fn task(&self, id: TaskId) -> Result<TaskDetail, DbError> {
        // One snapshot, so that status, dependencies and run belong together.
        let mut tx = self.pool.begin().await?;
        sqlx::query!("set transaction isolation level repeatable read, read only").execute(&mut *tx).await?;
        let summary = summary(&mut tx, id).await?;
        let content = content(&mut tx, id).await?;
        let depends_on = sqlx::query_as!(
            Dependency,
            r#"select t.id as "id: TaskId", t.title, t.status as "status: TaskStatus"
            from task_dependencies d join governance_tasks t on t.id = d.depends_on
            where d.task_id = $1 order by t.created_at, t.id limit $2"#,
            id as TaskId,
            rows(u32::MAX)
        )
        .fetch_all(&mut *tx)
        .await?;
        let run = sqlx::query_as!(
            RunView,
            r#"select attempt, worker_id, role, encode(component_sha256, 'hex') as "component_sha256!",
                encode(manifest_sha256, 'hex') as "manifest_sha256!", started_at
            from task_runs where task_id = $1 order by attempt desc limit 1"#,
            id as TaskId
        )
        .fetch_optional(&mut *tx)
        .await?;
        let approvals = approvals::open_of_task(&mut tx, id).await?;
        tx.commit().await?;
        Ok(TaskDetail { summary, content, depends_on, run, approvals })
    }

    /// Where a task stands.
    pub async fn task_status(&self, id: TaskId) -> Result<TaskStatus, DbError> {
        sqlx::query_scalar!(
            r#"select status as "status: TaskStatus" from governance_tasks where id = $1"#,
            id as TaskId
        )
        .fetch_optional(&self.pool)
        .await?
        .ok_or(DbError::UnknownTask(id))
    }

    /// Tasks that fit the filter, newest first, from just after the cursor.
    pub async fn list_tasks(
        &self,
        filter: &TaskFilter,
        after: TaskCursor,
        limit: u32,
    ) -> Result<Vec<TaskSummary>, DbError> {
        let TaskFilter { status, task_type, priority, assigned_worker, goal } = filter;
        let tasks = sqlx::query_file_as!(
            TaskSummary,
            "src/db/list_tasks.sql",
            status as &Option<TaskStatus>,
            task_type.as_deref(),
            priority as &Option<Priority>,
            assigned_worker.as_deref(),
            goal as &Option<GoalId>,
            after.created_at,
            after.id as TaskId,
            rows(limit)
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(tasks)
    }

    /// Ends a task that has not ended. A run that is under way loses its lease with that and can write nothing more.
    pub async fn cancel_task(&self, id: TaskId, principal: &str) -> Result<TaskSummary, DbError> {
        let mut tx = self.begin_audited().await?;
        let events = cancel_in(&mut tx, id, principal, None).await?;
        let summary = summary(&mut tx, id).await?;
        tx.commit(events).await?;
        Ok(summary)
    }

    /// Gives a task that ended without success one more attempt. What it waited for before, it waits for again. A goal
    /// that it plans is open again with it.
    pub async fn retry_task(&self, id: TaskId, principal: &str) -> Result<TaskSummary, DbError> {
        let mut tx = self.begin_audited().await?;
        let (summary, events) = retry_in(&mut tx, id, principal, self.approvals.lifetime).await?;
        tx.commit(events).await?;
        Ok(summary)
    }
}

/// Cancels a task within the caller's transaction, and says what has to be recorded.
pub(super) async fn cancel_in(
    tx: &mut PgConnection,
    id: TaskId,
    by: &str,
    why: Option<&str>,
) -> Result<Vec<Event>, DbError> {
    let Locked { status: from, .. } = lock(tx, id).await?;
    if !from.may_become(TaskStatus::Cancelled) {
        return Err(DbError::WrongStatus { id, from, action: "cancelled" });
    }
    sqlx::query!(
        "update governance_tasks set status = $2, completed_at = now() where id = $1",
        id as TaskId,
        TaskStatus::Cancelled as TaskStatus
    )
    .execute(&mut *tx)
    .await?;
    end_attempts(&mut *tx, &[id.0], Ended::Cancelled.name()).await?;
    let because = why.map(|why| format!(": {why}")).unwrap_or_default();
    log(tx, id, "task_cancelled", format!("Task cancelled by {by}, was {from}{because}"), by).await?;
    let mut details = json!({ "from": from });
    if let Some(why) = why {
        details["reason"] = json!(short(why));
    }
    let mut events = vec![Event::moved(EventKind::TaskCancelled, id, TaskStatus::Cancelled, by, details)];
    events.extend(approvals::changed(tx, &[id.0]).await?);
    Ok(events)
}

/// Retries a task within the caller's transaction.
pub(super) async fn retry_in(
    tx: &mut PgConnection,
    id: TaskId,
    by: &str,
    approval_lifetime: Duration,
) -> Result<(TaskSummary, Vec<Event>), DbError> {
    let mut events = goals::before_retry(tx, id, by).await?;
    let Locked { status: from, late, .. } = lock(tx, id).await?;
    match from {
        TaskStatus::Failed | TaskStatus::Cancelled | TaskStatus::DeadLetter => {}
        TaskStatus::Pending
        | TaskStatus::InProgress
        | TaskStatus::WaitingApproval
        | TaskStatus::Suspended
        | TaskStatus::Completed => return Err(DbError::WrongStatus { id, from, action: "retried" }),
    }
    requeue(tx, id).await?;
    // Ending a task does not settle an approval that was asked for, and one that was given is used up: the trigger
    // says so in the row.
    let Locked { risk, blocked_by, requires_approval, .. } = lock(tx, id).await?;
    let to = waiting_status(requires_approval || risk.needs_start_approval(), blocked_by);
    if to != TaskStatus::Pending {
        // Two steps, because every ended task goes back through `pending`; nobody sees the first one.
        sqlx::query!(
            "update governance_tasks
            set status = $2, requires_approval = requires_approval or $3, approval_reason = coalesce($4, approval_reason)
            where id = $1",
            id as TaskId,
            to as TaskStatus,
            risk.needs_start_approval(),
            approval_reason(risk)
        )
        .execute(&mut *tx)
        .await?;
    }
    if to == TaskStatus::WaitingApproval {
        approvals::ask_start(tx, id, approval_lifetime).await?;
    }
    let lifted = if late { "; its deadline has passed and is lifted" } else { "" };
    log(tx, id, "task_retried", format!("Task retried by {by}, was {from}, is {to}{lifted}"), by).await?;
    let summary = summary(tx, id).await?;
    let details = json!({ "from": from, "attempt": summary.attempt, "deadline_lifted": late });
    events.push(Event::moved(EventKind::TaskRetried, id, summary.status, by, details));
    events.extend(approvals::changed(tx, &[id.0]).await?);
    Ok((summary, events))
}

/// Puts an ended task back to `pending` with the next attempt, without what the last claim and its end had set.
/// An attempt that left a mutation unsettled goes on instead: only its own journal knows what to look for.
async fn requeue(tx: &mut PgConnection, id: TaskId) -> Result<(), DbError> {
    sqlx::query!(
        "update governance_tasks
        set status = $2,
            attempt = attempt + case when unsettled.any then 0 else 1 end,
            attempts_max = greatest(attempts_max, least(attempt + 1, 100)),
            leases_lost = 0, lease_expires_at = null, completed_at = null, evidence = null, completion_evidence = null,
            assigned_worker = case when started_at is null then assigned_worker else requested_worker end,
            started_at = null,
            deadline_at = case when deadline_at > now() then deadline_at end
        from (
            select exists (
                select from task_steps s join governance_tasks t on t.id = s.task_id and t.attempt = s.attempt
                where t.id = $1 and s.effect = 'write' and s.state = 'intended'
            ) as any
        ) as unsettled
        where id = $1",
        id as TaskId,
        TaskStatus::Pending as TaskStatus
    )
    .execute(&mut *tx)
    .await?;
    Ok(())
}

struct Locked {
    status: TaskStatus,
    risk: Risk,
    blocked_by: i32,
    requires_approval: bool,
    /// Its deadline has passed.
    late: bool,
}

async fn lock(tx: &mut PgConnection, id: TaskId) -> Result<Locked, DbError> {
    sqlx::query_as!(
        Locked,
        r#"select status as "status: TaskStatus", risk as "risk: Risk", blocked_by, requires_approval,
            coalesce(deadline_at <= now(), false) as "late!"
        from governance_tasks where id = $1 for update"#,
        id as TaskId
    )
    .fetch_optional(&mut *tx)
    .await?
    .ok_or(DbError::UnknownTask(id))
}

async fn summary(tx: &mut PgConnection, id: TaskId) -> Result<TaskSummary, DbError> {
    sqlx::query_as!(
        TaskSummary,
        r#"select id as "id: TaskId", title, task_type, status as "status: TaskStatus",
            priority as "priority: Priority", risk as "risk: Risk", assigned_worker, attempt, attempts_max, blocked_by,
            requires_approval, approval_reason, error_message, created_by, created_at, started_at, completed_at, deadline_at,
            goal_id as "goal: GoalId"
        from governance_tasks where id = $1"#,
        id as TaskId
    )
    .fetch_optional(tx)
    .await?
    .ok_or(DbError::UnknownTask(id))
}

async fn content(tx: &mut PgConnection, id: TaskId) -> Result<TaskContent, DbError> {
    sqlx::query_as!(
        TaskContent,
        "select description, payload, acceptance_criteria, completion_evidence, evidence, wake_at, lease_expires_at
        from governance_tasks where id = $1",
        id as TaskId
    )
    .fetch_optional(tx)
    .await?
    .ok_or(DbError::UnknownTask(id))
}

async fn log(tx: &mut PgConnection, id: TaskId, action: &str, message: String, principal: &str) -> Result<(), DbError> {
    let entry = LogEntry {
        task_id: Some(id),
        worker_id: None,
        action: action.to_owned(),
        level: LogLevel::Info,
        message,
        metadata: json!({ "principal": principal }),
        error_data: None,
        attempt: None,
    };
    append(tx, &entry).await?;
    Ok(())
}
