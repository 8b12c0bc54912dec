//! `workers-read`, `metrics-read` and `logs-read`.

use serde::{Deserialize, Serialize};

use crate::task::{LogLevel, TaskId};

/// A look at the workers.
#[derive(Clone, Copy, Debug)]
pub enum WorkerQuery {
    All,
}

/// A worker as a role sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenWorker {
    pub id: String,
    pub worker_type: String,
    pub status: String,
    pub task_types: Vec<String>,
    pub current_task: Option<String>,
    pub silent_seconds: u64,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    Completion,
    Duration,
    Queue,
    Throughput,
    Errors,
    Cost,
    Running,
    Budget,
}

impl Metric {
    /// As in the WIT package.
    pub fn name(self) -> &'static str {
        match self {
            Self::Completion => "completion",
            Self::Duration => "duration",
            Self::Queue => "queue",
            Self::Throughput => "throughput",
            Self::Errors => "errors",
            Self::Cost => "cost",
            Self::Running => "running",
            Self::Budget => "budget",
        }
    }
}

/// A measurement.
#[derive(Clone, Copy, Debug)]
pub struct MetricQuery {
    pub metric: Metric,
    pub window_seconds: u64,
}

/// Figures, in decimal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    pub columns: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

/// A look at the execution log.
#[derive(Clone, Debug)]
pub struct LogQuery {
    pub task: Option<TaskId>,
    /// This one and what is worse.
    pub level: LogLevel,
    pub window_seconds: u64,
    pub limit: u32,
}

/// A line as a role sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenLine {
    pub task: Option<String>,
    pub worker: Option<String>,
    pub action: String,
    pub level: LogLevel,
    pub message: String,
    pub at_ms: u64,
}
