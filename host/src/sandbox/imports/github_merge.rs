//! `github-merge`: squash-merging this task's pull request.

use serde_json::json;

use super::merge_facts::gather;
use super::merge_shown;
use crate::github::{GitHub, GitHubError, Merged, PullRequestState};
use crate::journal::{Call, Effect};
use crate::policy::action::MergePullRequest;
use crate::policy::{Granted, Ruling};
use crate::repo::{Repository, Sha};
use crate::sandbox::approval::Shown;
use crate::sandbox::bindings::juggernaut::host::github_merge::{self as wit, Host};
use crate::sandbox::calls::{CallError, GuestError, Mutation, StepName};
use crate::sandbox::state::RunState;
use crate::task::TaskId;
use crate::text::visible;

/// Longest title in the subject of a commit.
const TITLE_BYTES_MAX: usize = 200;

impl Host for RunState {
    async fn merge(&mut self, repository: String, number: u64, head_sha: String) -> Result<wit::Merged, CallError> {
        let (repository, head_sha) = (Repository::parse(&repository)?, Sha::parse(&head_sha)?);
        let message = message(self.task.id, &self.task.title, number, &head_sha);
        let action = MergePullRequest { repository, number, head_sha, message };
        let call = Call {
            interface: "github-merge",
            function: "merge",
            effect: Effect::Write,
            arguments: json!({ "repository": action.repository, "number": number, "head_sha": action.head_sha }),
        };
        let merged: Merged = self.mutate(call, action).await?;
        Ok(wit::Merged { sha: merged.sha.into() })
    }
}

/// What the squash commit says: nothing but what the host knows itself, and the task's title.
fn message(task: TaskId, title: &str, number: u64, head_sha: &Sha) -> String {
    let title = visible(title);
    let title = &title[..title.floor_char_boundary(TITLE_BYTES_MAX)];
    format!("{task}: {title} (#{number})\n\nPull request #{number} of task {task}, as of {head_sha}.")
}

impl Mutation for MergePullRequest {
    type Action = Self;
    type Output = Merged;

    fn content(&self) -> &[u8] {
        self.message.as_bytes()
    }

    async fn decide(&self, state: &mut RunState, _: &StepName) -> Result<Ruling<Self>, GuestError> {
        // The grant before any look at the world: a role without it learns nothing of the repository.
        let asked = self.repository.clone();
        let may = state.judged(move |scope| scope.may_merge_in(&asked)).await;
        state.ruled(may)?;
        let (github, _) = state.github_and_base()?;
        let (repository, number) = (self.repository.clone(), self.number);
        let gathered = state.outside(async move { gather(&github, &repository, number).await }).await;
        let mut facts = gathered.map_err(|error| GuestError::Unavailable(error.to_string()))??;
        facts.own_commits.clone_from(&state.own_commits);
        if facts.head != self.head_sha.as_str() {
            let message = format!("the head is {} now, not {}; look again", facts.head, self.head_sha);
            return Err(GuestError::Conflict(message));
        }
        let action = self.clone();
        let ruling = state.judged(move |scope| scope.merge(action, &facts)).await;
        state.ruled(ruling)
    }

    async fn show(&self, state: &mut RunState, _: &Call) -> Result<Shown, GuestError> {
        let (github, base) = state.github_and_base()?;
        let action = self.clone();
        let seen = state.outside(async move { merge_shown::show(&github, &action, &base).await }).await;
        seen.map_err(|error| GuestError::Unavailable(error.to_string()))?
    }

    async fn act(github: GitHub, grant: Granted<Self>) -> Result<Merged, GitHubError> {
        github.merge(grant).await
    }

    async fn find(&self, github: GitHub, _: StepName) -> Result<Option<Merged>, GitHubError> {
        let pull_request = github.pull_request(&self.repository, self.number).await?;
        let merged_here = pull_request.state == PullRequestState::Merged && pull_request.head_sha == self.head_sha;
        Ok(pull_request.merge_sha.filter(|_| merged_here).map(|sha| Merged { sha }))
    }
}
