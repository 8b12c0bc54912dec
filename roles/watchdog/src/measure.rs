//! Asks the host for figures, and remembers where the answers stand in the journal.

use juggernaut_guest::metrics_read::{self, Metric, Record, Table};
use juggernaut_guest::{Error, Failure, task, workers_read};

use crate::evaluate::{Budget, Ended, ErrorGroup, Observed, Pending, Running, Worker};
use crate::thresholds::Thresholds;

/// What was measured, and the steps that show it.
pub struct Measured {
    pub observed: Observed,
    pub steps: Vec<u32>,
}

pub fn measure(limits: &Thresholds) -> Result<Measured, Failure> {
    let mut steps = Vec::new();
    let workers = workers_read::list_workers()?;
    steps.extend(task::last_step());
    let mut table = |metric, window: u64| -> Result<Table, Error> {
        let table = metrics_read::measure(metric, window)?;
        steps.extend(task::last_step());
        Ok(table)
    };
    // Figures of now have no window.
    let now = 60;
    let observed = Observed {
        workers: workers.into_iter().map(worker).collect(),
        running: table(Metric::Running, now)?.records().map(running).collect(),
        ended: table(Metric::Completion, limits.failure_window_seconds)?.records().map(ended).collect(),
        errors: table(Metric::Errors, limits.error_window_seconds)?.records().map(error).collect(),
        pending: (table(Metric::Queue, now)?.records())
            .filter(|record| record.text("status") == "pending")
            .map(pending)
            .collect(),
        budget: match table(Metric::Budget, now) {
            Ok(table) => Some(table.records().flat_map(budgets).collect()),
            // No model is configured here, so there is nothing to burn.
            Err(Error::Invalid(_) | Error::Unavailable(_)) => None,
            Err(error) => return Err(error.into()),
        },
    };
    Ok(Measured { observed, steps })
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped by the cast; counts and seconds")]
fn count(record: &Record<'_>, column: &str) -> u64 {
    record.number(column) as u64
}

fn worker(seen: workers_read::Worker) -> Worker {
    let workers_read::Worker { id, status, current_task, silent_seconds, .. } = seen;
    Worker { id, offline: status == "offline", silent_seconds, current_task }
}

fn running(record: Record<'_>) -> Running {
    Running {
        task: record.text("id").to_owned(),
        task_type: record.text("task-type").to_owned(),
        worker: record.text("worker").to_owned(),
        seconds: count(&record, "running-seconds"),
    }
}

fn ended(record: Record<'_>) -> Ended {
    Ended {
        task_type: record.text("task-type").to_owned(),
        completed: count(&record, "completed"),
        failed: count(&record, "failed") + count(&record, "dead-lettered"),
    }
}

fn error(record: Record<'_>) -> ErrorGroup {
    ErrorGroup {
        fingerprint: record.text("fingerprint").to_owned(),
        task_type: record.text("task-type").to_owned(),
        count: count(&record, "count"),
        sample: record.text("sample").to_owned(),
    }
}

fn pending(record: Record<'_>) -> Pending {
    Pending {
        task_type: record.text("task-type").to_owned(),
        count: count(&record, "count"),
        oldest_seconds: count(&record, "oldest-seconds"),
    }
}

fn budgets(record: Record<'_>) -> Vec<Budget> {
    [("tokens", "spent-tokens", "limit-tokens"), ("cost", "spent-microdollars", "limit-microdollars")]
        .map(|(name, spent, limit)| Budget {
            name: name.to_owned(),
            spent: record.number(spent),
            limit: record.number(limit),
        })
        .into()
}
