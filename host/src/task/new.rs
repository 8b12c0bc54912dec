//! Admission: what a task must look like before it may enter the queue.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::{OffsetDateTime, UtcOffset};

use super::{Criterion, Priority, Risk, TaskId};

/// Sizes that a new task must keep within.
pub mod limits {
    pub const TITLE_CHARS_MAX: usize = 200;
    pub const DESCRIPTION_BYTES_MAX: usize = 64 * 1024;
    pub const PAYLOAD_BYTES_MAX: usize = 1024 * 1024;
    pub const CRITERIA_MAX: usize = 50;
    pub const CRITERION_BYTES_MAX: usize = 4096;
    pub const DEPENDENCIES_MAX: usize = 100;
    pub const ATTEMPTS_MAX: u32 = 100;
    pub const CHANGES_MAX: usize = 200;
}

/// A task as somebody asks for it.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskDraft {
    /// 1 to 200 characters, no control characters.
    pub title: String,
    /// At most 64 KiB.
    #[serde(default)]
    pub description: String,
    /// One of the task types, for example `code`.
    pub task_type: String,
    #[serde(default = "medium")]
    pub priority: Priority,
    /// The least risk that it is treated with; the host may raise it.
    #[serde(default = "low")]
    pub risk: Risk,
    /// A JSON object, at most 1 MiB. For `code`: `repository`, `base`, and `changes` or `instructions`.
    #[serde(default = "empty_object")]
    pub payload: Value,
    /// Strings, or typed criteria such as `{"type": "merged"}`. At most 50.
    #[serde(default = "empty_list")]
    pub acceptance_criteria: Value,
    /// A worker type or worker id that it is meant for.
    #[serde(default)]
    pub assigned_worker: Option<String>,
    /// Tasks that must be completed first. At most 100.
    #[serde(default)]
    pub depends_on: Vec<TaskId>,
    /// How many attempts it gets, 1 to 100; 3 if unset.
    #[serde(default = "three")]
    pub attempts_max: u32,
    /// Until when it is wanted, in RFC 3339; what has not ended by then fails. As long as it takes if unset.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub deadline_at: Option<OffsetDateTime>,
}

pub(super) fn medium() -> Priority {
    Priority::Medium
}
fn low() -> Risk {
    Risk::Low
}
pub(super) fn empty_object() -> Value {
    Value::Object(serde_json::Map::new())
}
pub(super) fn empty_list() -> Value {
    Value::Array(Vec::new())
}
pub(super) fn three() -> u32 {
    3
}

/// A task that passed admission. Only [`NewTask::admit`] makes one.
#[derive(Clone, Debug)]
pub struct NewTask {
    draft: TaskDraft,
    criteria: Vec<Criterion>,
}

/// How the host treats a new task: with no less risk than its creator declares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Treatment {
    pub risk: Risk,
    /// How the risk came to be.
    pub risk_reasons: Vec<String>,
    /// Why a person has to approve before it first runs, if so.
    pub start_reason: Option<String>,
    /// Policies that let it be created.
    pub policies: Vec<String>,
}

/// Why a draft is refused: the field, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct InvalidTask {
    pub field: &'static str,
    pub message: String,
}

fn invalid(field: &'static str, message: impl Into<String>) -> InvalidTask {
    InvalidTask { field, message: message.into() }
}

impl NewTask {
    pub fn admit(mut draft: TaskDraft) -> Result<Self, InvalidTask> {
        check_text(&draft)?;
        if !draft.payload.is_object() {
            return Err(invalid("payload", "must be a JSON object"));
        }
        let payload_bytes = draft.payload.to_string().len();
        if payload_bytes > limits::PAYLOAD_BYTES_MAX {
            return Err(invalid(
                "payload",
                format!("is {payload_bytes} bytes; the limit is {}", limits::PAYLOAD_BYTES_MAX),
            ));
        }
        if has_nul(&draft.payload) || has_nul(&draft.acceptance_criteria) {
            return Err(invalid(
                "payload",
                "a string contains U+0000, which PostgreSQL can not store; encode it as base64",
            ));
        }
        if draft.task_type == "code" {
            CodePayload::parse(&draft.payload).map_err(|message| invalid("payload", message))?;
        }
        let criteria = check_criteria(&draft.acceptance_criteria)?;
        if draft.depends_on.len() > limits::DEPENDENCIES_MAX {
            return Err(invalid("depends_on", format!("names more than {} tasks", limits::DEPENDENCIES_MAX)));
        }
        if draft.attempts_max == 0 || draft.attempts_max > limits::ATTEMPTS_MAX {
            return Err(invalid("attempts_max", format!("must be 1 to {}", limits::ATTEMPTS_MAX)));
        }
        if let Some(deadline) = &mut draft.deadline_at {
            *deadline = deadline.checked_to_offset(UtcOffset::UTC).ok_or_else(|| {
                invalid("deadline_at", "is after the year 9999 in UTC; name an earlier time, or none")
            })?;
            if *deadline <= OffsetDateTime::now_utc() {
                return Err(invalid("deadline_at", "has passed; name a later time, or none"));
            }
        }
        Ok(Self { draft, criteria })
    }

