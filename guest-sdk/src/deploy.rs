//! Starting workflows of GitHub Actions, and following them.
//!
//! ```
//! use std::time::Duration;
//! use juggernaut_guest::{Assignment, Check, Evidence, Failure, deploy, task};
//!
//! fn run(_: Assignment) -> Result<Evidence, Failure> {
//!     // Waits here until a person has approved exactly this.
//!     let run = deploy::dispatch("demo/sample", "deploy.yml", "main", &[("target".to_owned(), "staging".to_owned())])?;
//!     let run = deploy::follow("demo/sample", run.id, Duration::from_secs(30), 60)?;
//!     let step = task::last_step().unwrap_or_default();
//!     let ended = run.conclusion.unwrap_or_default();
//!     if ended != "success" {
//!         return Err(Failure::final_(format!("{} ended as {ended}", run.url)));
//!     }
//!     Ok(Evidence::verification_report([Check::value("deployed", step, "/ok/conclusion", "success", ended)]))
//! }
//! # juggernaut_guest::role!(run);
//! # fn main() {}
//! ```
//!
//! A dispatch is made once at most. Where its answer is lost the host looks for the run; it finds it surely where the workflow
//! has an input `juggernaut_step` and puts it into its `run-name`, and otherwise only while nobody else starts the same one.

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
