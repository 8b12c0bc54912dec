//! `github-write`: branch, file and pull request of this task.

use serde_json::json;

use crate::github::{self, GitHub, GitHubError};
use crate::journal::{self, Call, Effect};
use crate::policy::action::{CreateBranch, OpenPullRequest, PutFile};
use crate::policy::{self, BranchFacts, Granted, Ruling, TakingBack};
use crate::repo::{Branch, RepoPath, Repository, Sha};
use crate::sandbox::bindings::juggernaut::host::github_read::PullRequest;
use crate::sandbox::bindings::juggernaut::host::github_write::{Commit, Host};
use crate::sandbox::calls::{CallError, GuestError, Mutation, StepName};
use crate::sandbox::state::RunState;

/// Marks a commit with the step that made it: after a crash it is how the commit is found again.
const STEP_TRAILER: &str = "Juggernaut-Step";

fn call(function: &'static str, arguments: serde_json::Value) -> Call {
    Call { interface: "github-write", function, effect: Effect::Write, arguments }
}

fn within(what: &str, bytes: usize, bytes_max: usize) -> Result<(), GuestError> {
    if bytes <= bytes_max {
        return Ok(());
    }
    Err(GuestError::Invalid(format!("{what} is {bytes} bytes; the limit is {bytes_max}")))
}

impl Host for RunState {
    async fn create_branch(&mut self, repository: String, branch: String, sha: String) -> Result<(), CallError> {
        let action = CreateBranch {
            repository: Repository::parse(&repository)?,
            branch: Branch::parse(&branch)?,
            sha: Sha::parse(&sha)?,
        };
        let arguments = json!({ "repository": action.repository, "branch": action.branch, "sha": action.sha });
        self.mutate(call("create-branch", arguments), action).await
    }

    async fn put_file(
        &mut self,
        repository: String,
        branch: String,
        path: String,
        content: Vec<u8>,
        message: String,
        previous: Option<String>,
    ) -> Result<Commit, CallError> {
        within("content", content.len(), policy::FILE_BYTES_MAX)?;
        within("message", message.len(), policy::MESSAGE_BYTES_MAX)?;
        if message.contains(STEP_TRAILER) {
            return Err(
                GuestError::Invalid(format!("message must not contain {STEP_TRAILER}: the host writes it")).into()
            );
        }
        let action = PutFile {
            repository: Repository::parse(&repository)?,
            branch: Branch::parse(&branch)?,
            path: RepoPath::parse(&path)?,
            content,
            message,
            previous: previous.as_deref().map(Sha::parse).transpose()?,
        };
        // A write that changes nothing could be made twice without anybody noticing.
        if action.previous.as_ref().is_some_and(|previous| previous.as_str() == journal::blob_sha(&action.content)) {
            return Err(GuestError::Invalid("content is what the file holds already".to_owned()).into());
        }
        let arguments = json!({
            "repository": action.repository, "branch": action.branch, "path": action.path,
            "content": journal::bytes_argument(&action.content), "message": action.message, "previous": action.previous,
        });
        let committed = self.mutate(call("put-file", arguments), action).await?;
        self.own_commits.push(committed.commit.clone());
        Ok(Commit { sha: committed.commit.into(), file_sha: committed.file.into() })
    }

    async fn open_pull_request(
        &mut self,
        repository: String,
        head: String,
        base: String,
        title: String,
        body: String,
    ) -> Result<PullRequest, CallError> {
        within("title", title.len(), policy::TITLE_BYTES_MAX)?;
        within("body", body.len(), policy::BODY_BYTES_MAX)?;
        let action = OpenPullRequest {
            repository: Repository::parse(&repository)?,
            head: Branch::parse(&head)?,
            base: Branch::parse(&base)?,
            title,
            body,
        };
        let arguments = json!({
            "repository": action.repository, "head": action.head, "base": action.base, "title": action.title,
            "body": action.body,
        });
        Ok(self.mutate(call("open-pull-request", arguments), action).await?.into())
    }
}

