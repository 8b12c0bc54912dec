//! The Juggernaut host.
//!
//! One binary that owns the database, the GitHub token and the enforcement of policy, and runs roles as WebAssembly
//! components. `docs/ARCHITECTURE.md` has the code map; `main.rs` the way in.

pub mod cli;
pub mod config;
pub mod db;
pub mod http;
pub mod policy;
pub mod repo;
pub mod task;
