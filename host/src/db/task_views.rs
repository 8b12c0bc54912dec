//! A task as people see it: what the API shows and the command line reads.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use time::serde::rfc3339;
use utoipa::ToSchema;

use super::approvals::OpenApproval;
use crate::task::{GoalId, Priority, Risk, TaskId, TaskStatus};

/// A task in a list.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TaskSummary {
    pub id: TaskId,
    pub title: String,
    pub task_type: String,
    pub status: TaskStatus,
    pub priority: Priority,
    pub risk: Risk,
    /// While it waits: the worker type or id that it is meant for. Once claimed: the worker's id.
    pub assigned_worker: Option<String>,
    pub attempt: i32,
    pub attempts_max: i32,
    /// Dependencies that are not completed yet.
    pub blocked_by: i32,
    pub requires_approval: bool,
    pub approval_reason: Option<String>,
    pub error_message: Option<String>,
    /// The principal that created it; `sql` where somebody wrote the row by hand.
    pub created_by: String,
    #[serde(with = "rfc3339")]
    pub created_at: OffsetDateTime,
    #[serde(with = "rfc3339::option")]
    pub started_at: Option<OffsetDateTime>,
    #[serde(with = "rfc3339::option")]
    pub completed_at: Option<OffsetDateTime>,
    /// What has not ended by then fails.
    #[serde(with = "rfc3339::option")]
    pub deadline_at: Option<OffsetDateTime>,
    /// What it works for.
    pub goal: Option<GoalId>,
}

/// A task that must be completed first.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Dependency {
    pub id: TaskId,
    pub title: String,
    pub status: TaskStatus,
}

/// What ran, or runs, for the newest attempt.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RunView {
    pub attempt: i32,
    pub worker_id: String,
    pub role: String,
    /// SHA-256 of the component, in hexadecimal.
    pub component_sha256: String,
    /// SHA-256 of the capability manifest, in hexadecimal.
    pub manifest_sha256: String,
    #[serde(with = "rfc3339")]
    pub started_at: OffsetDateTime,
}

/// The columns of a task that a list leaves out.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TaskContent {
    pub description: String,
    #[schema(value_type = Object)]
    pub payload: Value,
    #[schema(value_type = Vec<Value>)]
    pub acceptance_criteria: Value,
    pub completion_evidence: Option<String>,
    /// What the host verified; null until the task is completed.
    #[schema(value_type = Option<Object>)]
    pub evidence: Option<Value>,
    /// When a suspended task goes on by itself.
    #[serde(with = "rfc3339::option")]
    pub wake_at: Option<OffsetDateTime>,
    #[serde(with = "rfc3339::option")]
    pub lease_expires_at: Option<OffsetDateTime>,
}

/// A task with all that belongs to it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TaskDetail {
    #[serde(flatten)]
    pub summary: TaskSummary,
    #[serde(flatten)]
    pub content: TaskContent,
    pub depends_on: Vec<Dependency>,
    pub run: Option<RunView>,
    /// Approvals that it waits for, or that were given and not used yet.
    pub approvals: Vec<OpenApproval>,
}

/// Which tasks a list shows; a field that is none does not filter.
#[derive(Clone, Debug, Default)]
pub struct TaskFilter {
    pub status: Option<TaskStatus>,
    pub task_type: Option<String>,
    pub priority: Option<Priority>,
    pub assigned_worker: Option<String>,
    pub goal: Option<GoalId>,
}

/// A place in the list of tasks, which is sorted by these two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskCursor {
    pub created_at: OffsetDateTime,
    pub id: TaskId,
}

impl TaskCursor {
    /// Before the newest task. A value rather than an absent one, so that the index serves every page.
    pub const START: Self =
        Self { created_at: time::macros::datetime!(9999-12-31 0:00 UTC), id: TaskId(uuid::Uuid::max()) };
}

impl TaskSummary {
    pub fn cursor(&self) -> TaskCursor {
        TaskCursor { created_at: self.created_at, id: self.id }
    }
}
