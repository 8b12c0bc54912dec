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

/// Sending to the web: what changes something elsewhere.
///
/// ```
/// use juggernaut_guest::{Assignment, Check, Evidence, Failure, http_send, task};
///
/// fn run(given: Assignment) -> Result<Evidence, Failure> {
///     let body = serde_json::json!({ "text": format!("{} has begun", given.title) });
///     let answer = http_send::post_json("https://hooks.example.org/v1/notes", &body)?;
///     let step = task::last_step().unwrap_or_default();
///     let status = answer.status.to_string();
///     Ok(Evidence::verification_report([Check::value("noted", step, "/ok/status", "201", status)]))
/// }
/// # juggernaut_guest::role!(run);
/// # fn main() {}
/// ```
///
/// Whatever status it has, an answer is an answer: [`send`] succeeds with it, and redirects are not followed. An
/// [`Error::Unavailable`](crate::Error::Unavailable) says that nothing was sent; sending again is the role's own decision.
/// Where nobody knows what became of the request the role is not told at all: the host sends it again under the same
/// `Idempotency-Key` to a target with `idempotent = true`, and otherwise fails the task for a person to find out.
///
/// Each attempt of a task begins anew, and sends again what an earlier one has sent, under another key. After a call that
/// must not happen twice, fail with [`Failure::final_`](crate::Failure::final_).
#[cfg(feature = "http-send")]
pub mod http_send {
    pub use crate::bindings::juggernaut::host::http_send::*;

    /// A POST of JSON.
    pub fn post_json(url: impl Into<String>, body: &impl serde::Serialize) -> Result<Response, Error> {
        let body = serde_json::to_vec(body).map_err(|error| Error::Invalid(error.to_string()))?;
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        send(&Request { method: Method::Post, url: url.into(), headers, body })
    }
}

/// Asking a language model.
#[cfg(feature = "llm")]
pub mod llm {
    pub use crate::bindings::juggernaut::host::llm::*;
}

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

/// Starting workflows of GitHub Actions, and following them.
///
/// ```
/// use std::time::Duration;
/// use juggernaut_guest::{Assignment, Check, Evidence, Failure, deploy, task};
///
/// fn run(_: Assignment) -> Result<Evidence, Failure> {
///     // Waits here until a person has approved exactly this.
///     let run = deploy::dispatch("demo/sample", "deploy.yml", "main", &[("target".to_owned(), "staging".to_owned())])?;
///     let run = deploy::follow("demo/sample", run.id, Duration::from_secs(30), 60)?;
///     let step = task::last_step().unwrap_or_default();
///     let ended = run.conclusion.unwrap_or_default();
///     if ended != "success" {
///         return Err(Failure::final_(format!("{} ended as {ended}", run.url)));
///     }
///     Ok(Evidence::verification_report([Check::value("deployed", step, "/ok/conclusion", "success", ended)]))
/// }
/// # juggernaut_guest::role!(run);
/// # fn main() {}
/// ```
///
/// A dispatch is made once at most. Where its answer is lost the host looks for the run; it finds it surely where the workflow
/// has an input `juggernaut_step` and puts it into its `run-name`, and otherwise only while nobody else starts the same one.
#[cfg(feature = "deploy")]
pub mod deploy {
    pub use crate::bindings::juggernaut::host::deploy::*;

    /// Looks at a run until it is completed, with a pause between two looks in which this run of the role is suspended.
    /// `Unavailable` where it is not completed by the last look.
    #[cfg(feature = "timer")]
    pub fn follow(
        repository: &str,
        id: u64,
        pause: std::time::Duration,
        looks_max: u32,
    ) -> Result<WorkflowRun, crate::Error> {
        for look in 1..=looks_max {
            let run = get_run(repository, id)?;
            if run.status == "completed" {
                return Ok(run);
            }
            if look < looks_max {
                crate::timer::sleep(pause)?;
            }
        }
        Err(crate::Error::Unavailable(format!("run {id} of {repository} is not completed after {looks_max} looks")))
    }
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
