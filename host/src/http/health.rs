//! Whether the process lives, and whether it can serve.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::ApiState;
use super::problem::Problem;
use crate::db::Readiness;

/// The good news.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Health {
    /// Always `ok`; anything else is a problem document.
    status: &'static str,
}

const OK: Json<Health> = Json(Health { status: "ok" });

/// Whether the process is alive
#[utoipa::path(get, path = "/healthz", tag = "health", security(()),
    responses((status = 200, description = "Alive", body = Health)))]
pub(super) async fn alive() -> Json<Health> {
    OK
}

/// Whether requests can be served: the database answers and its migrations are applied
#[utoipa::path(get, path = "/readyz", tag = "health", security(()),
    responses((status = 200, description = "Ready", body = Health)))]
pub(super) async fn ready(State(state): State<ApiState>) -> Result<Json<Health>, Problem> {
    match state.db.is_ready().await? {
        Readiness::Ready => Ok(OK),
        Readiness::MigrationsMissing { newest_applied, newest_known } => Err(Problem::unavailable(format!(
            "The database stands at migration {newest_applied}, this host needs {newest_known}; run `juggernaut migrate`"
        ))),
    }
}
