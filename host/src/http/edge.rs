//! The outermost layer: gives each request its id, logs it once, and makes every error a problem document.

use std::any::Any;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tracing::{Instrument as _, error, info, info_span};
use uuid::Uuid;

use super::problem::Problem;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

pub(super) async fn edge(request: Request, next: Next) -> Response {
    // Never the caller's: an id that they choose could be that of somebody else's request.
    let id = Uuid::now_v7();
    let begun = Instant::now();
    let method = request.method().clone();
    // The route and not the path, so that a log can be counted by it.
    let route = request.extensions().get::<MatchedPath>().map_or("-", MatchedPath::as_str).to_owned();
    let span = info_span!("request", request.id = %id);
    let mut response = next.run(request).instrument(span).await;
    let problem = problem_of(&mut response);
    let elapsed_ms = begun.elapsed().as_millis();
    let status = response.status().as_u16();
    if let Some(cause) = problem.as_ref().and_then(|problem| problem.cause.as_deref()) {
        error!(request.id = %id, %method, route, status, elapsed_ms, cause, "request failed");
    } else {
        info!(request.id = %id, %method, route, status, elapsed_ms, "request");
    }
    if let Some(problem) = problem {
        write_problem(&mut response, &problem, id);
    }
    protect(response.headers_mut());
    if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

/// The problem that a handler made, or one for a status that the framework made.
fn problem_of(response: &mut Response) -> Option<Problem> {
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        return Some(problem);
    }
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return None;
    }
    Some(match status {
        StatusCode::NOT_FOUND => Problem::unknown_route(),
        StatusCode::METHOD_NOT_ALLOWED => Problem::wrong_method(),
        StatusCode::PAYLOAD_TOO_LARGE => Problem::too_large(super::BODY_BYTES_MAX),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Problem::wrong_media_type(),
        StatusCode::SERVICE_UNAVAILABLE => Problem::out_of_time(),
        status if status.is_client_error() => {
            Problem::bad_request(status, "The request can not be understood; see the API's document")
        }
        status => Problem::internal(format!("a handler answered {status} without saying why")),
    })
}

fn write_problem(response: &mut Response, problem: &Problem, id: Uuid) {
    let body = problem.body(format!("urn:uuid:{id}"));
    let text = serde_json::to_vec(&body).unwrap_or_default();
    response.headers_mut().remove(CONTENT_LENGTH);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    *response.status_mut() = problem.status;
    *response.body_mut() = Body::from(text);
}

/// A browser that is led here must neither guess a type, nor run, frame or keep anything.
fn protect(headers: &mut HeaderMap) {
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // A handler may say something stricter.
    headers
        .entry(CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'; base-uri 'none'"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

pub(super) async fn unknown_route() -> Problem {
    Problem::unknown_route()
}

pub(super) async fn wrong_method() -> Problem {
    Problem::wrong_method()
}

#[expect(clippy::needless_pass_by_value, reason = "the layer's signature")]
pub(super) fn panicked(payload: Box<dyn Any + Send + 'static>) -> Response {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("no message");
    Problem::internal(format!("a handler panicked: {text}")).into_response()
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::middleware::from_fn;
    use axum::routing::get;
    use tower::ServiceExt as _;
    use tower_http::catch_panic::CatchPanicLayer;

    use super::*;

    async fn boom() -> &'static str {
        panic!("a secret detail")
    }

    #[tokio::test]
    async fn a_panic_is_a_problem_that_tells_the_caller_nothing() {
        let router =
            Router::new().route("/boom", get(boom)).layer(CatchPanicLayer::custom(panicked)).layer(from_fn(edge));
        let response = router.oneshot(Request::get("/boom").body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
        let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        let body: super::super::ProblemBody = serde_json::from_slice(&body).unwrap();
        assert_eq!(body.kind, "urn:juggernaut:problem:internal");
        assert!(!body.detail.contains("secret"));
    }
}
