//! Workers and task types: what there is to do the work, and what work there is.

use axum::Json;
use axum::extract::State;

use super::ApiState;
use super::access::{May, Read};
use super::cursor::Page;
use super::extract::{ApiQuery, page_limit};
use super::logs::PageQuery;
use super::problem::Problem;
use crate::db::task_types::TaskTypeView;
use crate::db::workers::WorkerView;

/// List workers, by id
#[utoipa::path(get, path = "/workers", tag = "workers", params(PageQuery),
    responses((status = 200, description = "A page of workers", body = Page<WorkerView>)))]
pub(super) async fn list_workers(
    State(state): State<ApiState>,
    _caller: May<Read>,
    ApiQuery(PageQuery { cursor, limit }): ApiQuery<PageQuery>,
) -> Result<Json<Page<WorkerView>>, Problem> {
    let limit = page_limit(limit)?;
    let workers = state.db.workers(&cursor.unwrap_or_default(), limit + 1).await?;
    Ok(Json(Page::cut(workers, limit, |worker| worker.worker_id.to_string())))
}

/// List task types, by name, and what each must show
#[utoipa::path(get, path = "/task-types", tag = "workers", params(PageQuery),
    responses((status = 200, description = "A page of task types", body = Page<TaskTypeView>)))]
pub(super) async fn list_task_types(
    State(state): State<ApiState>,
    _caller: May<Read>,
    ApiQuery(PageQuery { cursor, limit }): ApiQuery<PageQuery>,
) -> Result<Json<Page<TaskTypeView>>, Problem> {
    let limit = page_limit(limit)?;
    let types = state.db.task_types(&cursor.unwrap_or_default(), limit + 1).await?;
    Ok(Json(Page::cut(types, limit, |task_type| task_type.name.clone())))
}
