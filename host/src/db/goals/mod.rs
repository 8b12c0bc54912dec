//! Goals: as people handle them (create, look, cancel), how they end, and who is woken when a task of one ends.
//!
//! Invariants: whoever changes a goal holds its planning task's row first, then the goal's, then those of its children in the
//! order of their ids; a goal that has ended has no child that has not; a goal and its planning task are made in one transaction.

mod close;
mod views;

pub use views::{GoalChild, GoalCursor, GoalDetail, GoalSummary};

pub(super) use close::{before_retry, close};

use serde_json::json;
use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;

use super::bulk::{Admitted, Origin, create_in};
use super::logs::{LogEntry, append};
use super::request_keys::{RequestKey, remember};
use super::{Db, DbError, rows};
use crate::audit::{Event, EventKind};
use crate::task::{GoalDraft, GoalId, GoalState, LogLevel, NewGoal, Priority, TaskId, TaskStatus};

impl Db {
    /// Adds a goal and the task that plans it. Fails if there was a request with the same key.
    pub async fn create_goal(
        &self,
        id: GoalId,
        goal: &NewGoal,
        planning: &Admitted,
        principal: &str,
        key: Option<&RequestKey>,
    ) -> Result<GoalDetail, DbError> {
        let GoalDraft { title, description, acceptance_criteria, priority, plan, replans_max } = goal.draft();
        let mut tx = self.begin_audited().await?;
        if let Some(key) = key {
            remember(&mut tx, principal, key, &[planning.id]).await?;
        }
        let plan = plan.as_ref().map(|plan| json!(plan));
        sqlx::query!(
            "insert into goals (id, title, description, acceptance_criteria, plan, priority, created_by, replans_max)
            values ($1, $2, $3, $4, $5, $6, $7, $8)",
            id as GoalId,
            title,
            description,
            acceptance_criteria,
            plan,
            *priority as Priority,
            principal,
            i32::try_from(*replans_max).unwrap_or(i32::MAX)
        )
        .execute(&mut **tx)
        .await?;
        let origin = Origin { goal: Some(id), ..Origin::of(principal) };
        let (_, tasks) =
            create_in(&mut tx, std::slice::from_ref(planning), origin, self.approval_rules().lifetime).await?;
        sqlx::query!("update goals set planned_by = $2 where id = $1", id as GoalId, planning.id as TaskId)
            .execute(&mut **tx)
            .await?;
        let sha256 = |text: String| hex::encode(Sha256::digest(text.as_bytes()));
        let details = json!({
            "goal": id, "title": title, "priority": priority, "replans_max": replans_max,
            "criteria_sha256": sha256(acceptance_criteria.to_string()),
            "plan_sha256": plan.map(|plan| sha256(plan.to_string())),
        });
        let mut events = vec![Event::new(EventKind::GoalCreated, principal, details).of(planning.id)];
        events.extend(tasks);
        let detail = views::detail(&mut tx, id).await?;
        tx.commit(events).await?;
        Ok(detail)
    }

    /// Goals, newest first, from just after the cursor.
    pub async fn list_goals(
        &self,
        state: Option<GoalState>,
        after: GoalCursor,
        limit: u32,
    ) -> Result<Vec<GoalSummary>, DbError> {
        let goals = sqlx::query_as!(
            GoalSummary,
            r#"select g.id as "id: GoalId", g.title, g.state as "state: GoalState", g.priority as "priority: Priority",
                g.replans, g.replans_max, g.created_by, g.created_at, g.ended_at, g.planned_by as "planned_by: TaskId",
                children.count as "tasks!", children.completed as "tasks_completed!"
            from goals as g
            cross join lateral (
                select count(*) as count, count(*) filter (where t.status = 'completed') as completed
                from governance_tasks as t where t.goal_id = g.id and t.id is distinct from g.planned_by
            ) as children
            where (g.created_at, g.id) < ($2::timestamptz, $3::uuid) and ($1::goal_state is null or g.state = $1)
            order by g.created_at desc, g.id desc limit $4"#,
            state as Option<GoalState>,
            after.created_at,
            after.id as GoalId,
            rows(limit)
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(goals)
    }

    /// A goal with its children and how it ended.
    pub async fn goal(&self, id: GoalId) -> Result<GoalDetail, DbError> {
        // One snapshot, so that the goal and its children belong together.
        let mut tx = self.pool.begin().await?;
        sqlx::query!("set transaction isolation level repeatable read, read only").execute(&mut *tx).await?;
        let detail = views::detail(&mut tx, id).await?;
        tx.commit().await?;
        Ok(detail)
    }

    /// The goal that a task works for.
    pub async fn goal_of_task(&self, task: TaskId) -> Result<Option<GoalId>, DbError> {
        let goal = sqlx::query_scalar!(
            r#"select goal_id as "goal: GoalId" from governance_tasks where id = $1"#,
            task as TaskId
        )
        .fetch_optional(&self.pool)
        .await?;
        goal.ok_or(DbError::UnknownTask(task))
    }

    /// Gives a goal up, with its planning task and every child that has not ended.
    pub async fn cancel_goal(&self, id: GoalId, principal: &str) -> Result<GoalDetail, DbError> {
        let mut tx = self.begin_audited().await?;
        let planner = lock_planner(&mut tx, id).await?;
        let outcome = json!({ "reason": format!("cancelled by {principal}") });
        let mut events = close(&mut tx, id, GoalState::Cancelled, &outcome, principal).await?;
        if let Some((planner, status)) = planner
            && !status.is_final()
        {
            let why = format!("goal {id} was cancelled");
            events.extend(super::tasks::cancel_in(&mut tx, planner, principal, Some(&why)).await?);
        }
        let detail = views::detail(&mut tx, id).await?;
        tx.commit(events).await?;
        Ok(detail)
    }
}

/// Locks the task that plans a goal, if there is one still. Comes before every other lock on the goal.
async fn lock_planner(tx: &mut PgConnection, goal: GoalId) -> Result<Option<(TaskId, TaskStatus)>, DbError> {
    let planner = sqlx::query!(
        r#"select id as "id: TaskId", status as "status: TaskStatus" from governance_tasks
        where id = (select planned_by from goals where id = $1) for update"#,
        goal as GoalId
    )
    .fetch_optional(tx)
    .await?;
    Ok(planner.map(|row| (row.id, row.status)))
}

/// A line about the goal, in the log of the task that plans it.
pub(super) async fn log(
    tx: &mut PgConnection,
    planner: Option<TaskId>,
    action: &str,
    level: LogLevel,
    message: String,
    goal: GoalId,
    by: &str,
) -> Result<(), DbError> {
    let entry = LogEntry {
        task_id: planner,
        worker_id: None,
        action: action.to_owned(),
        level,
        message,
        metadata: json!({ "goal": goal, "principal": by }),
        error_data: None,
        attempt: None,
    };
    append(tx, &entry).await?;
    Ok(())
}
