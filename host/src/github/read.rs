//! Reads. Each is one GET, or a bounded number of pages.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use url::Url;

use super::error::{Call, GitHubError};
use super::types::{CheckRun, Commit, Comparison, File, PullRequest, PullRequestText, TreeEntry};
use super::wire::{
    CheckRunPage, ComparePage, ContentEntry, Contents, GitObject, GitRef, GitTree, WireCheckRun, WireCommit,
    WirePullRequest, WirePullRequestText,
};
use super::{GitHub, transport::Page};
use crate::repo::{Branch, RepoPath, Repository, Sha};

/// Largest file that is read or written: GitHub's own limit for content within JSON.
pub(super) const FILE_BYTES_MAX: u64 = 1 << 20;
/// Room for such a file in base64 with line breaks.
pub(super) const CONTENTS_BODY_BYTES_MAX: usize = 2 << 20;
/// Trees, comparisons and lists.
pub(super) const LIST_BODY_BYTES_MAX: usize = 8 << 20;
pub(super) const TREE_ENTRIES_MAX: usize = 10_000;
/// GitHub's largest page.
const PAGE_ITEMS: &str = "100";
const CHECK_RUNS_MAX: usize = 1000;
const CHECK_RUN_PAGES_MAX: usize = 10;
pub(super) const COMMITS_MAX: usize = 250;
const COMMIT_PAGES_MAX: usize = 3;
/// GitHub stops here without saying so.
pub(super) const FILES_MAX: usize = 300;
const REFERENCE_BYTES_MAX: usize = 255 + "refs/heads/".len();

impl GitHub {
    /// The commit that a branch points at. Asks for the reference itself: `/branches/` would follow a renamed branch
    /// to one that nobody named.
    pub async fn branch_sha(&self, repository: &Repository, branch: &Branch) -> Result<Sha, GitHubError> {
        let url = self.repo_url(repository, ["git", "ref", "heads"].into_iter().chain(branch.as_str().split('/')));
        let reference: GitRef = self.transport.get(url, CONTENTS_BODY_BYTES_MAX).await?;
        Ok(reference.object.sha)
    }

    /// A regular file's content; directories, symlinks and submodules are `Invalid`.
    pub async fn file(&self, repository: &Repository, path: &RepoPath, reference: &str) -> Result<File, GitHubError> {
        let mut url = self.repo_url(repository, ["contents"].into_iter().chain(path.parts()));
        let call = self.transport.call(&Method::GET, &url);
        url.query_pairs_mut().append_pair("ref", checked(&call, reference)?);
        match self.transport.get(url, CONTENTS_BODY_BYTES_MAX).await? {
            Contents::Directory(entries) => {
                Err(call.invalid(format!("this is a directory of {} entries; name a file in it", entries.len())))
            }
            Contents::Entry(entry) => decoded(&call, path, entry),
        }
    }

    /// Everything below a reference, at all depths.
    pub async fn tree(&self, repository: &Repository, reference: &str) -> Result<Vec<TreeEntry>, GitHubError> {
        let mut url = self.reference_url(repository, &["git", "trees"], reference)?;
        let call = self.transport.call(&Method::GET, &url);
        url.query_pairs_mut().append_pair("recursive", "1");
        let tree: GitTree = self.transport.get(url, LIST_BODY_BYTES_MAX).await?;
        if tree.truncated || tree.tree.len() > TREE_ENTRIES_MAX {
            return Err(call.invalid(format!(
                "the tree has more than the {TREE_ENTRIES_MAX} entries that can be listed; read files by their path"
            )));
        }
        Ok(tree.tree.into_iter().map(TreeEntry::from).collect())
    }

    pub async fn pull_request(&self, repository: &Repository, number: u64) -> Result<PullRequest, GitHubError> {
        let url = self.repo_url(repository, ["pulls", &number.to_string()]);
        let call = self.transport.call(&Method::GET, &url);
        let wire: WirePullRequest = self.transport.get(url, CONTENTS_BODY_BYTES_MAX).await?;
        PullRequest::try_from(wire).map_err(|error| call.unavailable(error.to_string()))
    }

