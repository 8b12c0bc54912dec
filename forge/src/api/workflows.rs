//! Workflows: dispatching them, and their runs.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Extension, Path, State};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::Actor;
use super::body::{Fields, strict};
use super::links::{Links, node_id, number_of, repo_name};
use super::page::{Page, query};
use crate::app::{App, blocking};
use crate::clock;
use crate::error::ApiError;
use crate::store::{Dispatch, RunChange, WorkflowPolicy, WorkflowRun};

const EVENT: &str = "workflow_dispatch";
type WorkflowPath = Path<(String, String, String)>;
type RunPath = Path<(String, String, u64)>;

/// Whose token this is.
pub(super) async fn user(State(app): State<Arc<App>>, Extension(Actor(login)): Extension<Actor>) -> Json<Value> {
    Json(json!({
        "login": login,
        "id": number_of(&login),
        "node_id": node_id("U", &login),
        "url": format!("{}/users/{login}", app.base),
        "html_url": format!("{}/{login}", app.base),
        "type": "User",
    }))
}

pub(super) async fn dispatch(
    State(app): State<Arc<App>>,
    Extension(Actor(actor)): Extension<Actor>,
    Path((owner, repo, workflow)): WorkflowPath,
    bytes: Bytes,
) -> Result<Response, ApiError> {
    let name = repo_name(&owner, &repo)?;
    let links = Links::new(&app, &name);
    let fields = Fields::parse(&bytes)?;
    let reference = fields.required_text("ref")?;
    let inputs = match fields.object("inputs")? {
        Some(inputs) => inputs.texts()?,
        None => Vec::new(),
    };
    let wanted = fields.flag("return_run_details")?;
    let dispatch = Dispatch { workflow, reference, inputs, actor };
    let (run, details) = blocking(&app, move |store| store.locked(&name, |repo| repo.dispatch(dispatch))).await?;
    if !wanted || !details {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let id = run.id;
    let body = json!({
        "workflow_run_id": id,
        "run_url": links.api(&format!("/actions/runs/{id}")),
        "html_url": links.html(&format!("/actions/runs/{id}")),
    });
    Ok(Json(body).into_response())
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    Path((owner, repo, workflow)): WorkflowPath,
    uri: Uri,
) -> Result<Response, ApiError> {
    let name = repo_name(&owner, &repo)?;
    let links = Links::new(&app, &name);
    let page = Page::new(&app.base, &uri);
    let asked = |key| query(&uri, key);
    let (event, branch, actor, status) = (asked("event"), asked("branch"), asked("actor"), asked("status"));
    let since = asked("created").and_then(|text| clock::parse_unix(text.strip_prefix(">=")?));
    blocking(&app, move |store| {
        let mut runs = store.repo(&name)?.workflow_runs(&workflow)?;
        runs.retain(|run| {
            event.as_ref().is_none_or(|event| event == EVENT)
                && branch.as_ref().is_none_or(|branch| *branch == run.branch)
                && actor.as_ref().is_none_or(|actor| *actor == run.actor)
                && status.as_ref().is_none_or(|status| json!(run.status) == status.as_str())
                && since.is_none_or(|since| clock::parse_unix(&run.created_at).is_some_and(|at| at >= since))
        });
        let total = runs.len();
        let shown: Vec<Value> = page.cut(runs).iter().map(|run| render(&links, run)).collect();
        Ok(page.respond(json!({"total_count": total, "workflow_runs": shown}), total))
    })
    .await
}

pub(super) async fn get(
    State(app): State<Arc<App>>,
    Path((owner, repo, id)): RunPath,
) -> Result<Json<Value>, ApiError> {
    let name = repo_name(&owner, &repo)?;
    let links = Links::new(&app, &name);
    let run = blocking(&app, move |store| store.repo(&name)?.workflow_run(id)).await?;
    Ok(Json(render(&links, &run)))
}

pub(super) async fn set_policies(
    State(app): State<Arc<App>>,
    Path((owner, repo)): Path<(String, String)>,
    bytes: Bytes,
) -> Result<StatusCode, ApiError> {
    let name = repo_name(&owner, &repo)?;
    let policies: Vec<WorkflowPolicy> = strict(&bytes)?;
    blocking(&app, move |store| store.locked(&name, |repo| repo.set_workflow_policies(policies))).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn change(
    State(app): State<Arc<App>>,
    Path((owner, repo, id)): RunPath,
    bytes: Bytes,
) -> Result<Json<Value>, ApiError> {
    let name = repo_name(&owner, &repo)?;
    let links = Links::new(&app, &name);
    let change: RunChange = strict(&bytes)?;
    let run = blocking(&app, move |store| store.locked(&name, |repo| repo.change_workflow_run(id, change))).await?;
    Ok(Json(render(&links, &run)))
}

fn render(links: &Links, run: &WorkflowRun) -> Value {
    let id = run.id;
    // GitHub does not show inputs; tests that look at them do.
    let inputs: serde_json::Map<String, Value> =
        run.inputs.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    json!({
        "id": id,
        "name": run.workflow,
        "node_id": node_id("WFR", &id.to_string()),
        "head_branch": run.branch,
        "head_sha": run.head_sha,
        "path": format!(".github/workflows/{}", run.workflow),
        "display_title": run.title,
        "run_number": id,
        "run_attempt": 1,
        "event": EVENT,
        "status": run.status,
        "conclusion": run.conclusion,
        "workflow_id": number_of(&run.workflow),
        "url": links.api(&format!("/actions/runs/{id}")),
        "html_url": links.html(&format!("/actions/runs/{id}")),
        "created_at": run.created_at,
        "updated_at": run.created_at,
        "actor": links.user(&run.actor),
        "triggering_actor": links.user(&run.actor),
        "_forge_inputs": inputs,
    })
}
