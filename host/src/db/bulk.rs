//! New tasks, one or many at once: all of them or none, with few statements whatever their number.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::request_keys::{RequestKey, remember};
use super::task_views::TaskSummary;
use super::{Db, DbError, approvals};
use crate::audit::{Event, EventKind};
use crate::task::{GoalId, NewTask, Priority, Risk, TaskId, TaskStatus, Treatment};

/// A task that was admitted.
#[derive(Clone, Debug)]
pub struct Admitted {
    pub id: TaskId,
    /// Depends on tasks that exist, or on others of the same list.
    pub task: NewTask,
    pub treatment: Treatment,
}

/// Who makes tasks, and what for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin<'a> {
    /// Nobody approves what he asked for: this is who asked.
    pub(super) creator: &'a str,
    /// Who did it: the creator, or a worker for him.
    pub(super) actor: &'a str,
    pub(super) goal: Option<GoalId>,
}

impl<'a> Origin<'a> {
    pub(super) fn of(principal: &'a str) -> Self {
        Self { creator: principal, actor: principal, goal: None }
    }
}

impl Db {
    /// Adds tasks; says where each stands, in their order. Fails if there was a request with the same key.
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
        let lifetime = self.approval_rules().lifetime;
        let (created, events) = create_in(&mut tx, tasks, Origin::of(principal), lifetime).await?;
        tx.commit(events).await?;
        Ok(created.iter().map(|task| task.status).collect())
    }
}

/// Adds tasks within the caller's transaction; gives each as it was stored, in their order, and what has to be recorded.
pub(super) async fn create_in(
    tx: &mut PgConnection,
    tasks: &[Admitted],
    origin: Origin<'_>,
    approval_lifetime: Duration,
) -> Result<(Vec<TaskSummary>, Vec<Event>), DbError> {
    let blocked_by = lock_dependencies(tx, tasks).await?;
    let stored = insert(tx, tasks, &blocked_by, origin).await?;
    depend(tx, tasks).await?;
    let mut events: Vec<Event> = Vec::with_capacity(tasks.len());
    let mut waiting = Vec::new();
    for (admitted, stored) in tasks.iter().zip(&stored) {
        events.push(created_event(admitted, stored.status, stored.requires_approval, origin));
        if stored.status == TaskStatus::WaitingApproval {
            approvals::ask_start(tx, stored.id, approval_lifetime).await?;
            waiting.push(stored.id.0);
        }
    }
    if !waiting.is_empty() {
        events.extend(approvals::changed(tx, &waiting).await?);
    }
    Ok((stored, events))
}

/// Locks what the new tasks depend on, so that none of it completes unseen, and counts for each what is not completed.
async fn lock_dependencies(tx: &mut PgConnection, tasks: &[Admitted]) -> Result<Vec<i32>, DbError> {
    let own: HashSet<TaskId> = tasks.iter().map(|task| task.id).collect();
    // Sorted, so that two creations lock the same rows in the same order.
    let named: BTreeSet<TaskId> = tasks.iter().flat_map(|task| task.task.draft().depends_on.iter().copied()).collect();
    let others: Vec<TaskId> = named.into_iter().filter(|id| !own.contains(id)).collect();
    let mut completed: HashSet<TaskId> = HashSet::new();
    if !others.is_empty() {
        let uuids: Vec<_> = others.iter().map(|id| id.0).collect();
        let found = sqlx::query!(
            r#"select id as "id: TaskId", status as "status: TaskStatus" from governance_tasks
            where id = any($1) order by id for share"#,
            &uuids
        )
        .fetch_all(tx)
        .await?;
        let missing: Vec<_> = others.into_iter().filter(|id| found.iter().all(|row| row.id != *id)).collect();
        if !missing.is_empty() {
            return Err(DbError::UnknownDependencies(missing));
        }
        completed.extend(found.iter().filter(|row| row.status == TaskStatus::Completed).map(|row| row.id));
    }
    let open = |task: &Admitted| {
        let open = distinct(task).into_iter().filter(|id| !completed.contains(id)).count();
        i32::try_from(open).unwrap_or(i32::MAX)
    };
    Ok(tasks.iter().map(open).collect())
}

