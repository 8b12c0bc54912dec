//! How a claim ends.

use std::borrow::Cow;
use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::journal::RunKey;
use crate::approval::ApprovalId;
use crate::audit::{Event, EventKind, short};
use crate::task::{Attempt, LogLevel, TaskStatus};

/// What a claim ends with.
#[derive(Debug, Clone)]
pub enum Ending {
    /// `evidence` is what the host verified; `text` is the same for people.
    Completed { evidence: Box<RawValue>, text: String },
    /// Nothing but a change by a person would help.
    Failed { reason: String },
    /// The next attempt begins after the pause.
    Retry { reason: String, after: Duration },
    /// No attempts are left.
    DeadLetter { reason: String },
    /// The same attempt goes on at that time.
    Suspended { wake_at: OffsetDateTime, reason: String },
    /// The same attempt goes on at that time, or as soon as more tasks than these of its goal have ended.
    WaitingGoal { wake_at: OffsetDateTime, ended: u32 },
    /// The same attempt goes on at the call that waits, once somebody has approved it.
    WaitingApproval { approval: ApprovalId, reason: String },
    /// The same attempt goes on as soon as somebody claims it.
    Released { reason: String },
}

impl Ending {
    /// Fails where the evidence has no JSON.
    pub fn completed(evidence: &impl Serialize, text: String) -> serde_json::Result<Self> {
        Ok(Self::Completed { evidence: serde_json::value::to_raw_value(evidence)?, text })
    }

    pub(super) fn action(&self) -> &'static str {
        match self {
            Self::Completed { .. } => "task_completed",
            Self::Failed { .. } | Self::Retry { .. } | Self::DeadLetter { .. } => "task_error",
            Self::Suspended { .. } | Self::WaitingGoal { .. } => "task_suspended",
            Self::WaitingApproval { .. } => "task_waiting_approval",
            Self::Released { .. } => "task_released",
        }
    }

    pub(super) fn status(&self) -> TaskStatus {
        match self {
            Self::Completed { .. } => TaskStatus::Completed,
            Self::Failed { .. } => TaskStatus::Failed,
            Self::Retry { .. } | Self::Suspended { .. } | Self::WaitingGoal { .. } => TaskStatus::Suspended,
            Self::DeadLetter { .. } => TaskStatus::DeadLetter,
            Self::WaitingApproval { .. } => TaskStatus::WaitingApproval,
            Self::Released { .. } => TaskStatus::Pending,
        }
    }

    /// Whether the task may be pending after it.
    pub(super) fn puts_back(&self) -> bool {
        matches!(self, Self::Released { .. } | Self::WaitingApproval { .. })
    }

    /// The same without U+0000, which PostgreSQL stores in no text: whoever slipped one in must not keep a run from
    /// ending.
    pub(super) fn storable(mut self) -> Self {
        match &mut self {
            Self::Completed { evidence, text } => {
                // As JSON escapes it; what only looks like it comes to no harm.
                if evidence.get().contains("\\u0000") {
                    *evidence = without_nul(evidence);
                }
                clean(text);
            }
            Self::Failed { reason }
            | Self::Retry { reason, .. }
            | Self::DeadLetter { reason }
            | Self::Suspended { reason, .. }
            | Self::WaitingApproval { reason, .. }
            | Self::Released { reason } => clean(reason),
            Self::WaitingGoal { .. } => {}
        }
        self
    }

    pub(super) fn message(&self) -> Cow<'_, str> {
        match self {
            Self::Completed { text, .. } => text.into(),
            Self::Failed { reason } | Self::Released { reason } | Self::WaitingApproval { reason, .. } => reason.into(),
            Self::Retry { reason, after } => format!("{reason} (next attempt in {:.1} s)", after.as_secs_f64()).into(),
            Self::DeadLetter { reason } => format!("{reason} (no attempts left: dead letter)").into(),
            Self::Suspended { wake_at, reason } => format!("{reason}; suspended until {wake_at}").into(),
            Self::WaitingGoal { wake_at, ended } => {
                format!("waits for more than {ended} tasks of its goal to end, or until {wake_at}").into()
            }
        }
    }

    /// `status` is the one that the task has now.
    pub(super) fn event(&self, key: &RunKey, cause: &str, status: TaskStatus) -> Event {
        let kind = match self {
            Self::Completed { .. } => EventKind::TaskCompleted,
            Self::Failed { .. } => EventKind::TaskFailed,
            Self::Retry { .. } => EventKind::TaskRetried,
            Self::DeadLetter { .. } => EventKind::TaskDeadLettered,
            Self::Suspended { .. } | Self::WaitingGoal { .. } => EventKind::TaskSuspended,
            Self::WaitingApproval { .. } => EventKind::TaskWaitingApproval,
            Self::Released { .. } => EventKind::TaskReleased,
        };
        let mut details =
            Details { attempt: key.attempt, cause, evidence: None, reason: None, waits_for_more_than: None };
        match self {
            Self::Completed { evidence, .. } => details.evidence = Some(evidence),
            Self::Failed { reason }
            | Self::Retry { reason, .. }
            | Self::DeadLetter { reason }
            | Self::Suspended { reason, .. }
            | Self::WaitingApproval { reason, .. }
            | Self::Released { reason } => details.reason = Some(short(reason)),
            Self::WaitingGoal { ended, .. } => details.waits_for_more_than = Some(*ended),
        }
        Event::moved(kind, key.task, status, &key.worker.0, details)
    }

    pub(super) fn level(&self) -> LogLevel {
        match self {
            Self::Completed { .. }
            | Self::Suspended { .. }
            | Self::WaitingGoal { .. }
            | Self::WaitingApproval { .. }
            | Self::Released { .. } => LogLevel::Info,
            Self::Retry { .. } => LogLevel::Warn,
            Self::Failed { .. } | Self::DeadLetter { .. } => LogLevel::Error,
        }
    }

    pub(super) fn error_data(&self, error_type: &str) -> Option<Value> {
        self.failure().map(|reason| json!({ "error_type": error_type, "details": reason }))
    }

    /// Why the attempt failed, where it did.
    pub(super) fn failure(&self) -> Option<&str> {
        match self {
            Self::Failed { reason } | Self::Retry { reason, .. } | Self::DeadLetter { reason } => Some(reason),
            Self::Completed { .. }
            | Self::Suspended { .. }
            | Self::WaitingGoal { .. }
            | Self::WaitingApproval { .. }
            | Self::Released { .. } => None,
        }
    }
}

/// Of an end, for the audit log.
#[derive(Serialize)]
struct Details<'a> {
    attempt: Attempt,
    cause: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    evidence: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    waits_for_more_than: Option<u32>,
}

fn clean(text: &mut String) {
    if text.contains('\0') {
        *text = text.replace('\0', "\u{2400}");
    }
}

fn without_nul(json: &RawValue) -> Box<RawValue> {
    fn cleaned(value: Value) -> Value {
        match value {
            Value::String(mut text) => {
                clean(&mut text);
                Value::String(text)
            }
            Value::Array(items) => items.into_iter().map(cleaned).collect(),
            Value::Object(fields) => fields.into_iter().map(|(key, value)| (key, cleaned(value))).collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) => value,
        }
    }
    let parsed = serde_json::from_str(json.get()).map(cleaned);
    parsed.and_then(|value| serde_json::value::to_raw_value(&value)).unwrap_or_else(|_| json.to_owned())
}
