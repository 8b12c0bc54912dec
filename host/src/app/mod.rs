//! The composition root: makes the parts, joins them, and takes them down in order.
//!
//! Invariant: nothing below `app` knows how it is put together; what is started here is stopped here.

mod alerts;
mod audit;
mod component;
mod dev;
mod fixture;
mod host;
mod lock;
mod offline;
mod policies;
mod record;
mod replay;
mod review;
mod role_test;
mod roles;
mod scaffold;
mod schedules;
mod secrets;
mod sweeper;
mod wakeups;
mod workers;

pub use alerts::test_notification;
pub use audit::new_audit_seed;
pub use component::{build as build_component, clear as clear_folder, stage as stage_role};
pub use dev::{DevHost, DevSettings};
pub use host::{Host, HostSettings, github, web};
pub use lock::{check_lock, lock_roles};
pub use policies::{Tested, explain_call, not_in_force, test_cases, validated};
pub use replay::{Replay, Replayed, Verdict, replay};
pub use review::{check, diff, inspect, sandbox_for_tools};
pub use role_test::{FixtureTested, RoleTest, RoleTested, test_role};
pub use roles::Pinning;
pub use scaffold::{MadeRole, NewRole, new_role};
