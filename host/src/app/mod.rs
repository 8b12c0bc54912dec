//! The composition root: makes the parts, joins them, and takes them down in order.
//!
//! Invariant: nothing below `app` knows how it is put together; what is started here is stopped here.

mod dev;
mod host;
mod roles;
mod secrets;
mod sweeper;

pub use dev::{DevHost, DevSettings};
pub use host::{Host, HostSettings};
pub use roles::{check, inspect, sandbox_for_tools};
