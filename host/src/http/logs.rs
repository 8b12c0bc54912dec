//! What a task did: its lines in the execution log and its steps in the journal, page by page.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::ApiState;
use super::access::{May, Read};
use super::cursor::{self, Page};
use super::extract::{ApiQuery, TaskPath, page_limit};
use super::problem::Problem;
use crate::db::logs::LogLine;
use crate::db::steps::StepView;
use crate::task::TaskId;

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PageQuery {
    /// `next` of the page before.
    pub(super) cursor: Option<String>,
    /// Rows of the page: 1 to 200, 50 if unset.
    pub(super) limit: Option<u32>,
}

/// List a task's log, oldest first
#[utoipa::path(get, path = "/tasks/{id}/logs", tag = "tasks",
    params(("id" = TaskId, Path, description = "The task's id"), PageQuery),
    responses((status = 200, description = "A page of lines", body = Page<LogLine>)))]
pub(super) async fn list_task_logs(
    State(state): State<ApiState>,
    _caller: May<Read>,
    TaskPath(id): TaskPath,
    ApiQuery(PageQuery { cursor, limit }): ApiQuery<PageQuery>,
) -> Result<Json<Page<LogLine>>, Problem> {
    let limit = page_limit(limit)?;
    let after = cursor.as_deref().map(cursor::number).transpose()?.unwrap_or(0);
    // A log may outlive nothing: an unknown task is an error, not an empty page.
    state.db.task_status(id).await?;
    let lines = state.db.task_logs(id, after, limit + 1).await?;
    Ok(Json(Page::cut(lines, limit, |line| line.id.to_string())))
}

/// Which attempt's steps, and which page of them.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListSteps {
    /// The newest attempt if unset.
    attempt: Option<i32>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// Rows of the page: 1 to 200, 50 if unset.
    limit: Option<u32>,
}

/// List a task's journal: what its run called, in order
#[utoipa::path(get, path = "/tasks/{id}/steps", tag = "tasks",
    params(("id" = TaskId, Path, description = "The task's id"), ListSteps),
    responses((status = 200, description = "A page of steps", body = Page<StepView>)))]
pub(super) async fn list_task_steps(
    State(state): State<ApiState>,
    _caller: May<Read>,
    TaskPath(id): TaskPath,
    ApiQuery(ListSteps { attempt, cursor, limit }): ApiQuery<ListSteps>,
) -> Result<Json<Page<StepView>>, Problem> {
    let limit = page_limit(limit)?;
    let after = cursor.as_deref().map(cursor::number).transpose()?.unwrap_or(-1);
    state.db.task_status(id).await?;
    let steps = state.db.task_steps(id, attempt, after, limit + 1).await?;
    Ok(Json(Page::cut(steps, limit, |step| step.position.to_string())))
}
