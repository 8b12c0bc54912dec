//! `github-merge`: squash-merging this task's pull request.

use serde_json::json;

use super::merge_shown;
use crate::github::{ChangedFile, FileStatus, GitHub, GitHubError, Merged, PullRequestState};
use crate::journal::{Call, Effect};
use crate::policy::action::MergePullRequest;
use crate::policy::{self, Granted, MergeFacts, Ruling};
use crate::repo::{RepoPath, Repository, Sha};
use crate::sandbox::approval::Shown;
use crate::sandbox::bindings::juggernaut::host::github_merge::{self as wit, Host};
use crate::sandbox::calls::{CallError, GuestError, Mutation, StepName};
use crate::sandbox::state::RunState;

/// SQL files and migrations of one change that are looked into.
const JUDGED_FILES_MAX: usize = 50;

impl Host for RunState {
    async fn merge(&mut self, repository: String, number: u64, head_sha: String) -> Result<wit::Merged, CallError> {
        let action =
            MergePullRequest { repository: Repository::parse(&repository)?, number, head_sha: Sha::parse(&head_sha)? };
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

impl Mutation for MergePullRequest {
    type Action = Self;
    type Output = Merged;

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
        let (github, _) = state.github_and_base()?;
        let (repository, number) = (self.repository.clone(), self.number);
        let seen = state.outside(async move { merge_shown::show(&github, &repository, number).await }).await;
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

/// What GitHub itself says of the pull request, not what the role says that it changed.
async fn gather(github: &GitHub, repository: &Repository, number: u64) -> Result<MergeFacts, GuestError> {
    let pull_request = github.pull_request(repository, number).await?;
    match pull_request.state {
        PullRequestState::Open => {}
        PullRequestState::Closed => return Err(GuestError::Conflict(format!("pull request #{number} is closed"))),
        PullRequestState::Merged => {
            return Err(GuestError::Conflict(format!("pull request #{number} is merged already")));
        }
    }
    let head = pull_request.head_sha;
    let comparison = github.compare(repository, &pull_request.base_branch, head.as_str()).await?;
    let mut paths = Vec::new();
    let files_removed = comparison.files.iter().filter(|file| file.status == FileStatus::Removed).count();
    let contents = contents(github, repository, &comparison.files, head.as_str()).await?;
    for file in comparison.files {
        paths.push(file.path);
        paths.extend(file.previous_path);
    }
    // A three-way merge follows renames: what we changed in `ci/` lands where the base has moved `ci/` to.
    let mut truncated = comparison.truncated;
    let mut base_renames = Vec::new();
    if comparison.behind_by > 0 {
        let since = github.compare(repository, head.as_str(), &pull_request.base_branch).await?;
        truncated |= since.truncated;
        base_renames.extend(since.files.into_iter().filter(|file| file.previous_path.is_some()).map(|file| file.path));
    }
    Ok(MergeFacts {
        head_repository: pull_request.head_repository,
        head_branch: pull_request.head_branch,
        base_branch: pull_request.base_branch,
        head: head.to_string(),
        commits: comparison.commits,
        truncated,
        paths,
        own_commits: Vec::new(),
        base_renames,
        files_removed,
        contents,
    })
}

/// What the changed SQL and migrations hold: it decides on the risk.
async fn contents(
    github: &GitHub,
    repository: &Repository,
    files: &[ChangedFile],
    head: &str,
) -> Result<Vec<(String, Vec<u8>)>, GuestError> {
    let judged = |file: &&ChangedFile| policy::is_sql(&file.path) || policy::is_migration(&file.path);
    let mut contents = Vec::new();
    for file in files.iter().filter(|file| file.status != FileStatus::Removed).filter(judged) {
        if contents.len() == JUDGED_FILES_MAX {
            let message = format!("the change holds more than {JUDGED_FILES_MAX} SQL files and migrations; split it");
            return Err(GuestError::Invalid(message));
        }
        let path = RepoPath::parse(&file.path)?;
        contents.push((file.path.clone(), github.file(repository, &path, head).await?.content));
    }
    Ok(contents)
}
