//! What a head has that a base has not.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::Response;
use serde_json::{Value, json};

use super::links::{Links, repo_name};
use super::page::{Page, query};
use super::refs::RefPath;
use crate::app::{App, blocking};
use crate::error::{ApiError, StoreError};
use crate::store::{Repo, RepoName};

const FILES_MAX: usize = 300;
/// Without paging GitHub shows this many commits at once.
const COMMITS_UNPAGED_MAX: usize = 250;

pub(super) async fn get(
    State(app): State<Arc<App>>,
    Path((owner, repo, basehead)): RefPath,
    uri: Uri,
) -> Result<Response, ApiError> {
    let name = repo_name(&owner, &repo)?;
    let links = Links::new(&app, &name);
    let (base, head) = basehead
        .split_once("...")
        .map(|(base, head)| (base.to_owned(), head.to_owned()))
        .ok_or_else(ApiError::not_found)?;
    let paged = query(&uri, "page").is_some() || query(&uri, "per_page").is_some();
    let page = if paged {
        Page::new(&app.base, &uri)
    } else {
        Page::with_limits(&app.base, &uri, COMMITS_UNPAGED_MAX, COMMITS_UNPAGED_MAX)
    };
    blocking(&app, move |store| {
        let repo = store.repo(&name)?;
        let (body, total) = compare(&links, &repo, (&base, &head), &page)?;
        Ok(page.respond(body, total))
    })
    .await
}

fn compare(links: &Links, repo: &Repo, (base, head): (&str, &str), page: &Page) -> Result<(Value, usize), StoreError> {
    let commit = |spec| {
        own(&repo.name, spec).map(|spec| repo.commit_of(spec)).transpose()?.flatten().ok_or(StoreError::NotFound)
    };
    let (base_commit, head_commit) = (commit(base)?, commit(head)?);
    let distance = repo.distance(base_commit.id(), head_commit.id())?;
    let total = distance.ahead.len();
    let status = match (total, distance.behind_by) {
        (0, 0) => "identical",
        (_, 0) => "ahead",
        (0, _) => "behind",
        _ => "diverged",
    };
    // GitHub shows the files with the first page of commits only.
    let files: Vec<Value> = if page.is_first() {
        let head_sha = head_commit.id().to_string();
        repo.diff_commits(Some(distance.merge_base), head_commit.id())?
            .iter()
            .take(FILES_MAX)
            .map(|file| links.file_diff(&head_sha, file))
            .collect()
    } else {
        Vec::new()
    };
    let html = links.html(&format!("/compare/{base}...{head}"));
    let body = json!({
        "url": links.api(&format!("/compare/{base}...{head}")),
        "html_url": html,
        "permalink_url": links.html(&format!("/compare/{}...{}", base_commit.id(), head_commit.id())),
        "diff_url": format!("{html}.diff"),
        "patch_url": format!("{html}.patch"),
        "base_commit": links.commit(repo, base_commit.id())?,
        "merge_base_commit": links.commit(repo, distance.merge_base)?,
        "status": status,
        "ahead_by": total,
        "behind_by": distance.behind_by,
        "total_commits": total,
        "commits": links.commits(repo, &page.cut(distance.ahead))?,
        "files": files,
    });
    Ok((body, total))
}

/// `owner:branch` names a branch here only if the owner is ours: the forge has no forks.
fn own<'a>(name: &RepoName, spec: &'a str) -> Option<&'a str> {
    match spec.split_once(':') {
        Some((owner, branch)) => (owner == name.owner()).then_some(branch),
        None => Some(spec),
    }
}
