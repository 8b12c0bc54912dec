//! The Juggernaut host.
//!
//! One binary that owns the database, the GitHub token and the enforcement of policy, and runs roles as WebAssembly
//! components. `docs/ARCHITECTURE.md` has the code map; `main.rs` the way in.

pub mod answered;
pub mod app;
pub mod approval;
pub mod audit;
pub mod chart;
pub mod cli;
pub mod config;
pub mod crash;
pub mod db;
pub mod egress;
pub mod evidence;
pub mod github;
pub mod http;
pub mod journal;
#[cfg(test)]
mod layering;
pub mod llm;
pub mod localdb;
pub mod manifest;
pub mod notifier;
pub mod policy;
pub mod records;
pub mod repo;
pub mod sandbox;
pub mod schedule;
pub mod secrets;
pub mod task;
pub mod text;
pub mod verification;
pub mod web;
pub mod worker;
