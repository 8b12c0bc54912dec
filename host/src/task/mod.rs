//! What a task is: ids, states, risk, acceptance criteria, and the checks that a new task must pass.
//!
//! Invariant: nothing here knows of a database, a network or a clock.

mod criterion;
mod goal;
mod ids;
mod new;
mod outcome;
mod plan;
mod status;

pub use criterion::{Criterion, CriterionError};
pub use goal::{GOAL_TASKS_MAX, GoalDraft, GoalState, NewGoal};
pub use ids::{Attempt, GoalId, HostId, Lease, TaskId, WorkerId};
pub use new::{CodeChange, CodePayload, InvalidTask, NewTask, TaskDraft, Treatment, limits};
pub use outcome::{
    Answer, Claim, ClaimedCheck, ClaimedDocument, ClaimedSuite, Failure, Observation, Proof, REASON_BYTES_MAX,
    SUMMARY_BYTES_MAX, SuiteSource, TestCounts,
};
pub use plan::{AdmittedTask, Existing, InvalidPlan, PLAN_TASKS_MAX, Plan, PlannedTask, admit_plan};
pub(crate) use status::database_enum;
pub use status::{EvidenceKind, LogLevel, Priority, Risk, TaskStatus, WorkerStatus};

use crate::repo::{Branch, Repository};

/// A task as a run needs it.
#[derive(Clone, Debug)]
pub struct Task {
    pub id: TaskId,
    pub title: String,
    pub description: String,
    pub task_type: String,
    pub evidence_kind: EvidenceKind,
    pub priority: Priority,
    pub risk: Risk,
    /// How it came to be: declared, assessed by the host, raised by a run.
    pub risk_reasons: Vec<String>,
    pub payload: serde_json::Value,
    pub criteria: Vec<Criterion>,
    pub attempt: Attempt,
    pub attempts_max: u32,
    pub last_error: Option<String>,
    /// The goal that it works for.
    pub goal: Option<GoalId>,
}

/// Where a task's work goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub repository: Repository,
    pub base: Branch,
}

impl Target {
    pub fn of_payload(payload: &serde_json::Value) -> Option<Self> {
        let text = |key: &str| payload.get(key).and_then(serde_json::Value::as_str);
        let repository = Repository::parse(text("repository")?).ok()?;
        let base = Branch::parse(text("base").unwrap_or("main")).ok()?;
        Some(Self { repository, base })
    }
}

impl Task {
    /// The repository and base branch that the payload names: the only ones that a run of this task may change. None
    /// where it names none, and then nothing may be changed.
    pub fn target(&self) -> Option<Target> {
        Target::of_payload(&self.payload)
    }

    /// The branch that belongs to this task, and the only one that its runs may write to.
    pub fn branch(&self) -> String {
        self.id.branch()
    }
}
