//! Looking at tasks.
//!
//! ```no_run
//! # fn run() -> Result<(), juggernaut_guest::Failure> {
//! use juggernaut_guest::tasks_read::{self, Filter, Status};
//!
//! let filter = Filter { status: Some(Status::Failed), task_type: None, goal: None, limit: 50 };
//! for task in tasks_read::list_tasks(&filter)? {
//!     juggernaut_guest::info!("{} failed: {}", task.title, task.error_message.unwrap_or_default());
//! }
//! # Ok(())
//! # }
//! ```

pub use crate::bindings::juggernaut::host::tasks_read::*;
