//! Tasks as people handle them: create, look, cancel, retry. The queue's side (claim, lease, finish) is elsewhere.

use serde_json::json;
use sha2::{Digest as _, Sha256};
use sqlx::{PgConnection, Postgres, Transaction};
use time::OffsetDateTime;

use super::attempts::{Ended, end_attempts};
use super::logs::{LogEntry, append};
use super::request_keys::{RequestKey, remember};
use super::task_views::{Dependency, RunView, TaskContent, TaskCursor, TaskDetail, TaskFilter, TaskSummary};
use super::{Db, DbError, approvals, rows};
use crate::audit::{Event, EventKind};
use crate::task::{LogLevel, NewTask, Priority, Risk, TaskId, TaskStatus, Treatment};

/// Why a task of this risk waits before it runs; none if it does not.
fn approval_reason(risk: Risk) -> Option<String> {
    risk.needs_start_approval().then(|| format!("Declared risk {risk}: a person has to approve before it runs"))
}

/// Where a task that is ready to be looked at stands: approval comes first, then what it depends on.
fn waiting_status(needs_approval: bool, blocked_by: i32) -> TaskStatus {
    match (needs_approval, blocked_by) {
        (true, _) => TaskStatus::WaitingApproval,
        (false, 0) => TaskStatus::Pending,
        (false, _) => TaskStatus::Suspended,
    }
}

impl Db {
    /// Adds a task and its dependencies, and says where it stands. Fails if there was a request with the same key.
    pub async fn create_task(
        &self,
        id: TaskId,
        task: &NewTask,
        treatment: &Treatment,
        principal: &str,
        key: Option<&RequestKey>,
    ) -> Result<TaskSummary, DbError> {
        let mut tx = self.begin_audited().await?;
        if let Some(key) = key {
            remember(&mut tx, principal, key, &[id]).await?;
        }
        let depends_on = distinct(&task.draft().depends_on);
        let blocked_by = lock_dependencies(&mut tx, &depends_on).await?;
        insert(&mut tx, id, task, treatment, blocked_by, principal).await?;
        if !depends_on.is_empty() {
            let ids: Vec<_> = depends_on.iter().map(|id| id.0).collect();
            sqlx::query!(
                "insert into task_dependencies (task_id, depends_on) select $1, * from unnest($2::uuid[])",
                id as TaskId,
                &ids
            )
            .execute(&mut **tx)
            .await?;
        }
        let status = waiting_status(treatment.start_reason.is_some(), blocked_by);
        let message = format!("Task created by {principal}, {status}");
        log(&mut tx, id, "task_created", message, principal).await?;
        if status == TaskStatus::WaitingApproval {
            approvals::ask_start(&mut tx, id, self.approvals.lifetime).await?;
        }
        let summary = summary(&mut tx, id).await?;
        let mut events = vec![created_event(id, task, treatment, summary.status, summary.requires_approval, principal)];
        if status == TaskStatus::WaitingApproval {
            events.extend(approvals::changed(&mut tx, &[id.0]).await?);
        }
        tx.commit(events).await?;
        Ok(summary)
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
        let TaskFilter { status, task_type, priority, assigned_worker } = filter;
        let tasks = sqlx::query_file_as!(
            TaskSummary,
            "src/db/list_tasks.sql",
            status as &Option<TaskStatus>,
            task_type.as_deref(),
            priority as &Option<Priority>,
            assigned_worker.as_deref(),
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
        let Locked { status: from, .. } = lock(&mut tx, id).await?;
        if !from.may_become(TaskStatus::Cancelled) {
            return Err(DbError::WrongStatus { id, from, action: "cancelled" });
        }
        sqlx::query!(
            "update governance_tasks set status = $2, completed_at = now() where id = $1",
            id as TaskId,
            TaskStatus::Cancelled as TaskStatus
        )
        .execute(&mut **tx)
        .await?;
        end_attempts(&mut tx, &[id.0], Ended::Cancelled.name()).await?;
        log(&mut tx, id, "task_cancelled", format!("Task cancelled by {principal}, was {from}"), principal).await?;
        let summary = summary(&mut tx, id).await?;
        let details = json!({ "from": from });
        let mut events = vec![Event::moved(EventKind::TaskCancelled, id, summary.status, principal, details)];
        events.extend(approvals::changed(&mut tx, &[id.0]).await?);
        tx.commit(events).await?;
        Ok(summary)
    }

    /// Gives a task that ended without success one more attempt. What it waited for before, it waits for again.
    pub async fn retry_task(&self, id: TaskId, principal: &str) -> Result<TaskSummary, DbError> {
        let mut tx = self.begin_audited().await?;
        let Locked { status: from, late, .. } = lock(&mut tx, id).await?;
        match from {
            TaskStatus::Failed | TaskStatus::Cancelled | TaskStatus::DeadLetter => {}
            TaskStatus::Pending
            | TaskStatus::InProgress
            | TaskStatus::WaitingApproval
            | TaskStatus::Suspended
            | TaskStatus::Completed => return Err(DbError::WrongStatus { id, from, action: "retried" }),
        }
        requeue(&mut tx, id).await?;
        // Ending a task does not settle an approval that was asked for, and one that was given is used up: the trigger
        // says so in the row.
        let Locked { risk, blocked_by, requires_approval, .. } = lock(&mut tx, id).await?;
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
            .execute(&mut **tx)
            .await?;
        }
        if to == TaskStatus::WaitingApproval {
            approvals::ask_start(&mut tx, id, self.approvals.lifetime).await?;
        }
        let lifted = if late { "; its deadline has passed and is lifted" } else { "" };
        let message = format!("Task retried by {principal}, was {from}, is {to}{lifted}");
        log(&mut tx, id, "task_retried", message, principal).await?;
        let summary = summary(&mut tx, id).await?;
        let details = json!({ "from": from, "attempt": summary.attempt, "deadline_lifted": late });
        let mut events = vec![Event::moved(EventKind::TaskRetried, id, summary.status, principal, details)];
        events.extend(approvals::changed(&mut tx, &[id.0]).await?);
        tx.commit(events).await?;
        Ok(summary)
    }
}

