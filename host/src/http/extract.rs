//! From requests to values; each way in which that fails is a problem of its own.

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use futures_util::StreamExt as _;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::error::Category;
use uuid::Uuid;

use super::BODY_BYTES_MAX;
use super::problem::Problem;
use crate::approval::ApprovalId;
use crate::db::PAGE_ROWS_MAX;
use crate::task::{GoalId, TaskId};

/// How much of a body that is too large is still read. A client that is answered in the middle of sending may see
/// a broken connection instead of the answer.
const DRAINED_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Rows of a page whose query names no limit.
const PAGE_ROWS_DEFAULT: u32 = 50;

/// A JSON body.
#[derive(Debug)]
pub(super) struct ApiJson<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for ApiJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        let bytes = json_bytes(request, BODY_BYTES_MAX).await?;
        demand_object(&bytes)?;
        parse(&bytes).map(Self)
    }
}

/// A JSON body of any shape.
pub(super) async fn read_json<T: DeserializeOwned>(request: Request, bytes_max: usize) -> Result<T, Problem> {
    parse(&json_bytes(request, bytes_max).await?)
}

async fn json_bytes(request: Request, bytes_max: usize) -> Result<Vec<u8>, Problem> {
    if is_json(request.headers()) {
        read_body(request.into_body(), bytes_max).await
    } else {
        Err(Problem::wrong_media_type())
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

async fn read_body(body: Body, bytes_max: usize) -> Result<Vec<u8>, Problem> {
    let mut chunks = body.into_data_stream();
    let mut bytes = Vec::new();
    let mut seen = 0_usize;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Problem::malformed_json("the connection ended before it did"))?;
        seen = seen.saturating_add(chunk.len());
        if seen > DRAINED_BYTES_MAX {
            break;
        }
        if seen <= bytes_max {
            bytes.extend_from_slice(&chunk);
        }
    }
    if seen > bytes_max {
        return Err(Problem::too_large(bytes_max));
    }
    Ok(bytes)
}

fn demand_object(bytes: &[u8]) -> Result<(), Problem> {
    // serde would read a list as an object's fields in order, which is nowhere documented.
    if bytes.trim_ascii_start().starts_with(b"[") {
        serde_json::from_slice::<IgnoredAny>(bytes).map_err(|error| refuse(".", &error))?;
        let message = "must be an object";
        return Err(Problem::invalid_field("(body)", message, "The body is a list; it must be an object"));
    }
    Ok(())
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        refuse(&path, error.inner())
    })?;
    reader.end().map_err(|error| refuse(".", &error))?;
    Ok(value)
}

fn refuse(path: &str, error: &serde_json::Error) -> Problem {
    let text = error.to_string();
    match error.classify() {
        Category::Syntax | Category::Eof | Category::Io => Problem::malformed_json(&text),
        Category::Data => {
            let position = format!(" at line {} column {}", error.line(), error.column());
            let message = text.strip_suffix(&position).unwrap_or(&text);
            let field = field_of(path, message);
            let detail = format!("The body is JSON, but {field} is not what this takes: {text}");
            Problem::invalid_field(&field, message, detail)
        }
    }
}

/// The field that is at fault. For one that is unknown or missing the path ends at the object around it, and the
/// message names the field.
fn field_of(path: &str, message: &str) -> String {
    let named = message
        .strip_prefix("unknown field `")
        .or_else(|| message.strip_prefix("missing field `"))
        .and_then(|rest| rest.split('`').next());
    match (path, named) {
        ("." | "", Some(name)) => name.to_owned(),
        ("." | "", None) => "(body)".to_owned(),
        (path, Some(name)) if path != name && !path.ends_with(&format!(".{name}")) => format!("{path}.{name}"),
        (path, _) => path.to_owned(),
    }
}

/// The query, in which an unknown name is an error: a misspelt filter must not show everything.
#[derive(Debug)]
pub(super) struct ApiQuery<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for ApiQuery<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let Query(value) =
            Query::try_from_uri(&parts.uri).map_err(|rejection| Problem::invalid_query(rejection.body_text()))?;
        Ok(Self(value))
    }
}

/// The task that the path names.
#[derive(Debug)]
pub(super) struct TaskPath(pub(super) TaskId);

impl<S: Send + Sync> FromRequestParts<S> for TaskPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        uuid_in_path(parts, state, "task").await.map(|id| Self(TaskId(id)))
    }
}

/// The goal that the path names.
#[derive(Debug)]
pub(super) struct GoalPath(pub(super) GoalId);

impl<S: Send + Sync> FromRequestParts<S> for GoalPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        uuid_in_path(parts, state, "goal").await.map(|id| Self(GoalId(id)))
    }
}

/// The approval that the path names.
#[derive(Debug)]
pub(super) struct ApprovalPath(pub(super) ApprovalId);

impl<S: Send + Sync> FromRequestParts<S> for ApprovalPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        uuid_in_path(parts, state, "approval").await.map(|id| Self(ApprovalId(id)))
    }
}

