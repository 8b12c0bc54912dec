//! How a claim ends.

use std::time::Duration;

use serde_json::{Value, json};
use time::OffsetDateTime;

use super::journal::RunKey;
use crate::approval::ApprovalId;
use crate::audit::{Event, EventKind, short};
use crate::task::{LogLevel, TaskStatus};

/// What a claim ends with.
#[derive(Debug, Clone)]
pub enum Ending {
    /// `evidence` is what the host verified; `text` is the same for people.
    Completed { evidence: Value, text: String },
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
    pub(super) fn storable(&self) -> Self {
        let clean = |text: &String| text.replace('\0', "\u{2400}");
        match self {
            Self::Completed { evidence, text } => {
                Self::Completed { evidence: without_nul(evidence), text: clean(text) }
            }
            Self::Failed { reason } => Self::Failed { reason: clean(reason) },
            Self::Retry { reason, after } => Self::Retry { reason: clean(reason), after: *after },
            Self::DeadLetter { reason } => Self::DeadLetter { reason: clean(reason) },
            Self::Suspended { wake_at, reason } => Self::Suspended { wake_at: *wake_at, reason: clean(reason) },
            Self::WaitingGoal { wake_at, ended } => Self::WaitingGoal { wake_at: *wake_at, ended: *ended },
            Self::WaitingApproval { approval, reason } => {
                Self::WaitingApproval { approval: *approval, reason: clean(reason) }
            }
            Self::Released { reason } => Self::Released { reason: clean(reason) },
        }
    }

    pub(super) fn message(&self) -> String {
        match self {
            Self::Completed { text, .. } => text.clone(),
            Self::Failed { reason } | Self::Released { reason } | Self::WaitingApproval { reason, .. } => {
                reason.clone()
            }
            Self::Retry { reason, after } => format!("{reason} (next attempt in {:.1} s)", after.as_secs_f64()),
            Self::DeadLetter { reason } => format!("{reason} (no attempts left: dead letter)"),
            Self::Suspended { wake_at, reason } => format!("{reason}; suspended until {wake_at}"),
            Self::WaitingGoal { wake_at, ended } => {
                format!("waits for more than {ended} tasks of its goal to end, or until {wake_at}")
            }
        }
    }

    pub(super) fn event(&self, key: &RunKey, cause: &str) -> Event {
        let kind = match self {
            Self::Completed { .. } => EventKind::TaskCompleted,
            Self::Failed { .. } => EventKind::TaskFailed,
            Self::Retry { .. } => EventKind::TaskRetried,
            Self::DeadLetter { .. } => EventKind::TaskDeadLettered,
            Self::Suspended { .. } | Self::WaitingGoal { .. } => EventKind::TaskSuspended,
            Self::WaitingApproval { .. } => EventKind::TaskWaitingApproval,
            Self::Released { .. } => EventKind::TaskReleased,
        };
        let mut details = json!({ "attempt": key.attempt, "cause": cause });
        match self {
            Self::Completed { evidence, .. } => details["evidence"] = evidence.clone(),
            Self::Failed { reason }
            | Self::Retry { reason, .. }
            | Self::DeadLetter { reason }
            | Self::Suspended { reason, .. }
            | Self::WaitingApproval { reason, .. }
            | Self::Released { reason } => details["reason"] = json!(short(reason)),
            Self::WaitingGoal { ended, .. } => details["waits_for_more_than"] = json!(ended),
        }
        Event::moved(kind, key.task, self.status(), &key.worker.0, details)
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

fn without_nul(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(text.replace('\0', "\u{2400}")),
        Value::Array(items) => items.iter().map(without_nul).collect(),
        Value::Object(fields) => fields.iter().map(|(key, value)| (key.clone(), without_nul(value))).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}