    /// What is written about a pull request: for people, proof of nothing.
    pub async fn pull_request_text(
        &self,
        repository: &Repository,
        number: u64,
    ) -> Result<PullRequestText, GitHubError> {
        let url = self.repo_url(repository, ["pulls", &number.to_string()]);
        let WirePullRequestText { title, body } = self.transport.get(url, CONTENTS_BODY_BYTES_MAX).await?;
        Ok(PullRequestText { title, body })
    }

    /// The newest hundred pull requests, in any state, whose head is this branch of the repository's owner.
    pub async fn find_pull_requests(
        &self,
        repository: &Repository,
        branch: &Branch,
    ) -> Result<Vec<PullRequest>, GitHubError> {
        let mut url = self.repo_url(repository, ["pulls"]);
        let call = self.transport.call(&Method::GET, &url);
        url.query_pairs_mut()
            .append_pair("state", "all")
            .append_pair("head", &format!("{}:{branch}", repository.owner()))
            .append_pair("sort", "created")
            .append_pair("direction", "desc")
            .append_pair("per_page", PAGE_ITEMS);
        let wires: Vec<WirePullRequest> = self.transport.get(url, LIST_BODY_BYTES_MAX).await?;
        let found: Result<Vec<_>, _> = wires.into_iter().map(PullRequest::try_from).collect();
        let mut found = found.map_err(|error| call.unavailable(error.to_string()))?;
        // GitHub ignores a `head` that it can't make out and lists everything.
        found.retain(|pull_request| pull_request.head_branch == branch.as_str());
        Ok(found)
    }

    /// The newest check run of each name at a commit, by name.
    pub async fn check_runs(&self, repository: &Repository, sha: &Sha) -> Result<Vec<CheckRun>, GitHubError> {
        let mut url = self.repo_url(repository, ["commits", sha.as_str(), "check-runs"]);
        let call = self.transport.call(&Method::GET, &url);
        url.query_pairs_mut().append_pair("filter", "latest").append_pair("per_page", PAGE_ITEMS);
        let too_many = || call.invalid(format!("the commit has more than {CHECK_RUNS_MAX} check runs"));
        // Two suites, or two apps, may report under one name.
        let mut newest: BTreeMap<String, WireCheckRun> = BTreeMap::new();
        let mut next = Some(url);
        for _ in 0..CHECK_RUN_PAGES_MAX {
            let Some(url) = next.take() else { break };
            let page: Page<CheckRunPage> = self.transport.get_page(url, LIST_BODY_BYTES_MAX).await?;
            if page.value.total_count > CHECK_RUNS_MAX as u64 {
                return Err(too_many());
            }
            for run in page.value.check_runs {
                if newest.get(&run.name).is_none_or(|known| known.id < run.id) {
                    newest.insert(run.name.clone(), run);
                }
            }
            next = page.next;
        }
        // A missing run could be the failed one, so what can't be had whole is an error.
        if next.is_some() { Err(too_many()) } else { Ok(newest.into_values().map(CheckRun::from).collect()) }
    }

    /// What `head` adds to `base` since they parted. Both are references of this repository, never of a fork.
    pub async fn compare(&self, repository: &Repository, base: &str, head: &str) -> Result<Comparison, GitHubError> {
        let call = self.transport.call(&Method::GET, &self.repo_url(repository, ["compare"]));
        let range = format!("{}...{}", checked(&call, base)?, checked(&call, head)?);
        let mut url = self.repo_url(repository, ["compare"].into_iter().chain(range.split('/')));
        url.query_pairs_mut().append_pair("per_page", PAGE_ITEMS);
        let Page { value: first, mut next } = self.transport.get_page(url, LIST_BODY_BYTES_MAX).await?;
        let ComparePage { ahead_by, behind_by, total_commits, merge_base_commit, mut commits, mut files } = first;
        let merge_base = merge_base_commit.map(|commit| commit.sha);
        let mut pages = 1;
        while let Some(url) = next.take().filter(|_| pages < COMMIT_PAGES_MAX) {
            let page: Page<ComparePage> = self.transport.get_page(url, LIST_BODY_BYTES_MAX).await?;
            if page.value.total_commits != total_commits {
                return Err(call.unavailable(format!("{range} changed while it was read; compare again")));
            }
            commits.extend(page.value.commits);
            next = page.next;
            pages += 1;
        }
        let truncated = commits.len().min(COMMITS_MAX) != total_commits as usize || files.len() >= FILES_MAX;
        commits.truncate(COMMITS_MAX);
        files.truncate(FILES_MAX);
        let (commits, files) = (shas(commits), files.into_iter().map(Into::into).collect());
        Ok(Comparison { ahead_by, behind_by, commits, files, merge_base, truncated })
    }

