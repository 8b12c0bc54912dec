//! What the role was given, and the journal. Every role has it, without a grant.
//!
//! The payload is JSON text; `serde_json` reads it. Evidence refers to host calls by their journal position, which is
//! [`last_step`](task::last_step) right after the call.
//!
//! ```no_run
//! use juggernaut_guest::{Assignment, Check, Evidence, Failure, Risk, github_read, task};
//!
//! fn run(task: Assignment) -> Result<Evidence, Failure> {
//!     let payload: serde_json::Value = serde_json::from_str(&task.payload)
//!         .map_err(|error| Failure::final_("the payload is no JSON: ").because(error))?;
//!     let repository = payload["repository"].as_str().ok_or(Failure::final_("the payload names no repository"))?;
//!     if let Some(error) = &task.last_error {
//!         juggernaut_guest::info!("attempt {}; the one before ended with: {error}", task.attempt);
//!     }
//!     let readme = github_read::get_file(repository, "README.md", "main")?;
//!     let step = task::last_step().unwrap_or_default();
//!     if readme.content.len() > 100_000 {
//!         task::raise_risk(Risk::High, "the readme is larger than anybody would read");
//!     }
//!     let says = String::from_utf8_lossy(&readme.content).contains("licence");
//!     let evidence = Evidence::verification_report([Check::body_contains("licence", step, "licence", true, says)]);
//!     Ok(task.criteria.iter().fold(evidence, |evidence, criterion| evidence.answer(criterion.number, [step])))
//! }
//! # juggernaut_guest::role!(run);
//! ```

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
