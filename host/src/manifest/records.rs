//! Grants of what the host keeps itself: tasks, goals, figures, logs, alerts, learnings, reports; and of models.

use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema::{entries, no_duplicates, within};
use crate::records::HOST_KINDS;

type Problem = (Range<usize>, String);

/// Which tasks are seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TaskScope {
    /// Those of the goal that the run's own task belongs to.
    Goal,
    All,
}

impl TaskScope {
    pub fn name(self) -> &'static str {
        match self {
            Self::Goal => "goal",
            Self::All => "all",
        }
    }
}

/// Look at tasks.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TasksRead {
    /// `"goal"`: those of the task's own goal. `"all"`: every task.
    pub scope: TaskScope,
}

/// Create and steer tasks of the run's own goal.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TasksWrite {
    /// Types that it may create, at least one.
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    #[schemars(inner(regex(pattern = r"^[a-z0-9_-]{1,63}$")))]
    pub task_types: Vec<String>,
    /// Tasks that one attempt may create, 1 to 500.
    #[schemars(range(min = 1, max = 500))]
    pub tasks_max: u32,
}

/// Read, plan anew and close the goal of the run's own task.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Goals {
    /// New plans after the first one, 0 to 20; a goal may allow fewer.
    #[schemars(range(min = 0, max = 20))]
    pub replans_max: u32,
}

/// See the workers and their heartbeats.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkersRead {}

/// Measure.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MetricsRead {
    /// Longest window, hours, 1 to 8,784 (a year).
    #[schemars(range(min = 1, max = 8784))]
    pub window_hours_max: u32,
}

/// Read the execution log.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogsRead {
    /// Longest window, hours, 1 to 8,784 (a year).
    #[schemars(range(min = 1, max = 8784))]
    pub window_hours_max: u32,
    /// Lines of one call, 1 to 1,000.
    #[schemars(range(min = 1, max = 1000))]
    pub lines_max: u32,
}

/// Raise alerts, and resolve them.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Alerts {
    /// Kinds that it may raise and resolve, at least one. Those that the host raises itself are not among them.
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    #[schemars(inner(regex(pattern = r"^[a-z0-9_-]{1,63}$")))]
    pub kinds: Vec<String>,
    /// Alerts that one attempt may raise, 1 to 500.
    #[schemars(range(min = 1, max = 500))]
    pub alerts_max: u32,
}

/// Find what earlier tasks taught, and keep what this one did.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Learnings {
    /// Learnings that one attempt may keep, 0 to 20.
    #[schemars(range(min = 0, max = 20))]
    pub learnings_max: u32,
}

/// Store reports.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reports {
    /// Reports that one attempt may store, 1 to 20.
    #[schemars(range(min = 1, max = 20))]
    pub reports_max: u32,
    /// Text and data of one report, KiB, 1 to 1,024.
    #[schemars(range(min = 1, max = 1024))]
    pub report_kib_max: u32,
}

/// Recommend changes that a person may approve.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Recommendations {
    /// Recommendations that one attempt may file, 1 to 20.
    #[schemars(range(min = 1, max = 20))]
    pub recommendations_max: u32,
    /// Types of tasks that it may recommend to create; none if empty.
    #[schemars(extend("uniqueItems" = true))]
    #[schemars(inner(regex(pattern = r"^[a-z0-9_-]{1,63}$")))]
    pub task_types: Vec<String>,
}

/// Ask a language model.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Llm {
    /// Models by OpenRouter's names, such as `"anthropic/claude-sonnet-4.5"`, in the order in which they are tried. 1 to 16.
    #[schemars(length(min = 1, max = 16), extend("uniqueItems" = true))]
    #[schemars(inner(regex(pattern = r"^[a-z0-9._:/-]{1,128}$")))]
    pub models: Vec<String>,
    /// Longest answer, tokens, 1 to 200,000.
    #[schemars(range(min = 1, max = 200_000))]
    pub answer_tokens_max: u32,
    /// Prompts and answers of a task in all its attempts, tokens, 1 to 100,000,000.
    #[schemars(range(min = 1, max = 100_000_000))]
    pub tokens_per_task_max: u64,
    /// Cost of a task in all its attempts, millionths of a US dollar, 1 to 1,000,000,000.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub cost_microdollars_per_task_max: u64,
    /// Longest call with all its retries, milliseconds, 1,000 to 600,000.
    #[schemars(range(min = 1_000, max = 600_000))]
    pub timeout_ms_max: u64,
}

