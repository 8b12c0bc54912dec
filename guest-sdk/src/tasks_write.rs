//! Creating and steering tasks of the same goal.
//!
//! ```no_run
//! # fn run() -> Result<(), juggernaut_guest::Failure> {
//! use juggernaut_guest::tasks_write::{self, Draft, Priority};
//!
//! let draft = |key: &str, depends_on: &[&str]| Draft {
//!     key: key.to_owned(),
//!     title: format!("Look into {key}"),
//!     description: String::new(),
//!     task_type: "research".to_owned(),
//!     priority: Priority::Medium,
//!     payload: "{}".to_owned(),
//!     acceptance_criteria: r#"["says why"]"#.to_owned(),
//!     assigned_worker: None,
//!     depends_on: depends_on.iter().map(|key| (*key).to_owned()).collect(),
//! };
//! // All of them or none, and never twice, whatever happens to the host meanwhile.
//! let created = tasks_write::create(&[draft("causes", &[]), draft("remedies", &["causes"])])?;
//! tasks_write::set_priority(&created[0].id, Priority::High)?;
//! # Ok(())
//! # }
//! ```

pub use crate::bindings::juggernaut::host::tasks_write::*;
