//! Raising and resolving alerts.
//!
//! ```no_run
//! # fn run() -> Result<(), juggernaut_guest::Failure> {
//! use juggernaut_guest::alerts::{self, Draft, Severity};
//!
//! let id = alerts::raise(&Draft {
//!     severity: Severity::Warning,
//!     kind: "disk-full".to_owned(),
//!     fingerprint: "volume-1".to_owned(),
//!     title: "Volume 1 is nearly full".to_owned(),
//!     details: r#"{"percent": 97}"#.to_owned(),
//! })?;
//! juggernaut_guest::info!("raised {id}");
//! alerts::resolve("disk-full", "volume-1")?;
//! # Ok(())
//! # }
//! ```

pub use crate::bindings::juggernaut::host::alerts::*;
