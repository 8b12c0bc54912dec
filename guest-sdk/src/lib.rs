//! Write a Juggernaut role in Rust.
//!
//! A role is a function from its task to an outcome. It runs as a WebAssembly component: no files, no network, no
//! environment, only the capabilities that its manifest grants, each a module of this crate behind a cargo feature of
//! the same name. A call to a capability whose feature is off does not compile; a component that imports more than
//! `capabilities.toml` grants is refused when it is loaded.
//!
//! ```
//! use juggernaut_guest::{Assignment, Evidence, Failure, github_read, info};
//!
//! fn run(task: Assignment) -> Result<Evidence, Failure> {
//!     info!("attempt {} at {}", task.attempt, task.title);
//!     let readme = github_read::get_file("demo/sample", "README.md", "main")?;
//!     let lines = String::from_utf8_lossy(&readme.content).lines().count();
//!     Err(Failure::final_("this example only counts: ").because(format!("{lines} lines")))
//! }
//!
//! juggernaut_guest::role!(run);
//! # fn main() {}
//! ```
//!
//! What a run may depend on: its task, the answers of its host calls, and the clock and random numbers of the standard
//! library, which the host makes repeatable. When the host restarts, the role runs again from the start and is fed the
//! recorded answers; a role that then makes another call than the recorded one is stopped as non-deterministic.
//!
//! A host call that has to wait (a durable sleep, an approval) suspends the run; the role notices nothing. A panic ends
//! the attempt; its message and location are in the execution log.

#[doc(hidden)]
#[allow(missing_docs, clippy::all, unsafe_code)]
pub mod bindings;
mod evidence;
mod failure;
#[doc(hidden)]
pub mod log;
mod start;

use bindings::juggernaut::host;

pub use evidence::{Check, Evidence, TestCounts, TestSuite};
pub use failure::Failure;
pub use host::task::{Assignment, Criterion, Level, Risk};
pub use host::types::{Error, Finding, RetryHint};
#[doc(hidden)]
pub use start::start;

/// What the role was given, and the journal.
pub mod task {
    use crate::bindings::juggernaut::host::task;

    /// The journal position of the newest host call of this attempt: what evidence refers to.
    pub fn last_step() -> Option<u32> {
        task::last_step()
    }

    /// Raises the task's risk from here on; a lower level changes nothing. From `Risk::Medium` on every host call is
    /// logged, from `Risk::High` on a person approves what takes effect.
    pub fn raise_risk(risk: crate::Risk, reason: &str) {
        task::raise_risk(risk, reason);
    }
}

/// Reading repositories.
#[cfg(feature = "github-read")]
pub mod github_read {
    pub use crate::bindings::juggernaut::host::github_read::*;
}

/// Writing to the task's branch and opening its pull request.
#[cfg(feature = "github-write")]
pub mod github_write {
    pub use crate::bindings::juggernaut::host::github_write::*;
}

/// Merging the task's pull request.
#[cfg(feature = "github-merge")]
pub mod github_merge {
    pub use crate::bindings::juggernaut::host::github_merge::*;
}

/// Durable sleep.
#[cfg(feature = "timer")]
pub mod timer {
    use std::time::Duration;

    use crate::Error;
    use crate::bindings::juggernaut::host::timer;

    /// Returns no earlier than `duration` from now. The run is suspended meanwhile, and costs nothing.
    pub fn sleep(duration: Duration) -> Result<(), Error> {
        timer::sleep(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }
}

/// Files of this run.
#[cfg(feature = "scratch")]
pub mod scratch {
    pub use crate::bindings::juggernaut::host::scratch::*;
}

/// Looking at the web.
#[cfg(feature = "http-fetch")]
pub mod http_fetch {
    pub use crate::bindings::juggernaut::host::http_fetch::*;

    /// A GET without headers.
    pub fn get(url: impl Into<String>) -> Result<Response, Error> {
        fetch(&Request { method: Method::Get, url: url.into(), headers: Vec::new() })
    }
}

/// Sending to the web.
#[cfg(feature = "http-send")]
pub mod http_send {
    pub use crate::bindings::juggernaut::host::http_send::*;
}

/// Asking a language model.
#[cfg(feature = "llm")]
pub mod llm;

/// Looking at tasks.
#[cfg(feature = "tasks-read")]
pub mod tasks_read {
    pub use crate::bindings::juggernaut::host::tasks_read::*;
}

/// Creating and steering tasks of the same goal.
#[cfg(feature = "tasks-write")]
pub mod tasks_write {
    pub use crate::bindings::juggernaut::host::tasks_write::*;
}

/// The goal that this task works for.
#[cfg(feature = "goals")]
pub mod goals {
    pub use crate::bindings::juggernaut::host::goals::*;
}

/// The workers and their heartbeats.
///
/// ```no_run
/// # fn run() -> Result<(), juggernaut_guest::Failure> {
/// use juggernaut_guest::workers_read;
///
/// let silent = workers_read::list_workers()?.into_iter().filter(|worker| worker.silent_seconds > 300);
/// # drop(silent);
/// # Ok(())
/// # }
/// ```
#[cfg(feature = "workers-read")]
pub mod workers_read {
    pub use crate::bindings::juggernaut::host::workers_read::*;
}

/// Figures over a window of time.
///
/// ```no_run
/// # fn run() -> Result<(), juggernaut_guest::Failure> {
/// use juggernaut_guest::metrics_read::{self, Metric};
///
/// let table = metrics_read::measure(Metric::Completion, 3600)?;
/// for row in table.records() {
///     juggernaut_guest::info!("{}: {} failed", row.text("task-type"), row.number("failed"));
/// }
/// # Ok(())
/// # }
/// ```
#[cfg(feature = "metrics-read")]
pub mod metrics_read {
    pub use crate::bindings::juggernaut::host::metrics_read::*;

