//! Many new tasks at once: all of them or none, with few statements whatever their number.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::request_keys::{RequestKey, remember};
use super::tasks::created_event;
use super::{Db, DbError, approvals};
use crate::audit::Event;
use crate::task::{NewTask, Priority, Risk, TaskId, TaskStatus, Treatment};

/// A task that was admitted.
#[derive(Clone, Debug)]
pub struct Admitted {
    pub id: TaskId,
    /// Depends on nothing.
    pub task: NewTask,
    pub treatment: Treatment,
}

/// Where a new task stands.
#[derive(Clone, Copy, Debug)]
struct Stored {
    status: TaskStatus,
    requires_approval: bool,
}

impl Db {
    /// Adds tasks without dependencies; says where each stands, in their order. Fails if there was a request with the
    /// same key.
    pub async fn create_tasks(
        &self,
        tasks: &[Admitted],
        principal: &str,
        key: Option<&RequestKey>,
    ) -> Result<Vec<TaskStatus>, DbError> {
        let mut tx = self.begin_audited().await?;
        if let Some(key) = key {
            let ids: Vec<TaskId> = tasks.iter().map(|task| task.id).collect();
            remember(&mut tx, principal, key, &ids).await?;
        }
        let (statuses, events) = create_in(&mut tx, tasks, principal, self.approval_rules().lifetime).await?;
        tx.commit(events).await?;
        Ok(statuses)
    }
}

/// Adds tasks within the caller's transaction; says where each stands, in their order, and what has to be recorded.
pub(super) async fn create_in(
    tx: &mut PgConnection,
    tasks: &[Admitted],
    principal: &str,
    approval_lifetime: Duration,
) -> Result<(Vec<TaskStatus>, Vec<Event>), DbError> {
    let stored = insert(tx, tasks, principal).await?;
    log(tx, tasks, &stored, principal).await?;
    let mut events: Vec<Event> = Vec::with_capacity(tasks.len());
    let mut waiting = Vec::new();
    for (Admitted { id, task, treatment }, Stored { status, requires_approval }) in tasks.iter().zip(&stored) {
        events.push(created_event(*id, task, treatment, *status, *requires_approval, principal));
        if *status == TaskStatus::WaitingApproval {
            approvals::ask_start(tx, *id, approval_lifetime).await?;
            waiting.push(id.0);
        }
    }
    if !waiting.is_empty() {
        events.extend(approvals::changed(tx, &waiting).await?);
    }
    Ok((stored.iter().map(|stored| stored.status).collect(), events))
}

/// Column by column. In the order of the list, which is that of their ids, so that the first is claimed first.
#[derive(Default)]
struct Columns {
    ids: Vec<Uuid>,
    titles: Vec<String>,
    descriptions: Vec<String>,
    task_types: Vec<String>,
    statuses: Vec<TaskStatus>,
    priorities: Vec<Priority>,
    criteria: Vec<Value>,
    workers: Vec<Option<String>>,
    start_reasons: Vec<Option<String>>,
    risks: Vec<Risk>,
    risk_reasons: Vec<Value>,
    payloads: Vec<Value>,
    attempts_max: Vec<i32>,
    deadlines: Vec<Option<OffsetDateTime>>,
}

impl Columns {
    fn of(tasks: &[Admitted]) -> Self {
        let mut columns = Self::default();
        for Admitted { id, task, treatment } in tasks {
            let draft = task.draft();
            let Treatment { risk, risk_reasons, start_reason, policies: _ } = treatment;
            let waits = start_reason.is_some();
            columns.ids.push(id.0);
            columns.titles.push(draft.title.clone());
            columns.descriptions.push(draft.description.clone());
            columns.task_types.push(draft.task_type.clone());
            columns.statuses.push(if waits { TaskStatus::WaitingApproval } else { TaskStatus::Pending });
            columns.priorities.push(draft.priority);
            columns.criteria.push(draft.acceptance_criteria.clone());
            columns.workers.push(draft.assigned_worker.clone());
            columns.start_reasons.push(start_reason.clone());
            columns.risks.push(*risk);
            columns.risk_reasons.push(json!(risk_reasons));
            columns.payloads.push(draft.payload.clone());
            columns.attempts_max.push(i32::try_from(draft.attempts_max).unwrap_or(i32::MAX));
            columns.deadlines.push(draft.deadline_at);
        }
        columns
    }
}

async fn insert(tx: &mut PgConnection, tasks: &[Admitted], principal: &str) -> Result<Vec<Stored>, DbError> {
    let columns = Columns::of(tasks);
    let rows = sqlx::query!(
        r#"insert into governance_tasks (id, title, description, task_type, status, priority, acceptance_criteria,
            assigned_worker, requires_approval, approval_reason, risk, risk_reasons, payload, attempts_max, deadline_at,
            created_by)
        select id, title, description, task_type, status, priority, criteria, worker, start_reason is not null,
            start_reason, risk, risk_reasons, payload, attempts_max, deadline_at, $15
        from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::task_status[], $6::task_priority[],
                $7::jsonb[], $8::text[], $9::text[], $10::risk_level[], $11::jsonb[], $12::jsonb[], $13::integer[],
                $14::timestamptz[])
            with ordinality as task (id, title, description, task_type, status, priority, criteria, worker,
                start_reason, risk, risk_reasons, payload, attempts_max, deadline_at, number)
        order by number
        returning id as "id: TaskId", status as "status: TaskStatus", requires_approval"#,
        &columns.ids,
        &columns.titles,
        &columns.descriptions,
        &columns.task_types,
        columns.statuses as Vec<TaskStatus>,
        columns.priorities as Vec<Priority>,
        &columns.criteria,
        &columns.workers as &[Option<String>],
        &columns.start_reasons as &[Option<String>],
        columns.risks as Vec<Risk>,
        &columns.risk_reasons,
        &columns.payloads,
        &columns.attempts_max,
        &columns.deadlines as &[Option<OffsetDateTime>],
        principal
    )
    .fetch_all(tx)
    .await?;
    let by_id =
        rows.into_iter().map(|row| (row.id, Stored { status: row.status, requires_approval: row.requires_approval }));
    let by_id: HashMap<TaskId, Stored> = by_id.collect();
    let stored = tasks.iter().map(|task| by_id.get(&task.id).copied());
    stored.map(|stored| stored.ok_or(DbError::Corrupt("governance_tasks"))).collect()
}

/// The line of each that the creation of a single task writes, too.
async fn log(tx: &mut PgConnection, tasks: &[Admitted], stored: &[Stored], principal: &str) -> Result<(), DbError> {
    let ids: Vec<Uuid> = tasks.iter().map(|task| task.id.0).collect();
    let messages: Vec<String> =
        stored.iter().map(|stored| format!("Task created by {principal}, {}", stored.status)).collect();
    sqlx::query!(
        "insert into execution_logs (task_id, action, level, message, metadata)
        select id, 'task_created', 'info', message, $3
        from unnest($1::uuid[], $2::text[]) with ordinality as line (id, message, number)
        order by number",
        &ids,
        &messages,
        json!({ "principal": principal })
    )
    .execute(tx)
    .await?;
    Ok(())
}
