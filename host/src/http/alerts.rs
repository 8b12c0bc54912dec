//! Alerts: look, acknowledge, resolve.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::ApiState;
use super::access::{ChangeTasks, May, Read};
use super::cursor::{Page, decode, encode};
use super::extract::{AlertPath, ApiQuery, page_limit};
use super::problem::Problem;
use crate::db::alerts::{AlertCursor, AlertState, AlertView};
use crate::journal::Severity;

/// Which alerts, and which page of them.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListAlerts {
    #[param(inline)]
    state: Option<AlertState>,
    #[param(inline)]
    severity: Option<Severity>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// Rows of the page: 1 to 200, 50 if unset.
    limit: Option<u32>,
}

/// List alerts, newest first
#[utoipa::path(get, path = "/alerts", tag = "alerts", params(ListAlerts),
    responses((status = 200, description = "A page of alerts", body = Page<AlertView>)))]
pub(super) async fn list_alerts(
    State(state): State<ApiState>,
    _caller: May<Read>,
    ApiQuery(query): ApiQuery<ListAlerts>,
) -> Result<Json<Page<AlertView>>, Problem> {
    let ListAlerts { state: stands, severity, cursor, limit } = query;
    let limit = page_limit(limit)?;
    let after = match cursor {
        None => AlertCursor::START,
        Some(cursor) => {
            let (first_seen_at, id) = decode(&cursor)?;
            AlertCursor { first_seen_at, id }
        }
    };
    let alerts = state.db.list_alerts(stands, severity, after, limit + 1).await?;
    Ok(Json(Page::cut(alerts, limit, |alert| encode(alert.first_seen_at, alert.id))))
}

/// Acknowledge an alert
///
/// Somebody looks after it. Repeats go on counting; the first to acknowledge it stays named.
#[utoipa::path(post, path = "/alerts/{id}/acknowledge", tag = "alerts",
    params(("id" = Uuid, Path, description = "The alert's id")),
    responses((status = 200, description = "The alert", body = AlertView)))]
pub(super) async fn acknowledge_alert(
    State(state): State<ApiState>,
    caller: May<ChangeTasks>,
    AlertPath(id): AlertPath,
) -> Result<Json<AlertView>, Problem> {
    Ok(Json(state.db.settle_alert(id, AlertState::Acknowledged, &caller.principal.name).await?))
}

/// Resolve an alert
///
/// It is done with. If the same happens again, that is a new alert.
#[utoipa::path(post, path = "/alerts/{id}/resolve", tag = "alerts",
    params(("id" = Uuid, Path, description = "The alert's id")),
    responses((status = 200, description = "The alert", body = AlertView)))]
pub(super) async fn resolve_alert(
    State(state): State<ApiState>,
    caller: May<ChangeTasks>,
    AlertPath(id): AlertPath,
) -> Result<Json<AlertView>, Problem> {
    Ok(Json(state.db.settle_alert(id, AlertState::Resolved, &caller.principal.name).await?))
}
