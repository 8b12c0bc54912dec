//! Pull requests.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use axum::{Extension, Json};
use serde_json::{Value, json};

use super::Actor;
use super::body::Fields;
use super::links::{Links, node_id, number_of, repo_name};
use super::page::{Page, query};
use crate::app::{App, blocking};
use crate::error::{ApiError, StoreError};
use crate::store::{FileDiff, NewPull, Pull, PullChange, PullView, Repo, RepoName};

const STATES: [&str; 3] = ["open", "closed", "all"];
const COMMITS_LISTED_MAX: usize = 250;
pub(super) type PullPath = Path<(String, String, u64)>;

pub(super) async fn create(
    State(app): State<Arc<App>>,
    Path((owner, repo)): Path<(String, String)>,
    Extension(Actor(author)): Extension<Actor>,
    bytes: Bytes,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let name = repo_name(&owner, &repo)?;
    let links = Links::new(&app, &name);
    let fields = Fields::parse(&bytes)?;
    fields.require(&["title", "head", "base"])?;
    let head = own_branch(&name, fields.required_text("head")?)?;
    let new = NewPull {
        title: fields.required_text("title")?,
        body: fields.text("body")?,
        draft: fields.flag("draft")?,
        author,
        head,
        base: fields.required_text("base")?,
    };
    let body = blocking(&app, move |store| {
        store.locked(&name, |repo| {
            let pull = repo.create_pull(new)?;
            full(&links, repo, pull)
        })
    })
    .await?;
    Ok((StatusCode::CREATED, Json(body)))
}

/// `owner:branch` of another owner would be a fork, of which the forge has none.
fn own_branch(name: &RepoName, head: String) -> Result<String, ApiError> {
    match head.split_once(':') {
        None => Ok(head),
        Some((owner, branch)) if owner == name.owner() => Ok(branch.to_owned()),
        Some(_) => Err(StoreError::field("PullRequest", "head", "invalid").into()),
    }
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    Path((owner, repo)): Path<(String, String)>,
    uri: Uri,
) -> Result<Response, ApiError> {
    let name = repo_name(&owner, &repo)?;
    let links = Links::new(&app, &name);
    let page = Page::new(&app.base, &uri);
    let state = query(&uri, "state").unwrap_or_else(|| "open".to_owned());
    if !STATES.contains(&state.as_str()) {
        return Err(StoreError::field("PullRequest", "state", "invalid").into());
    }
    // GitHub ignores a head without an owner.
    let head = query(&uri, "head").filter(|head| head.contains(':'));
    let base = query(&uri, "base").filter(|base| !base.is_empty());
    blocking(&app, move |store| {
        let repo = store.repo(&name)?;
        let mut pulls = repo.pulls()?;
        pulls.retain(|pull| {
            let label = format!("{}:{}", repo.name.owner(), pull.head);
            (state == "all" || (state == "open") == pull.open)
                && head.as_ref().is_none_or(|head| *head == label)
                && base.as_ref().is_none_or(|base| *base == pull.base)
        });
        let total = pulls.len();
        let shown = page.cut(pulls).into_iter().map(|pull| {
            let view = repo.view_pull(pull)?;
            Ok(summary(&links, &view))
        });
        Ok(page.respond(shown.collect::<Result<Value, StoreError>>()?, total))
    })
    .await
}

pub(super) async fn get(
    State(app): State<Arc<App>>,
    Path((owner, repo, number)): PullPath,
) -> Result<Json<Value>, ApiError> {
    let name = repo_name(&owner, &repo)?;
    let links = Links::new(&app, &name);
    let body = blocking(&app, move |store| {
        let repo = store.repo(&name)?;
        full(&links, &repo, repo.pull(number)?)
    })
    .await?;
    Ok(Json(body))
}

pub(super) async fn update(
    State(app): State<Arc<App>>,
    Path((owner, repo, number)): PullPath,
    bytes: Bytes,
) -> Result<Json<Value>, ApiError> {
    let name = repo_name(&owner, &repo)?;
    let links = Links::new(&app, &name);
    let fields = Fields::parse(&bytes)?;
    let open = match fields.text("state")?.as_deref() {
        None => None,
        Some("open") => Some(true),
        Some("closed") => Some(false),
        Some(_) => return Err(StoreError::field("PullRequest", "state", "invalid").into()),
    };
    let change =
        PullChange { title: fields.text("title")?, body: fields.text("body")?, open, base: fields.text("base")? };
    let body = blocking(&app, move |store| {
        store.locked(&name, |repo| {
            let pull = repo.change_pull(number, change)?;
            full(&links, repo, pull)
        })
    })
    .await?;
    Ok(Json(body))
}

pub(super) async fn commits(
    State(app): State<Arc<App>>,
    Path((owner, repo, number)): PullPath,
    uri: Uri,
) -> Result<Response, ApiError> {
    let name = repo_name(&owner, &repo)?;
    let links = Links::new(&app, &name);
    let page = Page::new(&app.base, &uri);
    blocking(&app, move |store| {
        let repo = store.repo(&name)?;
        let mut commits = repo.view_pull(repo.pull(number)?)?.commits;
        commits.truncate(COMMITS_LISTED_MAX);
        let total = commits.len();
        let shown = links.commits(&repo, &page.cut(commits))?;
        Ok(page.respond(Value::Array(shown), total))
    })
    .await
}

