//! Goals, as runs see and change them.
//!
//! Invariant: a goal is changed only by the run of the task that plans it, whose row this transaction holds already.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::tasks::refused;
use super::{Applied, RecordError};
use crate::audit::{Event, EventKind, short};
use crate::db::goals::{close, log};
use crate::db::journal::RunKey;
use crate::db::queue::criteria_as_stored;
use crate::db::{Db, DbError};
use crate::evidence::judge_goal;
use crate::records::{ChildSeen, GoalChange, GoalClosed, GoalGiven, GoalProgress, GoalQuery, Refused};
use crate::task::{GOAL_TASKS_MAX, GoalId, GoalState, LogLevel, TaskId, TaskStatus};

/// Tasks that a message names.
const NAMED_MAX: usize = 5;
/// Of a child's error, for its planner: characters.
const ERROR_CHARS_MAX: i32 = 1_000;

pub(super) async fn look(db: &Db, key: &RunKey, query: &GoalQuery) -> Result<Value, RecordError> {
    match query {
        GoalQuery::Given { replans_max } => Ok(json!(given(db, key, *replans_max).await?)),
        GoalQuery::Progress => Ok(json!(progress(db, key).await?)),
        GoalQuery::Ended => Ok(json!(ended(db, key).await?)),
    }
}

fn no_goal() -> Refused {
    Refused::NotFound("this task works for no goal".to_owned())
}

async fn given(db: &Db, key: &RunKey, replans_max: u32) -> Result<GoalGiven, RecordError> {
    let goal = sqlx::query!(
        r#"select g.id, g.title, g.description, g.acceptance_criteria, g.plan, g.state as "state: GoalState", g.replans,
            g.replans_max
        from governance_tasks as t join goals as g on g.id = t.goal_id where t.id = $1"#,
        key.task as TaskId
    )
    .fetch_optional(db.pool())
    .await?
    .ok_or_else(no_goal)?;
    Ok(GoalGiven {
        id: goal.id.to_string(),
        title: goal.title,
        description: goal.description,
        acceptance_criteria: goal.acceptance_criteria,
        plan: goal.plan,
        state: goal.state,
        replans_left: replans_left(goal.replans, goal.replans_max, replans_max),
    })
}

/// The goal may allow fewer than the manifest, and the other way round.
fn replans_left(made: i32, of_goal: i32, of_manifest: u32) -> u32 {
    u32::try_from(of_goal).unwrap_or(0).min(of_manifest).saturating_sub(u32::try_from(made).unwrap_or(0))
}

