//! How goals end, and what the end of one of their tasks means for them.

use serde_json::{Value, json};
use sqlx::PgConnection;

use super::lock_planner;
use crate::audit::{Event, EventKind, short};
use crate::db::tasks::cancel_in;
use crate::db::{Db, DbError};
use crate::task::{GoalId, GoalState, LogLevel, TaskId, TaskStatus};

/// Goals that one sweep looks after; the next one follows soon.
const GOALS_MAX: i64 = 100;

/// Closes an open goal, whose planning task's row the caller holds, and says what has to be recorded. Unless it is
/// completed, its children that have not ended are cancelled.
pub(in crate::db) async fn close(
    tx: &mut PgConnection,
    goal: GoalId,
    to: GoalState,
    outcome: &Value,
    by: &str,
) -> Result<Vec<Event>, DbError> {
    let planner = expect_open(tx, goal, "closed").await?;
    sqlx::query!(
        "update goals set state = $2, ended_at = now(), outcome = $3 where id = $1",
        goal as GoalId,
        to as GoalState,
        outcome
    )
    .execute(&mut *tx)
    .await?;
    let reason = outcome.get("reason").and_then(Value::as_str).unwrap_or_default();
    let (kind, action, level) = match to {
        GoalState::Completed => (EventKind::GoalCompleted, "goal_completed", LogLevel::Info),
        GoalState::Failed => (EventKind::GoalFailed, "goal_failed", LogLevel::Error),
        GoalState::Cancelled => (EventKind::GoalCancelled, "goal_cancelled", LogLevel::Info),
        GoalState::Open => return Err(DbError::corrupt("goals.state")),
    };
    let because = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    super::log(tx, planner, action, level, format!("Goal {goal} {to} by {by}{because}"), goal, by).await?;
    let mut details = json!({ "goal": goal });
    if to == GoalState::Completed {
        details["children"] = outcome.get("children").cloned().unwrap_or_default();
        details["criteria"] = outcome.get("criteria").cloned().unwrap_or_default();
    } else {
        details["reason"] = json!(short(reason));
    }
    let mut event = Event::new(kind, by, details);
    event.task = planner;
    let mut events = vec![event];
    if to != GoalState::Completed {
        let why = format!("goal {goal} is {to}");
        for child in open_children(tx, goal).await? {
            events.extend(cancel_in(tx, child, by, Some(&why)).await?);
        }
    }
    Ok(events)
}

/// Locks a goal that must be open; returns the task that plans it.
async fn expect_open(tx: &mut PgConnection, goal: GoalId, action: &'static str) -> Result<Option<TaskId>, DbError> {
    let found = sqlx::query!(
        r#"select state as "state: GoalState", planned_by as "planned_by: TaskId" from goals where id = $1 for no key update"#,
        goal as GoalId
    )
    .fetch_optional(tx)
    .await?
    .ok_or(DbError::UnknownGoal(goal))?;
    if found.state == GoalState::Open {
        Ok(found.planned_by)
    } else {
        Err(DbError::GoalEnded { goal, state: found.state, action })
    }
}

/// Locked, in the order of their ids.
async fn open_children(tx: &mut PgConnection, goal: GoalId) -> Result<Vec<TaskId>, DbError> {
    let children = sqlx::query_scalar!(
        r#"select id as "id: TaskId" from governance_tasks
        where goal_id = $1 and id is distinct from (select planned_by from goals where id = $1)
            and status in ('pending', 'in_progress', 'waiting_approval', 'suspended')
        order by id for update"#,
        goal as GoalId
    )
    .fetch_all(tx)
    .await?;
    Ok(children)
}

