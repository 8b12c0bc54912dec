//! The workers and their heartbeats.
//!
//! ```no_run
//! # fn run() -> Result<(), juggernaut_guest::Failure> {
//! use juggernaut_guest::workers_read;
//!
//! let silent = workers_read::list_workers()?.into_iter().filter(|worker| worker.silent_seconds > 300);
//! # drop(silent);
//! # Ok(())
//! # }
//! ```

pub use crate::bindings::juggernaut::host::workers_read::*;
