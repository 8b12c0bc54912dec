//! `/_forge/`: the controls for tests. The bodies are shown in the docs of the crate.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, Uri};
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::strict;
use super::links::{Links, repo_name};
use super::page::query;
use crate::app::{App, blocking};
use crate::control::{Fault, FaultRule, HoldView, Target, TooManyRules, When};
use crate::error::ApiError;
use crate::store::{CheckPolicy, Content, RepoName, matches};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewRepository {
    owner: String,
    name: String,
    #[serde(default = "main")]
    default_branch: String,
    #[serde(default)]
    files: BTreeMap<String, Content>,
    directory: Option<PathBuf>,
}

fn main() -> String {
    "main".to_owned()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewFault {
    #[serde(default)]
    target: Option<Target>,
    fault: Fault,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewHold {
    #[serde(default)]
    target: Option<Target>,
    #[serde(default)]
    when: When,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewToken {
    login: String,
    token: String,
}

pub(super) async fn create_repository(
    State(app): State<Arc<App>>,
    bytes: Bytes,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let NewRepository { owner, name, default_branch, files, directory } = strict(&bytes)?;
    let name = RepoName::new(&owner, &name).map_err(|bad| ApiError::unprocessable(bad.to_string()))?;
    let links = Links::new(&app, &name);
    blocking(&app, move |store| match directory {
        Some(directory) => store.create_from_directory(&name, &default_branch, &directory),
        None => store.create(&name, &default_branch, files),
    })
    .await?;
    Ok((StatusCode::CREATED, Json(links.repository())))
}

pub(super) async fn set_check_policies(
    State(app): State<Arc<App>>,
    Path((owner, repo)): Path<(String, String)>,
    bytes: Bytes,
) -> Result<StatusCode, ApiError> {
    let name = repo_name(&owner, &repo)?;
    let policies: Vec<CheckPolicy> = strict(&bytes)?;
    blocking(&app, move |store| store.locked(&name, |repo| repo.set_check_policies(policies))).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn add_token(State(app): State<Arc<App>>, bytes: Bytes) -> Result<StatusCode, ApiError> {
    let NewToken { login, token } = strict(&bytes)?;
    if login.is_empty() || token.is_empty() {
        return Err(ApiError::unprocessable("login and token must not be empty"));
    }
    let adding = Arc::clone(&app);
    blocking(&app, move |_| adding.tokens.add(login, &token)).await?;
    Ok(StatusCode::CREATED)
}

pub(super) async fn requests(State(app): State<Arc<App>>, uri: Uri) -> Json<Value> {
    let method = query(&uri, "method");
    let path = query(&uri, "path");
    let mut seen = app.control.requests();
    seen.retain(|it| {
        method.as_ref().is_none_or(|wanted| *wanted == it.method)
            && path.as_ref().is_none_or(|wanted| matches(wanted, &it.path))
    });
    Json(json!({"total_count": seen.len(), "requests": seen}))
}

pub(super) async fn forget_requests(State(app): State<Arc<App>>) -> StatusCode {
    app.control.forget_requests();
    StatusCode::NO_CONTENT
}

pub(super) async fn faults(State(app): State<Arc<App>>) -> Json<Vec<FaultRule>> {
    Json(app.control.faults())
}

pub(super) async fn add_fault(
    State(app): State<Arc<App>>,
    bytes: Bytes,
) -> Result<(StatusCode, Json<FaultRule>), ApiError> {
    let NewFault { target, fault } = strict(&bytes)?;
    check_sendable(&fault)?;
    let rule = app.control.add_fault(target.unwrap_or_default(), fault);
    Ok((StatusCode::CREATED, Json(rule.map_err(refuse)?)))
}

/// A fault that cannot be sent as it is written would make a test pass for the wrong reason.
fn check_sendable(fault: &Fault) -> Result<(), ApiError> {
    let none = BTreeMap::new();
    let (status, headers) = match fault {
        Fault::Status { status, headers, body: _ } => (status, headers),
        Fault::LateStatus { status } => (status, &none),
        Fault::SecondaryRateLimit { .. }
        | Fault::RateLimit
        | Fault::Hang
        | Fault::DropRequest
        | Fault::LoseResponse
        | Fault::LateHang
        | Fault::Reset => return Ok(()),
    };
    if !(200..=599).contains(status) {
        return Err(ApiError::unprocessable(format!("status {status} is not between 200 and 599")));
    }
    for (name, value) in headers {
        if HeaderName::try_from(name).is_err() || HeaderValue::try_from(value).is_err() {
            return Err(ApiError::unprocessable(format!("{name}: {value} is not a header")));
        }
    }
    Ok(())
}

fn refuse(error: TooManyRules) -> ApiError {
    ApiError::unprocessable(error.to_string())
}

pub(super) async fn remove_faults(State(app): State<Arc<App>>) -> StatusCode {
    app.control.remove_faults(None);
    StatusCode::NO_CONTENT
}

pub(super) async fn remove_fault(State(app): State<Arc<App>>, Path(id): Path<u64>) -> Result<StatusCode, ApiError> {
    removed(app.control.remove_faults(Some(id)))
}

pub(super) async fn holds(State(app): State<Arc<App>>) -> Json<Vec<HoldView>> {
    Json(app.control.holds())
}

pub(super) async fn add_hold(
    State(app): State<Arc<App>>,
    bytes: Bytes,
) -> Result<(StatusCode, Json<HoldView>), ApiError> {
    let NewHold { target, when } = strict(&bytes)?;
    let hold = app.control.add_hold(target.unwrap_or_default(), when);
    Ok((StatusCode::CREATED, Json(hold.map_err(refuse)?)))
}

pub(super) async fn release(State(app): State<Arc<App>>, Path(id): Path<u64>) -> Result<StatusCode, ApiError> {
    removed(app.control.release(Some(id)))
}

pub(super) async fn release_all(State(app): State<Arc<App>>) -> StatusCode {
    app.control.release(None);
    StatusCode::NO_CONTENT
}

fn removed(found: bool) -> Result<StatusCode, ApiError> {
    if found { Ok(StatusCode::NO_CONTENT) } else { Err(ApiError::not_found()) }
}
