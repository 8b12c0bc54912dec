//! The HTTP API under `/api/v1`, and the two health routes.
//!
//! Invariants: every error is an RFC 9457 problem document, whoever made it (`edge` sees to that); no handler runs
//! before its caller's token allows it, because the permission is an argument of the handler ([`access::May`]); no
//! SQL here; bodies, pages, streams and times have a named limit.

mod access;
mod alerts;
mod approvals;
mod audit;
mod budget;
mod bulk;
mod cursor;
mod document;
mod edge;
mod extract;
mod goals;
mod health;
mod idempotency;
mod learnings;
mod logs;
mod problem;
mod reports;
mod schedules;
mod stream;
mod tasks;
mod tokens;
mod workers;

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::middleware::from_fn;
use tokio::sync::{Semaphore, watch};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::timeout::TimeoutLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::db::Db;
use crate::db::queue::IdleWorkers;
use crate::db::wakeups::Wake;
use crate::policy::Policies;

pub use access::{Permission, allows};
pub use approvals::{Approval, ApprovalPage, Denial};
pub use bulk::{BULK_BODY_BYTES_MAX, BULK_TASKS_MAX, CreatedTasks};
pub use cursor::Page;
pub(crate) use idempotency::KEY_HEADER;
pub use problem::{FieldError, ProblemBody};
pub use tokens::{CreatedToken, TokenDraft};

/// Largest request body, but for lists of tasks.
pub const BODY_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Log streams that one host serves at the same time.
pub const STREAMS_MAX: usize = 64;
/// Longest time that a request may take; streams have their own.
pub const REQUEST_TIME_MAX: Duration = Duration::from_secs(30);

/// What the handlers share. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ApiState {
    pub db: Db,
    pub policies: Arc<Policies>,
    /// Signalled when a task became claimable, so that an idle worker need not wait for its next look.
    pub wake: Wake,
    /// Workers that a new task can be given to.
    pub idle: IdleWorkers,
    /// True once the host stops: streams end then, and their readers go on elsewhere.
    pub closing: watch::Receiver<bool>,
    streams: Arc<Semaphore>,
}

impl ApiState {
    pub fn new(db: Db, policies: Arc<Policies>, wake: Wake, idle: IdleWorkers, closing: watch::Receiver<bool>) -> Self {
        Self { db, policies, wake, idle, closing, streams: Arc::new(Semaphore::new(STREAMS_MAX)) }
    }
}

/// The whole API, ready to be served.
pub fn router(state: ApiState) -> Router {
    let (router, document) = routes().split_for_parts();
    let document = document::render(document);
    router
        .route("/api/v1/openapi.json", axum::routing::get(move || ready(document::serve(&document))))
        .fallback(edge::unknown_route)
        .method_not_allowed_fallback(edge::wrong_method)
        // `extract::ApiJson` limits bodies itself, after the caller was found to be allowed.
        .layer(DefaultBodyLimit::disable())
        .layer(CatchPanicLayer::custom(edge::panicked))
        .layer(from_fn(edge::edge))
        .with_state(state)
}

/// The OpenAPI document of [`router`].
pub fn openapi() -> utoipa::openapi::OpenApi {
    document::complete(routes().split_for_parts().1)
}

fn routes() -> OpenApiRouter<ApiState> {
    let timed = OpenApiRouter::new()
        .routes(routes!(tasks::create_task, tasks::list_tasks))
        .routes(routes!(bulk::create_tasks))
        .routes(routes!(tasks::show_task))
        .routes(routes!(tasks::cancel_task))
        .routes(routes!(tasks::retry_task))
        .routes(routes!(goals::create_goal, goals::list_goals))
        .routes(routes!(goals::show_goal))
        .routes(routes!(goals::cancel_goal))
        .routes(routes!(logs::list_task_logs))
        .routes(routes!(logs::list_task_steps))
        .routes(routes!(approvals::list_approvals))
        .routes(routes!(approvals::show_approval))
        .routes(routes!(approvals::approve))
        .routes(routes!(approvals::deny))
        .routes(routes!(budget::show_budget))
        .routes(routes!(workers::list_workers))
        .routes(routes!(workers::list_task_types))
        .routes(routes!(audit::list_audit))
        .routes(routes!(alerts::list_alerts))
        .routes(routes!(alerts::acknowledge_alert))
        .routes(routes!(alerts::resolve_alert))
        .routes(routes!(schedules::create_schedule, schedules::list_schedules))
        .routes(routes!(schedules::show_schedule, schedules::delete_schedule))
        .routes(routes!(schedules::pause_schedule))
        .routes(routes!(schedules::resume_schedule))
        .routes(routes!(learnings::list_learnings))
        .routes(routes!(reports::list_reports))
        .routes(routes!(reports::show_report))
        .routes(routes!(reports::show_chart))
        .routes(routes!(tokens::create_token, tokens::list_tokens))
        .routes(routes!(tokens::revoke_token))
        .layer(in_time());
    let untimed = OpenApiRouter::new().routes(routes!(stream::stream_task_logs));
    OpenApiRouter::with_openapi(document::head())
        .routes(routes!(health::alive))
        .routes(routes!(health::ready))
        .layer(in_time())
        .nest("/api/v1", timed.merge(untimed))
}

fn in_time() -> TimeoutLayer {
    TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, REQUEST_TIME_MAX)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::{Request, header};
    use sqlx::postgres::PgPoolOptions;
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn a_lost_database_is_503_and_its_address_stays_ours() {
        let pool = PgPoolOptions::new()
            .acquire_timeout(Duration::from_millis(100))
            .connect_lazy("postgres://somebody:hunter2@127.0.0.1:1/lost")
            .unwrap();
        let (_closing, closing) = watch::channel(false);
        let router = router(ApiState::new(
            Db::from_pool(pool),
            Arc::new(Policies::shipped().unwrap()),
            Wake::default(),
            IdleWorkers::default(),
            closing,
        ));
        let request = |path: &str| {
            let token = format!("Bearer jgt_{}", "A".repeat(43));
            Request::get(path).header(header::AUTHORIZATION, token).body(Body::empty()).unwrap()
        };
        for path in ["/api/v1/tasks", "/readyz"] {
            let response = router.clone().oneshot(request(path)).await.unwrap();
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE, "{path}");
            assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
            assert_eq!(response.headers()[header::RETRY_AFTER], "5");
            let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
            let body: ProblemBody = serde_json::from_slice(&body).unwrap();
            assert_eq!(body.kind, "urn:juggernaut:problem:unavailable");
            assert_eq!(body.detail, "The database does not answer; try again");
        }
        assert_eq!(router.oneshot(request("/healthz")).await.unwrap().status(), StatusCode::OK);
    }
}
