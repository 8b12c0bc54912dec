//! What can go wrong, and how GitHub would say it.
//!
//! Invariant: the store knows causes (`StoreError`), only this file knows statuses and error bodies.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

const DOCUMENTATION_URL: &str = "https://docs.github.com/rest";

/// A refusal of the store, by what the caller can do about it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error("Not Found")]
    NotFound,
    #[error("No commit found for the ref {0}")]
    NoCommitForRef(String),
    #[error("No commit found for SHA: {0}")]
    NoCommitForSha(String),
    #[error("Branch {0} not found")]
    BranchNotFound(String),
    #[error("This repository is empty.")]
    Empty,
    #[error("{0}")]
    Unprocessable(String),
    #[error("Validation Failed")]
    Invalid(Vec<Value>),
    #[error("{path} does not match {sha}")]
    ShaMismatch { path: String, sha: String },
    #[error("Head branch was modified. Review and try the merge again.")]
    HeadModified,
    #[error("{0}")]
    Conflict(String),
    #[error("{0}")]
    NotAllowed(&'static str),
    #[error("This API returns blobs up to 100 MB in size. The requested blob is too large.")]
    TooLarge,
    #[error("git: {0}")]
    Git(#[from] git2::Error),
    #[error("file system: {0}")]
    Io(#[from] std::io::Error),
    #[error("stored JSON is damaged: {0}")]
    Stored(#[from] serde_json::Error),
}

impl StoreError {
    /// One entry of `errors` that names a field.
    pub(crate) fn field(resource: &str, field: &str, code: &str) -> Self {
        Self::Invalid(vec![json!({"resource": resource, "field": field, "code": code})])
    }

    /// One entry of `errors` with a text of its own.
    pub(crate) fn custom(resource: &str, message: &str) -> Self {
        Self::Invalid(vec![json!({"resource": resource, "code": "custom", "message": message})])
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::NotFound | Self::NoCommitForRef(_) | Self::BranchNotFound(_) | Self::Empty => StatusCode::NOT_FOUND,
            Self::NoCommitForSha(_) | Self::Unprocessable(_) | Self::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::ShaMismatch { .. } | Self::HeadModified | Self::Conflict(_) => StatusCode::CONFLICT,
            Self::NotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge => StatusCode::FORBIDDEN,
            Self::Git(_) | Self::Io(_) | Self::Stored(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// An answer that is not a success, in the form of GitHub's error bodies.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    message: String,
    errors: Vec<Value>,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), errors: Vec::new() }
    }

    pub(crate) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "Not Found")
    }

    pub(crate) fn unprocessable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, message)
    }

    /// The defect is ours: logged with its cause, told without it, as GitHub does.
    pub(crate) fn internal(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(%cause, "request failed inside the forge");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "Server Error")
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let status = error.status();
        if status == StatusCode::INTERNAL_SERVER_ERROR {
            return Self::internal(&error);
        }
        let message = error.to_string();
        let errors = match error {
            StoreError::Invalid(errors) => errors,
            StoreError::TooLarge => {
                vec![json!({"resource": "Blob", "field": "data", "code": "too_large"})]
            }
            _ => Vec::new(),
        };
        Self { status, message, errors }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let Self { status, message, errors } = self;
        let mut body = json!({"message": message});
        if !errors.is_empty() {
            body["errors"] = Value::Array(errors);
        }
        body["documentation_url"] = DOCUMENTATION_URL.into();
        body["status"] = status.as_u16().to_string().into();
        (status, Json(body)).into_response()
    }
}
