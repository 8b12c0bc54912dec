//! The goal that this task works for.
//!
//! ```no_run
//! # fn run() -> Result<juggernaut_guest::Evidence, juggernaut_guest::Failure> {
//! use juggernaut_guest::{Evidence, goals};
//!
//! let goal = goals::given()?;
//! loop {
//!     let progress = goals::get_progress()?;
//!     if progress.ended as usize == progress.children.len() {
//!         break;
//!     }
//!     // The run is suspended, and wakes when one more has ended.
//!     goals::wait(progress.ended, 24 * 60 * 60 * 1000)?;
//! }
//! let closed = goals::complete(&format!("{}: done", goal.title), &[])?;
//! Ok(Evidence::tasks_created(closed.children))
//! # }
//! ```

pub use crate::bindings::juggernaut::host::goals::*;
