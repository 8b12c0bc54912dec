//! A goal as people see it.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::PgConnection;
use time::OffsetDateTime;
use time::serde::rfc3339;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::db::{DbError, rows};
use crate::task::{GoalId, GoalState, Priority, TaskId, TaskStatus};

/// A goal in a list.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct GoalSummary {
    pub id: GoalId,
    pub title: String,
    pub state: GoalState,
    pub priority: Priority,
    /// New plans that were made after failures, and how many there may be.
    pub replans: i32,
    pub replans_max: i32,
    /// Who wants it. Its tasks have this creator, too, so he approves nothing of it.
    pub created_by: String,
    #[serde(with = "rfc3339")]
    pub created_at: OffsetDateTime,
    #[serde(with = "rfc3339::option")]
    pub ended_at: Option<OffsetDateTime>,
    /// The task that plans it and follows the others.
    pub planned_by: Option<TaskId>,
    /// Its tasks, that one apart.
    pub tasks: i64,
    pub tasks_completed: i64,
}

/// A task of a goal.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct GoalChild {
    pub id: TaskId,
    pub title: String,
    pub task_type: String,
    pub status: TaskStatus,
    pub depends_on: Vec<Uuid>,
    /// It ended without success, and a later plan has others do its work.
    pub replaced: bool,
    pub error_message: Option<String>,
    /// What the host verified, for people.
    pub completion_evidence: Option<String>,
    #[serde(with = "rfc3339::option")]
    pub completed_at: Option<OffsetDateTime>,
}

/// A goal with all that belongs to it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct GoalDetail {
    #[serde(flatten)]
    pub summary: GoalSummary,
    pub description: String,
    #[schema(value_type = Vec<Value>)]
    pub acceptance_criteria: Value,
    /// The plan that was given with it.
    #[schema(value_type = Option<Object>)]
    pub plan: Option<Value>,
    /// How it ended: the children that it was closed by with the kinds of their evidence and the criteria, or the reason.
    #[schema(value_type = Option<Object>)]
    pub outcome: Option<Value>,
    /// Its tasks, oldest first, at most 200; `GET /api/v1/tasks?goal=ID` pages through all of them.
    pub children: Vec<GoalChild>,
}

/// A place in the list of goals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoalCursor {
    pub created_at: OffsetDateTime,
    pub id: GoalId,
}

impl GoalCursor {
    /// Before the newest.
    pub const START: Self = Self { created_at: time::macros::datetime!(9999-12-31 0:00 UTC), id: GoalId(Uuid::max()) };
}

pub(super) async fn detail(tx: &mut PgConnection, id: GoalId) -> Result<GoalDetail, DbError> {
    let goal = sqlx::query!(
        r#"select g.id as "id: GoalId", g.title, g.state as "state: GoalState", g.priority as "priority: Priority",
            g.replans, g.replans_max, g.created_by, g.created_at, g.ended_at, g.planned_by as "planned_by: TaskId",
            g.description, g.acceptance_criteria, g.plan, g.outcome,
            children.count as "tasks!", children.completed as "tasks_completed!"
        from goals as g
        cross join lateral (
            select count(*) as count, count(*) filter (where t.status = 'completed') as completed
            from governance_tasks as t where t.goal_id = g.id and t.id is distinct from g.planned_by
        ) as children
        where g.id = $1"#,
        id as GoalId
    )
    .fetch_optional(&mut *tx)
    .await?
    .ok_or(DbError::UnknownGoal(id))?;
    let children = sqlx::query_as!(
        GoalChild,
        r#"select t.id as "id: TaskId", t.title, t.task_type, t.status as "status: TaskStatus",
            array(select d.depends_on from task_dependencies as d where d.task_id = t.id order by 1) as "depends_on!",
            (t.id = any (g.replaced)) as "replaced!", t.error_message, t.completion_evidence, t.completed_at
        from governance_tasks as t join goals as g on g.id = t.goal_id
        where t.goal_id = $1 and t.id is distinct from g.planned_by
        order by t.created_at, t.id limit $2"#,
        id as GoalId,
        rows(crate::db::PAGE_ROWS_MAX)
    )
    .fetch_all(tx)
    .await?;
    let summary = GoalSummary {
        id: goal.id,
        title: goal.title,
        state: goal.state,
        priority: goal.priority,
        replans: goal.replans,
        replans_max: goal.replans_max,
        created_by: goal.created_by,
        created_at: goal.created_at,
        ended_at: goal.ended_at,
        planned_by: goal.planned_by,
        tasks: goal.tasks,
        tasks_completed: goal.tasks_completed,
    };
    Ok(GoalDetail {
        summary,
        description: goal.description,
        acceptance_criteria: goal.acceptance_criteria,
        plan: goal.plan,
        outcome: goal.outcome,
        children,
    })
}
