//! Tasks: create, look, cancel, retry.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{AppendHeaders, IntoResponse as _, Response};
use serde::Deserialize;
use tokio::sync::Semaphore;
use utoipa::IntoParams;

use super::ApiState;
use super::access::{ChangeTasks, May, Read};
use super::cursor::{Page, decode, encode};
use super::extract::{ApiJson, ApiQuery, TaskPath, page_limit};
use super::idempotency::{IdempotencyKey, REPLAYED_HEADER, created_before, first_or_before};
use super::problem::Problem;
use crate::db::DbError;
use crate::db::bulk::Admitted;
use crate::db::request_keys::RequestKey;
use crate::db::task_views::{TaskCursor, TaskDetail, TaskFilter, TaskSummary};
use crate::journal;
use crate::policy::{self, Admission};
use crate::task::{GoalId, NewTask, Priority, TaskDraft, TaskId, TaskStatus};

/// A payload and description that are judged in less time than it takes to have another thread do it.
const SMALL_BYTES_MAX: usize = 4 << 10;
/// Tasks whose payloads are judged at the same time.
static ADMISSIONS: Semaphore = Semaphore::const_new(2);

/// Wakes a worker if there is something to claim now.
fn wake(state: &ApiState, task: &TaskSummary) {
    if task.status == TaskStatus::Pending {
        state.wake.everybody();
    }
}

/// Create a task
///
/// Critical risk waits for approval, open dependencies suspend; otherwise the task is claimable at once, or claimed already
/// where a worker of this host is idle. High risk runs until a call that matters, and waits there.
///
/// A client that got no answer can send the same request again with the same `Idempotency-Key`, of its choice (1 to 200
/// visible ASCII characters, a new one for each request): within a day it is answered with the task that the first one
/// created.
#[utoipa::path(post, path = "/tasks", tag = "tasks", request_body = TaskDraft,
    params(("Idempotency-Key" = Option<String>, Header, description = "To send the request again: see above")),
    responses(
        (status = 201, description = "Created", body = TaskSummary,
            headers(("Location" = String, description = "Path of the task"))),
        (status = 200, description = "Created by the same request before, as it is now", body = TaskSummary,
            headers(("Location" = String, description = "Path of the task"), ("Idempotency-Replayed" = bool)))))]
pub(super) async fn create_task(
    State(state): State<ApiState>,
    caller: May<ChangeTasks>,
    key: IdempotencyKey,
    ApiJson(draft): ApiJson<TaskDraft>,
) -> Result<Response, Problem> {
    let (creator, key) = (&caller.principal.name, key.of(&draft)?);
    if let Some(before) = created_before(&state.db, creator, key.as_ref()).await? {
        return again(&state, &before).await;
    }
    let (task, id) = (NewTask::admit(draft)?, TaskId::generate());
    let (task, admission) = match admitted(&state, creator, id, task).await? {
        (task, Ok(admission)) => (task, admission),
        (_, Err(denied)) => return Err(refused(&state, creator, denied).await),
    };
    let admitted = Admitted { id, task, treatment: admission.treatment() };
    let created = create(&state, admitted, creator.clone(), key.clone()).await?;
    match first_or_before(&state.db, creator, key.as_ref(), created).await? {
        Ok(task) => Ok((StatusCode::CREATED, AppendHeaders([(LOCATION, path_of(id))]), Json(task)).into_response()),
        Err(before) => again(&state, &before).await,
    }
}

/// Goes on to its end where the caller has left: a worker gets to know of the task.
async fn create(
    state: &ApiState,
    task: Admitted,
    creator: String,
    key: Option<RequestKey>,
) -> Result<Result<TaskSummary, DbError>, Problem> {
    let state = state.clone();
    let creating = tokio::spawn(async move {
        let created = state.db.create_task(&task, &creator, key.as_ref(), &state.idle).await;
        created.inspect(|task| wake(&state, task))
    });
    creating.await.map_err(|failed| Problem::internal(format!("the task was not created: {failed}")))
}

fn path_of(id: TaskId) -> String {
    format!("/api/v1/tasks/{id}")
}

/// The task that the same request created before.
async fn again(state: &ApiState, before: &[TaskId]) -> Result<Response, Problem> {
    let [id] = *before else { return Err(DbError::Corrupt("request_keys").into()) };
    let task = state.db.task(id).await?.summary;
    let headers = AppendHeaders([(LOCATION, path_of(id)), (REPLAYED_HEADER, "true".to_owned())]);
    Ok((StatusCode::OK, headers, Json(task)).into_response())
}

