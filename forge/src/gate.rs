//! What every request passes before and after its handler: the list of requests, holds, faults, GitHub's headers.
//!
//! Invariant: a request whose body arrived is carried out even if its sender is gone, as on a real server. That is
//! what makes a crash of the client testable. `/_forge/` itself is neither listed nor disturbed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_LENGTH};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use crate::app::App;
use crate::clock;
use crate::control::{Fault, Seen, When};
use crate::error::ApiError;
use crate::wire::Cutter;

pub(crate) const CONTROL_PREFIX: &str = "/_forge/";
const REQUEST_BYTES_MAX: usize = 150 * 1024 * 1024;
/// Long enough for the first half of an answer to reach the client before the reset does.
const RESET_AFTER: Duration = Duration::from_millis(50);

pub(crate) async fn gate(
    State(app): State<Arc<App>>,
    ConnectInfo(cutter): ConnectInfo<Cutter>,
    request: Request,
    next: Next,
) -> Response {
    if request.uri().path().starts_with(CONTROL_PREFIX) {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, REQUEST_BYTES_MAX).await else {
        return ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "Payload Too Large").into_response();
    };
    let seen = app.control.arrived(Seen {
        id: 0,
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().map(str::to_owned),
        token: parts.headers.contains_key(AUTHORIZATION),
        status: None,
        fault: None,
        at: clock::now(),
    });
    let request = Request::from_parts(parts, Body::from(body));
    let carried_out = tokio::spawn(carry_out(app, cutter, seen, request, next));
    match carried_out.await {
        Ok(response) => response,
        Err(error) => ApiError::internal(&error).into_response(),
    }
}

async fn carry_out(app: Arc<App>, cutter: Cutter, seen: Seen, request: Request, next: Next) -> Response {
    tokio::select! {
        biased;
        () = app.control.pass(&seen, When::Before) => {}
        () = app.stopped() => return silence(&cutter),
    }
    let fault = app.control.take_fault(&seen);
    let kind = fault.as_ref().map(Fault::kind);
    // Now, because a hanging request gets no further than this.
    app.control.answered(seen.id, None, kind);
    let response = match &fault {
        None | Some(Fault::LoseResponse | Fault::LateStatus { .. } | Fault::LateHang | Fault::Reset) => {
            next.run(request).await
        }
        Some(Fault::Status { status, headers, body }) => prepared(*status, headers, body.as_ref()),
        Some(Fault::SecondaryRateLimit { retry_after }) => secondary_rate_limit(*retry_after),
        Some(Fault::RateLimit) => {
            app.rate.exhaust();
            ApiError::new(StatusCode::FORBIDDEN, "API rate limit exceeded for user ID 1.").into_response()
        }
        Some(Fault::Hang) => {
            app.stopped().await;
            silence(&cutter)
        }
        Some(Fault::DropRequest) => silence(&cutter),
    };
    tokio::select! {
        biased;
        () = app.control.pass(&seen, When::After) => {}
        () = app.stopped() => return silence(&cutter),
    }
    let silent = matches!(fault, Some(Fault::Hang | Fault::DropRequest));
    let status = (!silent).then(|| response.status().as_u16());
    app.control.answered(seen.id, status, kind);
    let response = with_github_headers(&app, &seen, response);
    match fault {
        Some(Fault::LoseResponse) => silence(&cutter),
        Some(Fault::LateStatus { status }) => prepared(status, &BTreeMap::new(), None),
        Some(Fault::LateHang) => {
            app.stopped().await;
            silence(&cutter)
        }
        Some(Fault::Reset) => half_of(response, &cutter).await,
        _ => response,
    }
}

fn silence(cutter: &Cutter) -> Response {
    cutter.mute();
    StatusCode::NO_CONTENT.into_response()
}

/// Announces the whole length, so that the client knows that it did not get everything.
async fn half_of(response: Response, cutter: &Cutter) -> Response {
    let (mut parts, body) = response.into_parts();
    let Ok(bytes) = to_bytes(body, usize::MAX).await else {
        return silence(cutter);
    };
    cutter.reset_on_close();
    // A body of its own, so that an answer without one can be cut too.
    let announced = bytes.len().max(2);
    parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(announced));
    let half = bytes.slice(..bytes.len() / 2);
    let broken = stream::once(async {
        tokio::time::sleep(RESET_AFTER).await;
        Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset))
    });
    let body = stream::once(async { Ok(half) }).chain(broken);
    Response::from_parts(parts, Body::from_stream(body))
}

fn prepared(status: u16, headers: &BTreeMap<String, String>, body: Option<&Value>) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = match body {
        Some(body) => (status, Json(body)).into_response(),
        None => ApiError::new(status, status.canonical_reason().unwrap_or("Error")).into_response(),
    };
    for (name, value) in headers {
        // Checked when the fault was set.
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

fn secondary_rate_limit(retry_after: u64) -> Response {
    let body = json!({
        "message": "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",
        "documentation_url":
            "https://docs.github.com/rest/overview/rate-limits-for-the-rest-api#about-secondary-rate-limits",
    });
    let mut response = (StatusCode::FORBIDDEN, Json(body)).into_response();
    let headers = response.headers_mut();
    headers.insert("retry-after", HeaderValue::from(retry_after));
    response
}

fn with_github_headers(app: &App, seen: &Seen, mut response: Response) -> Response {
    let rate = app.rate.count();
    let headers = response.headers_mut();
    headers.insert("x-ratelimit-limit", HeaderValue::from(rate.limit));
    headers.insert("x-ratelimit-remaining", HeaderValue::from(rate.remaining));
    headers.insert("x-ratelimit-used", HeaderValue::from(rate.used()));
    headers.insert("x-ratelimit-reset", HeaderValue::from(rate.reset));
    headers.insert("x-ratelimit-resource", HeaderValue::from_static("core"));
    headers.insert("x-github-api-version-selected", HeaderValue::from_static("2022-11-28"));
    headers.entry("x-github-media-type").or_insert(HeaderValue::from_static("github.v3; format=json"));
    let id = format!("F0A6:{:08X}", seen.id);
    if let Ok(id) = HeaderValue::try_from(id) {
        headers.insert("x-github-request-id", id);
    }
    response
}
