//! What can be done to the world, as values: an action carries all its arguments, so that what was decided on is
//! exactly what is done.

use crate::repo::{Branch, RepoPath, Repository, Sha};

/// Create a branch at a commit.
#[derive(Clone, Debug)]
pub struct CreateBranch {
    pub repository: Repository,
    pub branch: Branch,
    pub sha: Sha,
}

/// Commit one file to a branch.
#[derive(Clone, Debug)]
pub struct PutFile {
    pub repository: Repository,
    pub branch: Branch,
    pub path: RepoPath,
    pub content: Vec<u8>,
    pub message: String,
    /// The blob that this replaces; none for a new file.
    pub previous: Option<Sha>,
}

/// Open a pull request from a branch of the same repository.
#[derive(Clone, Debug)]
pub struct OpenPullRequest {
    pub repository: Repository,
    pub head: Branch,
    pub base: Branch,
    pub title: String,
    pub body: String,
}

/// Squash-merge a pull request whose head is exactly `head_sha`.
#[derive(Clone, Debug)]
pub struct MergePullRequest {
    pub repository: Repository,
    pub number: u64,
    pub head_sha: Sha,
    /// Of the commit that it makes: a subject, an empty line, and a body. The host's own words, for GitHub would take the
    /// pull request's, which anybody may edit after an approval.
    pub message: String,
}

/// Close a pull request that this host has just opened, where it turned out to be one too many.
#[derive(Clone, Debug)]
pub struct ClosePullRequest {
    pub repository: Repository,
    pub number: u64,
}

/// Send a language model what the request's body says. The key is the client's.
#[derive(Clone, Debug)]
pub struct AskModel {
    /// As the body names it, too.
    pub model: String,
    /// The whole request.
    pub body: serde_json::Value,
    /// Of prompt and longest answer together, estimated.
    pub tokens: u64,
}
