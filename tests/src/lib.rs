//! What the integration tests stand on: a private PostgreSQL, the real binary, a forge, and roles to run.
//!
//! ```no_run
//! # async fn example() {
//! use juggernaut_tests::{Host, LIMIT, Options, code_task};
//! let host = Host::start(Options::default()).await;
//! let task = host.create_task(code_task("a.py")).await;
//! host.wait_for(&task, "completed", LIMIT).await;
//! # }
//! ```
//!
//! Invariants: nothing outlives the test process, however that ends; a child is ended by its own process id; each test
//! has a database of its own; whatever fails says so by a panic that shows what there is to see.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test library: a failure is a panic of the test")]
#![allow(clippy::missing_panics_doc, reason = "the same: everything here panics when it fails")]
#![allow(clippy::print_stderr, reason = "measured times are for whoever reads the test's output")]

mod cluster;
mod command;
mod forge;
mod hold;
mod host;
mod models;
mod options;
mod paths;
mod postgres;
mod process;
mod roles;
mod tasks;

pub use cluster::{Database, background};
pub use command::{CliOutput, juggernaut};
pub use forge::TestForge;
pub use host::{AUDIT_KEY, Host};
pub use models::{Asked, MODEL_KEY, Reply, ScriptedModels};
pub use options::Options;
pub use paths::{Paths, seed};
pub use postgres::PrivateServer;
pub use process::HostProcess;
pub use roles::RolesDir;
pub use tasks::{LIMIT, code_task, show};
