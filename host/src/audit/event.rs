//! What is recorded.

use serde::Serialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::task::{TaskId, TaskStatus};

/// Longest details, as JSON; longer ones are replaced by their length and digest.
pub const DETAILS_BYTES_MAX: usize = 16 * 1024;
/// Longest text that [`short`] leaves as it is.
const TEXT_CHARS_MAX: usize = 500;
const ACTOR_CHARS_MAX: usize = 200;

/// Declares the kinds with their spelling in the database, and the list of all of them.
macro_rules! kinds {
    ($($(#[$meta:meta])* $kind:ident = $name:literal),+ $(,)?) => {
        /// What happened. The spelling is hashed, so that of an old kind never changes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum EventKind { $($(#[$meta])* $kind),+ }

        impl EventKind {
            pub const ALL: &[Self] = &[$(Self::$kind),+];

            pub fn as_str(self) -> &'static str {
                match self { $(Self::$kind => $name),+ }
            }
        }
    };
}

kinds! {
    TaskCreated = "task_created",
    /// An attempt begins or goes on, with these digests of component and manifest.
    TaskClaimed = "task_claimed",
    TaskSuspended = "task_suspended",
    /// It waits for a person.
    TaskWaitingApproval = "task_waiting_approval",
    TaskReleased = "task_released",
    TaskRetried = "task_retried",
    TaskCompleted = "task_completed",
    TaskFailed = "task_failed",
    TaskDeadLettered = "task_dead_lettered",
    TaskCancelled = "task_cancelled",
    /// Its lease ran out, and the sweeper took it back.
    TaskReclaimed = "task_reclaimed",
    TaskWoken = "task_woken",
    TaskUnblocked = "task_unblocked",
    /// A planner gave it another priority.
    TaskPrioritised = "task_prioritised",
    /// A planner meant it for another worker.
    TaskAssigned = "task_assigned",
    GoalCreated = "goal_created",
    GoalCompleted = "goal_completed",
    GoalFailed = "goal_failed",
    GoalCancelled = "goal_cancelled",
    GoalReplanned = "goal_replanned",
    /// Its planning task was retried.
    GoalReopened = "goal_reopened",
    PolicyDecision = "policy_decision",
    /// A call that changes the world: its intent, and how it ended.
    HostCall = "host_call",
    /// A request to a language model is about to be sent, and counts from here on.
    ModelReserved = "model_reserved",
    /// What it took.
    ModelSettled = "model_settled",
    ApprovalRequested = "approval_requested",
    ApprovalApproved = "approval_approved",
    ApprovalDenied = "approval_denied",
    ApprovalExpired = "approval_expired",
    ApprovalConsumed = "approval_consumed",
    AlertRaised = "alert_raised",
    AlertSettled = "alert_settled",
    /// The notifier delivered what people are told of an alert, or gave it up.
    AlertNotified = "alert_notified",
    ScheduleCreated = "schedule_created",
    ScheduleChanged = "schedule_changed",
    /// Its time came: what was created, or why nothing was.
    ScheduleFired = "schedule_fired",
    ScheduleDeleted = "schedule_deleted",
    /// A role asks for changes of the backlog; nothing is changed yet.
    RecommendationFiled = "recommendation_filed",
    /// A person approved it, and its changes were made in the same transaction.
    RecommendationApplied = "recommendation_applied",
    LearningCaptured = "learning_captured",
    ReportStored = "report_stored",
    TokenCreated = "token_created",
    TokenRevoked = "token_revoked",
    HostStarted = "host_started",
    HostStopped = "host_stopped",
    /// A component, manifest or policy is not the one that the last host ran with.
    RoleChanged = "role_changed",
    /// A setting that weakens governance is on.
    Setting = "setting",
    Migrated = "migrated",
}

/// One thing that happened, on its way into the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub kind: EventKind,
    pub task: Option<TaskId>,
    actor: String,
    details: String,
}

impl Event {
    /// Who acts where no person and no worker does.
    pub const HOST: &str = "host";

    /// `actor` is a principal, a worker's id, or `host`; `details` are a JSON object.
    pub fn new(kind: EventKind, actor: impl AsRef<str>, details: impl Serialize) -> Self {
        Self { kind, task: None, actor: stored_actor(actor.as_ref()), details: stored_details(&details, None) }
    }

    #[must_use]
    pub fn of(mut self, task: TaskId) -> Self {
        self.task = Some(task);
        self
    }

    /// A task's move to a status, which `audit verify --tasks` holds against the task's row.
    pub fn moved(
        kind: EventKind,
        task: TaskId,
        to: TaskStatus,
        actor: impl AsRef<str>,
        details: impl Serialize,
    ) -> Self {
        let details = stored_details(&Moved { details, status: to }, Some(to));
        Self { kind, task: Some(task), actor: stored_actor(actor.as_ref()), details }
    }

    /// The actor as it is stored and hashed.
    pub fn actor(&self) -> &str {
        &self.actor
    }

    /// The details as they are stored and hashed: JSON.
    pub fn details(&self) -> &str {
        &self.details
    }
}

#[derive(Serialize)]
struct Moved<T> {
    #[serde(flatten)]
    details: T,
    status: TaskStatus,
}

fn stored_actor(actor: &str) -> String {
    actor.replace('\0', "\u{2400}").chars().take(ACTOR_CHARS_MAX).collect()
}

/// Long details by their length and digest. What `audit verify --tasks` reads does not get lost with them.
fn stored_details(details: &impl Serialize, status: Option<TaskStatus>) -> String {
    // Ours are maps with texts as keys, which always have a JSON.
    let text = serde_json::to_string(details).unwrap_or_else(|error| json!({ "error": error.to_string() }).to_string());
    if text.len() <= DETAILS_BYTES_MAX {
        return text;
    }
    let mut replaced = json!({ "bytes": text.len(), "sha256": hex::encode(Sha256::digest(text.as_bytes())) });
    if let (Some(status), Some(fields)) = (status, replaced.as_object_mut()) {
        fields.insert("status".to_owned(), json!(status));
    }
    replaced.to_string()
}

/// The beginning of a text that may be long, for details.
pub fn short(text: &str) -> String {
    if text.chars().count() <= TEXT_CHARS_MAX {
        return text.to_owned();
    }
    text.chars().take(TEXT_CHARS_MAX).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_spelt_once_and_fits_the_column() {
        let mut names: Vec<_> = EventKind::ALL.iter().map(|kind| kind.as_str()).collect();
        assert!(names.iter().all(|name| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), EventKind::ALL.len());
    }

    #[test]
    fn details_stay_within_their_limit_and_keep_the_status() {
        let task = TaskId::generate();
        let reason = "x".repeat(DETAILS_BYTES_MAX);
        let event = Event::moved(EventKind::TaskFailed, task, TaskStatus::Failed, "W\0", json!({ "reason": reason }));
        let text = event.details();
        assert!(text.len() < 200 && text.contains("\"status\":\"failed\"") && text.contains("sha256"), "{text}");
        assert_eq!(event.actor(), "W\u{2400}");
        assert_eq!(short(&"é".repeat(501)).chars().count(), 501);
        assert_eq!(short(&"é".repeat(500)), "é".repeat(500));
    }
}
