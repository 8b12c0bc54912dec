//! Schedules: create, look, pause, resume, delete.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::AppendHeaders;
use serde::Deserialize;
use utoipa::IntoParams;

use super::ApiState;
use super::access::{ChangeTasks, May, Read};
use super::cursor::{Page, decode, encode};
use super::extract::{ApiJson, ApiQuery, SchedulePath, page_limit};
use super::problem::Problem;
use super::tasks::{admitted, refused};
use crate::db::schedules::{ScheduleCursor, ScheduleDetail, ScheduleView};
use crate::schedule::{NewSchedule, ScheduleDraft, ScheduleState};
use crate::task::TaskId;

/// Create a schedule
///
/// Its tasks are created in your name, so you can not approve them. Admission and policy judge the task now and again at
/// each firing; one that is refused then raises an alert, and the schedule goes on.
#[utoipa::path(post, path = "/schedules", tag = "schedules", request_body = ScheduleDraft,
    responses((status = 201, description = "Created", body = ScheduleDetail,
        headers(("Location" = String, description = "Path of the schedule")))))]
pub(super) async fn create_schedule(
    State(state): State<ApiState>,
    caller: May<ChangeTasks>,
    ApiJson(draft): ApiJson<ScheduleDraft>,
) -> Result<(StatusCode, AppendHeaders<[(axum::http::HeaderName, String); 1]>, Json<ScheduleDetail>), Problem> {
    let creator = &caller.principal.name;
    let new = NewSchedule::admit(draft, state.db.now().await?)?;
    // No task has this id; policy asks for one.
    let (task, admission) = admitted(&state, creator, TaskId::generate(), new.task).await?;
    if let Err(denied) = admission {
        return Err(refused(&state, creator, denied).await);
    }
    let schedule = state.db.create_schedule(&NewSchedule { task, ..new }, creator).await?;
    let path = format!("/api/v1/schedules/{}", schedule.summary.id);
    Ok((StatusCode::CREATED, AppendHeaders([(LOCATION, path)]), Json(schedule)))
}

/// Which schedules, and which page of them.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListSchedules {
    #[param(inline)]
    state: Option<ScheduleState>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// Rows of the page: 1 to 200, 50 if unset.
    limit: Option<u32>,
}

/// List schedules, newest first
#[utoipa::path(get, path = "/schedules", tag = "schedules", params(ListSchedules),
    responses((status = 200, description = "A page of schedules", body = Page<ScheduleView>)))]
pub(super) async fn list_schedules(
    State(state): State<ApiState>,
    _caller: May<Read>,
    ApiQuery(query): ApiQuery<ListSchedules>,
) -> Result<Json<Page<ScheduleView>>, Problem> {
    let ListSchedules { state: stands, cursor, limit } = query;
    let limit = page_limit(limit)?;
    let after = match cursor {
        None => ScheduleCursor::START,
        Some(cursor) => {
            let (created_at, id) = decode(&cursor)?;
            ScheduleCursor { created_at, id }
        }
    };
    let schedules = state.db.list_schedules(stands, after, limit + 1).await?;
    Ok(Json(Page::cut(schedules, limit, |schedule| encode(schedule.created_at, schedule.id))))
}

/// Show a schedule, with its task
#[utoipa::path(get, path = "/schedules/{schedule}", tag = "schedules",
    params(("schedule" = String, Path, description = "The schedule's id or name")),
    responses((status = 200, description = "The schedule", body = ScheduleDetail)))]
pub(super) async fn show_schedule(
    State(state): State<ApiState>,
    _caller: May<Read>,
    SchedulePath(schedule): SchedulePath,
) -> Result<Json<ScheduleDetail>, Problem> {
    Ok(Json(state.db.schedule(&schedule).await?))
}

/// Pause a schedule
///
/// It does not fire until it is resumed. Tasks that it has created go on.
#[utoipa::path(post, path = "/schedules/{schedule}/pause", tag = "schedules",
    params(("schedule" = String, Path, description = "The schedule's id or name")),
    responses((status = 200, description = "The schedule", body = ScheduleView)))]
pub(super) async fn pause_schedule(
    State(state): State<ApiState>,
    caller: May<ChangeTasks>,
    SchedulePath(schedule): SchedulePath,
) -> Result<Json<ScheduleView>, Problem> {
    let paused = state.db.set_schedule_state(&schedule, ScheduleState::Paused, &caller.principal.name).await?;
    Ok(Json(paused))
}

/// Resume a schedule
///
/// From the next time on; what would have fired meanwhile is not made up for.
#[utoipa::path(post, path = "/schedules/{schedule}/resume", tag = "schedules",
    params(("schedule" = String, Path, description = "The schedule's id or name")),
    responses((status = 200, description = "The schedule", body = ScheduleView)))]
pub(super) async fn resume_schedule(
    State(state): State<ApiState>,
    caller: May<ChangeTasks>,
    SchedulePath(schedule): SchedulePath,
) -> Result<Json<ScheduleView>, Problem> {
    let resumed = state.db.set_schedule_state(&schedule, ScheduleState::Active, &caller.principal.name).await?;
    Ok(Json(resumed))
}

/// Delete a schedule
///
/// Its tasks stay. A schedule that the host keeps itself can only be paused.
#[utoipa::path(delete, path = "/schedules/{schedule}", tag = "schedules",
    params(("schedule" = String, Path, description = "The schedule's id or name")),
    responses((status = 200, description = "The schedule that was", body = ScheduleView)))]
pub(super) async fn delete_schedule(
    State(state): State<ApiState>,
    caller: May<ChangeTasks>,
    SchedulePath(schedule): SchedulePath,
) -> Result<Json<ScheduleView>, Problem> {
    Ok(Json(state.db.delete_schedule(&schedule, &caller.principal.name).await?))
}
