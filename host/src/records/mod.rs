//! What runs ask of the host's own tables, and have written to them: values that go by channel, so that the sandbox knows
//! no database and the database no guest.
//!
//! Invariant: pure. A look is answered from what is committed. A change is made in the very transaction that stores its
//! step, so that it is there exactly once, with its result in the journal, or not at all: nothing has to be reconciled.

mod alerts;
mod goals;
mod learnings;
mod models;
mod monitoring;
mod recommendations;
mod reports;
mod tasks;
mod words;

pub use alerts::{AlertChange, AlertDraft, AlertQuery, HOST_KINDS, OpenAlert, Severity};
pub use goals::{ChildSeen, GoalChange, GoalClosed, GoalGiven, GoalProgress, GoalQuery};
pub use learnings::{
    FOUND_MAX, LearningChange, LearningDraft, LearningQuery, LearningSearch, OFFERED_MAX, SeenLearning,
};
pub use models::{ModelQuery, Remaining, Reservation, Settlement, TaskBudget};
pub use monitoring::{Figures, LogQuery, Metric, MetricQuery, SeenLine, SeenWorker, WorkerQuery};
pub use recommendations::{
    Filing, RECOMMENDED_MAX, RecommendationChange, RecommendationDraft, Recommended, RecommendedTask, changes_sha256,
};
pub use reports::{ReportChange, ReportDraft, Series, SeriesKind, StoredAs};
pub use tasks::{TaskChange, TaskListing, TaskMade, TaskQuery, TaskSeen, TaskToCreate, TasksSeen};

use serde_json::{Value, json};
pub use words::storable;

/// A look at the host's tables. The answer is JSON of a type that stands beside the query's.
#[derive(Clone, Debug)]
pub enum Query {
    Tasks(TaskQuery),
    Goals(GoalQuery),
    Workers(WorkerQuery),
    Metrics(MetricQuery),
    Logs(LogQuery),
    Alerts(AlertQuery),
    Learnings(LearningQuery),
    Models(ModelQuery),
}

/// A change of the host's tables.
#[derive(Clone, Debug)]
pub enum Change {
    Tasks(TaskChange),
    Goals(GoalChange),
    Alerts(AlertChange),
    Learnings(LearningChange),
    Reports(ReportChange),
    Recommendations(RecommendationChange),
}

/// Why the tables do not answer, or are not changed. The cases are those that a role can act on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("{0}")]
    Denied(String),
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    Conflict(String),
    #[error("{0}")]
    Invalid(String),
}

/// What came of a change.
#[derive(Clone, Debug)]
pub struct Changed {
    /// What the guest is given.
    pub outcome: Result<Value, Refused>,
    pub at: time::OffsetDateTime,
}

/// As the journal has it: what a guest was given, and is given again by a replay.
pub fn stored(outcome: &Result<Value, Refused>) -> Value {
    match outcome {
        Ok(value) => json!({ "ok": value }),
        Err(Refused::Denied(message)) => json!({ "err": { "denied": message } }),
        Err(Refused::NotFound(message)) => json!({ "err": { "not-found": message } }),
        Err(Refused::Conflict(message)) => json!({ "err": { "conflict": message } }),
        Err(Refused::Invalid(message)) => json!({ "err": { "invalid": message } }),
    }
}

/// The other way round.
pub fn read_stored(result: &Value) -> Option<Result<Value, Refused>> {
    if let Some(value) = result.get("ok") {
        return Some(Ok(value.clone()));
    }
    let (kind, message) = result.get("err")?.as_object()?.iter().next()?;
    let message = message.as_str()?.to_owned();
    Some(Err(match kind.as_str() {
        "denied" => Refused::Denied(message),
        "not-found" => Refused::NotFound(message),
        "conflict" => Refused::Conflict(message),
        "invalid" => Refused::Invalid(message),
        _ => return None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_read_back() {
        for outcome in [
            Ok(json!([1])),
            Err(Refused::Denied("a".to_owned())),
            Err(Refused::NotFound("b".to_owned())),
            Err(Refused::Conflict("c".to_owned())),
            Err(Refused::Invalid("d".to_owned())),
        ] {
            assert_eq!(read_stored(&stored(&outcome)), Some(outcome));
        }
        assert_eq!(read_stored(&json!({ "err": { "other": "x" } })), None);
    }
}
