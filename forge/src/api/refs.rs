//! Git references.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::body::Fields;
use super::links::{Links, node_id, repo_name};
use crate::app::{App, blocking};
use crate::error::ApiError;
use crate::store::NamedRef;

pub(super) type RefPath = Path<(String, String, String)>;

pub(super) async fn get(
    State(app): State<Arc<App>>,
    Path((owner, repo, reference)): RefPath,
) -> Result<Json<Value>, ApiError> {
    let name = repo_name(&owner, &repo)?;
    let links = Links::new(&app, &name);
    let found = blocking(&app, move |store| store.repo(&name)?.reference(&reference)).await?;
    Ok(Json(render(&links, &found)))
}

pub(super) async fn matching(
    State(app): State<Arc<App>>,
    Path((owner, repo, prefix)): RefPath,
) -> Result<Json<Value>, ApiError> {
    let name = repo_name(&owner, &repo)?;
    let links = Links::new(&app, &name);
    let found = blocking(&app, move |store| store.repo(&name)?.matching_references(&prefix)).await?;
    Ok(Json(found.iter().map(|it| render(&links, it)).collect()))
}

pub(super) async fn create(
    State(app): State<Arc<App>>,
    Path((owner, repo)): Path<(String, String)>,
    bytes: Bytes,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let name = repo_name(&owner, &repo)?;
    let links = Links::new(&app, &name);
    let created = blocking(&app, {
        let fields = Fields::parse(&bytes)?;
        fields.require(&["ref", "sha"])?;
        let reference = fields.required_text("ref")?;
        let sha = fields.required_text("sha")?;
        move |store| store.locked(&name, |repo| repo.create_reference(&reference, &sha))
    })
    .await?;
    Ok((StatusCode::CREATED, Json(render(&links, &created))))
}

pub(super) async fn update(
    State(app): State<Arc<App>>,
    Path((owner, repo, reference)): RefPath,
    bytes: Bytes,
) -> Result<Json<Value>, ApiError> {
    let name = repo_name(&owner, &repo)?;
    let links = Links::new(&app, &name);
    let fields = Fields::parse(&bytes)?;
    let sha = fields.required_text("sha")?;
    let force = fields.flag("force")?;
    let updated =
        blocking(&app, move |store| store.locked(&name, |repo| repo.update_reference(&reference, &sha, force))).await?;
    Ok(Json(render(&links, &updated)))
}

pub(super) async fn delete(
    State(app): State<Arc<App>>,
    Path((owner, repo, reference)): RefPath,
) -> Result<StatusCode, ApiError> {
    let name = repo_name(&owner, &repo)?;
    blocking(&app, move |store| store.locked(&name, |repo| repo.delete_reference(&reference))).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn render(links: &Links, found: &NamedRef) -> Value {
    let kind = found.kind.str();
    let sha = found.target.to_string();
    json!({
        "ref": found.name,
        "node_id": node_id("REF", &found.name),
        "url": links.api(&format!("/git/{}", found.name)),
        "object": {"type": kind, "sha": sha, "url": links.api(&format!("/git/{kind}s/{sha}"))},
    })
}