/// What was asked for, by its digest: the payload itself may be large, and may have to be removed one day.
pub(super) fn created_event(
    id: TaskId,
    task: &NewTask,
    treatment: &Treatment,
    status: TaskStatus,
    requires_approval: bool,
    principal: &str,
) -> Event {
    let draft = task.draft();
    let sha256 = |text: String| hex::encode(Sha256::digest(text.as_bytes()));
    let details = json!({
        "title": draft.title, "task_type": draft.task_type, "declared_risk": draft.risk,
        "risk": treatment.risk, "risk_reasons": treatment.risk_reasons, "policies": treatment.policies, "priority": draft.priority,
        "assigned_worker": draft.assigned_worker, "requires_approval": requires_approval,
        "depends_on": draft.depends_on, "deadline_at": draft.deadline_at.map(OffsetDateTime::unix_timestamp), "payload_sha256": sha256(draft.payload.to_string()),
        "criteria_sha256": sha256(draft.acceptance_criteria.to_string()),
    });
    Event::moved(EventKind::TaskCreated, id, status, principal, details)
}

fn distinct(ids: &[TaskId]) -> Vec<TaskId> {
    let mut ids = ids.to_vec();
    // Sorted, so that two creations lock the same rows in the same order.
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// Locks what a new task depends on, so that none of it completes unseen, and counts what is not completed.
async fn lock_dependencies(tx: &mut Transaction<'_, Postgres>, ids: &[TaskId]) -> Result<i32, DbError> {
    if ids.is_empty() {
        return Ok(0);
    }
    let uuids: Vec<_> = ids.iter().map(|id| id.0).collect();
    let found = sqlx::query!(
        r#"select id as "id: TaskId", status as "status: TaskStatus" from governance_tasks
        where id = any($1) order by id for share"#,
        &uuids
    )
    .fetch_all(&mut **tx)
    .await?;
    let missing: Vec<_> = ids.iter().copied().filter(|id| found.iter().all(|row| row.id != *id)).collect();
    if !missing.is_empty() {
        return Err(DbError::UnknownDependencies(missing));
    }
    let open = found.iter().filter(|row| row.status != TaskStatus::Completed).count();
    Ok(i32::try_from(open).unwrap_or(i32::MAX))
}

async fn insert(
    tx: &mut Transaction<'_, Postgres>,
    id: TaskId,
    task: &NewTask,
    treatment: &Treatment,
    blocked_by: i32,
    principal: &str,
) -> Result<(), DbError> {
    let draft = task.draft();
    let Treatment { risk, risk_reasons, start_reason, policies: _ } = treatment;
    sqlx::query!(
        "insert into governance_tasks (id, title, description, task_type, status, priority, acceptance_criteria,
            assigned_worker, requires_approval, approval_reason, risk, payload, created_by, attempts_max, blocked_by,
            risk_reasons, deadline_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)",
        id as TaskId,
        draft.title,
        draft.description,
        draft.task_type,
        waiting_status(start_reason.is_some(), blocked_by) as TaskStatus,
        draft.priority as Priority,
        draft.acceptance_criteria,
        draft.assigned_worker,
        start_reason.is_some(),
        start_reason.as_deref(),
        *risk as Risk,
        draft.payload,
        principal,
        i32::try_from(draft.attempts_max).unwrap_or(i32::MAX),
        blocked_by,
        json!(risk_reasons),
        draft.deadline_at
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Puts an ended task back to `pending` with the next attempt, without what the last claim and its end had set.
/// An attempt that left a mutation unsettled goes on instead: only its own journal knows what to look for.
async fn requeue(tx: &mut Transaction<'_, Postgres>, id: TaskId) -> Result<(), DbError> {
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
    .execute(&mut **tx)
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

async fn lock(tx: &mut Transaction<'_, Postgres>, id: TaskId) -> Result<Locked, DbError> {
    sqlx::query_as!(
        Locked,
        r#"select status as "status: TaskStatus", risk as "risk: Risk", blocked_by, requires_approval,
            coalesce(deadline_at <= now(), false) as "late!"
        from governance_tasks where id = $1 for update"#,
        id as TaskId
    )
    .fetch_optional(&mut **tx)
    .await?
    .ok_or(DbError::UnknownTask(id))
}

async fn summary(tx: &mut PgConnection, id: TaskId) -> Result<TaskSummary, DbError> {
    sqlx::query_as!(
        TaskSummary,
        r#"select id as "id: TaskId", title, task_type, status as "status: TaskStatus",
            priority as "priority: Priority", risk as "risk: Risk", assigned_worker, attempt, attempts_max, blocked_by,
            requires_approval, approval_reason, error_message, created_by, created_at, started_at, completed_at, deadline_at
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

async fn log(
    tx: &mut Transaction<'_, Postgres>,
    id: TaskId,
    action: &str,
    message: String,
    principal: &str,
) -> Result<(), DbError> {
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