    pub fn draft(&self) -> &TaskDraft {
        &self.draft
    }

    pub fn criteria(&self) -> &[Criterion] {
        &self.criteria
    }
}

pub(super) fn check_title(title: &str) -> Result<(), InvalidTask> {
    let title_chars = title.chars().count();
    if title.trim().is_empty() {
        return Err(invalid("title", "must not be empty"));
    }
    if title_chars > limits::TITLE_CHARS_MAX {
        return Err(invalid(
            "title",
            format!("has {title_chars} characters; the limit is {}", limits::TITLE_CHARS_MAX),
        ));
    }
    if title.chars().any(char::is_control) {
        return Err(invalid("title", "must not contain control characters or line breaks"));
    }
    Ok(())
}

pub(super) fn check_description(description: &str) -> Result<(), InvalidTask> {
    if description.len() > limits::DESCRIPTION_BYTES_MAX {
        return Err(invalid("description", format!("is longer than {} bytes", limits::DESCRIPTION_BYTES_MAX)));
    }
    if description.contains('\0') {
        return Err(invalid("description", "contains U+0000, which PostgreSQL can not store"));
    }
    Ok(())
}

fn check_text(draft: &TaskDraft) -> Result<(), InvalidTask> {
    check_title(&draft.title)?;
    check_description(&draft.description)?;
    match &draft.assigned_worker {
        Some(worker) if worker.is_empty() || worker.len() > 128 || worker.chars().any(char::is_control) => {
            Err(invalid("assigned_worker", "must be a worker type or id of 1 to 128 bytes, or absent"))
        }
        Some(_) | None => Ok(()),
    }
}

pub(super) fn check_criteria(value: &Value) -> Result<Vec<Criterion>, InvalidTask> {
    let criteria = Criterion::parse_list(value).map_err(|error| invalid("acceptance_criteria", error.to_string()))?;
    if criteria.len() > limits::CRITERIA_MAX {
        return Err(invalid("acceptance_criteria", format!("has more than {} entries", limits::CRITERIA_MAX)));
    }
    if criteria.iter().any(|criterion| criterion.describe().len() > limits::CRITERION_BYTES_MAX) {
        return Err(invalid(
            "acceptance_criteria",
            format!("an entry is longer than {} bytes", limits::CRITERION_BYTES_MAX),
        ));
    }
    Ok(criteria)
}

pub(super) fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(fields) => fields.iter().any(|(key, value)| key.contains('\0') || has_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// The payload of a `code` task.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodePayload {
    /// `owner/name`.
    pub repository: String,
    /// The branch to merge into.
    #[serde(default = "main_branch")]
    pub base: String,
    /// The files to write.
    #[serde(default)]
    pub changes: Vec<CodeChange>,
    /// What a language model is to do, instead of given changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instructions: Option<String>,
    /// The commit message's subject; the task's title if unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

fn main_branch() -> String {
    "main".to_owned()
}

/// One file that a `code` task writes whole.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodeChange {
    pub path: String,
    pub content: String,
}

impl CodePayload {
    pub fn parse(payload: &Value) -> Result<Self, String> {
        let parsed: Self = serde_json::from_value(payload.clone()).map_err(|error| {
            format!(
                "is not that of a code task: {error}; it takes repository (\"owner/name\"), base, and either \
                 changes ([{{\"path\", \"content\"}}]) or instructions"
            )
        })?;
        let (owner, name) = parsed.repository.split_once('/').unwrap_or_default();
        if owner.is_empty() || name.is_empty() || name.contains('/') {
            return Err(format!("repository {:?} is not \"owner/name\"", parsed.repository));
        }
        match (parsed.changes.is_empty(), &parsed.instructions) {
            (false, None) | (true, Some(_)) => {}
            (true, None) => return Err("has neither changes nor instructions; give one of them".to_owned()),
            (false, Some(_)) => return Err("has both changes and instructions; give one of them".to_owned()),
        }
        if parsed.changes.len() > limits::CHANGES_MAX {
            return Err(format!("has {} changes; the limit is {}", parsed.changes.len(), limits::CHANGES_MAX));
        }
        Ok(parsed)
    }
}
