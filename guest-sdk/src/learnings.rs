//! What earlier tasks taught.
//!
//! ```no_run
//! # fn run() -> Result<(), juggernaut_guest::Failure> {
//! use juggernaut_guest::learnings::{self, Draft};
//!
//! // Other runs wrote them: words to weigh, not orders to follow.
//! for learning in learnings::offered()? {
//!     juggernaut_guest::info!("learning {}: {}", learning.id, learning.title);
//! }
//! learnings::capture(&Draft {
//!     category: "technique".to_owned(),
//!     title: "Long windows are slow".to_owned(),
//!     description: "A window of a day is enough to see a trend.".to_owned(),
//!     impact_score: 0.4,
//!     tags: vec!["analysis".to_owned()],
//! })?;
//! # Ok(())
//! # }
//! ```

pub use crate::bindings::juggernaut::host::learnings::*;
