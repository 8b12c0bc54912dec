//! The forge through its front door: real HTTP, and the real `git` to look at what it did.

#![expect(clippy::unwrap_used, reason = "helpers of tests, which clippy takes for code outside of tests")]

#[path = "it/client.rs"]
mod client;
#[path = "it/control.rs"]
mod control;
#[path = "it/git_data.rs"]
mod git_data;
#[path = "it/history.rs"]
mod history;
#[path = "it/protocol.rs"]
mod protocol;
#[path = "it/pulls.rs"]
mod pulls;
#[path = "it/workflows.rs"]
mod workflows;