async fn progress(db: &Db, key: &RunKey) -> Result<GoalProgress, RecordError> {
    let goal =
        sqlx::query!(r#"select goal_id as "goal: GoalId" from governance_tasks where id = $1"#, key.task as TaskId)
            .fetch_one(db.pool())
            .await?;
    let goal = goal.goal.ok_or_else(no_goal)?;
    let rows = sqlx::query!(
        r#"select t.id, t.title, t.task_type, t.status as "status: TaskStatus", left(t.error_message, $3) as error_message,
            array(select d.depends_on from task_dependencies as d where d.task_id = t.id order by 1) as "depends_on!",
            (t.id = any (g.replaced)) as "replaced!"
        from governance_tasks as t join goals as g on g.id = t.goal_id
        where t.goal_id = $1 and t.id <> $2 and t.id is distinct from g.planned_by
        order by t.created_at, t.id limit $4"#,
        goal as GoalId,
        key.task as TaskId,
        ERROR_CHARS_MAX,
        i64::try_from(GOAL_TASKS_MAX).unwrap_or(i64::MAX)
    )
    .fetch_all(db.pool())
    .await?;
    let children: Vec<ChildSeen> = (rows.into_iter())
        .map(|row| ChildSeen {
            id: row.id.to_string(),
            title: row.title,
            task_type: row.task_type,
            status: row.status,
            error_message: row.error_message,
            depends_on: row.depends_on.iter().map(Uuid::to_string).collect(),
            replaced: row.replaced,
        })
        .collect();
    let ended = children.iter().filter(|child| child.status.is_final()).count();
    Ok(GoalProgress { children, ended: u32::try_from(ended).unwrap_or(u32::MAX) })
}

async fn ended(db: &Db, key: &RunKey) -> Result<u32, RecordError> {
    let found = sqlx::query!(
        r#"select (g.planned_by is not distinct from own.id) as "plans!",
            (select count(*) from governance_tasks as t where t.goal_id = g.id and t.id <> own.id
                and t.status in ('completed', 'failed', 'cancelled', 'dead_letter')) as "ended!"
        from governance_tasks as own join goals as g on g.id = own.goal_id where own.id = $1"#,
        key.task as TaskId
    )
    .fetch_optional(db.pool())
    .await?
    .ok_or_else(no_goal)?;
    if found.plans { Ok(u32::try_from(found.ended).unwrap_or(u32::MAX)) } else { Err(not_the_planner().into()) }
}

fn not_the_planner() -> Refused {
    Refused::Denied("only the task that plans the goal follows, changes and closes it".to_owned())
}

pub(super) async fn apply(
    _db: &Db,
    tx: &mut PgConnection,
    key: &RunKey,
    change: &GoalChange,
) -> Result<Applied, RecordError> {
    let goal = planned(tx, key).await?;
    match change {
        GoalChange::Replan { reason, replaced, replans_max } => {
            goal.must_be_open()?;
            replan(tx, key, &goal, reason, replaced, *replans_max).await
        }
        GoalChange::Complete { summary, replaced } => complete(tx, key, &goal, summary, replaced).await,
        GoalChange::Fail { reason } => {
            goal.must_be_open()?;
            let outcome = json!({ "reason": reason });
            let events = close(tx, goal.id, GoalState::Failed, &outcome, &key.worker.0).await.map_err(refused)?;
            Ok(Applied { value: Value::Null, events, frees: false })
        }
    }
}

/// The goal that the run's own task plans, locked.
struct Planned {
    id: GoalId,
    state: GoalState,
    criteria: Value,
    outcome: Option<Value>,
    replans: i32,
    replans_max: i32,
    replaced: Vec<Uuid>,
    replanned_at: Option<OffsetDateTime>,
}

impl Planned {
    fn must_be_open(&self) -> Result<(), Refused> {
        let Self { id, state, .. } = self;
        if *state == GoalState::Open { Ok(()) } else { Err(Refused::Conflict(format!("goal {id} is {state} already"))) }
    }
}

async fn planned(tx: &mut PgConnection, key: &RunKey) -> Result<Planned, RecordError> {
    let found = sqlx::query_as!(
        Planned,
        r#"select id as "id: GoalId", state as "state: GoalState", acceptance_criteria as criteria, outcome, replans,
            replans_max, replaced, replanned_at
        from goals where planned_by = $1 for no key update"#,
        key.task as TaskId
    )
    .fetch_optional(tx)
    .await?;
    Ok(found.ok_or_else(not_the_planner)?)
}

/// A child, as far as it decides whether the goal can be closed.
struct Child {
    id: TaskId,
    title: String,
    task_type: String,
    status: TaskStatus,
    evidence: Option<Value>,
    created_at: OffsetDateTime,
}

impl Child {
    fn ended_without_success(&self) -> bool {
        self.status.is_final() && self.status != TaskStatus::Completed
    }
}

async fn children(tx: &mut PgConnection, key: &RunKey, goal: GoalId) -> Result<Vec<Child>, DbError> {
    let children = sqlx::query_as!(
        Child,
        r#"select id as "id: TaskId", title, task_type, status as "status: TaskStatus", evidence, created_at
        from governance_tasks where goal_id = $1 and id <> $2 order by created_at, id"#,
        goal as GoalId,
        key.task as TaskId
    )
    .fetch_all(tx)
    .await?;
    Ok(children)
}

/// Those that were replaced before, and those that are now: each a child that ended without success.
fn all_replaced(goal: &Planned, now: &[TaskId], children: &[Child]) -> Result<BTreeSet<TaskId>, Refused> {
    for id in now {
        match children.iter().find(|child| child.id == *id) {
            None => return Err(Refused::NotFound(format!("no task {id} works for goal {}", goal.id))),
            Some(child) if child.ended_without_success() => {}
            Some(Child { status, .. }) => {
                let message =
                    format!("task {id} is {status}; only what failed, was cancelled or is a dead letter is replaced");
                return Err(Refused::Conflict(message));
            }
        }
    }
    Ok(goal.replaced.iter().map(|id| TaskId(*id)).chain(now.iter().copied()).collect())
}

async fn replan(
    tx: &mut PgConnection,
    key: &RunKey,
    goal: &Planned,
    reason: &str,
    replaced: &[TaskId],
    replans_max: u32,
) -> Result<Applied, RecordError> {
    if replans_left(goal.replans, goal.replans_max, replans_max) == 0 {
        let message = format!("goal {} was planned anew {} times, and no more are allowed", goal.id, goal.replans);
        return Err(Refused::Denied(message).into());
    }
    let all = all_replaced(goal, replaced, &children(tx, key, goal.id).await?)?;
    let all: Vec<Uuid> = all.into_iter().map(|id| id.0).collect();
    sqlx::query!(
        "update goals set replans = replans + 1, replanned_at = now(), replaced = $2 where id = $1",
        goal.id as GoalId,
        &all
    )
    .execute(&mut *tx)
    .await?;
    let by = &key.worker.0;
    let message = format!("Goal {} planned anew by {by}: {reason}", goal.id);
    log(tx, Some(key.task), "goal_replanned", LogLevel::Warn, message, goal.id, by).await?;
    let details =
        json!({ "goal": goal.id, "replans": goal.replans + 1, "reason": short(reason), "replaced": replaced });
    let event = Event::new(EventKind::GoalReplanned, by, details).of(key.task);
    Ok(Applied { value: Value::Null, events: vec![event], frees: false })
}

async fn complete(
    tx: &mut PgConnection,
    key: &RunKey,
    goal: &Planned,
    summary: &str,
    replaced: &[TaskId],
) -> Result<Applied, RecordError> {
    if let (GoalState::Completed, Some(outcome)) = (goal.state, &goal.outcome) {
        // By an attempt before this one: the same again answers the same.
        return Ok(Applied::new(json!(closed(goal.id, outcome))));
    }
    goal.must_be_open()?;
    let children = children(tx, key, goal.id).await?;
    let replaced = all_replaced(goal, replaced, &children)?;
    let done = done(goal, &children, &replaced)?;
    let evidence: Vec<(TaskId, Value)> =
        done.iter().filter_map(|child| Some((child.id, child.evidence.clone()?))).collect();
    let criteria = judge_goal(&criteria_as_stored(&goal.criteria), &evidence).map_err(Refused::Conflict)?;
    let shown: Vec<Value> = (done.iter())
        .map(|Child { id, title, task_type, evidence, .. }| {
            let kind = evidence.as_ref().and_then(|evidence| evidence.get("kind")).cloned();
            json!({ "id": id, "title": title, "task_type": task_type, "evidence": kind })
        })
        .collect();
    let outcome = json!({ "summary": summary, "children": shown, "criteria": criteria, "replaced": replaced });
    let events = close(tx, goal.id, GoalState::Completed, &outcome, &key.worker.0).await.map_err(refused)?;
    Ok(Applied { value: json!(closed(goal.id, &outcome)), events, frees: false })
}

/// The children that the goal is closed by.
fn done<'a>(goal: &Planned, children: &'a [Child], replaced: &BTreeSet<TaskId>) -> Result<Vec<&'a Child>, Refused> {
    let needed = |child: &&Child| !(child.ended_without_success() && replaced.contains(&child.id));
    let open: Vec<String> = (children.iter().filter(needed))
        .filter(|child| child.status != TaskStatus::Completed)
        .map(|child| format!("{} is {}", child.id, child.status))
        .collect();
    if !open.is_empty() {
        let named = open.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
        let message = format!("{} tasks of goal {} have not completed: {named}", open.len(), goal.id);
        return Err(Refused::Conflict(message));
    }
    let done: Vec<&Child> = children.iter().filter(|child| child.status == TaskStatus::Completed).collect();
    if done.is_empty() {
        return Err(Refused::Conflict(format!("goal {} has no task that completed", goal.id)));
    }
    // A new plan without a task would replace work by nothing.
    if let Some(at) = goal.replanned_at
        && !children.iter().any(|child| child.created_at > at)
    {
        return Err(Refused::Conflict(format!("goal {} was planned anew, and the new plan has no task", goal.id)));
    }
    Ok(done)
}

fn closed(goal: GoalId, outcome: &Value) -> GoalClosed {
    let children = outcome.get("children").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let id = |child: &Value| child.get("id").and_then(Value::as_str).map(str::to_owned);
    GoalClosed { goal: goal.to_string(), children: children.iter().filter_map(id).collect() }
}
