//! The HTTP surface: one file per resource.
//!
//! Invariant: handlers translate between HTTP and the store, and decide nothing about git.

mod admin;
mod auth;
mod body;
mod checks;
mod commits;
mod compare;
mod contents;
mod links;
mod merges;
mod page;
mod pulls;
mod refs;
mod repos;
mod trees;
mod workflows;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{delete, get, patch, post, put};

use crate::app::App;
use crate::error::ApiError;
use crate::gate::gate;
use crate::wire::Cutter;

type MakeService = axum::extract::connect_info::IntoMakeServiceWithConnectInfo<Router, Cutter>;

/// The login that a request's token belongs to.
#[derive(Clone, Debug)]
pub(crate) struct Actor(pub(crate) String);

pub(crate) fn service(app: &Arc<App>) -> MakeService {
    github()
        .merge(control())
        .fallback(async || ApiError::not_found())
        .method_not_allowed_fallback(async || ApiError::not_found())
        // The gate reads the body itself, with its own limit.
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(Arc::clone(app), auth::token))
        .layer(from_fn(auth::user_agent))
        .layer(from_fn_with_state(Arc::clone(app), gate))
        .with_state(Arc::clone(app))
        .into_make_service_with_connect_info::<Cutter>()
}

fn github() -> Router<Arc<App>> {
    const R: &str = "/repos/{owner}/{repo}";
    let at = |path: &str| format!("{R}{path}");
    Router::new()
        .route("/rate_limit", get(repos::rate_limit))
        .route("/user", get(workflows::user))
        .route(R, get(repos::get))
        .route(&at("/git/ref/{*ref}"), get(refs::get))
        .route(&at("/git/matching-refs/{*ref}"), get(refs::matching))
        .route(&at("/git/refs"), post(refs::create))
        .route(&at("/git/refs/{*ref}"), patch(refs::update).delete(refs::delete))
        .route(&at("/contents"), get(contents::root))
        .route(&at("/contents/"), get(contents::root))
        .route(&at("/contents/{*path}"), get(contents::get).put(contents::put))
        .route(&at("/git/trees/{*sha}"), get(trees::get))
        .route(&at("/commits"), get(commits::list))
        .route(&at("/commits/{*ref}"), get(commits::get))
        .route(&at("/pulls"), get(pulls::list).post(pulls::create))
        .route(&at("/pulls/{number}"), get(pulls::get).patch(pulls::update))
        .route(&at("/pulls/{number}/commits"), get(pulls::commits))
        .route(&at("/pulls/{number}/files"), get(pulls::files))
        .route(&at("/pulls/{number}/merge"), get(merges::check).put(merges::merge))
        .route(&at("/check-runs"), post(checks::create))
        .route(&at("/check-runs/{id}"), get(checks::get).patch(checks::update))
        .route(&at("/compare/{*basehead}"), get(compare::get))
        .route(&at("/actions/workflows/{workflow}/dispatches"), post(workflows::dispatch))
        .route(&at("/actions/workflows/{workflow}/runs"), get(workflows::list))
        .route(&at("/actions/runs/{id}"), get(workflows::get))
}

fn control() -> Router<Arc<App>> {
    Router::new()
        .route("/_forge/repos", post(admin::create_repository))
        .route("/_forge/repos/{owner}/{repo}/check-policies", put(admin::set_check_policies))
        .route("/_forge/repos/{owner}/{repo}/workflow-policies", put(workflows::set_policies))
        .route("/_forge/repos/{owner}/{repo}/runs/{id}", patch(workflows::change))
        .route("/_forge/tokens", post(admin::add_token))
        .route("/_forge/requests", get(admin::requests).delete(admin::forget_requests))
        .route("/_forge/faults", get(admin::faults).post(admin::add_fault).delete(admin::remove_faults))
        .route("/_forge/faults/{id}", delete(admin::remove_fault))
        .route("/_forge/holds", get(admin::holds).post(admin::add_hold).delete(admin::release_all))
        .route("/_forge/holds/{id}", delete(admin::release))
}
