//! Tasks, as runs see and change them.
//!
//! Invariant: a run changes only tasks that work for the goal of its own task, and neither its own nor the one that plans
//! the goal. What it may not see or change is told like what does not exist.

use std::collections::HashSet;

use serde_json::{Value, json};
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::bounds::{looked, reading};
use super::{Applied, RecordError};
use crate::db::bulk::{Admitted, Origin, create_in};
use crate::db::journal::RunKey;
use crate::db::steer::{assign_in, prioritise_in};
use crate::db::tasks::{cancel_in, retry_in};
use crate::db::{Db, DbError};
use crate::records::{Refused, TaskChange, TaskListing, TaskMade, TaskQuery, TaskSeen, TaskToCreate, TasksSeen};
use crate::task::{GOAL_TASKS_MAX, GoalId, GoalState, Priority, Risk, TaskId, TaskStatus};

/// Rows of one look.
const LISTED_MAX: u32 = 500;
/// Of the description of each task of a list, and of what is said of its end; `get` has the whole description.
const LISTED_CHARS_MAX: i32 = 2_000;
/// How often a task is tried again, by roles or people, before a role may not any more.
const RESTARTS_MAX: i32 = 10;

pub(super) async fn look(db: &Db, key: &RunKey, query: &TaskQuery) -> Result<Value, RecordError> {
    let (id, listing, seen) = match query {
        TaskQuery::Get { id, seen } => (Some(*id), TaskListing { limit: 1, ..TaskListing::default() }, *seen),
        TaskQuery::List { listing, seen } => (None, listing.clone(), *seen),
    };
    let found = list(db, key, id, &listing, seen == TasksSeen::All).await?;
    match id {
        None => Ok(json!(found)),
        Some(id) => match found.into_iter().next() {
            Some(task) => Ok(json!(task)),
            None => Err(unknown(id).into()),
        },
    }
}

fn unknown(id: TaskId) -> Refused {
    Refused::NotFound(format!("no task {id} is seen or changed by this one"))
}

async fn list(
    db: &Db,
    key: &RunKey,
    id: Option<TaskId>,
    listing: &TaskListing,
    all: bool,
) -> Result<Vec<TaskSeen>, RecordError> {
    let TaskListing { status, task_type, goal, limit } = listing;
    let goal = match goal.as_deref().map(Uuid::parse_str) {
        None => None,
        Some(Ok(goal)) => Some(goal),
        // No task is of such a goal.
        Some(Err(_)) => return Ok(Vec::new()),
    };
    let mut tx = reading(db).await?;
    let rows = sqlx::query!(
        r#"select t.id, t.title, case when $3::uuid is null then left(t.description, $8) else t.description end as "description!",
            t.task_type, t.status as "status: TaskStatus",
            t.priority as "priority: Priority", t.risk as "risk: Risk", t.goal_id, t.assigned_worker, t.attempt,
            array(select d.depends_on from task_dependencies as d where d.task_id = t.id order by 1) as "depends_on!",
            left(t.completion_evidence, $8) as completion_evidence, left(t.error_message, $8) as error_message, t.created_at, t.started_at, t.completed_at
        from governance_tasks as t
        where ($1 or t.goal_id = (select own.goal_id from governance_tasks as own where own.id = $2))
            and ($3::uuid is null or t.id = $3) and ($4::task_status is null or t.status = $4)
            and ($5::text is null or t.task_type = $5) and ($6::uuid is null or t.goal_id = $6)
        order by t.priority, t.created_at, t.id limit $7"#,
        all,
        key.task as TaskId,
        id as Option<TaskId>,
        *status as Option<TaskStatus>,
        task_type.as_deref(),
        goal,
        i64::from((*limit).min(LISTED_MAX)),
        LISTED_CHARS_MAX
    )
    .fetch_all(&mut *tx)
    .await
    .map_err(looked)?;
    let seen = rows.into_iter().map(|row| TaskSeen {
        id: row.id.to_string(),
        title: row.title,
        description: row.description,
        task_type: row.task_type,
        status: row.status,
        priority: row.priority,
        risk: row.risk.to_string(),
        goal: row.goal_id.map(|goal| goal.to_string()),
        assigned_worker: row.assigned_worker,
        attempt: u32::try_from(row.attempt).unwrap_or(0),
        depends_on: row.depends_on.iter().map(Uuid::to_string).collect(),
        completion_evidence: row.completion_evidence,
        error_message: row.error_message,
        created_at_ms: milliseconds(row.created_at),
        started_at_ms: row.started_at.map(milliseconds),
        completed_at_ms: row.completed_at.map(milliseconds),
    });
    Ok(seen.collect())
}

fn milliseconds(at: OffsetDateTime) -> u64 {
    u64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or(0)
}

