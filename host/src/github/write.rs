//! Mutations.
//!
//! Invariant: every argument comes out of the grant; each is sent once (`Transport::mutate`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde::de::IgnoredAny;

use super::GitHub;
use super::error::GitHubError;
use super::read::{CONTENTS_BODY_BYTES_MAX, FILE_BYTES_MAX};
use super::types::{CommittedFile, Merged, PullRequest};
use super::wire::{
    ClosedPullRequest, MergeRequest, MergeResult, NewContent, NewPullRequest, NewRef, WirePullRequest, WrittenContent,
};
use crate::policy::Granted;
use crate::policy::action::{ClosePullRequest, CreateBranch, MergePullRequest, OpenPullRequest, PutFile};

impl GitHub {
    pub async fn create_branch(&self, grant: Granted<CreateBranch>) -> Result<(), GitHubError> {
        let CreateBranch { repository, branch, sha } = grant.into_action();
        let url = self.repo_url(&repository, ["git", "refs"]);
        let body = NewRef { reference: format!("refs/heads/{branch}"), sha: &sha };
        let _created: IgnoredAny = self.transport.mutate(Method::POST, url, &body, CONTENTS_BODY_BYTES_MAX).await?;
        Ok(())
    }

    /// Replaces the blob `previous`, or makes a new file; anything else there is a `Conflict`.
    pub async fn put_file(&self, grant: Granted<PutFile>) -> Result<CommittedFile, GitHubError> {
        let PutFile { repository, branch, path, content, message, previous } = grant.into_action();
        let url = self.repo_url(&repository, ["contents"].into_iter().chain(path.parts()));
        if content.len() as u64 > FILE_BYTES_MAX {
            let size = content.len();
            return Err(self
                .transport
                .call(&Method::PUT, &url)
                .invalid(format!("the content has {size} bytes; at most {FILE_BYTES_MAX} can be written")));
        }
        let body = NewContent {
            message: &message,
            content: STANDARD.encode(content),
            branch: branch.as_str(),
            sha: previous.as_ref(),
        };
        let written: WrittenContent = self.transport.mutate(Method::PUT, url, &body, CONTENTS_BODY_BYTES_MAX).await?;
        Ok(CommittedFile { commit: written.commit.sha, file: written.content.sha })
    }

    pub async fn open_pull_request(&self, grant: Granted<OpenPullRequest>) -> Result<PullRequest, GitHubError> {
        let OpenPullRequest { repository, head, base, title, body } = grant.into_action();
        let url = self.repo_url(&repository, ["pulls"]);
        let call = self.transport.call(&Method::POST, &url);
        // A plain branch is one of this repository; `owner:branch` could also be a fork that the owner has.
        let body = NewPullRequest { title: &title, head: head.as_str(), base: base.as_str(), body: &body };
        let wire: WirePullRequest = self.transport.mutate(Method::POST, url, &body, CONTENTS_BODY_BYTES_MAX).await?;
        PullRequest::try_from(wire).map_err(|error| call.unknown(error.to_string()))
    }

    pub async fn close_pull_request(&self, grant: Granted<ClosePullRequest>) -> Result<(), GitHubError> {
        let ClosePullRequest { repository, number } = grant.into_action();
        let url = self.repo_url(&repository, ["pulls", &number.to_string()]);
        let body = ClosedPullRequest { state: "closed" };
        let _closed: IgnoredAny = self.transport.mutate(Method::PATCH, url, &body, CONTENTS_BODY_BYTES_MAX).await?;
        Ok(())
    }

    /// Squash-merges exactly the commit that was judged; a head that moved on is a `Conflict`.
    pub async fn merge(&self, grant: Granted<MergePullRequest>) -> Result<Merged, GitHubError> {
        let MergePullRequest { repository, number, head_sha, message } = grant.into_action();
        let url = self.repo_url(&repository, ["pulls", &number.to_string(), "merge"]);
        let call = self.transport.call(&Method::PUT, &url);
        let (commit_title, commit_message) = message.split_once("\n\n").unwrap_or((&message, ""));
        let body = MergeRequest { merge_method: "squash", sha: &head_sha, commit_title, commit_message };
        let result: MergeResult = self.transport.mutate(Method::PUT, url, &body, CONTENTS_BODY_BYTES_MAX).await?;
        if result.merged { Ok(Merged { sha: result.sha }) } else { Err(call.conflict("it was not merged")) }
    }
}
