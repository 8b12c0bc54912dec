//! Durable sleep. Grant `[grants.timer]`.
//!
//! ```no_run
//! # fn wait(head: &str) -> Result<(), juggernaut_guest::Failure> {
//! use std::time::Duration;
//!
//! use juggernaut_guest::{Failure, github_read, timer};
//!
//! for _ in 0..20 {
//!     let checks = github_read::list_check_runs("demo/sample", head)?;
//!     if checks.iter().any(|check| check.name == "ci" && check.conclusion.is_some()) {
//!         return Ok(());
//!     }
//!     timer::sleep(Duration::from_secs(30))?;
//! }
//! Err(Failure::retriable("the check ci has not ended in ten minutes"))
//! # }
//! ```

use std::time::Duration;

use crate::Error;
use crate::bindings::juggernaut::host::timer;

/// Returns no earlier than `duration` from now. The run is suspended meanwhile, and costs nothing.
pub fn sleep(duration: Duration) -> Result<(), Error> {
    timer::sleep(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}
