//! Reports as people see them. What a role stored is never changed.

use serde::{Deserialize, Serialize};
use sqlx::types::Json;
use time::OffsetDateTime;
use time::serde::rfc3339;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Db, DbError, rows};
use crate::records::Series;
use crate::task::TaskId;

/// A report in a list.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ReportSummary {
    pub id: Uuid,
    pub task_id: Option<TaskId>,
    pub attempt: i32,
    pub worker_id: String,
    /// The role's words, like text and series.
    pub title: String,
    /// Of the canonical JSON of title, text and series: what the task's evidence names.
    pub sha256: String,
    /// How many charts it has.
    pub charts: i32,
    #[serde(with = "rfc3339")]
    pub created_at: OffsetDateTime,
}

/// A whole report.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ReportView {
    pub id: Uuid,
    pub task_id: Option<TaskId>,
    pub attempt: i32,
    pub worker_id: String,
    /// The role's words, like text and series.
    pub title: String,
    pub markdown: String,
    /// The chart of the n-th, counted from 0, is at `charts/n.svg` below the report.
    #[schema(value_type = Vec<Series>)]
    pub series: Json<Vec<Series>>,
    /// Of the canonical JSON of title, text and series: what the task's evidence names.
    pub sha256: String,
    #[serde(with = "rfc3339")]
    pub created_at: OffsetDateTime,
}

/// A place in the list of reports, newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportCursor {
    pub created_at: OffsetDateTime,
    pub id: Uuid,
}

impl ReportCursor {
    /// Before the newest.
    pub const START: Self = Self { created_at: time::macros::datetime!(9999-12-31 0:00 UTC), id: Uuid::max() };
}

impl Db {
    /// Reports, newest first, from just after the cursor; of one task, if it is given.
    pub async fn list_reports(
        &self,
        task: Option<TaskId>,
        after: ReportCursor,
        limit: u32,
    ) -> Result<Vec<ReportSummary>, DbError> {
        let reports = sqlx::query_as!(
            ReportSummary,
            r#"select id, task_id as "task_id: TaskId", attempt, worker_id, title, sha256,
                jsonb_array_length(series) as "charts!", created_at
            from reports
            where (created_at, id) < ($2::timestamptz, $3::uuid) and ($1::uuid is null or task_id = $1)
            order by created_at desc, id desc limit $4"#,
            task as Option<TaskId>,
            after.created_at,
            after.id,
            rows(limit)
        )
        .fetch_all(self.pool())
        .await?;
        Ok(reports)
    }

    pub async fn report(&self, id: Uuid) -> Result<ReportView, DbError> {
        let report = sqlx::query_as!(
            ReportView,
            r#"select id, task_id as "task_id: TaskId", attempt, worker_id, title, markdown,
                series as "series: Json<Vec<Series>>", sha256, created_at
            from reports where id = $1"#,
            id
        )
        .fetch_optional(self.pool())
        .await?;
        report.ok_or(DbError::UnknownReport(id))
    }
}
