//! Judges claims that a task is done.
//!
//! Invariant: pure. The worker gathers what the host itself can see ([`World`]); a role's words are compared with it
//! and prove nothing. What is accepted is stored as [`Verified`], with the journal steps that it stands on.

mod judge;
mod report;

pub use judge::judge;
pub use report::text;

use serde::{Deserialize, Serialize};

use crate::github::{CheckRun, PullRequest};
use crate::journal::Step;
use crate::repo::{Repository, Sha};
use crate::task::Attempt;

/// Why a claim is refused, in words that the role's next attempt can act on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("evidence refused: {0}")]
pub struct Refusal(pub String);

/// What the host saw, asked for this judgement.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// The pull request that the claim names, as GitHub describes it now.
    pub pull_request: Option<PullRequest>,
    /// Commits that calls of this task made, in any attempt.
    pub own_commits: Vec<Sha>,
    /// For each `file-contains` criterion, in order: the file's text after the merge, none where there is none.
    pub files: Vec<Option<String>>,
    /// Check runs of the pull request's head.
    pub checks: Vec<CheckRun>,
    /// The journal of this attempt.
    pub steps: Vec<Step>,
}

/// A step of the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StepRef {
    pub attempt: Attempt,
    pub position: u32,
}

/// How a criterion was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answered {
    /// The host saw it.
    Verified,
    /// The role says so, with references to its journal. The weaker thing.
    Attested,
}

/// One acceptance criterion, answered.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CriterionVerdict {
    pub number: u32,
    pub kind: String,
    pub text: String,
    pub answered: Answered,
    pub steps: Vec<u32>,
}

/// Evidence as it is stored: `governance_tasks.evidence`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Verified {
    /// Always `verified`; the database looks for it.
    pub verdict: VerdictMark,
    pub kind: String,
    pub repository: Repository,
    pub pull_request: PullRequest,
    /// Files that this attempt committed, by the journal.
    pub files: Vec<String>,
    /// Whether the merge is a step of this attempt, or somebody else merged what this task committed.
    pub merged_by_this_run: bool,
    pub criteria: Vec<CriterionVerdict>,
    /// What it all stands on.
    pub steps: Vec<StepRef>,
    /// The role's own words.
    pub summary: String,
}

/// Marks verified evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerdictMark {
    Verified,
}

#[cfg(test)]
mod tests;