    /// A row of a [`Table`], by the names of its columns.
    #[derive(Clone, Copy, Debug)]
    pub struct Record<'a> {
        table: &'a Table,
        row: &'a [String],
    }

    impl Record<'_> {
        /// Empty where there is no such column.
        pub fn text(&self, column: &str) -> &str {
            let place = self.table.columns.iter().position(|name| name == column);
            place.and_then(|place| self.row.get(place)).map_or("", String::as_str)
        }

        /// 0 where there is no such column, or no number in it.
        pub fn number(&self, column: &str) -> f64 {
            self.text(column).parse().unwrap_or(0.0)
        }
    }

    impl Table {
        /// Its rows.
        pub fn records(&self) -> impl Iterator<Item = Record<'_>> {
            self.rows.iter().map(|row| Record { table: self, row })
        }
    }
}

/// The execution log.
///
/// ```no_run
/// # fn run() -> Result<(), juggernaut_guest::Failure> {
/// use juggernaut_guest::logs_read::{self, Filter, Level};
///
/// let newest = Filter { task: None, level: Level::Error, window_seconds: 3600, limit: 20 };
/// for line in logs_read::list_lines(&newest)? {
///     juggernaut_guest::info!("{:?} in {}", line.task, line.action);
/// }
/// # Ok(())
/// # }
/// ```
#[cfg(feature = "logs-read")]
pub mod logs_read {
    pub use crate::bindings::juggernaut::host::logs_read::*;
    pub use crate::bindings::juggernaut::host::task::Level;
}

/// Raising and resolving alerts.
///
/// ```no_run
/// # fn run() -> Result<(), juggernaut_guest::Failure> {
/// use juggernaut_guest::alerts::{self, Draft, Severity};
///
/// let id = alerts::raise(&Draft {
///     severity: Severity::Warning,
///     kind: "disk-full".to_owned(),
///     fingerprint: "volume-1".to_owned(),
///     title: "Volume 1 is nearly full".to_owned(),
///     details: r#"{"percent": 97}"#.to_owned(),
/// })?;
/// juggernaut_guest::info!("raised {id}");
/// alerts::resolve("disk-full", "volume-1")?;
/// # Ok(())
/// # }
/// ```
#[cfg(feature = "alerts")]
pub mod alerts {
    pub use crate::bindings::juggernaut::host::alerts::*;
}

/// What earlier tasks taught.
///
/// ```no_run
/// # fn run() -> Result<(), juggernaut_guest::Failure> {
/// use juggernaut_guest::learnings::{self, Draft};
///
/// // Other runs wrote them: words to weigh, not orders to follow.
/// for learning in learnings::offered()? {
///     juggernaut_guest::info!("learning {}: {}", learning.id, learning.title);
/// }
/// learnings::capture(&Draft {
///     category: "technique".to_owned(),
///     title: "Long windows are slow".to_owned(),
///     description: "A window of a day is enough to see a trend.".to_owned(),
///     impact_score: 0.4,
///     tags: vec!["analysis".to_owned()],
/// })?;
/// # Ok(())
/// # }
/// ```
#[cfg(feature = "learnings")]
pub mod learnings {
    pub use crate::bindings::juggernaut::host::learnings::*;
}

/// Storing reports.
///
/// ```no_run
/// # fn run() -> Result<juggernaut_guest::Evidence, juggernaut_guest::Failure> {
/// use juggernaut_guest::Evidence;
/// use juggernaut_guest::reports::{self, Draft, Series};
///
/// let stored = reports::store(&Draft {
///     title: "Failures by type".to_owned(),
///     markdown: "# Failures\n\nNone.".to_owned(),
///     series: vec![Series {
///         name: "Failures".to_owned(),
///         unit: "tasks".to_owned(),
///         kind: "bar".to_owned(),
///         labels: vec!["code".to_owned()],
///         values: vec![0.0],
///     }],
/// })?;
/// Ok(Evidence::report_stored(stored.id, stored.sha256).summary("No failures"))
/// # }
/// ```
#[cfg(feature = "reports")]
pub mod reports {
    pub use crate::bindings::juggernaut::host::reports::*;
}

/// Recommending changes that a person may approve.
#[cfg(feature = "recommendations")]
pub mod recommendations {
    pub use crate::bindings::juggernaut::host::recommendations::*;
}

/// Starting workflows and following them.
#[cfg(feature = "deploy")]
pub mod deploy {
    pub use crate::bindings::juggernaut::host::deploy::*;
}

/// Makes a function the role: `fn(Assignment) -> Result<Evidence, Failure>`.
#[macro_export]
macro_rules! role {
    ($run:path) => {
        struct JuggernautRole;

        impl $crate::bindings::Guest for JuggernautRole {
            fn run() -> $crate::bindings::Outcome {
                $crate::start($run)
            }
        }

        $crate::bindings::export_role!(JuggernautRole with_types_in $crate::bindings);
    };
}
