//! RFC 9457 problem documents: what every error of the API looks like.

use axum::body::Body;
use axum::http::header::{HeaderName, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Permission, REQUEST_TIME_MAX, STREAMS_MAX};
use crate::db::DbError;
use crate::db::tokens::TokenRole;
use crate::policy::Denied;
use crate::schedule::InvalidSchedule;
use crate::task::InvalidTask;

/// The body of an error.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ProblemBody {
    /// Names the kind of problem, for programs.
    #[serde(rename = "type")]
    pub kind: String,
    /// The same for every problem of this kind.
    pub title: String,
    pub status: u16,
    /// What happened this time, and what to do.
    pub detail: String,
    /// The request's id, as the host's log has it.
    pub instance: String,
    /// The fields at fault, if fields are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

/// One field at fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldError {
    pub field: String,
    pub message: String,
}

/// A problem on its way to the edge, which writes it out.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    kind: &'static str,
    title: &'static str,
    detail: String,
    errors: Vec<FieldError>,
    /// Boxed, because a problem is the error of many small functions.
    header: Option<Box<(HeaderName, HeaderValue)>>,
    /// For the host's log, never for the caller.
    pub(super) cause: Option<String>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, kind: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self { status, kind, title, detail: detail.into(), errors: Vec::new(), header: None, cause: None }
    }

    fn with_field(mut self, field: impl Into<String>, message: impl Into<String>) -> Self {
        self.errors.push(FieldError { field: field.into(), message: message.into() });
        self
    }

    /// The same of an entry of a list, counted from 0.
    pub(super) fn of_entry(mut self, index: usize) -> Self {
        self.detail = format!("[{index}]: {}", self.detail);
        for error in &mut self.errors {
            error.field = format!("[{index}].{}", error.field);
        }
        self
    }

    fn with_header(mut self, name: HeaderName, value: &'static str) -> Self {
        self.header = Some(Box::new((name, HeaderValue::from_static(value))));
        self
    }

    fn with_cause(mut self, cause: impl Into<String>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    pub(super) fn no_token() -> Self {
        let detail = "This needs the header `Authorization: Bearer TOKEN`; `juggernaut token create` makes a token";
        Self::new(StatusCode::UNAUTHORIZED, "token-missing", "No token", detail)
            .with_header(WWW_AUTHENTICATE, "Bearer realm=\"juggernaut\"")
    }

    pub(super) fn wrong_token() -> Self {
        let detail = "The token is unknown, expired or revoked; `juggernaut token create` makes a new one";
        Self::new(StatusCode::UNAUTHORIZED, "token-invalid", "Invalid token", detail)
            .with_header(WWW_AUTHENTICATE, "Bearer realm=\"juggernaut\", error=\"invalid_token\"")
    }

    pub(super) fn forbidden(role: TokenRole, permission: Permission) -> Self {
        let what = match permission {
            Permission::Read => "read",
            Permission::ChangeTasks => {
                "create, cancel or retry tasks, change schedules, or settle alerts; that takes an operator or admin"
            }
            Permission::Approve => "decide on approvals; that takes an approver or admin",
            Permission::ManageTokens => "manage tokens; that takes an admin",
        };
        let detail = format!("A token with the role {role} may not {what}");
        Self::new(StatusCode::FORBIDDEN, "forbidden", "Not permitted", detail)
            .with_header(WWW_AUTHENTICATE, "Bearer realm=\"juggernaut\", error=\"insufficient_scope\"")
    }

    pub(super) fn unknown(what: &str, id: &str) -> Self {
        let shown: String = id.chars().take(64).collect();
        let detail = format!("No {what} has the id {shown:?}");
        Self::new(StatusCode::NOT_FOUND, "unknown-id", "Not found", detail)
    }

    fn unknown_schedule(schedule: &str) -> Self {
        let detail = format!("No schedule has the id or name {schedule:?}");
        Self::new(StatusCode::NOT_FOUND, "unknown-id", "Not found", detail)
    }

    pub(super) fn unknown_route() -> Self {
        let detail = "Nothing is at this path; GET /api/v1/openapi.json lists what there is";
        Self::new(StatusCode::NOT_FOUND, "unknown-route", "No such route", detail)
    }

    pub(super) fn wrong_method() -> Self {
        let detail = "This path does not have that method; the header `Allow` lists those it has";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "wrong-method", "Method not allowed", detail)
    }

    pub(super) fn too_large(bytes_max: usize) -> Self {
        let detail = format!("The body is larger than {bytes_max} bytes; send less");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", "Body too large", detail)
    }

    pub(super) fn wrong_media_type() -> Self {
        let detail = "The body must be JSON, with the header `Content-Type: application/json`";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "wrong-media-type", "Unsupported media type", detail)
    }

    pub(super) fn malformed_json(problem: &str) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "malformed-json",
            "Malformed JSON",
            format!("The body is not JSON: {problem}"),
        )
    }

    /// The body is JSON, but not what this route takes.
    pub(super) fn invalid_field(field: &str, message: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-body", "Invalid body", detail).with_field(field, message)
    }

    pub(super) fn invalid_query(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid-query", "Invalid query", detail)
    }

    pub(super) fn bad_key(chars_max: usize) -> Self {
        let detail = format!(
            "The header Idempotency-Key must be one, of 1 to {chars_max} visible ASCII characters without spaces"
        );
        Self::bad_request(StatusCode::BAD_REQUEST, detail)
    }

    pub(super) fn bad_request(status: StatusCode, detail: impl Into<String>) -> Self {
        Self::new(status, "bad-request", "Bad request", detail)
    }

    pub(super) fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Not available now", detail)
            .with_header(RETRY_AFTER, "5")
    }

    pub(super) fn out_of_time() -> Self {
        Self::unavailable(format!("The request took longer than {} seconds; try again", REQUEST_TIME_MAX.as_secs()))
    }

    pub(super) fn too_many_streams() -> Self {
        let detail = format!("This host serves {STREAMS_MAX} log streams already; page through the log, or try again");
        Self::unavailable(detail)
    }

    pub(super) fn internal(cause: impl Into<String>) -> Self {
        let detail = "The host failed; its log has the cause under this request's id";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal error", detail).with_cause(cause)
    }

    fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "wrong-status", "Impossible in this status", detail)
    }

    pub(super) fn body(&self, instance: String) -> ProblemBody {
        ProblemBody {
            kind: format!("urn:juggernaut:problem:{}", self.kind),
            title: self.title.to_owned(),
            status: self.status.as_u16(),
            detail: self.detail.clone(),
            instance,
            errors: self.errors.clone(),
        }
    }
}