fn distinct(task: &Admitted) -> BTreeSet<TaskId> {
    task.task.draft().depends_on.iter().copied().collect()
}

async fn depend(tx: &mut PgConnection, tasks: &[Admitted]) -> Result<(), DbError> {
    let pairs = tasks.iter().flat_map(|task| distinct(task).into_iter().map(|on| (task.id.0, on.0)));
    let (ids, on): (Vec<Uuid>, Vec<Uuid>) = pairs.unzip();
    if ids.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into task_dependencies (task_id, depends_on) select * from unnest($1::uuid[], $2::uuid[])",
        &ids,
        &on
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Where a new or retried task stands: approval comes first, then what it depends on.
pub(super) fn waiting_status(needs_approval: bool, blocked_by: i32) -> TaskStatus {
    match (needs_approval, blocked_by) {
        (true, _) => TaskStatus::WaitingApproval,
        (false, 0) => TaskStatus::Pending,
        (false, _) => TaskStatus::Suspended,
    }
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
    blocked_by: Vec<i32>,
}

impl Columns {
    fn of(tasks: &[Admitted], blocked_by: &[i32]) -> Self {
        let mut columns = Self { blocked_by: blocked_by.to_vec(), ..Self::default() };
        for (Admitted { id, task, treatment }, blocked_by) in tasks.iter().zip(blocked_by) {
            let draft = task.draft();
            let Treatment { risk, risk_reasons, start_reason, policies: _ } = treatment;
            columns.ids.push(id.0);
            columns.titles.push(draft.title.clone());
            columns.descriptions.push(draft.description.clone());
            columns.task_types.push(draft.task_type.clone());
            columns.statuses.push(waiting_status(start_reason.is_some(), *blocked_by));
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

/// The tasks, and the line of each in the execution log.
async fn insert(
    tx: &mut PgConnection,
    tasks: &[Admitted],
    blocked_by: &[i32],
    origin: Origin<'_>,
) -> Result<Vec<TaskSummary>, DbError> {
    let columns = Columns::of(tasks, blocked_by);
    let Origin { creator, actor, goal } = origin;
    let who = if actor == creator { creator.to_owned() } else { format!("{actor} for {creator}") };
    let rows = sqlx::query_file_as!(
        TaskSummary,
        "src/db/create_tasks.sql",
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
        &columns.blocked_by,
        creator,
        goal as Option<GoalId>,
        who,
        json!({ "principal": actor })
    )
    .fetch_all(tx)
    .await?;
    let mut by_id: HashMap<TaskId, TaskSummary> = rows.into_iter().map(|row| (row.id, row)).collect();
    let stored = tasks.iter().map(|task| by_id.remove(&task.id).ok_or(DbError::Corrupt("governance_tasks")));
    stored.collect()
}

/// What was asked for, by its digest: the payload itself may be large, and may have to be removed one day.
pub(super) fn created_event(
    admitted: &Admitted,
    status: TaskStatus,
    requires_approval: bool,
    origin: Origin<'_>,
) -> Event {
    let Admitted { id, task, treatment } = admitted;
    let draft = task.draft();
    let sha256 = |text: String| hex::encode(Sha256::digest(text.as_bytes()));
    let mut details = json!({
        "title": draft.title, "task_type": draft.task_type, "declared_risk": draft.risk,
        "risk": treatment.risk, "risk_reasons": treatment.risk_reasons, "policies": treatment.policies,
        "priority": draft.priority, "assigned_worker": draft.assigned_worker, "requires_approval": requires_approval,
        "depends_on": draft.depends_on, "deadline_at": draft.deadline_at.map(OffsetDateTime::unix_timestamp),
        "payload_sha256": sha256(draft.payload.to_string()),
        "criteria_sha256": sha256(draft.acceptance_criteria.to_string()),
    });
    if let Some(goal) = origin.goal {
        details["goal"] = json!(goal);
        details["created_by"] = json!(origin.creator);
    }
    Event::moved(EventKind::TaskCreated, *id, status, origin.actor, details)
}
