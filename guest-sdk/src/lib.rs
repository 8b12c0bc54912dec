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
pub mod llm {
    pub use crate::bindings::juggernaut::host::llm::*;
}

/// Looking at tasks.
///
/// ```no_run
/// # fn run() -> Result<(), juggernaut_guest::Failure> {
/// use juggernaut_guest::tasks_read::{self, Filter, Status};
///
/// let filter = Filter { status: Some(Status::Failed), task_type: None, goal: None, limit: 50 };
/// for task in tasks_read::list_tasks(&filter)? {
///     juggernaut_guest::info!("{} failed: {}", task.title, task.error_message.unwrap_or_default());
/// }
/// # Ok(())
/// # }
/// ```
#[cfg(feature = "tasks-read")]
pub mod tasks_read {
    pub use crate::bindings::juggernaut::host::tasks_read::*;
}

/// Creating and steering tasks of the same goal.
///
/// ```no_run
/// # fn run() -> Result<(), juggernaut_guest::Failure> {
/// use juggernaut_guest::tasks_write::{self, Draft, Priority};
///
/// let draft = |key: &str, depends_on: &[&str]| Draft {
///     key: key.to_owned(),
///     title: format!("Look into {key}"),
///     description: String::new(),
///     task_type: "research".to_owned(),
///     priority: Priority::Medium,
///     payload: "{}".to_owned(),
///     acceptance_criteria: r#"["says why"]"#.to_owned(),
///     assigned_worker: None,
///     depends_on: depends_on.iter().map(|key| (*key).to_owned()).collect(),
/// };
/// // All of them or none, and never twice, whatever happens to the host meanwhile.
/// let created = tasks_write::create(&[draft("causes", &[]), draft("remedies", &["causes"])])?;
/// tasks_write::set_priority(&created[0].id, Priority::High)?;
/// # Ok(())
/// # }
/// ```
#[cfg(feature = "tasks-write")]
pub mod tasks_write {
    pub use crate::bindings::juggernaut::host::tasks_write::*;
}

/// The goal that this task works for.
///
/// ```no_run
/// # fn run() -> Result<juggernaut_guest::Evidence, juggernaut_guest::Failure> {
/// use juggernaut_guest::{Evidence, goals};
///
/// let goal = goals::given()?;
/// loop {
///     let progress = goals::get_progress()?;
///     if progress.ended as usize == progress.children.len() {
///         break;
///     }
///     // The run is suspended, and wakes when one more has ended.
///     goals::wait(progress.ended, 24 * 60 * 60 * 1000)?;
/// }
/// let closed = goals::complete(&format!("{}: done", goal.title), &[])?;
/// Ok(Evidence::tasks_created(closed.children))
/// # }
/// ```
#[cfg(feature = "goals")]
pub mod goals {
    pub use crate::bindings::juggernaut::host::goals::*;
}

/// The workers and their heartbeats.
#[cfg(feature = "workers-read")]
pub mod workers_read {
    pub use crate::bindings::juggernaut::host::workers_read::*;
}

/// Figures over a window of time.
#[cfg(feature = "metrics-read")]
pub mod metrics_read {
    pub use crate::bindings::juggernaut::host::metrics_read::*;
}

/// The execution log.
#[cfg(feature = "logs-read")]
pub mod logs_read {
    pub use crate::bindings::juggernaut::host::logs_read::*;
}

/// Raising and resolving alerts.
#[cfg(feature = "alerts")]
pub mod alerts {
    pub use crate::bindings::juggernaut::host::alerts::*;
}

/// What earlier tasks taught.
#[cfg(feature = "learnings")]
pub mod learnings {
    pub use crate::bindings::juggernaut::host::learnings::*;
}

/// Storing reports.
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
