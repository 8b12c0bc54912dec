//! `tasks-read`.

use serde_json::json;

use crate::journal::{Call, Effect};
use crate::manifest::{Interface, TaskScope};
use crate::records::{Query, TaskListing, TaskQuery, TaskSeen, TasksSeen};
use crate::sandbox::bindings::juggernaut::host::tasks_read::{Filter, Host, Priority, Status, TaskView};
use crate::sandbox::calls::{CallError, GuestError};
use crate::sandbox::state::RunState;
use crate::task::{self, TaskId, TaskStatus};

/// Rows of one look.
const LIMIT_MAX: u32 = 500;

impl Host for RunState {
    async fn get(&mut self, id: String) -> Result<TaskView, CallError> {
        let Some(task) = task_id(&id) else {
            return Err(GuestError::NotFound("that is no task's id".to_owned()).into());
        };
        let call =
            Call { interface: "tasks-read", function: "get", effect: Effect::Read, arguments: json!({ "id": id }) };
        let allowed = self.judged(|scope| scope.read_records(Interface::TasksRead, "get", Vec::new())).await;
        let query = Query::Tasks(TaskQuery::Get { id: task, seen: self.seen() });
        Ok(self.look::<TaskSeen>(call, allowed, query).await?.into())
    }

    async fn list_tasks(&mut self, filter: Filter) -> Result<Vec<TaskView>, CallError> {
        let Filter { status, task_type, goal, limit } = filter;
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(GuestError::Invalid(format!("limit is {limit}; it must be 1 to {LIMIT_MAX}")).into());
        }
        let has_nul = |text: &Option<String>| text.as_ref().is_some_and(|text| text.contains('\0'));
        if has_nul(&task_type) || has_nul(&goal) {
            return Err(GuestError::Invalid("a name in the filter contains U+0000".to_owned()).into());
        }
        let status = status.map(TaskStatus::from);
        let call = Call {
            interface: "tasks-read",
            function: "list-tasks",
            effect: Effect::Read,
            arguments: json!({ "status": status, "task_type": task_type, "goal": goal, "limit": limit }),
        };
        let allowed = self.judged(|scope| scope.read_records(Interface::TasksRead, "list-tasks", Vec::new())).await;
        let listing = TaskListing { status, task_type, goal, limit };
        let query = Query::Tasks(TaskQuery::List { listing, seen: self.seen() });
        let found = self.look::<Vec<TaskSeen>>(call, allowed, query).await?;
        Ok(found.into_iter().map(Into::into).collect())
    }
}

impl RunState {
    fn seen(&self) -> TasksSeen {
        match self.manifest.grants.tasks_read.as_ref().map(|grant| grant.as_ref().scope) {
            Some(TaskScope::All) => TasksSeen::All,
            Some(TaskScope::Goal) | None => TasksSeen::OfGoal,
        }
    }
}

/// A task's id in the one spelling that we give out.
pub(super) fn task_id(text: &str) -> Option<TaskId> {
    (text.len() == 36).then(|| text.parse().ok()).flatten()
}

impl From<TaskSeen> for TaskView {
    fn from(task: TaskSeen) -> Self {
        let TaskSeen {
            id,
            title,
            description,
            task_type,
            status,
            priority,
            risk,
            goal,
            assigned_worker,
            attempt,
            depends_on,
            completion_evidence,
            error_message,
            created_at_ms,
            started_at_ms,
            completed_at_ms,
        } = task;
        Self {
            id,
            title,
            description,
            task_type,
            status: status.into(),
            priority: priority.into(),
            risk,
            goal,
            assigned_worker,
            attempt,
            depends_on,
            completion_evidence,
            error_message,
            created_at_ms,
            started_at_ms,
            completed_at_ms,
        }
    }
}

impl From<TaskStatus> for Status {
    fn from(status: TaskStatus) -> Self {
        match status {
            TaskStatus::Pending => Self::Pending,
            TaskStatus::InProgress => Self::InProgress,
            TaskStatus::WaitingApproval => Self::WaitingApproval,
            TaskStatus::Suspended => Self::Suspended,
            TaskStatus::Completed => Self::Completed,
            TaskStatus::Failed => Self::Failed,
            TaskStatus::Cancelled => Self::Cancelled,
            TaskStatus::DeadLetter => Self::DeadLetter,
        }
    }
}

impl From<Status> for TaskStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Pending => Self::Pending,
            Status::InProgress => Self::InProgress,
            Status::WaitingApproval => Self::WaitingApproval,
            Status::Suspended => Self::Suspended,
            Status::Completed => Self::Completed,
            Status::Failed => Self::Failed,
            Status::Cancelled => Self::Cancelled,
            Status::DeadLetter => Self::DeadLetter,
        }
    }
}

impl From<task::Priority> for Priority {
    fn from(priority: task::Priority) -> Self {
        match priority {
            task::Priority::Critical => Self::Critical,
            task::Priority::High => Self::High,
            task::Priority::Medium => Self::Medium,
            task::Priority::Low => Self::Low,
        }
    }
}

impl From<Priority> for task::Priority {
    fn from(priority: Priority) -> Self {
        match priority {
            Priority::Critical => Self::Critical,
            Priority::High => Self::High,
            Priority::Medium => Self::Medium,
            Priority::Low => Self::Low,
        }
    }
}