pub(super) async fn apply(
    db: &Db,
    tx: &mut PgConnection,
    key: &RunKey,
    change: &TaskChange,
) -> Result<Applied, RecordError> {
    match change {
        TaskChange::Create { tasks, tasks_max } => create(db, tx, key, tasks, *tasks_max).await,
        TaskChange::SetPriority { id, priority } => {
            steered(tx, key, *id).await?;
            let event = prioritise_in(tx, *id, *priority, &key.worker.0).await.map_err(refused)?;
            Ok(Applied { value: Value::Null, events: vec![event], frees: true })
        }
        TaskChange::Assign { id, worker } => {
            steered(tx, key, *id).await?;
            let event = assign_in(tx, *id, worker.as_deref(), &key.worker.0).await.map_err(refused)?;
            Ok(Applied { value: Value::Null, events: vec![event], frees: true })
        }
        TaskChange::Cancel { id, reason } => {
            steered(tx, key, *id).await?;
            let events = cancel_in(tx, *id, &key.worker.0, Some(reason)).await.map_err(refused)?;
            Ok(Applied { value: Value::Null, events, frees: false })
        }
        TaskChange::Retry { id } => {
            steered(tx, key, *id).await?;
            may_retry(tx, *id).await?;
            let (task, events) =
                retry_in(tx, *id, &key.worker.0, db.approval_rules().lifetime).await.map_err(refused)?;
            Ok(Applied { value: Value::Null, events, frees: task.status == TaskStatus::Pending })
        }
    }
}

/// What a role can act on is told to it.
pub(super) fn refused(error: DbError) -> RecordError {
    match error {
        DbError::WrongStatus { .. } | DbError::GoalEnded { .. } => Refused::Conflict(error.to_string()).into(),
        error => error.into(),
    }
}

/// What the run's own task works for, and in whose name.
struct Own {
    goal: Option<GoalId>,
    creator: String,
}

async fn own(tx: &mut PgConnection, key: &RunKey) -> Result<Own, DbError> {
    let own = sqlx::query_as!(
        Own,
        r#"select t.goal_id as "goal: GoalId", coalesce(g.created_by, t.created_by) as "creator!"
        from governance_tasks as t left join goals as g on g.id = t.goal_id where t.id = $1"#,
        key.task as TaskId
    )
    .fetch_one(tx)
    .await?;
    Ok(own)
}

async fn create(
    db: &Db,
    tx: &mut PgConnection,
    key: &RunKey,
    tasks: &[TaskToCreate],
    tasks_max: u32,
) -> Result<Applied, RecordError> {
    let Own { goal, creator } = own(tx, key).await?;
    let before = made_before(tx, key).await?;
    if before + tasks.len() > tasks_max as usize {
        let message = format!(
            "this attempt has created {before} tasks, and {} more are beyond tasks-write.tasks_max = {tasks_max}",
            tasks.len()
        );
        return Err(Refused::Denied(message).into());
    }
    if let Some(goal) = goal {
        has_room(tx, goal, tasks.len()).await?;
    }
    known_types(tx, tasks).await?;
    known_dependencies(tx, key, goal, tasks).await?;
    let admitted: Vec<Admitted> = (tasks.iter())
        .map(|TaskToCreate { key: _, id, task, treatment }| Admitted {
            id: *id,
            task: task.clone(),
            treatment: treatment.clone(),
        })
        .collect();
    let origin = Origin { creator: &creator, actor: &key.worker.0, goal };
    let (created, events) = create_in(tx, &admitted, origin, db.approval_rules().lifetime).await?;
    let made: Vec<TaskMade> =
        tasks.iter().map(|task| TaskMade { key: task.key.clone(), id: task.id.to_string() }).collect();
    Ok(Applied { value: json!(made), events, frees: created.iter().any(|task| task.status == TaskStatus::Pending) })
}

/// How many tasks the calls of this attempt have made.
async fn made_before(tx: &mut PgConnection, key: &RunKey) -> Result<usize, DbError> {
    let made = sqlx::query_scalar!(
        r#"select coalesce(sum(json_array_length(result -> 'ok')), 0) as "made!" from task_steps
        where task_id = $1 and attempt = $2 and interface = 'tasks-write' and function = 'create'
            and json_typeof(result -> 'ok') = 'array'"#,
        key.task as TaskId,
        key.attempt.0
    )
    .fetch_one(tx)
    .await?;
    Ok(usize::try_from(made).unwrap_or(usize::MAX))
}

