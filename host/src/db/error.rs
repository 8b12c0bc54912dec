//! What can go wrong in the database, as far as a caller can act on it.

use crate::approval::{ApprovalId, ApprovalState};
use crate::schedule::InvalidSchedule;
use crate::task::{GoalId, GoalState, TaskId, TaskStatus};

/// Why the database did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    #[error("no task has the id {0}")]
    UnknownTask(TaskId),
    #[error("the task type does not exist; `GET /api/v1/task-types` lists those that do")]
    UnknownTaskType,
    #[error("no task has the id {}; a task can only depend on existing ones", join(.0))]
    UnknownDependencies(Vec<TaskId>),
    /// The task is in a status from which this is impossible.
    #[error("task {id} is {from}, so it can not be {action}")]
    WrongStatus { id: TaskId, from: TaskStatus, action: &'static str },
    /// The same, found by the trigger.
    #[error("{0}")]
    Transition(String),
    #[error("a task is completed only by evidence that the host verified")]
    NoEvidence,
    #[error(
        "a principal is 1 to 63 letters, digits, '.', '_', '@' or '-', and begins with a letter or digit; for example \
         alice@example.org"
    )]
    InvalidPrincipal,
    #[error("the name {0:?} is reserved: records use it for what no person did; choose another principal")]
    ReservedPrincipal(String),
    #[error("a text contains U+0000, which PostgreSQL can not store; leave it out")]
    NulCharacter,
    #[error("no token's id begins with {0:?}")]
    UnknownToken(String),
    #[error("more than one token's id begins with {0:?}; give more of it")]
    AmbiguousToken(String),
    #[error("no alert has the id {0}")]
    UnknownAlert(uuid::Uuid),
    #[error("no report has the id {0}")]
    UnknownReport(uuid::Uuid),
    #[error("alert {0} is resolved already; if it happens again, that is a new alert")]
    SettledAlert(uuid::Uuid),
    #[error("no schedule has the id or name {0:?}")]
    UnknownSchedule(String),
    #[error("there is a schedule {0:?} already; choose another name, or delete that one first")]
    ScheduleExists(String),
    #[error("there are {0} schedules, which is the limit; delete one first")]
    SchedulesFull(i64),
    #[error("the host keeps the schedule {0:?} itself and would make it again; pause it instead")]
    ScheduleKept(String),
    /// Of a schedule that the host keeps.
    #[error("the schedule is refused: {0}")]
    InvalidSchedule(#[from] InvalidSchedule),
    #[error("no goal has the id {0}")]
    UnknownGoal(GoalId),
    #[error(
        "goal {goal} is {state}, so it can not be {action}; retry its planning task to open a failed or cancelled one again"
    )]
    GoalEnded { goal: GoalId, state: GoalState, action: &'static str },
    #[error("the migrations can not be applied: {0}")]
    Migration(String),
    /// It does not answer now; the same request may succeed later.
    #[error("the database does not answer: {0}")]
    Unavailable(String),
    /// Two transactions were in each other's way and this one was rolled back: the same again is likely to succeed.
    #[error("the database rolled it back for the sake of another transaction; try again: {0}")]
    RolledBack(String),
    /// What is not recorded is not done.
    #[error("the audit log can not be written, so nothing was done: {0}")]
    AuditRefused(String),
    /// The claim has ended: another worker holds the task, or nobody does. Whoever gets this writes nothing more.
    #[error("the task's lease is lost")]
    LeaseLost,
    /// The step's approval was not good any more when it was to be used up. Nothing was written.
    #[error("the approval is not good any more")]
    NotApproved,
    /// The same request is on record, or about to be.
    #[error("the same request was made before")]
    RequestRepeated,
    #[error(
        "the key {0:?} was used for another request within the last day; take a new key for each request, and the same one \
         only to send a request again"
    )]
    RequestKeyReused(String),
    #[error("no approval has the id {0}")]
    UnknownApproval(ApprovalId),
    /// Somebody or something was quicker.
    #[error("approval {id} is {state}{}, so it can not be {action}", decided(.by.as_deref()))]
    ApprovalDecided { id: ApprovalId, state: ApprovalState, by: Option<String>, action: &'static str },
    #[error("approval {id} can not be given any more: {why}")]
    ApprovalVoid { id: ApprovalId, why: String },
    /// What was recommended does not fit the tasks any more. Nothing was changed.
    #[error(
        "approval {id}: the recommendation can not be applied any more, and nothing was changed: {why}; deny it, and have it \
         planned anew"
    )]
    RecommendationStale { id: ApprovalId, why: String },
    /// The caller may approve, but not this.
    #[error("{0}")]
    NotYours(String),
    /// What is stored contradicts itself.
    #[error("the database holds something impossible in {0}")]
    Corrupt(&'static str),
    /// A defect of ours, or a damaged database.
    #[error("the database refused: {0}")]
    Internal(#[source] sqlx::Error),
}

impl DbError {
    /// Whether the same may succeed in a moment.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::RolledBack(_))
    }

    pub(super) fn corrupt(place: &'static str) -> Self {
        Self::Corrupt(place)
    }
}

fn decided(principal: Option<&str>) -> String {
    principal.map(|principal| format!(" (decided by {principal})")).unwrap_or_default()
}

fn join(ids: &[TaskId]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl From<sqlx::Error> for DbError {
    fn from(error: sqlx::Error) -> Self {
        if is_lost(&error) {
            return Self::Unavailable(error.to_string());
        }
        let Some(refused) = error.as_database_error() else {
            return Self::Internal(error);
        };
        // A deadlock; a failed serialization; a lock that was not to be had in time.
        if matches!(refused.code().as_deref(), Some("40P01" | "40001" | "55P03")) {
            return Self::RolledBack(refused.message().to_owned());
        }
        // Not a character of the database's encoding; `\u0000` inside JSON.
        if matches!(refused.code().as_deref(), Some("22021" | "22P05")) {
            return Self::NulCharacter;
        }
        match refused.constraint() {
            Some("governance_tasks_task_type_fkey") => Self::UnknownTaskType,
            Some("governance_tasks_status_transition") => Self::Transition(refused.message().to_owned()),
            Some("governance_tasks_evidence") => Self::NoEvidence,
            Some("task_dependencies_depends_on_fkey") => Self::UnknownDependencies(Vec::new()),
            Some("api_tokens_principal_check") => Self::InvalidPrincipal,
            Some(_) | None => Self::Internal(error),
        }
    }
}

/// Whether the connection, and not the query, is at fault.
fn is_lost(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        // Connection exceptions, too many connections, shutdown and start-up of the server, wrong credentials, no
        // such database.
        sqlx::Error::Database(refused) => refused.code().is_some_and(|code| {
            // The last: the server ended a session that stood still in a transaction.
            ["08", "28", "53", "57P"].iter().any(|class| code.starts_with(class))
                || ["3D000", "25P03"].contains(&&*code)
        }),
        _ => false,
    }
}
