//! Storing reports.
//!
//! ```no_run
//! # fn run() -> Result<juggernaut_guest::Evidence, juggernaut_guest::Failure> {
//! use juggernaut_guest::Evidence;
//! use juggernaut_guest::reports::{self, Draft, Series};
//!
//! let stored = reports::store(&Draft {
//!     title: "Failures by type".to_owned(),
//!     markdown: "# Failures\n\nNone.".to_owned(),
//!     series: vec![Series {
//!         name: "Failures".to_owned(),
//!         unit: "tasks".to_owned(),
//!         kind: "bar".to_owned(),
//!         labels: vec!["code".to_owned()],
//!         values: vec![0.0],
//!     }],
//! })?;
//! Ok(Evidence::report_stored(stored.id, stored.sha256).summary("No failures"))
//! # }
//! ```

pub use crate::bindings::juggernaut::host::reports::*;