/// Asks policy apart from the threads that serve everybody: a payload may hold megabytes that have to be read.
pub(super) async fn admitted(
    state: &ApiState,
    creator: &str,
    id: TaskId,
    task: NewTask,
) -> Result<(NewTask, Result<Admission, policy::Denied>), Problem> {
    let draft = task.draft();
    if journal::weight(&draft.payload) + draft.description.len() < SMALL_BYTES_MAX {
        let admission = policy::admit(&state.policies, creator, id, draft);
        return Ok((task, admission));
    }
    let broken = |what: &dyn std::fmt::Display| Problem::internal(format!("policy was not asked: {what}"));
    let turn = ADMISSIONS.acquire().await.map_err(|closed| broken(&closed))?;
    let (policies, creator) = (Arc::clone(&state.policies), creator.to_owned());
    let asked = tokio::task::spawn_blocking(move || {
        // Held to the end of the work, which goes on where its caller has left.
        let _turn = turn;
        let admission = policy::admit(&policies, &creator, id, task.draft());
        (task, admission)
    });
    asked.await.map_err(|failed| broken(&failed))
}

/// A refusal counts only once it is on record.
pub(super) async fn refused(state: &ApiState, principal: &str, denied: policy::Denied) -> Problem {
    match state.db.record_decision(principal, None, "task.create", &Err(denied.clone())).await {
        Ok(()) => denied.into(),
        Err(error) => error.into(),
    }
}

/// Which tasks, and which page of them.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListTasks {
    #[param(inline)]
    status: Option<TaskStatus>,
    /// One of the task types, for example `code`.
    #[serde(rename = "type")]
    task_type: Option<String>,
    #[param(inline)]
    priority: Option<Priority>,
    assigned_worker: Option<String>,
    /// Tasks that work for this goal, the one that plans it included.
    goal: Option<GoalId>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// Rows of the page: 1 to 200, 50 if unset.
    limit: Option<u32>,
}

/// List tasks, newest first
#[utoipa::path(get, path = "/tasks", tag = "tasks", params(ListTasks),
    responses((status = 200, description = "A page of tasks", body = Page<TaskSummary>)))]
pub(super) async fn list_tasks(
    State(state): State<ApiState>,
    _caller: May<Read>,
    ApiQuery(query): ApiQuery<ListTasks>,
) -> Result<Json<Page<TaskSummary>>, Problem> {
    let ListTasks { status, task_type, priority, assigned_worker, goal, cursor, limit } = query;
    let limit = page_limit(limit)?;
    let filter = TaskFilter { status, task_type, priority, assigned_worker, goal };
    let after = match cursor {
        None => TaskCursor::START,
        Some(cursor) => {
            let (created_at, id) = decode(&cursor)?;
            TaskCursor { created_at, id: TaskId(id) }
        }
    };
    let tasks = state.db.list_tasks(&filter, after, limit + 1).await?;
    Ok(Json(Page::cut(tasks, limit, |task| {
        let TaskCursor { created_at, id } = task.cursor();
        encode(created_at, id.0)
    })))
}

/// Show a task, with its dependencies, evidence and newest run
#[utoipa::path(get, path = "/tasks/{id}", tag = "tasks", params(("id" = TaskId, Path, description = "The task's id")),
    responses((status = 200, description = "The task", body = TaskDetail)))]
pub(super) async fn show_task(
    State(state): State<ApiState>,
    _caller: May<Read>,
    TaskPath(id): TaskPath,
) -> Result<Json<TaskDetail>, Problem> {
    Ok(Json(state.db.task(id).await?))
}

/// Cancel a task
///
/// Any task that has not ended. A run that is under way can write nothing more.
#[utoipa::path(post, path = "/tasks/{id}/cancel", tag = "tasks",
    params(("id" = TaskId, Path, description = "The task's id")),
    responses((status = 200, description = "The cancelled task", body = TaskSummary)))]
pub(super) async fn cancel_task(
    State(state): State<ApiState>,
    caller: May<ChangeTasks>,
    TaskPath(id): TaskPath,
) -> Result<Json<TaskSummary>, Problem> {
    let task = state.db.cancel_task(id, &caller.principal.name).await?;
    state.wake.look_at_claims();
    Ok(Json(task))
}

/// Retry a task
///
/// One more attempt for a task that failed, was cancelled or ended as a dead letter. What was approved before it began is
/// asked for again.
#[utoipa::path(post, path = "/tasks/{id}/retry", tag = "tasks",
    params(("id" = TaskId, Path, description = "The task's id")),
    responses((status = 200, description = "The task in its next attempt", body = TaskSummary)))]
pub(super) async fn retry_task(
    State(state): State<ApiState>,
    caller: May<ChangeTasks>,
    TaskPath(id): TaskPath,
) -> Result<Json<TaskSummary>, Problem> {
    let task = state.db.retry_task(id, &caller.principal.name).await?;
    wake(&state, &task);
    Ok(Json(task))
}
