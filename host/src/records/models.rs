//! What language models take of the budgets.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// What a task may take in all its attempts, by its role's manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskBudget {
    pub tokens_max: u64,
    pub microdollars_max: u64,
}

/// A look at the budgets.
#[derive(Clone, Debug)]
pub enum ModelQuery {
    /// Answered with a [`Remaining`].
    Remaining(TaskBudget),
}

/// What is left: the smaller of the task's and the day's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remaining {
    pub tokens: u64,
    pub microdollars: u64,
}

/// A request that is about to be sent. It counts from here on, whatever becomes of it.
#[derive(Clone, Debug)]
pub struct Reservation {
    /// Chosen by whoever asks, so that the same reservation is not made twice.
    pub id: Uuid,
    /// The step of the journal.
    pub position: u32,
    pub model: String,
    /// As it will be sent.
    pub request: Value,
    pub tokens: u64,
    pub microdollars: u64,
    pub budget: TaskBudget,
}

/// What a reserved request took in the end.
#[derive(Clone, Debug)]
pub struct Settlement {
    pub id: Uuid,
    /// The answer, or why there is none.
    pub answer: Value,
    pub prompt_tokens: u64,
    pub answer_tokens: u64,
    pub microdollars: u64,
}
