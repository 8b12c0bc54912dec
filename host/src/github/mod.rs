//! GitHub's REST API, as far as the host needs it.
//!
//! Reads take what they look at; mutations take a [`crate::policy::Granted`] and nothing else, so that what was
//! decided on is what is sent.
//!
//! Invariants:
//! - The token goes to the configured API alone: never to another origin, into an error or into `Debug`.
//! - Every body, list, wait and number of tries has a limit named in `transport.rs` or `read.rs`. What is beyond it
//!   is an error or is marked as truncated; nothing is cut short in silence.
//! - A read may be sent again. A mutation is sent once: where its outcome is in doubt the answer is
//!   [`GitHubError::Unknown`], and whoever holds the journal finds out what happened. The same doubt is left by
//!   dropping the future of a mutation.

mod config;
mod error;
mod read;
mod transport;
mod types;
mod wire;
mod workflows;
mod write;

#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use config::GitHubConfig;
pub use error::GitHubError;
pub use types::{
    ChangedFile, CheckRun, CheckStatus, Commit, CommittedFile, Comparison, File, FileStatus, Merged, PullRequest,
    PullRequestState, PullRequestText, TreeEntry, TreeKind, WorkflowRun,
};

use transport::{Timing, Transport};

/// A handle to one GitHub API; clones share its connections.
#[derive(Clone, Debug)]
pub struct GitHub {
    transport: Arc<Transport>,
}

impl GitHub {
    /// Needs a rustls provider installed in the process, as `main` does first.
    pub fn new(config: GitHubConfig) -> Result<Self, GitHubError> {
        Self::with_timing(config, Timing::default())
    }

    fn with_timing(config: GitHubConfig, timing: Timing) -> Result<Self, GitHubError> {
        Ok(Self { transport: Arc::new(Transport::new(config, timing)?) })
    }
}
