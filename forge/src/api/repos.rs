//! Repositories, and the rate limit.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use serde_json::{Value, json};

use super::links::{Links, repo_name};
use crate::app::{App, blocking};
use crate::error::ApiError;

pub(super) async fn get(
    State(app): State<Arc<App>>,
    Path((owner, repo)): Path<(String, String)>,
) -> Result<Json<Value>, ApiError> {
    let name = repo_name(&owner, &repo)?;
    let links = Links::new(&app, &name);
    let (meta, open_pulls, pushed_at) = blocking(&app, move |store| {
        let repo = store.repo(&name)?;
        let open_pulls = repo.pulls()?.iter().filter(|pull| pull.open).count();
        let tip = repo.commit_of("HEAD")?;
        let pushed_at = tip.map(|tip| crate::clock::from_unix(tip.time().seconds()));
        Ok((repo.meta()?, open_pulls, pushed_at))
    })
    .await?;
    let mut body = links.repository();
    let more = json!({
        "clone_url": links.html(".git"),
        "default_branch": meta.default_branch,
        "visibility": "public",
        "created_at": meta.created_at,
        "updated_at": pushed_at,
        "pushed_at": pushed_at,
        "size": 0,
        "stargazers_count": 0,
        "watchers_count": 0,
        "forks_count": 0,
        "open_issues_count": open_pulls,
        "language": null,
        "license": null,
        "topics": [],
        "archived": false,
        "disabled": false,
        "has_issues": false,
        "has_projects": false,
        "has_wiki": false,
        "has_pages": false,
        "has_downloads": false,
        "allow_merge_commit": true,
        "allow_squash_merge": true,
        "allow_rebase_merge": false,
        "allow_auto_merge": false,
        "delete_branch_on_merge": false,
        "permissions": {"admin": true, "maintain": true, "push": true, "triage": true, "pull": true},
    });
    if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
        body.extend(more);
    }
    Ok(Json(body))
}

pub(super) async fn rate_limit(State(app): State<Arc<App>>) -> Json<Value> {
    let rate = app.rate.get();
    let core = json!({
        "limit": rate.limit,
        "used": rate.used(),
        "remaining": rate.remaining,
        "reset": rate.reset,
        "resource": "core",
    });
    Json(json!({"resources": {"core": core}, "rate": core}))
}
