//! Check runs, and the policy that stands in for a CI system.
//!
//! Invariant: a planned run is finished by the clock when somebody looks, not by a timer, so a restart loses nothing.

use git2::Oid;
use serde::{Deserialize, Serialize};

use super::{Repo, names};
use crate::clock;
use crate::error::StoreError;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CheckStatus {
    Queued,
    InProgress,
    Completed,
}

/// How a check run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckConclusion {
    Success,
    Failure,
    Neutral,
    Cancelled,
    Skipped,
    TimedOut,
    ActionRequired,
    Stale,
}

impl CheckConclusion {
    fn passing(self) -> bool {
        matches!(self, Self::Success | Self::Neutral | Self::Skipped)
    }
}

/// Every new head commit on a branch that matches gets a check run, queued at first and completed later.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckPolicy {
    /// A branch pattern: `*` stands for any characters, slashes included.
    pub branches: String,
    /// The name of the check run.
    pub name: String,
    /// How the run ends.
    pub conclusion: CheckConclusion,
    /// How long after the commit it ends.
    #[serde(default)]
    pub after_ms: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Plan {
    conclusion: CheckConclusion,
    at_unix_ms: i64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct CheckRun {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) head_sha: String,
    pub(crate) external_id: String,
    pub(crate) details_url: Option<String>,
    pub(crate) status: CheckStatus,
    pub(crate) conclusion: Option<CheckConclusion>,
    pub(crate) started_at: Option<String>,
    pub(crate) completed_at: Option<String>,
    pub(crate) output: CheckOutput,
    plan: Option<Plan>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct CheckOutput {
    pub(crate) title: Option<String>,
    pub(crate) summary: Option<String>,
    pub(crate) text: Option<String>,
}

/// What a client sets on a check run; `None` leaves it.
#[derive(Debug, Default)]
pub(crate) struct CheckChange {
    pub(crate) name: Option<String>,
    pub(crate) external_id: Option<String>,
    pub(crate) details_url: Option<String>,
    pub(crate) status: Option<CheckStatus>,
    pub(crate) conclusion: Option<CheckConclusion>,
    pub(crate) started_at: Option<String>,
    pub(crate) completed_at: Option<String>,
    pub(crate) output: Option<CheckOutput>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Document {
    last_id: u64,
    runs: Vec<CheckRun>,
}

impl CheckRun {
    fn new(id: u64, name: &str, head_sha: &str) -> Self {
        Self {
            id,
            name: name.to_owned(),
            head_sha: head_sha.to_owned(),
            external_id: String::new(),
            details_url: None,
            status: CheckStatus::Queued,
            conclusion: None,
            started_at: Some(clock::now()),
            completed_at: None,
            output: CheckOutput::default(),
            plan: None,
        }
    }

    fn come_due(&mut self) {
        if let Some(Plan { conclusion, at_unix_ms }) = self.plan
            && clock::now_unix_ms() >= at_unix_ms
        {
            self.plan = None;
            self.status = CheckStatus::Completed;
            self.conclusion = Some(conclusion);
            self.completed_at = Some(clock::from_unix(at_unix_ms.div_euclid(1000)));
        }
    }

    fn apply(&mut self, change: CheckChange) {
        let CheckChange { name, external_id, details_url, status, conclusion, started_at, completed_at, output } =
            change;
        self.name = name.unwrap_or(std::mem::take(&mut self.name));
        self.external_id = external_id.unwrap_or(std::mem::take(&mut self.external_id));
        self.details_url = details_url.or(self.details_url.take());
        self.started_at = started_at.or(self.started_at.take());
        self.output = output.unwrap_or(std::mem::take(&mut self.output));
        if status.is_none() && conclusion.is_none() && completed_at.is_none() {
            return;
        }
        // A client that reports progress has taken the run over from the policy.
        self.plan = None;
        if conclusion.is_some() || status == Some(CheckStatus::Completed) {
            self.status = CheckStatus::Completed;
            self.conclusion = conclusion.or(self.conclusion);
            self.completed_at = Some(completed_at.unwrap_or_else(clock::now));
        } else if let Some(status) = status {
            self.status = status;
            self.conclusion = None;
            self.completed_at = None;
        }
    }
}

impl Repo {
    /// Newest first; `latest` keeps only the newest of each name.
    pub(crate) fn check_runs(&self, sha: &str, latest: bool) -> Result<Vec<CheckRun>, StoreError> {
        let document: Document = self.read("checks")?;
        let mut runs: Vec<CheckRun> = Vec::new();
        for mut run in document.runs.into_iter().rev() {
            if run.head_sha != sha || (latest && runs.iter().any(|newer| newer.name == run.name)) {
                continue;
            }
            run.come_due();
            runs.push(run);
        }
        Ok(runs)
    }

    pub(crate) fn create_check_run(&self, name: &str, sha: &str, change: CheckChange) -> Result<CheckRun, StoreError> {
        let unknown = || StoreError::NoCommitForSha(sha.to_owned());
        let oid = super::refs::full_sha(sha).map_err(|_| unknown())?;
        self.git.find_commit(oid).map_err(|_| unknown())?;
        let mut document: Document = self.read("checks")?;
        document.last_id += 1;
        let mut run = CheckRun::new(document.last_id, name, sha);
        run.apply(change);
        document.runs.push(run.clone());
        self.write("checks", &document)?;
        Ok(run)
    }

    pub(crate) fn update_check_run(&self, id: u64, change: CheckChange) -> Result<CheckRun, StoreError> {
        let mut document: Document = self.read("checks")?;
        let run = document.runs.iter_mut().find(|run| run.id == id).ok_or(StoreError::NotFound)?;
        run.come_due();
        run.apply(change);
        let run = run.clone();
        self.write("checks", &document)?;
        Ok(run)
    }

    pub(crate) fn check_run(&self, id: u64) -> Result<CheckRun, StoreError> {
        let document: Document = self.read("checks")?;
        let run = document.runs.into_iter().find(|run| run.id == id);
        let mut run = run.ok_or(StoreError::NotFound)?;
        run.come_due();
        Ok(run)
    }

    pub(super) fn checks_pass(&self, sha: &str) -> Result<bool, StoreError> {
        let runs = self.check_runs(sha, true)?;
        Ok(runs.iter().all(|run| run.conclusion.is_some_and(CheckConclusion::passing)))
    }

    pub(super) fn plan_checks(&self, branch: &str, tip: Oid) -> Result<(), StoreError> {
        let meta = self.meta()?;
        let policies: Vec<&CheckPolicy> = self
            .checks
            .iter()
            .chain(&meta.check_policies)
            .filter(|policy| names::matches(&policy.branches, branch))
            .collect();
        if policies.is_empty() {
            return Ok(());
        }
        let sha = tip.to_string();
        let mut document: Document = self.read("checks")?;
        for policy in policies {
            let known = |run: &CheckRun| run.head_sha == sha && run.name == policy.name;
            if document.runs.iter().any(known) {
                continue;
            }
            document.last_id += 1;
            let mut run = CheckRun::new(document.last_id, &policy.name, &sha);
            let delay_ms = i64::try_from(policy.after_ms).unwrap_or(i64::MAX);
            run.plan =
                Some(Plan { conclusion: policy.conclusion, at_unix_ms: clock::now_unix_ms().saturating_add(delay_ms) });
            document.runs.push(run);
        }
        self.write("checks", &document)
    }
}
