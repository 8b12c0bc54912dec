//! The execution log.
//!
//! ```no_run
//! # fn run() -> Result<(), juggernaut_guest::Failure> {
//! use juggernaut_guest::logs_read::{self, Filter, Level};
//!
//! let newest = Filter { task: None, level: Level::Error, window_seconds: 3600, limit: 20 };
//! for line in logs_read::list_lines(&newest)? {
//!     juggernaut_guest::info!("{:?} in {}", line.task, line.action);
//! }
//! # Ok(())
//! # }
//! ```

pub use crate::bindings::juggernaut::host::logs_read::*;
pub use crate::bindings::juggernaut::host::task::Level;
