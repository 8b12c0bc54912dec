//! `github-read`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::github::{self, GitHubError};
use crate::journal::{Call, Effect};
use crate::repo::{Branch, RepoPath, Repository, Sha};
use crate::sandbox::bindings::juggernaut::host::github_read::{
    CheckRun, Comparison, File, Host, PullRequest, TreeEntry,
};
use crate::sandbox::calls::{CallError, GuestError};
use crate::sandbox::run::RunError;
use crate::sandbox::state::RunState;

/// A file as the journal holds it: bytes as base64, not as a list of numbers.
#[derive(Serialize, Deserialize)]
pub(super) struct JournalledFile {
    base64: String,
    sha: Sha,
}

fn call(function: &'static str, arguments: Value) -> Call {
    Call { interface: "github-read", function, effect: Effect::Read, arguments }
}

/// A branch, tag or SHA: whatever a branch may be called.
fn reference(text: &str) -> Result<Branch, CallError> {
    Ok(Branch::parse(text)?)
}

impl Host for RunState {
    async fn get_branch(&mut self, repository: String, branch: String) -> Result<String, CallError> {
        let (repository, branch) = (Repository::parse(&repository)?, Branch::parse(&branch)?);
        let call = call("get-branch", json!({ "repository": repository, "branch": branch }));
        let allowed = self.may_read(&repository).await;
        let sha: Sha =
            self.read(call, allowed, |github| async move { github.branch_sha(&repository, &branch).await }).await?;
        Ok(sha.into())
    }

    async fn get_file(&mut self, repository: String, path: String, at: String) -> Result<File, CallError> {
        let (repository, path, at) = (Repository::parse(&repository)?, RepoPath::parse(&path)?, reference(&at)?);
        let call = call("get-file", json!({ "repository": repository, "path": path, "reference": at }));
        let allowed = self.may_read(&repository).await;
        let file: JournalledFile = self
            .read(call, allowed, |github| async move {
                let file = github.file(&repository, &path, at.as_str()).await?;
                Ok::<_, GitHubError>(JournalledFile { base64: STANDARD.encode(file.content), sha: file.sha })
            })
            .await?;
        let content = STANDARD
            .decode(file.base64)
            .map_err(|error| RunError::Host(format!("a recorded file can not be read: {error}")))?;
        Ok(File { content, sha: file.sha.into() })
    }

    async fn get_tree(&mut self, repository: String, at: String) -> Result<Vec<TreeEntry>, CallError> {
        let (repository, at) = (Repository::parse(&repository)?, reference(&at)?);
        let call = call("get-tree", json!({ "repository": repository, "reference": at }));
        let allowed = self.may_read(&repository).await;
        let entries: Vec<github::TreeEntry> =
            self.read(call, allowed, |github| async move { github.tree(&repository, at.as_str()).await }).await?;
        Ok(entries.into_iter().map(Into::into).collect())
    }

    async fn get_pull_request(&mut self, repository: String, number: u64) -> Result<PullRequest, CallError> {
        let repository = Repository::parse(&repository)?;
        let call = call("get-pull-request", json!({ "repository": repository, "number": number }));
        let allowed = self.may_read(&repository).await;
        let found: github::PullRequest =
            self.read(call, allowed, |github| async move { github.pull_request(&repository, number).await }).await?;
        Ok(found.into())
    }

    async fn find_pull_requests(
        &mut self,
        repository: String,
        head_branch: String,
    ) -> Result<Vec<PullRequest>, CallError> {
        let (repository, head) = (Repository::parse(&repository)?, Branch::parse(&head_branch)?);
        let call = call("find-pull-requests", json!({ "repository": repository, "head_branch": head }));
        let allowed = self.may_read(&repository).await;
        let found: Vec<github::PullRequest> = self
            .read(call, allowed, |github| async move { github.find_pull_requests(&repository, &head).await })
            .await?;
        Ok(found.into_iter().map(Into::into).collect())
    }

    async fn list_check_runs(&mut self, repository: String, sha: String) -> Result<Vec<CheckRun>, CallError> {
        let (repository, sha) = (Repository::parse(&repository)?, Sha::parse(&sha)?);
        let call = call("list-check-runs", json!({ "repository": repository, "sha": sha }));
        let allowed = self.may_read(&repository).await;
        let found: Vec<github::CheckRun> =
            self.read(call, allowed, |github| async move { github.check_runs(&repository, &sha).await }).await?;
        Ok(found.into_iter().map(Into::into).collect())
    }

    async fn compare(&mut self, repository: String, base: String, head: String) -> Result<Comparison, CallError> {
        let (repository, base, head) = (Repository::parse(&repository)?, reference(&base)?, reference(&head)?);
        let call = call("compare", json!({ "repository": repository, "base": base, "head": head }));
        let allowed = self.may_read(&repository).await;
        let found: github::Comparison =
            self.read(call, allowed, |github| async move {
                github.compare(&repository, base.as_str(), head.as_str()).await
            })
            .await?;
        if found.truncated {
            return Err(GuestError::Invalid("the difference is too large for GitHub to show whole".to_owned()).into());
        }
        Ok(found.into())
    }
}
