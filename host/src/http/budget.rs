//! What language models took today, and what they may take.

use axum::Json;
use axum::extract::State;

use super::ApiState;
use super::access::{May, Read};
use super::problem::Problem;
use crate::db::models::BudgetView;

/// Show what language models took today (UTC), and what they may take
#[utoipa::path(get, path = "/budget", tag = "budget",
    responses((status = 200, description = "The day so far, by model", body = BudgetView)))]
pub(super) async fn show_budget(
    State(state): State<ApiState>,
    _caller: May<Read>,
) -> Result<Json<BudgetView>, Problem> {
    Ok(Json(state.db.model_budget().await?))
}