fn names(span: &Range<usize>, key: &str, names: &[String]) -> Result<(), Problem> {
    let plain = |name: &&String| {
        (1..=63).contains(&name.len())
            && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
    };
    if let Some(odd) = names.iter().find(|name| !plain(name)) {
        return Err((
            span.clone(),
            format!("{key} holds {odd:?}; a name is 1 to 63 lower-case letters, digits, '-' or '_'"),
        ));
    }
    no_duplicates(key, names).map_err(|message| (span.clone(), message))
}

impl TasksWrite {
    pub(super) fn check(&self, span: Range<usize>) -> Result<(), Problem> {
        let Self { task_types, tasks_max } = self;
        entries(span.clone(), "tasks-write.task_types", task_types)?;
        names(&span, "tasks-write.task_types", task_types)?;
        within("tasks-write.tasks_max", *tasks_max, &(1..=500)).map_err(|message| (span, message))
    }
}

impl Goals {
    pub(super) fn check(&self, span: Range<usize>) -> Result<(), Problem> {
        within("goals.replans_max", self.replans_max, &(0..=20)).map_err(|message| (span, message))
    }
}

impl MetricsRead {
    pub(super) fn check(&self, span: Range<usize>) -> Result<(), Problem> {
        within("metrics-read.window_hours_max", self.window_hours_max, &(1..=8784)).map_err(|message| (span, message))
    }
}

impl LogsRead {
    pub(super) fn check(&self, span: Range<usize>) -> Result<(), Problem> {
        let Self { window_hours_max, lines_max } = *self;
        within("logs-read.window_hours_max", window_hours_max, &(1..=8784))
            .and_then(|()| within("logs-read.lines_max", lines_max, &(1..=1000)))
            .map_err(|message| (span, message))
    }
}

impl Alerts {
    pub(super) fn check(&self, span: Range<usize>) -> Result<(), Problem> {
        let Self { kinds, alerts_max } = self;
        entries(span.clone(), "alerts.kinds", kinds)?;
        names(&span, "alerts.kinds", kinds)?;
        if let Some(own) = kinds.iter().find(|kind| HOST_KINDS.contains(&kind.as_str())) {
            let message = format!("alerts.kinds holds {own:?}, which the host raises itself; choose another name");
            return Err((span, message));
        }
        within("alerts.alerts_max", *alerts_max, &(1..=500)).map_err(|message| (span, message))
    }
}

impl Learnings {
    pub(super) fn check(&self, span: Range<usize>) -> Result<(), Problem> {
        within("learnings.learnings_max", self.learnings_max, &(0..=20)).map_err(|message| (span, message))
    }
}

impl Reports {
    pub(super) fn check(&self, span: Range<usize>) -> Result<(), Problem> {
        let Self { reports_max, report_kib_max } = *self;
        within("reports.reports_max", reports_max, &(1..=20))
            .and_then(|()| within("reports.report_kib_max", report_kib_max, &(1..=1024)))
            .map_err(|message| (span, message))
    }
}

impl Recommendations {
    pub(super) fn check(&self, span: Range<usize>) -> Result<(), Problem> {
        let Self { recommendations_max, task_types } = self;
        names(&span, "recommendations.task_types", task_types)?;
        within("recommendations.recommendations_max", *recommendations_max, &(1..=20))
            .map_err(|message| (span, message))
    }
}

impl Llm {
    pub(super) fn check(&self, span: Range<usize>) -> Result<(), Problem> {
        let Self { models, answer_tokens_max, tokens_per_task_max, cost_microdollars_per_task_max, timeout_ms_max } =
            self;
        entries(span.clone(), "llm.models", models)?;
        let plain = |name: &&String| {
            (1..=128).contains(&name.len())
                && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b':' | b'/' | b'-'))
        };
        if let Some(odd) = models.iter().find(|name| !plain(name)) {
            let message =
                format!("llm.models holds {odd:?}; write a model as OpenRouter does, such as \"vendor/name\"");
            return Err((span, message));
        }
        within("number of llm.models", models.len(), &(1..=16))
            .and_then(|()| within("llm.answer_tokens_max", *answer_tokens_max, &(1..=200_000)))
            .and_then(|()| within("llm.tokens_per_task_max", *tokens_per_task_max, &(1..=100_000_000)))
            .and_then(|()| {
                within("llm.cost_microdollars_per_task_max", *cost_microdollars_per_task_max, &(1..=1_000_000_000))
            })
            .and_then(|()| within("llm.timeout_ms_max", *timeout_ms_max, &(1_000..=600_000)))
            .map_err(|message| (span, message))
    }
}