    pub async fn commit(&self, repository: &Repository, reference: &str) -> Result<Commit, GitHubError> {
        let mut url = self.reference_url(repository, &["commits"], reference)?;
        // The answer pages through the changed files, which nobody asked for.
        url.query_pairs_mut().append_pair("per_page", "1");
        let wire: WireCommit = self.transport.get(url, LIST_BODY_BYTES_MAX).await?;
        Ok(Commit { sha: wire.sha, message: wire.commit.message, parents: shas(wire.parents) })
    }

    pub(super) fn repo_url<'a>(&self, repository: &'a Repository, rest: impl IntoIterator<Item = &'a str>) -> Url {
        self.transport.url(["repos", repository.owner(), repository.name()].into_iter().chain(rest))
    }

    /// The OpenAPI description marks references in paths as multi-segment: their slashes stay.
    fn reference_url(&self, repository: &Repository, before: &[&str], reference: &str) -> Result<Url, GitHubError> {
        let call = self.transport.call(&Method::GET, &self.repo_url(repository, before.iter().copied()));
        let reference = checked(&call, reference)?;
        let segments = before.iter().copied().chain(reference.split('/'));
        Ok(self.transport.url(["repos", repository.owner(), repository.name()].into_iter().chain(segments)))
    }
}

/// A branch, tag or commit, and nothing that means more: no `^`, no range, no fork, no way out of the path.
fn checked<'a>(call: &Call, reference: &'a str) -> Result<&'a str, GitHubError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/' | b'+' | b'@');
    let bad_part = |part: &str| part.is_empty() || part.starts_with(['.', '-']) || part.contains("..");
    if reference.is_empty() || reference.len() > REFERENCE_BYTES_MAX {
        return Err(call.invalid(format!("the reference is empty or longer than {REFERENCE_BYTES_MAX} bytes")));
    }
    if !reference.bytes().all(allowed) || reference.split('/').any(bad_part) {
        return Err(call.invalid(format!("{reference:?} is not a branch, tag or commit of this repository")));
    }
    Ok(reference)
}

fn decoded(call: &Call, path: &RepoPath, entry: ContentEntry) -> Result<File, GitHubError> {
    let ContentEntry { kind, path: found, sha, size, encoding, content } = entry;
    match kind.as_str() {
        "file" => {}
        "symlink" => return Err(call.invalid("this is a symlink; name the file that it points to")),
        "submodule" => return Err(call.invalid("this is a submodule; read the repository that it stands for")),
        other => return Err(call.invalid(format!("this is a {other:?}, not a file"))),
    }
    // GitHub answers for a symlink to a file with that file, and only the path shows it. What is judged or replaced
    // must be what was named.
    if found != path.as_str() {
        return Err(call.invalid(format!("this is a symlink to {found:?}; name that file")));
    }
    let encoding = encoding.unwrap_or_default();
    if encoding == "none" || size > FILE_BYTES_MAX {
        return Err(call.invalid(format!("the file has {size} bytes; at most {FILE_BYTES_MAX} can be read")));
    }
    if encoding != "base64" {
        return Err(call.unavailable(format!("the file comes in the unknown encoding {encoding:?}")));
    }
    let mut content = content.unwrap_or_default().into_bytes();
    content.retain(|byte| !byte.is_ascii_whitespace());
    let content =
        STANDARD.decode(content).map_err(|error| call.unavailable(format!("the content is not base64: {error}")))?;
    if content.len() as u64 != size {
        return Err(call.unavailable(format!("the content has {} bytes instead of {size}", content.len())));
    }
    Ok(File { content, sha })
}

fn shas(objects: Vec<GitObject>) -> Vec<Sha> {
    objects.into_iter().map(|object| object.sha).collect()
}
