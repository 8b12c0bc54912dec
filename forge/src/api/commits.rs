//! Commits. A ref may contain slashes, so `/commits/{ref}/check-runs` is told apart here and not by the router.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use git2::Oid;
use serde_json::{Value, json};

use super::links::{Links, repo_name};
use super::page::{Page, query};
use super::refs::RefPath;
use super::{checks, links};
use crate::app::{App, blocking};
use crate::error::{ApiError, StoreError};
use crate::store::{Repo, RepoName};

const FILES_MAX: usize = 300;

pub(super) async fn get(
    State(app): State<Arc<App>>,
    Path((owner, repo, spec)): RefPath,
    uri: Uri,
) -> Result<Response, ApiError> {
    let name = links::repo_name(&owner, &repo)?;
    if let Some(spec) = spec.strip_suffix("/check-runs") {
        return checks::list(&app, name, spec.to_owned(), &uri).await;
    }
    one(&app, name, spec).await
}

async fn one(app: &Arc<App>, name: RepoName, spec: String) -> Result<Response, ApiError> {
    let links = Links::new(app, &name);
    blocking(app, move |store| {
        let repo = store.repo(&name)?;
        let commit = repo.commit_of(&spec)?.ok_or_else(|| StoreError::NoCommitForSha(spec.clone()))?;
        let (oid, parent) = (commit.id(), commit.parent_ids().next());
        let mut body = links.commit(&repo, oid)?;
        let (stats, files) = changes(&links, &repo, parent, oid)?;
        body["stats"] = stats;
        body["files"] = files;
        Ok(Json(body).into_response())
    })
    .await
}

fn changes(links: &Links, repo: &Repo, old: Option<Oid>, new: Oid) -> Result<(Value, Value), StoreError> {
    let files = repo.diff_commits(old, new)?;
    let additions: usize = files.iter().map(|file| file.additions).sum();
    let deletions: usize = files.iter().map(|file| file.deletions).sum();
    let stats = json!({
        "total": additions + deletions, "additions": additions, "deletions": deletions,
    });
    let sha = new.to_string();
    let shown = files.iter().take(FILES_MAX);
    Ok((stats, shown.map(|file| links.file_diff(&sha, file)).collect()))
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    Path((owner, repo)): Path<(String, String)>,
    uri: Uri,
) -> Result<Response, ApiError> {
    let name = repo_name(&owner, &repo)?;
    let links = Links::new(&app, &name);
    let page = Page::new(&app.base, &uri);
    let spec = query(&uri, "sha").unwrap_or_else(|| "HEAD".to_owned());
    let path = query(&uri, "path").filter(|path| !path.is_empty());
    blocking(&app, move |store| {
        let repo = store.repo(&name)?;
        let from = repo.commit_of(&spec)?.ok_or(StoreError::NotFound)?;
        let found = repo.history(&from, path.as_deref(), page.skip(), page.take())?;
        let commits = links.commits(&repo, &found.items)?;
        Ok(page.respond(Value::Array(commits), found.total))
    })
    .await
}
