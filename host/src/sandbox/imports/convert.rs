//! Between the host's types and those generated from WIT.

use crate::github;
use crate::repo::Repository;
use crate::sandbox::bindings::juggernaut::host::github_read as wit;
use crate::sandbox::bindings::juggernaut::host::{outcomes, types};
use crate::sandbox::calls::{CallError, Finding, GuestError};
use crate::sandbox::run::RunEnd;
use crate::sandbox::state::RunState;
use crate::task::{Answer, Claim, Failure, Proof, REASON_BYTES_MAX};

impl types::Host for RunState {
    fn convert_error(&mut self, error: CallError) -> wasmtime::Result<types::Error> {
        match error {
            CallError::Guest(error) => Ok(match error {
                GuestError::Denied(message) => types::Error::Denied(message),
                GuestError::NotFound(message) => types::Error::NotFound(message),
                GuestError::Conflict(message) => types::Error::Conflict(message),
                GuestError::RateLimited { message, after_ms } => {
                    types::Error::RateLimited(types::RetryHint { message, after_ms })
                }
                GuestError::Invalid(message) => types::Error::Invalid(message),
                GuestError::Unavailable(message) => types::Error::Unavailable(message),
                GuestError::Findings(findings) => {
                    types::Error::Findings(findings.into_iter().map(Into::into).collect())
                }
            }),
            CallError::Stop(stop) => {
                self.stop = Some(stop.clone());
                Err(wasmtime::Error::new(stop))
            }
        }
    }
}

impl From<Finding> for types::Finding {
    fn from(finding: Finding) -> Self {
        let Finding { path, rule, line, message } = finding;
        Self { path, rule, line, message }
    }
}

impl From<github::PullRequest> for wit::PullRequest {
    fn from(pull_request: github::PullRequest) -> Self {
        Self {
            number: pull_request.number,
            state: match pull_request.state {
                github::PullRequestState::Open => wit::PullRequestState::Open,
                github::PullRequestState::Closed => wit::PullRequestState::Closed,
                github::PullRequestState::Merged => wit::PullRequestState::Merged,
            },
            title: pull_request.title,
            url: pull_request.url,
            head_branch: pull_request.head_branch,
            head_sha: pull_request.head_sha.into(),
            base_branch: pull_request.base_branch,
            mergeable: pull_request.mergeable,
            merge_sha: pull_request.merge_sha.map(Into::into),
        }
    }
}

impl From<github::CheckRun> for wit::CheckRun {
    fn from(check: github::CheckRun) -> Self {
        Self {
            name: check.name,
            status: match check.status {
                github::CheckStatus::Queued => wit::CheckStatus::Queued,
                github::CheckStatus::InProgress => wit::CheckStatus::InProgress,
                github::CheckStatus::Completed => wit::CheckStatus::Completed,
            },
            conclusion: check.conclusion.map(|conclusion| conclusion.replace('_', "-")),
            url: check.url,
        }
    }
}

impl From<github::TreeEntry> for wit::TreeEntry {
    fn from(entry: github::TreeEntry) -> Self {
        let kind = match entry.kind {
            github::TreeKind::Blob => "blob",
            github::TreeKind::Tree => "tree",
            github::TreeKind::Commit => "commit",
        };
        Self { path: entry.path, kind: kind.to_owned(), sha: entry.sha.into(), size: entry.size }
    }
}

impl From<github::Comparison> for wit::Comparison {
    fn from(comparison: github::Comparison) -> Self {
        Self {
            ahead_by: comparison.ahead_by,
            behind_by: comparison.behind_by,
            commits: comparison.commits.into_iter().map(Into::into).collect(),
            paths: comparison.files.into_iter().map(|file| file.path).collect(),
        }
    }
}

/// The role's word, in the host's types. Nothing is checked here; `evidence` judges it.
pub(in crate::sandbox) fn run_end(outcome: outcomes::Outcome) -> RunEnd {
    match outcome {
        outcomes::Outcome::Completed(evidence) => RunEnd::Completed(Claim {
            summary: evidence.summary.replace('\0', "\u{2400}"),
            proof: evidence.proof.map(|outcomes::Proof::MergedPullRequest(name)| Proof::MergedPullRequest {
                repository: Repository::parse(&name.repository).map_err(|error| error.to_string()),
                number: name.number,
            }),
            answers: (evidence.answers.into_iter())
                .map(|answer| Answer { criterion: answer.criterion, steps: answer.steps })
                .collect(),
        }),
        outcomes::Outcome::Failed(failure) => {
            let mut reason = failure.reason.replace('\0', "\u{2400}");
            reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
            RunEnd::Failed(Failure { reason, retriable: failure.retriable })
        }
    }
}
