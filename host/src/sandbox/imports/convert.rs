//! Between the host's types and those generated from WIT.

use crate::github;
use crate::repo::{Repository, Sha};
use crate::sandbox::bindings::juggernaut::host::github_read as wit;
use crate::sandbox::bindings::juggernaut::host::{outcomes, types};
use crate::sandbox::calls::{CallError, Finding, GuestError};
use crate::sandbox::run::RunEnd;
use crate::sandbox::state::RunState;
use crate::task::{
    Answer, Claim, ClaimedCheck, ClaimedDocument, ClaimedSuite, Failure, Observation, Proof, REASON_BYTES_MAX,
    SuiteSource, TestCounts,
};

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
///
/// `clean` takes secrets out of what the role says; it comes first, so that no cut leaves half of one.
pub(in crate::sandbox) fn run_end(outcome: outcomes::Outcome, clean: impl Fn(&str, &str) -> String) -> RunEnd {
    match outcome {
        outcomes::Outcome::Completed(evidence) => RunEnd::Completed(Claim {
            summary: clean("summary", &evidence.summary).replace('\0', "\u{2400}"),
            proof: evidence.proof.map(|claimed| proof(claimed, &clean)),
            answers: (evidence.answers.into_iter())
                .map(|answer| Answer { criterion: answer.criterion, steps: answer.steps })
                .collect(),
        }),
        outcomes::Outcome::Failed(failure) => {
            let mut reason = clean("failure", &failure.reason).replace('\0', "\u{2400}");
            reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
            RunEnd::Failed(Failure { reason, retriable: failure.retriable })
        }
    }
}

/// Every text of a proof goes through `clean`, and none keeps a NUL, which PostgreSQL does not store.
fn proof(claimed: outcomes::Proof, clean: &impl Fn(&str, &str) -> String) -> Proof {
    let text = |text: String| clean("proof", &text).replace('\0', "\u{2400}");
    let repository = |name: &str| Repository::parse(name).map_err(|error| text(error.to_string()));
    match claimed {
        outcomes::Proof::MergedPullRequest(name) => {
            Proof::MergedPullRequest { repository: repository(&name.repository), number: name.number }
        }
        outcomes::Proof::TestResults(suites) => {
            Proof::TestResults(suites.into_iter().map(|claimed| suite(claimed, &repository, &text)).collect())
        }
        outcomes::Proof::VerificationReport(checks) => {
            Proof::VerificationReport(checks.into_iter().map(|claimed| check(claimed, &text)).collect())
        }
        outcomes::Proof::CitedSummary(sources) => Proof::CitedSummary(sources),
        outcomes::Proof::TasksCreated(ids) => Proof::TasksCreated(ids.into_iter().map(text).collect()),
        outcomes::Proof::ReportStored(outcomes::ReportName { id, sha256 }) => {
            Proof::ReportStored { id: text(id), sha256: text(sha256) }
        }
        outcomes::Proof::AlertsEvaluated(outcomes::Evaluation { measurements, raised }) => {
            Proof::AlertsEvaluated { measurements, raised: raised.into_iter().map(text).collect() }
        }
        outcomes::Proof::RecommendationFiled(id) => Proof::RecommendationFiled(text(id)),
        outcomes::Proof::Document(outcomes::DocumentLocation::Url(url)) => {
            Proof::Document(ClaimedDocument::Url(text(url)))
        }
        outcomes::Proof::Document(outcomes::DocumentLocation::File(file)) => {
            let outcomes::DocumentFile { repository: name, path, reference, sha256 } = file;
            Proof::Document(ClaimedDocument::File {
                repository: repository(&name),
                path: text(path),
                reference: text(reference),
                sha256: text(sha256),
            })
        }
    }
}

fn suite(
    claimed: outcomes::TestSuite,
    repository: &impl Fn(&str) -> Result<Repository, String>,
    text: &impl Fn(String) -> String,
) -> ClaimedSuite {
    let outcomes::TestSuite { name, passed, failed, skipped, source } = claimed;
    let source = match source {
        outcomes::SuiteSource::CheckRun(run) => SuiteSource::CheckRun {
            repository: repository(&run.repository),
            sha: Sha::parse(&run.sha).map_err(|error| text(error.to_string())),
            name: text(run.name),
        },
        outcomes::SuiteSource::JunitReport(step) => SuiteSource::JunitReport { step },
    };
    ClaimedSuite { name: text(name), counts: TestCounts { passed, failed, skipped }, source }
}

fn check(claimed: outcomes::ReportCheck, text: &impl Fn(String) -> String) -> ClaimedCheck {
    let outcomes::ReportCheck { name, step, observation, expected, actual } = claimed;
    let observation = match observation {
        outcomes::Observation::Value(pointer) => Observation::Value(text(pointer)),
        outcomes::Observation::BodyContains(needle) => Observation::BodyContains(text(needle)),
    };
    ClaimedCheck { name: text(name), step, observation, expected: text(expected), actual: text(actual) }
}
