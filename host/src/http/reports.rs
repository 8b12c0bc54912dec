//! Reports, and the charts that the host draws from their data.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use utoipa::IntoParams;

use super::ApiState;
use super::access::{May, Read};
use super::cursor::{Page, decode, encode};
use super::extract::{ApiQuery, ChartPath, ReportPath, page_limit};
use super::problem::Problem;
use crate::chart;
use crate::db::reports::{ReportCursor, ReportSummary, ReportView};
use crate::task::TaskId;

/// A picture runs nothing, loads nothing, and is nobody's frame, whatever its labels say.
const CHART_POLICY: &str = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; sandbox";

/// Which reports, and which page of them.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListReports {
    /// Only those of one task.
    task: Option<TaskId>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// Rows of the page: 1 to 200, 50 if unset.
    limit: Option<u32>,
}

/// List reports, newest first
#[utoipa::path(get, path = "/reports", tag = "reports", params(ListReports),
    responses((status = 200, description = "A page of reports", body = Page<ReportSummary>)))]
pub(super) async fn list_reports(
    State(state): State<ApiState>,
    _caller: May<Read>,
    ApiQuery(query): ApiQuery<ListReports>,
) -> Result<Json<Page<ReportSummary>>, Problem> {
    let ListReports { task, cursor, limit } = query;
    let limit = page_limit(limit)?;
    let after = match cursor {
        None => ReportCursor::START,
        Some(cursor) => {
            let (created_at, id) = decode(&cursor)?;
            ReportCursor { created_at, id }
        }
    };
    let reports = state.db.list_reports(task, after, limit + 1).await?;
    Ok(Json(Page::cut(reports, limit, |report| encode(report.created_at, report.id))))
}

/// Show a report
///
/// Title, text and series are a role's words: whoever shows them as HTML has to sanitise them.
#[utoipa::path(get, path = "/reports/{id}", tag = "reports",
    params(("id" = Uuid, Path, description = "The report's id")),
    responses((status = 200, description = "The report", body = ReportView)))]
pub(super) async fn show_report(
    State(state): State<ApiState>,
    _caller: May<Read>,
    ReportPath(id): ReportPath,
) -> Result<Json<ReportView>, Problem> {
    Ok(Json(state.db.report(id).await?))
}

/// Draw a chart of a report
///
/// The host draws it from the data of one series.
#[utoipa::path(get, path = "/reports/{id}/charts/{chart}", tag = "reports",
    params(
        ("id" = Uuid, Path, description = "The report's id"),
        ("chart" = String, Path, description = "The number of the series, counted from 0, and `.svg`"),
    ),
    responses((status = 200, description = "The chart", body = String, content_type = "image/svg+xml")))]
pub(super) async fn show_chart(
    State(state): State<ApiState>,
    _caller: May<Read>,
    ChartPath(id, number): ChartPath,
) -> Result<Response, Problem> {
    let report = state.db.report(id).await?;
    let series = report.series.0.get(number).ok_or_else(|| Problem::unknown("chart", &format!("{number}.svg")))?;
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("image/svg+xml; charset=utf-8")),
        (CONTENT_SECURITY_POLICY, HeaderValue::from_static(CHART_POLICY)),
        (CONTENT_DISPOSITION, HeaderValue::from_static("inline; filename=\"chart.svg\"")),
    ];
    Ok((headers, chart::svg(series)).into_response())
}
