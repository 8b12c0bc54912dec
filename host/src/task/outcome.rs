//! How a run ends, as the role claims it. Whether it is true is for `evidence` to judge.

use crate::repo::Repository;

/// Longest summary that is stored, in bytes.
pub const SUMMARY_BYTES_MAX: usize = 16 * 1024;
/// Longest reason for a failure, in bytes; what is longer is cut.
pub const REASON_BYTES_MAX: usize = 4 * 1024;

/// A claim that the task is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// For people. Proves nothing.
    pub summary: String,
    pub proof: Option<Proof>,
    pub answers: Vec<Answer>,
}

/// What the host is to verify.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// As the role spells it; it may be no repository at all.
    MergedPullRequest { repository: Result<Repository, String>, number: u64 },
}

/// One acceptance criterion, answered with journal positions of this attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub criterion: u32,
    pub steps: Vec<u32>,
}

/// Why a run did not complete its task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub reason: String,
    /// Whether it could succeed later without anybody changing the task.
    pub retriable: bool,
}
