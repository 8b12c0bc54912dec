//! Many tasks in one request: all of them are created, or none is.

use axum::Json;
use axum::extract::{FromRequest, Request, State};
use axum::http::StatusCode;
use axum::response::{AppendHeaders, IntoResponse as _, Response};
use serde::Serialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use utoipa::ToSchema;

use super::ApiState;
use super::access::{ChangeTasks, May};
use super::extract::read_json;
use super::idempotency::{IdempotencyKey, REPLAYED_HEADER, created_before, first_or_before};
use super::problem::Problem;
use super::tasks::refused;
use crate::db::bulk::Admitted;
use crate::policy::{self, Denied, Policies};
use crate::task::{NewTask, TaskDraft, TaskId, TaskStatus};

/// Tasks of one request.
pub const BULK_TASKS_MAX: usize = 1000;
/// Largest body of such a request.
pub const BULK_BODY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The tasks that were created.
#[derive(Clone, Debug, Serialize, serde::Deserialize, ToSchema)]
pub struct CreatedTasks {
    /// In the order of the request.
    pub ids: Vec<TaskId>,
}

/// Create up to 1000 tasks at once
///
/// All or nothing: where one of them is not valid or not permitted, none is created, and the problem names its place in
/// the list, counted from 0. The tasks are claimed in this order where nothing else tells them apart. They can have no
/// `depends_on`. The body has at most 8 MiB. `Idempotency-Key` is as for a single task.
#[utoipa::path(post, path = "/tasks/bulk", tag = "tasks", request_body = Vec<TaskDraft>,
    params(("Idempotency-Key" = Option<String>, Header, description = "To send the request again")),
    responses((status = 201, description = "Created", body = CreatedTasks),
        (status = 200, description = "Created by the same request before", body = CreatedTasks,
            headers(("Idempotency-Replayed" = bool)))))]
pub(super) async fn create_tasks(
    State(state): State<ApiState>,
    caller: May<ChangeTasks>,
    key: IdempotencyKey,
    DraftList(drafts): DraftList,
) -> Result<Response, Problem> {
    let principal = &caller.principal.name;
    let key = key.of(&drafts)?;
    if let Some(before) = created_before(&state.db, principal, key.as_ref()).await? {
        return Ok(again(before));
    }
    let tasks = validate(&state, drafts).await?;
    let (policies, creator) = (state.policies.clone(), principal.clone());
    // A thousand decisions are tens of milliseconds, in which other requests want to be served.
    let judged = tokio::task::spawn_blocking(move || admit(&policies, &creator, tasks)).await;
    let admitted = match judged.map_err(|error| Problem::internal(format!("admission broke off: {error}")))? {
        Ok(admitted) => admitted,
        Err((index, denied)) => return Err(refused(&state, principal, denied).await.of_entry(index)),
    };
    let created = state.db.create_tasks(&admitted, principal, key.as_ref()).await;
    let statuses = match first_or_before(&state.db, principal, key.as_ref(), created).await? {
        Ok(statuses) => statuses,
        Err(before) => return Ok(again(before)),
    };
    if statuses.contains(&TaskStatus::Pending) {
        state.wake.everybody();
    }
    let ids = admitted.iter().map(|task| task.id).collect();
    Ok((StatusCode::CREATED, Json(CreatedTasks { ids })).into_response())
}

/// The tasks that the same request created before.
fn again(ids: Vec<TaskId>) -> Response {
    (StatusCode::OK, AppendHeaders([(REPLAYED_HEADER, "true")]), Json(CreatedTasks { ids })).into_response()
}

async fn validate(state: &ApiState, drafts: Vec<TaskDraft>) -> Result<Vec<NewTask>, Problem> {
    if drafts.is_empty() {
        return Err(Problem::invalid_field("(body)", "is empty", "The list is empty; it must have at least one task"));
    }
    let mut tasks = Vec::with_capacity(drafts.len());
    for (index, draft) in drafts.into_iter().enumerate() {
        if !draft.depends_on.is_empty() {
            let message = "must be empty in a list; create tasks with dependencies one by one";
            let problem = Problem::invalid_field("depends_on", message, format!("depends_on {message}"));
            return Err(problem.of_entry(index));
        }
        tasks.push(NewTask::admit(draft).map_err(|invalid| Problem::from(invalid).of_entry(index))?);
    }
    let mut types: Vec<String> = tasks.iter().map(|task| task.draft().task_type.clone()).collect();
    types.sort_unstable();
    types.dedup();
    let known = state.db.task_types_among(&types).await?;
    match tasks.iter().position(|task| !known.contains(&task.draft().task_type)) {
        Some(index) => Err(Problem::from(crate::db::DbError::UnknownTaskType).of_entry(index)),
        None => Ok(tasks),
    }
}

/// Policy's word on each; the first that it denies, with its place.
fn admit(policies: &Policies, creator: &str, tasks: Vec<NewTask>) -> Result<Vec<Admitted>, (usize, Denied)> {
    let judged = tasks.into_iter().enumerate().map(|(index, task)| {
        let id = TaskId::generate();
        let admission = policy::admit(policies, creator, id, task.draft()).map_err(|denied| (index, denied))?;
        Ok(Admitted { id, task, treatment: admission.treatment() })
    });
    judged.collect()
}

/// The body.
#[derive(Debug)]
pub(super) struct DraftList(Vec<TaskDraft>);

impl<S: Send + Sync> FromRequest<S> for DraftList {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        read_json(request, BULK_BODY_BYTES_MAX).await
    }
}

/// Stops at the first entry too many, so that a long list costs no more than a full one.
impl<'de> Deserialize<'de> for DraftList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = DraftList;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "a list of 1 to {BULK_TASKS_MAX} tasks")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<DraftList, A::Error> {
                let mut drafts = Vec::new();
                while let Some(Entry(draft)) = list.next_element()? {
                    if drafts.len() == BULK_TASKS_MAX {
                        return Err(A::Error::custom(format!(
                            "has more than {BULK_TASKS_MAX} tasks; send several lists"
                        )));
                    }
                    drafts.push(draft);
                }
                Ok(DraftList(drafts))
            }
        }
        deserializer.deserialize_seq(List)
    }
}

/// An object and nothing else: serde would read a list as an object's fields in order.
struct Entry(TaskDraft);

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Entry;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a task, which is an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Entry, A::Error> {
                TaskDraft::deserialize(MapAccessDeserializer::new(map)).map(Entry)
            }
        }
        deserializer.deserialize_map(Object)
    }
}
