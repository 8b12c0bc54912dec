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

// One for each capability.
#[cfg(feature = "alerts")]
pub mod alerts;
#[cfg(feature = "deploy")]
pub mod deploy;
#[cfg(feature = "github-merge")]
pub mod github_merge;
#[cfg(feature = "github-read")]
pub mod github_read;
#[cfg(feature = "github-write")]
pub mod github_write;
#[cfg(feature = "goals")]
pub mod goals;
#[cfg(feature = "http-fetch")]
pub mod http_fetch;
#[cfg(feature = "http-send")]
pub mod http_send;
#[cfg(feature = "learnings")]
pub mod learnings;
#[cfg(feature = "llm")]
pub mod llm;
#[cfg(feature = "logs-read")]
pub mod logs_read;
#[cfg(feature = "metrics-read")]
pub mod metrics_read;
#[cfg(feature = "recommendations")]
pub mod recommendations;
#[cfg(feature = "reports")]
pub mod reports;
#[cfg(feature = "scratch")]
pub mod scratch;
pub mod task;
#[cfg(feature = "tasks-read")]
pub mod tasks_read;
#[cfg(feature = "tasks-write")]
pub mod tasks_write;
#[cfg(feature = "timer")]
pub mod timer;
#[cfg(feature = "workers-read")]
pub mod workers_read;

use bindings::juggernaut::host;

pub use evidence::{Check, Evidence, TestCounts, TestSuite};
pub use failure::Failure;
pub use host::task::{Assignment, Criterion, Level, Risk};
pub use host::types::{Error, Finding, RetryHint};
#[doc(hidden)]
pub use start::start;

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