/// Before a task is retried. A task of a goal that has ended would work for nobody; the planning task opens its goal
/// again. What is locked here stays locked, so that the goal does not end meanwhile.
pub(in crate::db) async fn before_retry(tx: &mut PgConnection, task: TaskId, by: &str) -> Result<Vec<Event>, DbError> {
    let found = sqlx::query!(
        r#"select g.id as "goal: GoalId", (g.planned_by is not distinct from t.id) as "plans!"
        from governance_tasks as t join goals as g on g.id = t.goal_id where t.id = $1"#,
        task as TaskId
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(found) = found else { return Ok(Vec::new()) };
    let goal = found.goal;
    if found.plans {
        lock_planner(tx, goal).await?;
    }
    let state = sqlx::query_scalar!(
        r#"select state as "state: GoalState" from goals where id = $1 for no key update"#,
        goal as GoalId
    )
    .fetch_one(&mut *tx)
    .await?;
    match (state, found.plans) {
        (GoalState::Open, _) | (GoalState::Completed, true) => Ok(Vec::new()),
        (GoalState::Failed | GoalState::Cancelled, true) => {
            sqlx::query!(
                "update goals set state = 'open', ended_at = null, outcome = null where id = $1",
                goal as GoalId
            )
            .execute(&mut *tx)
            .await?;
            let message = format!("Goal {goal} opened again by {by}, was {state}");
            super::log(tx, Some(task), "goal_reopened", LogLevel::Info, message, goal, by).await?;
            let details = json!({ "goal": goal, "from": state });
            Ok(vec![Event::new(EventKind::GoalReopened, by, details).of(task)])
        }
        (GoalState::Completed | GoalState::Failed | GoalState::Cancelled, false) => {
            Err(DbError::GoalEnded { goal, state, action: "worked for" })
        }
    }
}

impl Db {
    /// Looks after the goals of which a task has ended: wakes who follows them, and closes those that nobody follows any
    /// more. Several hosts may do it at once. Returns whether a task became claimable.
    pub async fn settle_goals(&self) -> Result<bool, DbError> {
        let noted = sqlx::query_scalar!(
            r#"select goal_id as "goal!: GoalId" from goal_notes group by goal_id order by min(id) limit $1"#,
            GOALS_MAX
        )
        .fetch_all(self.pool())
        .await?;
        let mut woken = false;
        for goal in noted {
            woken |= self.settle_goal(goal).await?;
        }
        Ok(woken)
    }

    async fn settle_goal(&self, goal: GoalId) -> Result<bool, DbError> {
        let mut tx = self.begin_audited().await?;
        let planner = sqlx::query!(
            r#"select id as "id: TaskId", status as "status: TaskStatus", waits_for_goal from governance_tasks
            where id = (select planned_by from goals where id = $1) for update skip locked"#,
            goal as GoalId
        )
        .fetch_optional(&mut **tx)
        .await?;
        let Some(planner) = planner else {
            // Somebody holds it, perhaps to have it wait: the notes stay for the next look. Or it was deleted.
            return self.settle_unplanned(goal).await.map(|()| false);
        };
        // What is noted from here on is noted for the next look; what was is seen below, and by a run that is about to
        // wait: its suspension counts again, after this transaction.
        sqlx::query!("delete from goal_notes where goal_id = $1", goal as GoalId).execute(&mut **tx).await?;
        let mut events = Vec::new();
        match planner.status {
            TaskStatus::Suspended if planner.waits_for_goal => {
                sqlx::query!(
                    "update governance_tasks set status = 'pending', waits_for_goal = false where id = $1",
                    planner.id as TaskId
                )
                .execute(&mut **tx)
                .await?;
                let details = json!({ "goal": goal });
                events.push(Event::moved(EventKind::TaskWoken, planner.id, TaskStatus::Pending, Event::HOST, details));
            }
            TaskStatus::Failed | TaskStatus::DeadLetter | TaskStatus::Cancelled => {
                let reason = format!("its planning task {} is {} and follows it no more", planner.id, planner.status);
                events = abandon(&mut tx, goal, &reason).await?;
            }
            TaskStatus::Pending
            | TaskStatus::InProgress
            | TaskStatus::WaitingApproval
            | TaskStatus::Suspended
            | TaskStatus::Completed => {}
        }
        let woken = planner.status == TaskStatus::Suspended && planner.waits_for_goal;
        tx.commit(events).await?;
        Ok(woken)
    }

    /// A goal whose planning task was deleted by hand.
    async fn settle_unplanned(&self, goal: GoalId) -> Result<(), DbError> {
        let mut tx = self.begin_audited().await?;
        let planned = sqlx::query_scalar!(
            r#"select exists (select from goals where id = $1 and planned_by is not null) as "planned!""#,
            goal as GoalId
        )
        .fetch_one(&mut **tx)
        .await?;
        if planned {
            return Ok(());
        }
        sqlx::query!("delete from goal_notes where goal_id = $1", goal as GoalId).execute(&mut **tx).await?;
        let events = abandon(&mut tx, goal, "its planning task is gone").await?;
        tx.commit(events).await
    }
}

/// Closes a goal that nobody follows any more, if it is open.
async fn abandon(tx: &mut PgConnection, goal: GoalId, reason: &str) -> Result<Vec<Event>, DbError> {
    match close(tx, goal, GoalState::Failed, &json!({ "reason": reason }), Event::HOST).await {
        Err(DbError::GoalEnded { .. } | DbError::UnknownGoal(_)) => Ok(Vec::new()),
        closed => closed,
    }
}