/// The token that the path names.
#[derive(Debug)]
pub(super) struct TokenPath(pub(super) Uuid);

impl<S: Send + Sync> FromRequestParts<S> for TokenPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        uuid_in_path(parts, state, "token").await.map(Self)
    }
}

/// The alert that the path names.
#[derive(Debug)]
pub(super) struct AlertPath(pub(super) Uuid);

impl<S: Send + Sync> FromRequestParts<S> for AlertPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        uuid_in_path(parts, state, "alert").await.map(Self)
    }
}

/// The id or name of a schedule that the path names.
#[derive(Debug)]
pub(super) struct SchedulePath(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for SchedulePath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        // No name has U+0000, which the database can not be asked for.
        match path {
            Ok(Path(schedule)) if !schedule.contains('\0') => Ok(Self(schedule)),
            Ok(_) | Err(_) => Err(Problem::unknown("schedule", "(not text)")),
        }
    }
}

/// The report that the path names.
#[derive(Debug)]
pub(super) struct ReportPath(pub(super) Uuid);

impl<S: Send + Sync> FromRequestParts<S> for ReportPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        uuid_in_path(parts, state, "report").await.map(Self)
    }
}

/// The chart that the path names: a report's id, and the number of a series with `.svg` behind it.
#[derive(Debug)]
pub(super) struct ChartPath(pub(super) Uuid, pub(super) usize);

impl<S: Send + Sync> FromRequestParts<S> for ChartPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<(String, String)>::from_request_parts(parts, state).await;
        let Path((id, chart)) = path.map_err(|_| Problem::unknown("chart", "(not text)"))?;
        let number =
            chart.strip_suffix(".svg").filter(|number| number.len() <= 3).and_then(|number| number.parse().ok());
        match (one_spelling(&id), number) {
            (Some(id), Some(number)) => Ok(Self(id, number)),
            (None, _) => Err(Problem::unknown("report", &id)),
            (Some(_), None) => Err(Problem::unknown("chart", &chart)),
        }
    }
}

/// What is not an id is the id of nothing.
async fn uuid_in_path<S: Send + Sync>(parts: &mut Parts, state: &S, what: &'static str) -> Result<Uuid, Problem> {
    let Path(text) =
        Path::<String>::from_request_parts(parts, state).await.map_err(|_| Problem::unknown(what, "(not text)"))?;
    one_spelling(&text).ok_or_else(|| Problem::unknown(what, &text))
}

/// The one spelling that we give out; the parser knows more.
fn one_spelling(text: &str) -> Option<Uuid> {
    Uuid::try_parse(text).ok().filter(|_| text.len() == 36)
}

/// The limit of a page.
pub(super) fn page_limit(limit: Option<u32>) -> Result<u32, Problem> {
    match limit {
        None => Ok(PAGE_ROWS_DEFAULT),
        Some(limit) if (1..=PAGE_ROWS_MAX).contains(&limit) => Ok(limit),
        Some(limit) => Err(Problem::invalid_query(format!("limit is {limit}; it must be 1 to {PAGE_ROWS_MAX}"))),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

    use super::*;
    use crate::task::TaskDraft;

    fn refused(body: &str) -> (StatusCode, Vec<(String, String)>, String) {
        let parsed = demand_object(body.as_bytes()).and_then(|()| parse::<TaskDraft>(body.as_bytes()));
        let problem = parsed.unwrap_err();
        let body = problem.body(String::new());
        (problem.status, body.errors.into_iter().map(|error| (error.field, error.message)).collect(), body.detail)
    }

    #[test]
    fn malformed_json_is_told_with_its_position() {
        let (status, errors, detail) = refused("{\"title\": \"a\",\n  oops}");
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(errors.is_empty());
        assert!(detail.contains("line 2 column 3"), "{detail}");
        assert_eq!(refused("").0, StatusCode::BAD_REQUEST);
        assert_eq!(refused("{\"title\":\"a\",\"task_type\":\"test\"} x").0, StatusCode::BAD_REQUEST);
    }

    #[test]
    fn a_field_at_fault_is_named() {
        let field = |body: &str| {
            let (status, errors, _) = refused(body);
            assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
            errors[0].0.clone()
        };
        assert_eq!(field("{\"title\":\"a\",\"task_type\":\"test\",\"bogus\":1}"), "bogus");
        assert_eq!(field("{\"title\":\"a\"}"), "task_type");
        assert_eq!(field("{\"title\":3,\"task_type\":\"test\"}"), "title");
        assert_eq!(field("{\"title\":\"a\",\"task_type\":\"test\",\"priority\":\"urgent\"}"), "priority");
        assert_eq!(field("{\"title\":\"a\",\"task_type\":\"test\",\"depends_on\":[\"x\"]}"), "depends_on[0]");
        assert_eq!(field("[]"), "(body)");
        assert_eq!(refused("[1,").0, StatusCode::BAD_REQUEST);
        assert_eq!(field("3"), "(body)");
    }
}
