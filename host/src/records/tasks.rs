//! `tasks`.

use serde::{Deserialize, Serialize};

use crate::task::{NewTask, Priority, TaskId, TaskStatus, Treatment};

/// Which tasks a run may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TasksSeen {
    /// Those of its own task's goal.
    OfGoal,
    All,
}

/// A look at tasks.
#[derive(Clone, Debug)]
pub enum TaskQuery {
    /// A [`TaskSeen`].
    Get { id: TaskId, seen: TasksSeen },
    /// A list of [`TaskSeen`], by priority, then age.
    List { listing: TaskListing, seen: TasksSeen },
}

/// Which of them; what is none does not filter.
#[derive(Clone, Debug, Default)]
pub struct TaskListing {
    pub status: Option<TaskStatus>,
    pub task_type: Option<String>,
    /// As the role spells it.
    pub goal: Option<String>,
    pub limit: u32,
}

/// A task as a run sees it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TaskSeen {
    pub id: String,
    pub title: String,
    pub description: String,
    pub task_type: String,
    pub status: TaskStatus,
    pub priority: Priority,
    pub risk: String,
    pub goal: Option<String>,
    pub assigned_worker: Option<String>,
    pub attempt: u32,
    pub depends_on: Vec<String>,
    pub completion_evidence: Option<String>,
    pub error_message: Option<String>,
    pub created_at_ms: u64,
    pub started_at_ms: Option<u64>,
    pub completed_at_ms: Option<u64>,
}

/// A task to be made, as policy judged it.
#[derive(Clone, Debug)]
pub struct TaskToCreate {
    /// As the call names it.
    pub key: String,
    pub id: TaskId,
    pub task: NewTask,
    pub treatment: Treatment,
}

/// What was made of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TaskMade {
    pub key: String,
    pub id: String,
}

/// A change of tasks: of those that work for the goal of the run's own task, and not that one itself.
#[derive(Clone, Debug)]
pub enum TaskChange {
    /// All or none; a list of [`TaskMade`]. `tasks_max`: what one attempt may make.
    Create {
        tasks: Vec<TaskToCreate>,
        tasks_max: u32,
    },
    SetPriority {
        id: TaskId,
        priority: Priority,
    },
    Assign {
        id: TaskId,
        worker: Option<String>,
    },
    Cancel {
        id: TaskId,
        reason: String,
    },
    Retry {
        id: TaskId,
    },
}
