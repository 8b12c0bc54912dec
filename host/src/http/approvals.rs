//! Approvals: look, approve, deny.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::ApiState;
use super::access::{Approve, May, Read};
use super::cursor::{Page, decode, encode};
use super::extract::{ApiJson, ApiQuery, ApprovalPath, page_limit};
use super::problem::Problem;
use crate::approval::{ApprovalId, ApprovalState, NOTE_BYTES_MAX};
use crate::db::approvals::{ApprovalCursor, ApprovalDetail, ApprovalFilter, ApprovalSummary};
use crate::task::TaskId;

/// Which approvals, and which page of them.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListApprovals {
    #[param(inline)]
    state: Option<ApprovalState>,
    /// Those of one task.
    task: Option<TaskId>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// Rows of the page: 1 to 200, 50 if unset.
    limit: Option<u32>,
}

/// One page of approvals.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ApprovalPage {
    #[serde(flatten)]
    pub page: Page<ApprovalSummary>,
    /// Whether this host lets one person approve what they created.
    pub solo_mode: bool,
}

/// List approvals, newest first
#[utoipa::path(get, path = "/approvals", tag = "approvals", params(ListApprovals),
    responses((status = 200, description = "A page of approvals", body = ApprovalPage)))]
pub(super) async fn list_approvals(
    State(state): State<ApiState>,
    _caller: May<Read>,
    ApiQuery(query): ApiQuery<ListApprovals>,
) -> Result<Json<ApprovalPage>, Problem> {
    let ListApprovals { state: wanted, task, cursor, limit } = query;
    let limit = page_limit(limit)?;
    let after = match cursor {
        None => ApprovalCursor::START,
        Some(cursor) => {
            let (requested_at, id) = decode(&cursor)?;
            ApprovalCursor { requested_at, id: ApprovalId(id) }
        }
    };
    let approvals = state.db.list_approvals(ApprovalFilter { state: wanted, task }, after, limit + 1).await?;
    let page = Page::cut(approvals, limit, |approval| {
        let ApprovalCursor { requested_at, id } = approval.cursor();
        encode(requested_at, id.0)
    });
    Ok(Json(ApprovalPage { page, solo_mode: state.db.approval_rules().solo }))
}

/// Show an approval, with what would be done and what the role says about it
#[utoipa::path(get, path = "/approvals/{id}", tag = "approvals",
    params(("id" = ApprovalId, Path, description = "The approval's id")),
    responses((status = 200, description = "The approval", body = ApprovalDetail)))]
pub(super) async fn show_approval(
    State(state): State<ApiState>,
    _caller: May<Read>,
    ApprovalPath(id): ApprovalPath,
) -> Result<Json<ApprovalDetail>, Problem> {
    Ok(Json(state.db.approval(id).await?))
}

/// A decision to approve.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// For the record; at most 4 KiB.
    #[serde(default)]
    pub note: Option<String>,
}

/// A decision to deny.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Denial {
    /// Why; the task fails with it. At most 4 KiB.
    pub note: String,
}

fn checked(note: String) -> Result<String, Problem> {
    if note.len() <= NOTE_BYTES_MAX {
        return Ok(note);
    }
    let message = format!("is {} bytes; the limit is {NOTE_BYTES_MAX}", note.len());
    Err(Problem::invalid_field("note", &message, format!("note {message}")))
}

/// Approve
///
/// Once, by somebody who did not create the task; at critical risk by somebody who approved nothing else of it. Whoever
/// had a token made counts as its bearer. The task goes on with exactly what was shown.
#[utoipa::path(post, path = "/approvals/{id}/approve", tag = "approvals", request_body = Approval,
    params(("id" = ApprovalId, Path, description = "The approval's id")),
    responses((status = 200, description = "The approval", body = ApprovalDetail)))]
pub(super) async fn approve(
    State(state): State<ApiState>,
    caller: May<Approve>,
    ApprovalPath(id): ApprovalPath,
    ApiJson(Approval { note }): ApiJson<Approval>,
) -> Result<Json<ApprovalDetail>, Problem> {
    let note = note.map(checked).transpose()?.filter(|note| !note.trim().is_empty());
    let approved = state.db.approve(id, &caller.principal, note.as_deref()).await?;
    state.wake.everybody();
    Ok(Json(approved))
}

/// Deny
///
/// The task fails with the note. Retrying it asks anew.
#[utoipa::path(post, path = "/approvals/{id}/deny", tag = "approvals", request_body = Denial,
    params(("id" = ApprovalId, Path, description = "The approval's id")),
    responses((status = 200, description = "The approval", body = ApprovalDetail)))]
pub(super) async fn deny(
    State(state): State<ApiState>,
    caller: May<Approve>,
    ApprovalPath(id): ApprovalPath,
    ApiJson(Denial { note }): ApiJson<Denial>,
) -> Result<Json<ApprovalDetail>, Problem> {
    if note.trim().is_empty() {
        let message = "must say why";
        return Err(Problem::invalid_field("note", message, format!("note {message}: the task fails with it")));
    }
    let denied = state.db.deny(id, &caller.principal.name, &checked(note)?).await?;
    state.wake.look_at_claims();
    Ok(Json(denied))
}
