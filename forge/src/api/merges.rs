//! Merging a pull request.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde_json::{Value, json};

use super::Actor;
use super::body::Fields;
use super::links::repo_name;
use super::pulls::PullPath;
use crate::app::{App, blocking};
use crate::error::ApiError;
use crate::store::{MergeMethod, MergeRequest};

/// Whether it is merged: 204, or 404.
pub(super) async fn check(
    State(app): State<Arc<App>>,
    Path((owner, repo, number)): PullPath,
) -> Result<StatusCode, ApiError> {
    let name = repo_name(&owner, &repo)?;
    let pull = blocking(&app, move |store| store.repo(&name)?.pull(number)).await?;
    match pull.merged {
        Some(_) => Ok(StatusCode::NO_CONTENT),
        None => Err(ApiError::not_found()),
    }
}

pub(super) async fn merge(
    State(app): State<Arc<App>>,
    Path((owner, repo, number)): PullPath,
    Extension(Actor(by)): Extension<Actor>,
    bytes: Bytes,
) -> Result<Json<Value>, ApiError> {
    let name = repo_name(&owner, &repo)?;
    let fields = Fields::parse_or_empty(&bytes)?;
    let request = MergeRequest {
        method: fields.choice("merge_method")?.unwrap_or(MergeMethod::Merge),
        sha: fields.text("sha")?,
        title: fields.text("commit_title")?,
        message: fields.text("commit_message")?,
        by,
    };
    let sha = blocking(&app, move |store| store.locked(&name, |repo| repo.merge_pull(number, &request))).await?;
    Ok(Json(json!({
        "sha": sha,
        "merged": true,
        "message": "Pull Request successfully merged",
    })))
}
