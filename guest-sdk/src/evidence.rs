//! A claim that the task is done.

use crate::bindings::juggernaut::host::outcomes;

/// Evidence for the host to verify. Prose alone completes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    summary: String,
    proof: Option<(String, u64)>,
    answers: Vec<(u32, Vec<u32>)>,
}

impl Evidence {
    /// For `code` tasks: this pull request of `owner/name` is merged.
    pub fn merged_pull_request(repository: impl Into<String>, number: u64) -> Self {
        Self { summary: String::new(), proof: Some((repository.into(), number)), answers: Vec::new() }
    }

    /// Words without proof. The host refuses them, whatever they say; they exist so that a role can be honest.
    pub fn statement(summary: impl Into<String>) -> Self {
        Self { summary: summary.into(), proof: None, answers: Vec::new() }
    }

    /// Adds a summary for people.
    #[must_use]
    pub fn summary(mut self, summary: impl Into<String>) -> Self {
        self.summary = summary.into();
        self
    }

    /// Answers the acceptance criterion of that number with the journal positions that show it.
    #[must_use]
    pub fn answer(mut self, criterion: u32, steps: impl Into<Vec<u32>>) -> Self {
        self.answers.push((criterion, steps.into()));
        self
    }
}

impl From<Evidence> for outcomes::Evidence {
    fn from(evidence: Evidence) -> Self {
        Self {
            summary: evidence.summary,
            proof: evidence.proof.map(|(repository, number)| {
                outcomes::Proof::MergedPullRequest(outcomes::PullRequestName { repository, number })
            }),
            answers: (evidence.answers.into_iter())
                .map(|(criterion, steps)| outcomes::Answer { criterion, steps })
                .collect(),
        }
    }
}
