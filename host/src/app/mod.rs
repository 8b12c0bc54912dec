//! The composition root: makes the parts, joins them, and takes them down in order.
//!
//! Invariant: nothing below `app` knows how it is put together; what is started here is stopped here.

mod dev;
mod host;
mod policies;
mod roles;
mod sweeper;

pub use dev::{DevHost, DevSettings};
pub use host::{Host, HostSettings, github};
pub use policies::{Tested, explain_call, not_in_force, test_cases, validated};
pub use roles::{check, inspect, sandbox_for_tools};
