//! The composition root: makes the parts, joins them, and takes them down in order.
//!
//! Invariant: nothing below `app` knows how it is put together; what is started here is stopped here.

mod dev;
mod host;
mod lock;
mod review;
mod roles;
mod sweeper;

pub use dev::{DevHost, DevSettings};
pub use host::{Host, HostSettings};
pub use lock::{check_lock, lock_roles};
pub use review::{check, diff, inspect, sandbox_for_tools};
pub use roles::Pinning;
