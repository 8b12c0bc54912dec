//! Check runs. On GitHub only Apps may write them; here every token may.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde_json::{Value, json};

use super::body::Fields;
use super::links::{Links, node_id, number_of, repo_name};
use super::page::{Page, query};
use crate::app::{App, blocking};
use crate::error::{ApiError, StoreError};
use crate::store::{CheckChange, CheckOutput, CheckRun, CheckStatus, RepoName};

const FILTERS: [&str; 2] = ["latest", "all"];
type RunPath = Path<(String, String, u64)>;

pub(super) async fn list(app: &Arc<App>, name: RepoName, spec: String, uri: &Uri) -> Result<Response, ApiError> {
    let links = Links::new(app, &name);
    let page = Page::new(&app.base, uri);
    let filter = query(uri, "filter").unwrap_or_else(|| "latest".to_owned());
    if !FILTERS.contains(&filter.as_str()) {
        return Err(ApiError::unprocessable(format!(
            "Invalid request.\n\nFor 'properties/filter', {filter} is not one of latest, all."
        )));
    }
    let check_name = query(uri, "check_name");
    let status = query(uri, "status");
    blocking(app, move |store| {
        let repo = store.repo(&name)?;
        let commit = repo.commit_of(&spec)?.ok_or_else(|| StoreError::NoCommitForSha(spec.clone()))?;
        let mut runs = repo.check_runs(&commit.id().to_string(), filter == "latest")?;
        runs.retain(|run| {
            check_name.as_ref().is_none_or(|name| *name == run.name)
                && status.as_ref().is_none_or(|status| json!(run.status) == status.as_str())
        });
        let total = runs.len();
        let shown: Vec<Value> = page.cut(runs).iter().map(|it| render(&links, it)).collect();
        Ok(page.respond(json!({"total_count": total, "check_runs": shown}), total))
    })
    .await
}

pub(super) async fn get(
    State(app): State<Arc<App>>,
    Path((owner, repo, id)): RunPath,
) -> Result<Json<Value>, ApiError> {
    let name = repo_name(&owner, &repo)?;
    let links = Links::new(&app, &name);
    let run = blocking(&app, move |store| store.repo(&name)?.check_run(id)).await?;
    Ok(Json(render(&links, &run)))
}

pub(super) async fn create(
    State(app): State<Arc<App>>,
    Path((owner, repo)): Path<(String, String)>,
    bytes: Bytes,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let name = repo_name(&owner, &repo)?;
    let links = Links::new(&app, &name);
    let fields = Fields::parse(&bytes)?;
    fields.require(&["name", "head_sha"])?;
    let check_name = fields.required_text("name")?;
    let sha = fields.required_text("head_sha")?;
    let change = parse_change(&fields)?;
    let run = blocking(&app, move |store| store.locked(&name, |repo| repo.create_check_run(&check_name, &sha, change)))
        .await?;
    Ok((StatusCode::CREATED, Json(render(&links, &run))))
}

pub(super) async fn update(
    State(app): State<Arc<App>>,
    Path((owner, repo, id)): RunPath,
    bytes: Bytes,
) -> Result<Json<Value>, ApiError> {
    let name = repo_name(&owner, &repo)?;
    let links = Links::new(&app, &name);
    let change = parse_change(&Fields::parse(&bytes)?)?;
    let run = blocking(&app, move |store| store.locked(&name, |repo| repo.update_check_run(id, change))).await?;
    Ok(Json(render(&links, &run)))
}

fn parse_change(fields: &Fields) -> Result<CheckChange, ApiError> {
    let status = fields.choice("status")?;
    let conclusion = fields.choice("conclusion")?;
    if status == Some(CheckStatus::Completed) && conclusion.is_none() {
        fields.require(&["conclusion"])?;
    }
    let output = match fields.object("output")? {
        Some(output) => {
            output.require(&["title", "summary"])?;
            Some(CheckOutput {
                title: output.text("title")?,
                summary: output.text("summary")?,
                text: output.text("text")?,
            })
        }
        None => None,
    };
    Ok(CheckChange {
        name: fields.text("name")?,
        external_id: fields.text("external_id")?,
        details_url: fields.text("details_url")?,
        status,
        conclusion,
        started_at: fields.text("started_at")?,
        completed_at: fields.text("completed_at")?,
        output,
    })
}

fn render(links: &Links, run: &CheckRun) -> Value {
    let id = run.id;
    let url = links.api(&format!("/check-runs/{id}"));
    let html_url = links.html(&format!("/runs/{id}"));
    let details_url = run.details_url.as_ref().unwrap_or(&html_url);
    json!({
        "id": id,
        "name": run.name,
        "node_id": node_id("CR", &id.to_string()),
        "head_sha": run.head_sha,
        "external_id": run.external_id,
        "url": url,
        "html_url": html_url,
        "details_url": details_url,
        "status": run.status,
        "conclusion": run.conclusion,
        "started_at": run.started_at,
        "completed_at": run.completed_at,
        "output": {
            "title": run.output.title,
            "summary": run.output.summary,
            "text": run.output.text,
            "annotations_count": 0,
            "annotations_url": format!("{url}/annotations"),
        },
        "check_suite": {"id": number_of(&run.head_sha)},
        "app": {
            "id": 1,
            "slug": "forge",
            "node_id": node_id("A", "forge"),
            "owner": links.user("forge"),
            "name": "Forge",
            "description": "",
            "external_url": links.base,
            "html_url": format!("{}/apps/forge", links.base),
            "permissions": {"checks": "write"},
            "events": [],
        },
        "pull_requests": [],
    })
}
