//! Judges claims that a task is done.
//!
//! Invariant: pure. The worker gathers what the host itself can see ([`World`]); a role's words are compared with it
//! and prove nothing. What is accepted is stored as [`Verified`], with the journal steps that it stands on.

mod criteria;
mod document;
mod goal;
mod judge;
mod junit;
mod merge;
mod observed;
mod recheck;
mod records;
mod report;
mod research;
mod tests_run;
mod verification;

pub use document::{DocumentEvidence, DocumentPlace};
pub use goal::{GoalCriterion, judge_goal};
pub use judge::judge;
pub use merge::MergeEvidence;
pub use observed::hosts_of;
pub use recheck::{Holding, WorldNow, recheck};
pub use records::{EvaluatedAlerts, FiledRecommendation, GoalEvidence, StoredReport};
pub use report::text;
pub use research::{CitationEvidence, Source};
pub use tests_run::{SuiteFrom, TestEvidence, TestSuite};
pub use verification::{CheckedFact, ReportEvidence};

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::github::{CheckRun, PullRequest};
use crate::journal::Step;
use crate::repo::{Repository, Sha};
use crate::task::Attempt;

/// Why a claim is refused, in words that the role's next attempt can act on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("evidence refused: {0}")]
pub struct Refusal(pub String);

fn refuse<T>(reason: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal(reason.into()))
}

/// A claim that holds.
#[derive(Debug, Clone)]
pub enum Accepted {
    /// The task is done.
    Verified(Box<Verified>),
    /// The host saw what it can see; that these criteria are met is the role's word alone, and the task's risk asks for a
    /// person's.
    NeedsAcceptance { verified: Box<Verified>, criteria: Vec<CriterionVerdict> },
}

/// What the host saw, asked for this judgement.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// The pull request that the claim names, as GitHub describes it now.
    pub pull_request: Option<PullRequest>,
    /// Commits that calls of this task made, in any attempt.
    pub own_commits: Vec<Sha>,
    /// SHA-256 of the files that calls of this task wrote, in any attempt.
    pub own_files: BTreeSet<String>,
    /// For each `file-contains` criterion, in order: the file's text where the work went, none where there is none.
    pub files: Vec<Option<String>>,
    /// Check runs of the pull request's head.
    pub checks: Vec<CheckRun>,
    /// Check runs of the commits that the claim's suites name, as GitHub describes them now.
    pub suites: BTreeMap<(Repository, Sha), Vec<CheckRun>>,
    /// The document that the claim names, as it is now.
    pub document: Option<SeenDocument>,
    /// The journal of this attempt.
    pub steps: Vec<Step>,
}

/// A document at the place that a claim names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenDocument {
    pub sha256: String,
    pub bytes: usize,
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
    /// What was seen, beside `kind`.
    #[serde(flatten)]
    pub details: Details,
    pub criteria: Vec<CriterionVerdict>,
    /// What it all stands on.
    pub steps: Vec<StepRef>,
    /// The role's own words.
    pub summary: String,
}

/// What was seen, by the kind of evidence. The tags are those of the database's `evidence_kind`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Details {
    MergedPullRequest(MergeEvidence),
    TestResults(TestEvidence),
    VerificationReport(ReportEvidence),
    CitedSummary(CitationEvidence),
    Document(DocumentEvidence),
    TasksCreated(GoalEvidence),
    ReportStored(StoredReport),
    AlertsEvaluated(EvaluatedAlerts),
    RecommendationFiled(FiledRecommendation),
}

/// Marks verified evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerdictMark {
    Verified,
}

#[cfg(test)]
mod tests;
