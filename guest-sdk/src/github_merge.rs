//! Merging the task's own pull request. Grant `[grants.github-merge]`. From high risk on a person approves it: the run
//! is suspended meanwhile, and notices nothing.
//!
//! ```no_run
//! # use juggernaut_guest::{Evidence, Failure};
//! # fn merge(number: u64, head: &str) -> Result<Evidence, Failure> {
//! use juggernaut_guest::{Evidence, github_merge};
//!
//! // `head` is the commit that was looked at: another one is a `conflict`, and is not merged.
//! let merged = github_merge::merge("demo/sample", number, head)?;
//! juggernaut_guest::info!("merged as {}", merged.sha);
//! Ok(Evidence::merged_pull_request("demo/sample", number))
//! # }
//! ```

pub use crate::bindings::juggernaut::host::github_merge::*;