impl Mutation for CreateBranch {
    type Action = Self;
    type Output = ();

    async fn decide(&self, state: &mut RunState, _: &StepName) -> Result<Ruling<Self>, GuestError> {
        let asked = self.clone();
        let may = state.judged(move |scope| scope.may_create_branch(&asked)).await;
        state.ruled(may)?;
        let (github, base) = state.github_and_base()?;
        let (repository, sha) = (self.repository.clone(), self.sha.clone());
        let look = async move { github.compare(&repository, base.as_str(), sha.as_str()).await };
        let compared = state.outside(look).await.map_err(|error| GuestError::Unavailable(error.to_string()))??;
        let facts = BranchFacts { on_base: compared.ahead_by == 0 };
        let action = self.clone();
        let ruling = state.judged(move |scope| scope.create_branch(action, facts)).await;
        state.ruled(ruling)
    }

    async fn act(github: GitHub, grant: Granted<Self>) -> Result<(), GitHubError> {
        github.create_branch(grant).await
    }

    /// The branch is this task's alone, so one at this commit is ours; one elsewhere is for `act` to run into.
    async fn find(&self, github: GitHub, _: StepName) -> Result<Option<()>, GitHubError> {
        match github.branch_sha(&self.repository, &self.branch).await {
            Ok(sha) => Ok((sha == self.sha).then_some(())),
            Err(GitHubError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Mutation for PutFile {
    type Action = Self;
    type Output = github::CommittedFile;

    fn content(&self) -> &[u8] {
        &self.content
    }

    async fn decide(&self, state: &mut RunState, step: &StepName) -> Result<Ruling<Self>, GuestError> {
        let message = format!("{}\n\n{STEP_TRAILER}: {step}", self.message.trim_end());
        let action = Self { message, ..self.clone() };
        let ruling = state.judged(move |scope| scope.put_file(action)).await;
        let ruling = state.ruled(ruling)?;
        state.check_quality(self).await?;
        Ok(ruling)
    }

    async fn act(github: GitHub, grant: Granted<Self>) -> Result<Self::Output, GitHubError> {
        github.put_file(grant).await
    }

    async fn find(&self, github: GitHub, step: StepName) -> Result<Option<Self::Output>, GitHubError> {
        let head = match github.commit(&self.repository, self.branch.as_str()).await {
            Ok(head) => head,
            Err(GitHubError::NotFound(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        // Only this run writes to the branch, one step at a time: the effect of the newest step is its head.
        if !head.message.ends_with(&format!("{STEP_TRAILER}: {step}")) {
            return Ok(None);
        }
        let file = github.file(&self.repository, &self.path, head.sha.as_str()).await?;
        Ok(Some(github::CommittedFile { commit: head.sha, file: file.sha }))
    }
}

impl Mutation for OpenPullRequest {
    type Action = Self;
    type Output = github::PullRequest;

    async fn decide(&self, state: &mut RunState, _: &StepName) -> Result<Ruling<Self>, GuestError> {
        let action = self.clone();
        let ruling = state.judged(move |scope| scope.open_pull_request(action)).await;
        state.ruled(ruling)
    }

    async fn act(github: GitHub, grant: Granted<Self>) -> Result<Self::Output, GitHubError> {
        github.open_pull_request(grant).await
    }

    fn taking_back(grant: &Granted<Self>) -> Option<TakingBack> {
        Some(grant.taking_back())
    }

    fn opened(output: &Self::Output) -> Option<u64> {
        Some(output.number)
    }

    async fn find(&self, github: GitHub, _: StepName) -> Result<Option<Self::Output>, GitHubError> {
        let found = github.find_pull_requests(&self.repository, &self.head).await?;
        Ok(found.into_iter().find(|pull_request| {
            pull_request.base_branch == self.base.as_str()
                && pull_request.head_repository.as_ref() == Some(&self.repository)
                && pull_request.state == github::PullRequestState::Open
        }))
    }
}
