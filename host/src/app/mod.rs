//! The composition root: makes the parts, joins them, and takes them down in order.
//!
//! Invariant: nothing below `app` knows how it is put together; what is started here is stopped here.

mod audit;
mod dev;
mod host;
mod lock;
mod policies;
mod replay;
mod review;
mod roles;
mod secrets;
mod sweeper;
mod wakeups;

pub use audit::new_audit_seed;
pub use dev::{DevHost, DevSettings};
pub use host::{Host, HostSettings, github, web};
pub use lock::{check_lock, lock_roles};
pub use policies::{Tested, explain_call, not_in_force, test_cases, validated};
pub use replay::{Replay, Replayed, Verdict, replay};
pub use review::{check, diff, inspect, sandbox_for_tools};
pub use roles::Pinning;
