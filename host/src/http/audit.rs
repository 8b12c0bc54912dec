//! The audit log, for people. Whoever doubts the host verifies the database itself: `juggernaut audit verify`.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::ApiState;
use super::access::{May, Read};
use super::cursor::{Page, decode, encode};
use super::extract::{ApiQuery, page_limit};
use super::problem::Problem;
use crate::db::audit_read::{AuditCursor, AuditEntry};
use crate::task::TaskId;

/// Which rows, and which page of them.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListAudit {
    /// Only what concerns this task.
    #[param(value_type = Option<Uuid>)]
    task: Option<TaskId>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// Rows of the page: 1 to 200, 50 if unset.
    limit: Option<u32>,
}

/// List the audit log, newest first
#[utoipa::path(get, path = "/audit", tag = "audit", params(ListAudit),
    responses((status = 200, description = "A page of rows", body = Page<AuditEntry>)))]
pub(super) async fn list_audit(
    State(state): State<ApiState>,
    _caller: May<Read>,
    ApiQuery(ListAudit { task, cursor, limit }): ApiQuery<ListAudit>,
) -> Result<Json<Page<AuditEntry>>, Problem> {
    let limit = page_limit(limit)?;
    let after = cursor.as_deref().map(place).transpose()?.unwrap_or(AuditCursor::START);
    let entries = match task {
        Some(task) => state.db.audit_entries_of(task, after, limit + 1).await?,
        None => state.db.audit_entries(after, limit + 1).await?,
    };
    Ok(Json(Page::cut(entries, limit, |entry| format!("{}.{}", encode(entry.at, entry.chain), entry.seq))))
}

fn place(cursor: &str) -> Result<AuditCursor, Problem> {
    let (time_and_chain, seq) = cursor.rsplit_once('.').unwrap_or((cursor, ""));
    let (at, chain) = decode(time_and_chain)?;
    Ok(AuditCursor { at, chain, seq: super::cursor::number(seq)? })
}
