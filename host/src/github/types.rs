//! What GitHub told us, in our own terms. Journalled, so every type survives a round through JSON.
//!
//! Texts (titles, messages, paths of other people's files) are as GitHub holds them and hostile to whoever shows
//! them. Paths here are not `RepoPath`s: a repository may hold names that we would never write, and a reviewer must
//! see them.

use serde::{Deserialize, Serialize};

use crate::repo::{Repository, Sha};

/// A file's content at a reference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Base64 in JSON: a list of numbers would be four times as long.
    #[serde(with = "in_base64")]
    pub content: Vec<u8>,
    /// The blob, as `PutFile::previous` wants it.
    pub sha: Sha,
}

/// One entry of a tree, at any depth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeEntry {
    pub path: String,
    pub kind: TreeKind,
    pub sha: Sha,
    /// In bytes; blobs only.
    pub size: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TreeKind {
    /// A file or a symlink.
    Blob,
    Tree,
    /// A submodule.
    Commit,
}

/// A run of a workflow of GitHub Actions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkflowRun {
    pub id: u64,
    pub status: CheckStatus,
    /// Only when completed.
    pub conclusion: Option<String>,
    pub url: String,
    pub head_sha: Sha,
    /// None where GitHub does not say.
    pub head_branch: Option<String>,
    /// What started it: `workflow_dispatch`.
    pub event: String,
    /// Seconds since 1970: GitHub knows no finer time.
    pub created_at: i64,
    /// As the workflow's `run-name` makes it: text of whoever wrote the workflow or gave the inputs.
    pub title: String,
    /// Whose token or click it was.
    pub actor: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullRequest {
    pub number: u64,
    pub state: PullRequestState,
    pub title: String,
    pub url: String,
    /// None when the fork was deleted.
    pub head_repository: Option<Repository>,
    pub head_branch: String,
    pub head_sha: Sha,
    pub base_branch: String,
    /// None while GitHub is finding out, and in lists.
    pub mergeable: Option<bool>,
    /// The commit that it became; only when merged.
    pub merge_sha: Option<Sha>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PullRequestState {
    Open,
    /// Without a merge.
    Closed,
    Merged,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckRun {
    pub name: String,
    pub status: CheckStatus,
    /// As GitHub spells it; None until completed.
    pub conclusion: Option<String>,
    pub url: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckStatus {
    /// Also what GitHub calls requested, waiting or pending.
    Queued,
    InProgress,
    Completed,
}

/// What `head` has that `base` lacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    pub ahead_by: u32,
    pub behind_by: u32,
    /// Oldest first.
    pub commits: Vec<Sha>,
    pub files: Vec<ChangedFile>,
    /// Where they parted. None in journals from before it was kept.
    #[serde(default)]
    pub merge_base: Option<Sha>,
    /// There may be more commits or files than are listed.
    pub truncated: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedFile {
    pub path: String,
    /// Where a renamed or copied file was before.
    pub previous_path: Option<String>,
    pub status: FileStatus,
    /// Lines. Nothing in journals from before it was kept, as the two below.
    #[serde(default)]
    pub deletions: u32,
    /// Lines that it gained and that hold something; none where GitHub does not show them.
    #[serde(default)]
    pub written_lines: Option<u32>,
    /// After the change.
    #[serde(default)]
    pub blob: Option<Sha>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileStatus {
    Added,
    Removed,
    Modified,
    Renamed,
    Copied,
    Changed,
    Unchanged,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    pub sha: Sha,
    pub message: String,
    pub parents: Vec<Sha>,
}

/// What people, or roles, wrote about a pull request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullRequestText {
    pub title: String,
    pub body: Option<String>,
}

/// What `put_file` made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommittedFile {
    pub commit: Sha,
    /// The blob.
    pub file: Sha,
}

/// What `merge` made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Merged {
    pub sha: Sha,
}

mod in_base64 {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}
