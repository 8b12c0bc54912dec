//! Who calls.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Actor;
use crate::app::App;
use crate::error::ApiError;

/// GitHub refuses this in front of its API, hence in plain text.
const NO_USER_AGENT: &str = "Request forbidden by administrative rules. Please make sure your request has a \
    User-Agent header (https://docs.github.com/en/rest/overview/resources-in-the-rest-api#user-agent-required).\r\n";

pub(super) async fn user_agent(request: Request, next: Next) -> Response {
    let named = request.headers().get(USER_AGENT).is_some_and(|agent| !agent.is_empty());
    if named {
        return next.run(request).await;
    }
    let html = [(CONTENT_TYPE, "text/html; charset=utf-8")];
    (StatusCode::FORBIDDEN, html, NO_USER_AGENT).into_response()
}

pub(super) async fn token(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let Some(login) = bearer(request.headers()).and_then(|token| app.tokens.login(token)) else {
        return ApiError::new(StatusCode::UNAUTHORIZED, "Bad credentials").into_response();
    };
    request.extensions_mut().insert(Actor(login));
    next.run(request).await
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let known = scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("token");
    known.then_some(token.trim())
}