/// Locks the goal, so that it does not end meanwhile.
async fn has_room(tx: &mut PgConnection, goal: GoalId, more: usize) -> Result<(), RecordError> {
    let state = sqlx::query_scalar!(
        r#"select state as "state: GoalState" from goals where id = $1 for no key update"#,
        goal as GoalId
    )
    .fetch_one(&mut *tx)
    .await?;
    if state != GoalState::Open {
        return Err(Refused::Conflict(format!("goal {goal} is {state}: nothing more is done for it")).into());
    }
    let there =
        sqlx::query_scalar!(r#"select count(*) as "there!" from governance_tasks where goal_id = $1"#, goal as GoalId)
            .fetch_one(tx)
            .await?;
    // One of them is the task that plans it.
    if usize::try_from(there).unwrap_or(usize::MAX).saturating_sub(1) + more > GOAL_TASKS_MAX {
        return Err(Refused::Denied(format!("goal {goal} would have more than {GOAL_TASKS_MAX} tasks")).into());
    }
    Ok(())
}

async fn known_types(tx: &mut PgConnection, tasks: &[TaskToCreate]) -> Result<(), RecordError> {
    let named: HashSet<&str> = tasks.iter().map(|task| task.task.draft().task_type.as_str()).collect();
    let named: Vec<String> = named.into_iter().map(str::to_owned).collect();
    let known: HashSet<String> = sqlx::query_scalar!("select name from task_types where name = any ($1)", &named)
        .fetch_all(tx)
        .await?
        .into_iter()
        .collect();
    match tasks.iter().find(|task| !known.contains(&task.task.draft().task_type)) {
        None => Ok(()),
        Some(TaskToCreate { key, task, .. }) => {
            let name = &task.draft().task_type;
            Err(Refused::Invalid(format!("task {key:?}: there is no task type {name:?}")).into())
        }
    }
}

/// What is named by an id is a task of the same goal, and not one that can only end after it.
async fn known_dependencies(
    tx: &mut PgConnection,
    own: &RunKey,
    goal: Option<GoalId>,
    tasks: &[TaskToCreate],
) -> Result<(), RecordError> {
    let made: HashSet<TaskId> = tasks.iter().map(|task| task.id).collect();
    let named: HashSet<TaskId> = tasks.iter().flat_map(|task| task.task.draft().depends_on.iter().copied()).collect();
    let named: Vec<Uuid> = named.difference(&made).map(|id| id.0).collect();
    if named.is_empty() {
        return Ok(());
    }
    let known: HashSet<TaskId> = sqlx::query_scalar!(
        r#"select t.id as "id: TaskId" from governance_tasks as t join goals as g on g.id = t.goal_id
        where t.id = any ($1) and t.goal_id = $2 and t.id <> $3 and t.id is distinct from g.planned_by"#,
        &named,
        goal as Option<GoalId>,
        own.task as TaskId
    )
    .fetch_all(tx)
    .await?
    .into_iter()
    .collect();
    for TaskToCreate { key, task, .. } in tasks {
        let odd = task.draft().depends_on.iter().find(|id| !made.contains(id) && !known.contains(id));
        if let Some(odd) = odd {
            let message = format!("task {key:?}: it depends on {odd}, which is no other task of the same goal");
            return Err(Refused::Invalid(message).into());
        }
    }
    Ok(())
}

/// A task that the run may steer; the same answer for what it may not and for what there is not.
async fn steered(tx: &mut PgConnection, key: &RunKey, id: TaskId) -> Result<(), RecordError> {
    let found = sqlx::query_scalar!(
        r#"select exists (
            select from governance_tasks as t
            join governance_tasks as own on own.goal_id = t.goal_id
            join goals as g on g.id = t.goal_id
            where t.id = $1 and own.id = $2 and t.id <> own.id and t.id is distinct from g.planned_by
        ) as "found!""#,
        id as TaskId,
        key.task as TaskId
    )
    .fetch_one(tx)
    .await?;
    if found { Ok(()) } else { Err(unknown(id).into()) }
}

/// What a person stopped stays stopped until a person lets it go on, and nothing is tried again without end. Tasks that were
/// cancelled before somebody opened their goal again are tried again with it.
async fn may_retry(tx: &mut PgConnection, id: TaskId) -> Result<(), RecordError> {
    let task = sqlx::query!(
        r#"select t.restarts,
            t.status = 'cancelled' and not exists (
                select from audit_log as l join goals as g on g.planned_by = l.task_id
                where g.id = t.goal_id and l.kind = 'task_retried' and l.at >= coalesce(t.completed_at, t.created_at)
            ) as "cancelled!",
            exists (
                select from approvals as a where a.task_id = t.id and a.attempt = t.attempt and a.state = 'denied'
            ) as "denied!"
        from governance_tasks as t where t.id = $1 for no key update of t"#,
        id as TaskId
    )
    .fetch_one(tx)
    .await?;
    let why = if task.cancelled {
        "it was cancelled".to_owned()
    } else if task.denied {
        "a person has denied what it was about to do".to_owned()
    } else if task.restarts >= RESTARTS_MAX {
        format!("it has been tried again {RESTARTS_MAX} times")
    } else {
        return Ok(());
    };
    Err(Refused::Conflict(format!("task {id}: {why}; only a person lets it go on (juggernaut task retry)")).into())
}
