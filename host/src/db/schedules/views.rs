//! Schedules as people see them.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::PgConnection;
use time::OffsetDateTime;
use time::serde::rfc3339;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{as_id, unknown};
use crate::db::{Db, DbError, rows};
use crate::schedule::{MissedPolicy, ScheduleState};
use crate::task::TaskId;

/// A schedule, without the whole task.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ScheduleView {
    pub id: Uuid,
    pub name: String,
    /// Five fields, in UTC.
    pub cron: String,
    /// Title and type of the tasks that it creates.
    pub title: String,
    pub task_type: String,
    #[schema(inline)]
    pub missed: MissedPolicy,
    pub overlap: bool,
    #[schema(inline)]
    pub state: ScheduleState,
    /// In whose name the tasks are created; `host` for what the host keeps itself.
    pub created_by: String,
    #[serde(with = "rfc3339")]
    pub created_at: OffsetDateTime,
    /// Null while it is paused.
    #[serde(with = "rfc3339::option")]
    pub next_at: Option<OffsetDateTime>,
    /// When it created a task last.
    #[serde(with = "rfc3339::option")]
    pub last_fired_at: Option<OffsetDateTime>,
    pub last_task: Option<TaskId>,
    /// Why the newest firing created nothing.
    pub last_error: Option<String>,
    /// Tasks that it created.
    pub fired: i64,
    /// Firings that nobody made up for.
    pub misfires: i64,
    /// Firings left out because the task before had not ended.
    pub overlapped: i64,
}

/// A schedule with its task.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ScheduleDetail {
    #[serde(flatten)]
    pub summary: ScheduleView,
    /// What is created, as `POST /tasks` takes it.
    #[schema(value_type = Object)]
    pub task: Value,
}

/// A place in the list of schedules, newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScheduleCursor {
    pub created_at: OffsetDateTime,
    pub id: Uuid,
}

impl ScheduleCursor {
    /// Before the newest.
    pub const START: Self = Self { created_at: time::macros::datetime!(9999-12-31 0:00 UTC), id: Uuid::max() };
}

impl Db {
    /// Schedules, newest first, from just after the cursor.
    pub async fn list_schedules(
        &self,
        state: Option<ScheduleState>,
        after: ScheduleCursor,
        limit: u32,
    ) -> Result<Vec<ScheduleView>, DbError> {
        let schedules = sqlx::query_as!(
            ScheduleView,
            r#"select id, name, cron, coalesce(draft->>'title', '') as "title!",
                coalesce(draft->>'task_type', '') as "task_type!", missed as "missed: MissedPolicy",
                may_overlap as overlap, state as "state: ScheduleState", created_by, created_at, next_at, last_fired_at,
                last_task as "last_task: TaskId", last_error, fired, misfires, overlapped
            from schedules
            where (created_at, id) < ($2::timestamptz, $3::uuid) and ($1::schedule_state is null or state = $1)
            order by created_at desc, id desc limit $4"#,
            state as Option<ScheduleState>,
            after.created_at,
            after.id,
            rows(limit)
        )
        .fetch_all(self.pool())
        .await?;
        Ok(schedules)
    }

    /// One schedule, by its id or name.
    pub async fn schedule(&self, schedule: &str) -> Result<ScheduleDetail, DbError> {
        let mut connection = self.pool().acquire().await?;
        show(&mut connection, schedule).await
    }
}

pub(super) async fn show(tx: &mut PgConnection, schedule: &str) -> Result<ScheduleDetail, DbError> {
    let found = sqlx::query!(
        r#"select id, name, cron, coalesce(draft->>'title', '') as "title!",
            coalesce(draft->>'task_type', '') as "task_type!", missed as "missed: MissedPolicy",
            may_overlap as overlap, state as "state: ScheduleState", created_by, created_at, next_at, last_fired_at,
            last_task as "last_task: TaskId", last_error, fired, misfires, overlapped, draft
        from schedules where name = $1 or id = $2"#,
        schedule,
        as_id(schedule) as Option<Uuid>
    )
    .fetch_optional(tx)
    .await?
    .ok_or_else(|| unknown(schedule))?;
    let summary = ScheduleView {
        id: found.id,
        name: found.name,
        cron: found.cron,
        title: found.title,
        task_type: found.task_type,
        missed: found.missed,
        overlap: found.overlap,
        state: found.state,
        created_by: found.created_by,
        created_at: found.created_at,
        next_at: found.next_at,
        last_fired_at: found.last_fired_at,
        last_task: found.last_task,
        last_error: found.last_error,
        fired: found.fired,
        misfires: found.misfires,
        overlapped: found.overlapped,
    };
    Ok(ScheduleDetail { summary, task: found.draft })
}