/// Only status and headers; the edge writes the body, because it alone knows the request's id.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.status;
        if let Some((name, value)) = self.header.as_deref() {
            response.headers_mut().insert(name, value.clone());
        }
        response.extensions_mut().insert(self);
        response
    }
}

impl From<InvalidTask> for Problem {
    fn from(invalid: InvalidTask) -> Self {
        Self::invalid_field(invalid.field, &invalid.message, format!("{} {}", invalid.field, invalid.message))
    }
}

impl From<InvalidSchedule> for Problem {
    fn from(invalid: InvalidSchedule) -> Self {
        Self::invalid_field(&invalid.field, &invalid.message, invalid.to_string())
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "denied-by-policy", "Denied by policy", denied.to_string())
    }
}

impl From<DbError> for Problem {
    fn from(error: DbError) -> Self {
        let text = error.to_string();
        match error {
            DbError::UnknownTask(id) => Self::unknown("task", &id.to_string()),
            DbError::UnknownApproval(id) => Self::unknown("approval", &id.to_string()),
            DbError::NotYours(_) => Self::new(StatusCode::FORBIDDEN, "not-yours", "Not yours to approve", text),
            DbError::UnknownToken(id) => Self::unknown("token", &id),
            DbError::UnknownAlert(id) => Self::unknown("alert", &id.to_string()),
            DbError::UnknownSchedule(schedule) => Self::unknown_schedule(&schedule),
            DbError::InvalidSchedule(invalid) => invalid.into(),
            DbError::UnknownReport(id) => Self::unknown("report", &id.to_string()),
            DbError::UnknownGoal(id) => Self::unknown("goal", &id.to_string()),
            DbError::UnknownTaskType => Self::invalid_field("task_type", "does not exist", text),
            DbError::UnknownDependencies(_) => Self::invalid_field("depends_on", &text, text.clone()),
            DbError::InvalidPrincipal => Self::invalid_field("principal", "is not a principal's name", text),
            DbError::ReservedPrincipal(_) => Self::invalid_field("principal", "is reserved", text),
            DbError::NulCharacter => Self::bad_request(StatusCode::BAD_REQUEST, text),
            DbError::RequestRepeated
            | DbError::WrongStatus { .. }
            | DbError::GoalEnded { .. }
            | DbError::ApprovalDecided { .. }
            | DbError::ApprovalVoid { .. }
            | DbError::RecommendationStale { .. }
            | DbError::Transition(_)
            | DbError::NoEvidence
            | DbError::AmbiguousToken(_)
            | DbError::ScheduleExists(_)
            | DbError::SchedulesFull(_)
            | DbError::ScheduleKept(_)
            | DbError::SettledAlert(_) => Self::conflict(text),
            DbError::RequestKeyReused(_) => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency-key-reused", "Idempotency key reused", text)
            }
            // The driver's words may name addresses, so they go to the log alone.
            DbError::Unavailable(_) => Self::unavailable("The database does not answer; try again").with_cause(text),
            DbError::RolledBack(_) => {
                Self::unavailable("Another request was in the way of this one; try again").with_cause(text)
            }
            DbError::AuditRefused(_) => {
                let detail = "The audit log can not be written, so nothing was done; an operator has to look at it";
                Self::unavailable(detail).with_cause(text)
            }
            DbError::LeaseLost
            | DbError::NotApproved
            | DbError::Corrupt(_)
            | DbError::Migration(_)
            | DbError::Internal(_) => Self::internal(text),
        }
    }
}
