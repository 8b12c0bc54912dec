//! `goals`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::task::{GoalState, TaskId, TaskStatus};

/// A look at the goal of the run's own task.
#[derive(Clone, Debug)]
pub enum GoalQuery {
    /// A [`GoalGiven`]. `replans_max`: what the manifest allows.
    Given { replans_max: u32 },
    /// A [`GoalProgress`].
    Progress,
    /// How many children have ended, a number; only for the task that plans the goal.
    Ended,
}

/// The goal as its planner sees it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GoalGiven {
    pub id: String,
    pub title: String,
    pub description: String,
    pub acceptance_criteria: Value,
    pub plan: Option<Value>,
    pub state: GoalState,
    pub replans_left: u32,
}

/// How far its tasks have come.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GoalProgress {
    pub children: Vec<ChildSeen>,
    pub ended: u32,
}

/// A task of the goal.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ChildSeen {
    pub id: String,
    pub title: String,
    pub task_type: String,
    pub status: TaskStatus,
    pub error_message: Option<String>,
    pub depends_on: Vec<String>,
    pub replaced: bool,
}

/// A change of the goal that the run's own task plans.
#[derive(Clone, Debug)]
pub enum GoalChange {
    /// `replans_max`: what the manifest allows.
    Replan {
        reason: String,
        replaced: Vec<TaskId>,
        replans_max: u32,
    },
    /// A [`GoalClosed`].
    Complete {
        summary: String,
        replaced: Vec<TaskId>,
    },
    Fail {
        reason: String,
    },
}

/// What a goal was closed by: the evidence of its planner names exactly these tasks.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GoalClosed {
    pub goal: String,
    pub children: Vec<String>,
}
