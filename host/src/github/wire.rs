//! GitHub's JSON, as its OpenAPI description has it: only the fields that we read or send.

use serde::{Deserialize, Serialize, de::IgnoredAny};

use super::types::{
    ChangedFile, CheckRun, CheckStatus, FileStatus, PullRequest, PullRequestState, TreeEntry, TreeKind,
};
use crate::repo::{InvalidName, Repository, Sha};

#[derive(Debug, Deserialize)]
pub(super) struct GitRef {
    pub(super) object: GitObject,
}

#[derive(Debug, Deserialize)]
pub(super) struct GitObject {
    pub(super) sha: Sha,
}

/// A directory is a list, all else an object.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Contents {
    Directory(Vec<IgnoredAny>),
    Entry(ContentEntry),
}

#[derive(Debug, Deserialize)]
pub(super) struct ContentEntry {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) path: String,
    pub(super) sha: Sha,
    #[serde(default)]
    pub(super) size: u64,
    pub(super) encoding: Option<String>,
    pub(super) content: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct GitTree {
    pub(super) tree: Vec<GitTreeEntry>,
    pub(super) truncated: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct GitTreeEntry {
    path: String,
    #[serde(rename = "type")]
    kind: TreeKind,
    sha: Sha,
    size: Option<u64>,
}

impl From<GitTreeEntry> for TreeEntry {
    fn from(entry: GitTreeEntry) -> Self {
        let GitTreeEntry { path, kind, sha, size } = entry;
        Self { path, kind, sha, size }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct WirePullRequest {
    number: u64,
    state: OpenOrClosed,
    title: String,
    html_url: String,
    head: PullRequestHead,
    base: PullRequestBase,
    mergeable: Option<bool>,
    /// In lists `merged` is missing; this is in both.
    merged_at: Option<String>,
    /// GitHub's trial merge while it is open, so not proof of a merge.
    merge_commit_sha: Option<Sha>,
}

/// The texts of a pull request alone.
#[derive(Debug, Deserialize)]
pub(super) struct WirePullRequestText {
    pub(super) title: String,
    pub(super) body: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum OpenOrClosed {
    Open,
    Closed,
}

#[derive(Debug, Deserialize)]
struct PullRequestHead {
    #[serde(rename = "ref")]
    branch: String,
    sha: Sha,
    repo: Option<HeadRepository>,
}

#[derive(Debug, Deserialize)]
struct HeadRepository {
    full_name: String,
}

#[derive(Debug, Deserialize)]
struct PullRequestBase {
    #[serde(rename = "ref")]
    branch: String,
}

impl TryFrom<WirePullRequest> for PullRequest {
    type Error = InvalidName;

    fn try_from(wire: WirePullRequest) -> Result<Self, InvalidName> {
        let state = match (wire.merged_at, wire.state) {
            (Some(_), _) => PullRequestState::Merged,
            (None, OpenOrClosed::Open) => PullRequestState::Open,
            (None, OpenOrClosed::Closed) => PullRequestState::Closed,
        };
        Ok(Self {
            number: wire.number,
            state,
            title: wire.title,
            url: wire.html_url,
            head_repository: wire.head.repo.map(|repo| Repository::parse(&repo.full_name)).transpose()?,
            head_branch: wire.head.branch,
            head_sha: wire.head.sha,
            base_branch: wire.base.branch,
            mergeable: wire.mergeable,
            merge_sha: wire.merge_commit_sha.filter(|_| state == PullRequestState::Merged),
        })
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct CheckRunPage {
    pub(super) total_count: u64,
    pub(super) check_runs: Vec<WireCheckRun>,
}

#[derive(Debug, Deserialize)]
pub(super) struct WireCheckRun {
    /// Grows with time.
    pub(super) id: u64,
    pub(super) name: String,
    status: WireCheckStatus,
    conclusion: Option<String>,
    html_url: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WireCheckStatus {
    InProgress,
    Completed,
    /// queued, requested, waiting, pending, and what GitHub may add: in any case not done.
    #[serde(other)]
    NotStarted,
}

impl From<WireCheckRun> for CheckRun {
    fn from(wire: WireCheckRun) -> Self {
        let status = match wire.status {
            WireCheckStatus::InProgress => CheckStatus::InProgress,
            WireCheckStatus::Completed => CheckStatus::Completed,
            WireCheckStatus::NotStarted => CheckStatus::Queued,
        };
        Self { name: wire.name, status, conclusion: wire.conclusion, url: wire.html_url }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct ComparePage {
    pub(super) ahead_by: u32,
    pub(super) behind_by: u32,
    pub(super) total_commits: u32,
    #[serde(default)]
    pub(super) merge_base_commit: Option<GitObject>,
    pub(super) commits: Vec<GitObject>,
    /// On the first page only.
    #[serde(default)]
    pub(super) files: Vec<DiffEntry>,
}

#[derive(Debug, Deserialize)]
pub(super) struct DiffEntry {
    filename: String,
    previous_filename: Option<String>,
    status: FileStatus,
    #[serde(default)]
    sha: Option<Sha>,
    #[serde(default)]
    additions: u32,
    #[serde(default)]
    deletions: u32,
    /// Left out for what is binary or large.
    #[serde(default)]
    patch: Option<String>,
}

impl From<DiffEntry> for ChangedFile {
    fn from(entry: DiffEntry) -> Self {
        let DiffEntry { filename, previous_filename, status, sha, additions, deletions, patch } = entry;
        let written_lines = match patch {
            _ if additions == 0 => Some(0),
            None => None,
            Some(patch) => {
                let written = patch.split('\n').filter_map(|line| line.strip_prefix('+'));
                let written = written.filter(|line| !line.trim().is_empty()).count();
                Some(u32::try_from(written).unwrap_or(u32::MAX))
            }
        };
        Self { path: filename, previous_path: previous_filename, status, deletions, written_lines, blob: sha }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct WireCommit {
    pub(super) sha: Sha,
    pub(super) commit: CommitText,
    pub(super) parents: Vec<GitObject>,
}

#[derive(Debug, Deserialize)]
pub(super) struct CommitText {
    pub(super) message: String,
}

#[derive(Debug, Serialize)]
pub(super) struct NewRef<'a> {
    #[serde(rename = "ref")]
    pub(super) reference: String,
    pub(super) sha: &'a Sha,
}

#[derive(Debug, Serialize)]
pub(super) struct NewContent<'a> {
    pub(super) message: &'a str,
    pub(super) content: String,
    pub(super) branch: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sha: Option<&'a Sha>,
}

#[derive(Debug, Deserialize)]
pub(super) struct WrittenContent {
    pub(super) content: GitObject,
    pub(super) commit: GitObject,
}

#[derive(Debug, Serialize)]
pub(super) struct NewPullRequest<'a> {
    pub(super) title: &'a str,
    pub(super) head: &'a str,
    pub(super) base: &'a str,
    pub(super) body: &'a str,
}

#[derive(Debug, Serialize)]
pub(super) struct ClosedPullRequest {
    pub(super) state: &'static str,
}

#[derive(Debug, Serialize)]
pub(super) struct MergeRequest<'a> {
    pub(super) merge_method: &'static str,
    pub(super) sha: &'a Sha,
    pub(super) commit_title: &'a str,
    /// Without one GitHub would write its own.
    pub(super) commit_message: &'a str,
}

#[derive(Debug, Deserialize)]
pub(super) struct MergeResult {
    pub(super) sha: Sha,
    pub(super) merged: bool,
}

/// GitHub's `basic-error` and `validation-error` in one.
#[derive(Debug, Deserialize)]
pub(super) struct Problem {
    pub(super) message: String,
    #[serde(default)]
    pub(super) errors: Vec<ProblemDetail>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum ProblemDetail {
    Text(String),
    Field { message: Option<String>, code: Option<String>, field: Option<String> },
    Other(IgnoredAny),
}
