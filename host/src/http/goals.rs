//! Goals: create, look, cancel.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{AppendHeaders, IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::json;
use utoipa::IntoParams;

use super::ApiState;
use super::access::{ChangeTasks, May, Read};
use super::cursor::{Page, decode, encode};
use super::extract::{ApiJson, ApiQuery, GoalPath, page_limit};
use super::idempotency::{IdempotencyKey, REPLAYED_HEADER, created_before, first_or_before};
use super::problem::Problem;
use super::tasks::{admitted, refused};
use crate::db::DbError;
use crate::db::bulk::Admitted;
use crate::db::goals::{GoalCursor, GoalDetail, GoalSummary};
use crate::task::{GoalDraft, GoalId, GoalState, NewGoal, NewTask, TaskDraft, TaskId, limits};

/// The type of the task that plans a goal.
const PLANNING: &str = "decomposition";

/// Create a goal
///
/// A role splits it into tasks, follows them, plans anew where one fails, and closes it with the evidence of its tasks.
/// Where a plan is given it is carried out as it is: its limits, keys, dependencies and task types are checked now. The
/// planning task is created with the goal; nobody approves what he asked for, so whoever creates a goal approves nothing
/// of its tasks. `Idempotency-Key` is as for a task.
#[utoipa::path(post, path = "/goals", tag = "goals", request_body = GoalDraft,
    params(("Idempotency-Key" = Option<String>, Header, description = "To send the request again")),
    responses(
        (status = 201, description = "Created", body = GoalDetail,
            headers(("Location" = String, description = "Path of the goal"))),
        (status = 200, description = "Created by the same request before, as it is now", body = GoalDetail,
            headers(("Location" = String, description = "Path of the goal"), ("Idempotency-Replayed" = bool)))))]
pub(super) async fn create_goal(
    State(state): State<ApiState>,
    caller: May<ChangeTasks>,
    key: IdempotencyKey,
    ApiJson(draft): ApiJson<GoalDraft>,
) -> Result<Response, Problem> {
    let (creator, key) = (&caller.principal.name, key.of(&draft)?);
    if let Some(before) = created_before(&state.db, creator, key.as_ref()).await? {
        return again(&state, &before).await;
    }
    let goal = NewGoal::admit(draft)?;
    known_types(&state, &goal).await?;
    let (goal_id, task_id) = (GoalId::generate(), TaskId::generate());
    let task = NewTask::admit(planning_task(goal_id, &goal))?;
    let planning = match admitted(&state, creator, task_id, task).await? {
        (task, Ok(admission)) => Admitted { id: task_id, task, treatment: admission.treatment() },
        (_, Err(denied)) => return Err(refused(&state, creator, denied).await),
    };
    let created = state.db.create_goal(goal_id, &goal, &planning, creator, key.as_ref()).await;
    match first_or_before(&state.db, creator, key.as_ref(), created).await? {
        Ok(goal) => {
            state.wake.everybody();
            Ok((StatusCode::CREATED, AppendHeaders([(LOCATION, path_of(goal_id))]), Json(goal)).into_response())
        }
        Err(before) => again(&state, &before).await,
    }
}

fn path_of(id: GoalId) -> String {
    format!("/api/v1/goals/{id}")
}

/// The goal that the same request created before: its planning task is on record.
async fn again(state: &ApiState, before: &[TaskId]) -> Result<Response, Problem> {
    let [planning] = *before else { return Err(DbError::Corrupt("request_keys").into()) };
    let id = state.db.goal_of_task(planning).await?.ok_or(DbError::Corrupt("request_keys"))?;
    let headers = AppendHeaders([(LOCATION, path_of(id)), (REPLAYED_HEADER, "true".to_owned())]);
    Ok((StatusCode::OK, headers, Json(state.db.goal(id).await?)).into_response())
}

async fn known_types(state: &ApiState, goal: &NewGoal) -> Result<(), Problem> {
    let named = goal.task_types();
    let known = state.db.task_types_among(&named).await?;
    match named.iter().find(|name| !known.contains(name)) {
        None => Ok(()),
        Some(odd) => {
            let tasks = goal.draft().plan.iter().flat_map(|plan| &plan.tasks);
            let key = tasks.into_iter().find(|task| task.task_type == *odd).map_or("", |task| &task.key);
            let message =
                format!("task {key:?}: there is no task type {odd:?}; `GET /api/v1/task-types` lists those that are");
            Err(Problem::invalid_field("plan", &message, format!("plan {message}")))
        }
    }
}

/// Criteria of the goal are judged when it is closed, by its tasks' evidence; the planning task has none of its own.
fn planning_task(id: GoalId, goal: &NewGoal) -> TaskDraft {
    let draft = goal.draft();
    let title: String = format!("Plan: {}", draft.title).chars().take(limits::TITLE_CHARS_MAX).collect();
    TaskDraft {
        title,
        description: String::new(),
        task_type: PLANNING.to_owned(),
        priority: draft.priority,
        risk: crate::task::Risk::Low,
        payload: json!({ "goal": id }),
        acceptance_criteria: json!([]),
        assigned_worker: None,
        depends_on: Vec::new(),
        attempts_max: 3,
        deadline_at: None,
    }
}

/// Which goals, and which page of them.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListGoals {
    #[param(inline)]
    state: Option<GoalState>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// Rows of the page: 1 to 200, 50 if unset.
    limit: Option<u32>,
}

/// List goals, newest first
#[utoipa::path(get, path = "/goals", tag = "goals", params(ListGoals),
    responses((status = 200, description = "A page of goals", body = Page<GoalSummary>)))]
pub(super) async fn list_goals(
    State(state): State<ApiState>,
    _caller: May<Read>,
    ApiQuery(query): ApiQuery<ListGoals>,
) -> Result<Json<Page<GoalSummary>>, Problem> {
    let ListGoals { state: stands, cursor, limit } = query;
    let limit = page_limit(limit)?;
    let after = match cursor {
        None => GoalCursor::START,
        Some(cursor) => {
            let (created_at, id) = decode(&cursor)?;
            GoalCursor { created_at, id: GoalId(id) }
        }
    };
    let goals = state.db.list_goals(stands, after, limit + 1).await?;
    Ok(Json(Page::cut(goals, limit, |goal| encode(goal.created_at, goal.id.0))))
}

/// Show a goal, with its tasks, their evidence and its outcome
#[utoipa::path(get, path = "/goals/{id}", tag = "goals", params(("id" = GoalId, Path, description = "The goal's id")),
    responses((status = 200, description = "The goal", body = GoalDetail)))]
pub(super) async fn show_goal(
    State(state): State<ApiState>,
    _caller: May<Read>,
    GoalPath(id): GoalPath,
) -> Result<Json<GoalDetail>, Problem> {
    Ok(Json(state.db.goal(id).await?))
}

/// Cancel a goal
///
/// An open one, with every task of it that has not ended.
#[utoipa::path(post, path = "/goals/{id}/cancel", tag = "goals",
    params(("id" = GoalId, Path, description = "The goal's id")),
    responses((status = 200, description = "The cancelled goal", body = GoalDetail)))]
pub(super) async fn cancel_goal(
    State(state): State<ApiState>,
    caller: May<ChangeTasks>,
    GoalPath(id): GoalPath,
) -> Result<Json<GoalDetail>, Problem> {
    Ok(Json(state.db.cancel_goal(id, &caller.principal.name).await?))
}