pub(super) async fn files(
    State(app): State<Arc<App>>,
    Path((owner, repo, number)): PullPath,
    uri: Uri,
) -> Result<Response, ApiError> {
    let name = repo_name(&owner, &repo)?;
    let links = Links::new(&app, &name);
    let page = Page::new(&app.base, &uri);
    blocking(&app, move |store| {
        let repo = store.repo(&name)?;
        let view = repo.view_pull(repo.pull(number)?)?;
        let files = changed_files(&repo, &view)?;
        let total = files.len();
        let sha = &view.pull.head_sha;
        let shown: Vec<Value> = page.cut(files).iter().map(|file| links.file_diff(sha, file)).collect();
        Ok(page.respond(Value::Array(shown), total))
    })
    .await
}

fn changed_files(repo: &Repo, view: &PullView) -> Result<Vec<FileDiff>, StoreError> {
    let head = git2::Oid::from_str(&view.pull.head_sha)?;
    repo.diff_commits(view.merge_base, head)
}

/// A pull request on its own, with the fields that lists do not have.
fn full(links: &Links, repo: &Repo, pull: Pull) -> Result<Value, StoreError> {
    let view = repo.view_pull(pull)?;
    let files = changed_files(repo, &view)?;
    let additions: usize = files.iter().map(|file| file.additions).sum();
    let deletions: usize = files.iter().map(|file| file.deletions).sum();
    let merged = view.pull.merged.as_ref();
    let more = json!({
        "merged": merged.is_some(),
        "mergeable": view.mergeable,
        "rebaseable": view.mergeable.map(|_| false),
        "mergeable_state": view.mergeable_state,
        "merged_by": merged.map(|merged| links.user(&merged.by)),
        "comments": 0,
        "review_comments": 0,
        "maintainer_can_modify": false,
        "commits": view.commits.len(),
        "additions": additions,
        "deletions": deletions,
        "changed_files": files.len(),
    });
    let mut body = summary(links, &view);
    if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
        body.extend(more);
    }
    Ok(body)
}

fn summary(links: &Links, view: &PullView) -> Value {
    let pull = &view.pull;
    let number = pull.number;
    let url = links.api(&format!("/pulls/{number}"));
    let html_url = links.html(&format!("/pull/{number}"));
    let issue_url = links.api(&format!("/issues/{number}"));
    let statuses_url = links.api(&format!("/statuses/{}", pull.head_sha));
    let key = format!("{}#{number}", links.name);
    json!({
        "url": url,
        "id": number_of(&key),
        "node_id": node_id("PR", &key),
        "html_url": html_url,
        "diff_url": format!("{html_url}.diff"),
        "patch_url": format!("{html_url}.patch"),
        "issue_url": issue_url,
        "number": number,
        "state": if pull.open { "open" } else { "closed" },
        "locked": false,
        "active_lock_reason": null,
        "title": pull.title,
        "user": links.user(&pull.author),
        "body": pull.body,
        "labels": [],
        "milestone": null,
        "assignee": null,
        "assignees": [],
        "requested_reviewers": [],
        "requested_teams": [],
        "created_at": pull.created_at,
        "updated_at": pull.updated_at,
        "closed_at": pull.closed_at,
        "merged_at": pull.merged.as_ref().map(|merged| &merged.at),
        "merge_commit_sha": view.merge_commit_sha,
        "draft": pull.draft,
        "author_association": "OWNER",
        "auto_merge": null,
        "commits_url": format!("{url}/commits"),
        "review_comments_url": format!("{url}/comments"),
        "review_comment_url": links.api("/pulls/comments") + "{/number}",
        "comments_url": format!("{issue_url}/comments"),
        "statuses_url": statuses_url,
        "head": side(links, &pull.head, &pull.head_sha),
        "base": side(links, &pull.base, &pull.base_sha),
        "_links": hyperlinks(links, pull),
    })
}

fn hyperlinks(links: &Links, pull: &Pull) -> Value {
    let number = pull.number;
    let url = links.api(&format!("/pulls/{number}"));
    let issue_url = links.api(&format!("/issues/{number}"));
    json!({
        "self": {"href": url},
        "html": {"href": links.html(&format!("/pull/{number}"))},
        "issue": {"href": issue_url},
        "comments": {"href": format!("{issue_url}/comments")},
        "review_comments": {"href": format!("{url}/comments")},
        "review_comment": {"href": links.api("/pulls/comments") + "{/number}"},
        "commits": {"href": format!("{url}/commits")},
        "statuses": {"href": links.api(&format!("/statuses/{}", pull.head_sha))},
    })
}

fn side(links: &Links, branch: &str, sha: &str) -> Value {
    json!({
        "label": format!("{}:{branch}", links.name.owner()),
        "ref": branch,
        "sha": sha,
        "user": links.user(links.name.owner()),
        "repo": links.repository(),
    })
}
