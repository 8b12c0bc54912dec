//! Recommending changes that a person may approve.
//!
//! Nothing changes by it: a person sees the changes as the host describes them, and approves all of them or none. The run does
//! not wait for that, and its task may have ended by then.
//!
//! ```no_run
//! # fn run() -> Result<juggernaut_guest::Evidence, juggernaut_guest::Failure> {
//! use juggernaut_guest::Evidence;
//! use juggernaut_guest::recommendations::{self, Change, Priority, Recommendation};
//!
//! let id = recommendations::file(&Recommendation {
//!     title: "Do first what others wait for".to_owned(),
//!     rationale: "Two tasks wait for the first one; nobody needs the second one any more.".to_owned(),
//!     changes: vec![
//!         Change::set_priority("0190a3f0-0000-7000-8000-000000000001", Priority::High),
//!         Change::cancel("0190a3f0-0000-7000-8000-000000000002", "it was done by hand"),
//!     ],
//! })?;
//! Ok(Evidence::recommendation_filed(id))
//! # }
//! ```

pub use crate::bindings::juggernaut::host::recommendations::*;

impl Change {
    /// A task should have this priority.
    pub fn set_priority(task: impl Into<String>, priority: Priority) -> Self {
        Self::SetPriority(PriorityChange { task: task.into(), priority })
    }

    /// A task should be meant for this type or id of worker; for any where none is named.
    pub fn assign(task: impl Into<String>, worker: Option<String>) -> Self {
        Self::Assign(AssignmentChange { task: task.into(), worker })
    }

    /// A task should be given up.
    pub fn cancel(task: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Cancel(Cancellation { task: task.into(), reason: reason.into() })
    }
}
