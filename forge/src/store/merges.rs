//! Merging pull requests.
//!
//! Invariant: the base branch moves first, then the pull request is marked. A forge that is killed between the two
//! leaves the merge on the base and the pull request open: it loses an acknowledgement, never a merge.

use git2::{Commit, Oid, Tree};

use super::commit_files::{forge_signature, moved_meanwhile};
use super::pulls::Merged;
use super::{Pull, PullView, Repo};
use crate::clock;
use crate::error::StoreError;

const NOT_MERGEABLE: StoreError = StoreError::NotAllowed("Pull Request is not mergeable");

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MergeMethod {
    Merge,
    Squash,
    Rebase,
}

#[derive(Debug)]
pub(crate) struct MergeRequest {
    pub(crate) method: MergeMethod,
    /// The head that the client judged.
    pub(crate) sha: Option<String>,
    pub(crate) title: Option<String>,
    pub(crate) message: Option<String>,
    pub(crate) by: String,
}

impl Repo {
    /// Returns the new tip of the base branch.
    pub(crate) fn merge_pull(&self, number: u64, request: &MergeRequest) -> Result<String, StoreError> {
        let pull = self.pull(number)?;
        if !pull.open {
            return Err(NOT_MERGEABLE);
        }
        if request.method == MergeMethod::Rebase {
            return Err(StoreError::NotAllowed("Rebase merges are not allowed on this repository."));
        }
        let head = self.branch_tip(&pull.head)?.ok_or(NOT_MERGEABLE)?;
        let base = self.branch_tip(&pull.base)?.ok_or(NOT_MERGEABLE)?;
        if request.sha.as_ref().is_some_and(|sha| *sha != head.id().to_string()) {
            return Err(StoreError::HeadModified);
        }
        let tree = self.merged_tree(&base, &head)?.ok_or(NOT_MERGEABLE)?;
        let message = self.merge_message(&pull, &base, &head, request)?;
        let parents: &[&Commit<'_>] = match request.method {
            MergeMethod::Merge => &[&base, &head],
            MergeMethod::Squash | MergeMethod::Rebase => &[&base],
        };
        let who = forge_signature()?;
        let full_name = format!("refs/heads/{}", pull.base);
        let sha = self
            .git
            .commit(Some(&full_name), &who, &who, &message, &tree, parents)
            .map_err(|error| moved_meanwhile(&error, &pull.base))?;
        let merged = Merged { at: clock::now(), by: request.by.clone(), sha: sha.to_string() };
        self.mark_merged(&pull, merged)?;
        self.head_moved(&full_name, sha)?;
        Ok(sha.to_string())
    }

    pub(crate) fn view_pull(&self, pull: Pull) -> Result<PullView, StoreError> {
        let head = self.git.find_commit(Oid::from_str(&pull.head_sha)?)?;
        let base = self.git.find_commit(Oid::from_str(&pull.base_sha)?)?;
        let (commits, merge_base) = match self.distance(base.id(), head.id()) {
            Ok(distance) => (distance.ahead, Some(distance.merge_base)),
            Err(StoreError::NotFound) => (Vec::new(), None),
            Err(error) => return Err(error),
        };
        let mut view = PullView {
            mergeable: None,
            mergeable_state: "unknown",
            merge_commit_sha: pull.merged.as_ref().map(|merged| merged.sha.clone()),
            pull,
            commits,
            merge_base,
        };
        if !view.pull.open {
            return Ok(view);
        }
        let tree = self.merged_tree(&base, &head)?;
        view.mergeable = Some(tree.is_some());
        view.mergeable_state = if tree.is_none() {
            "dirty"
        } else if view.pull.draft {
            "draft"
        } else if self.checks_pass(&view.pull.head_sha)? {
            "clean"
        } else {
            "unstable"
        };
        if let Some(tree) = tree {
            view.merge_commit_sha = Some(self.test_merge(&base, &head, &tree)?);
        }
        Ok(view)
    }

    /// The same for the same base and head: its times are the head's, so looking twice makes one object.
    fn test_merge(&self, base: &Commit<'_>, head: &Commit<'_>, tree: &Tree<'_>) -> Result<String, StoreError> {
        let who = forge_signature()?;
        let who = git2::Signature::new(who.name().unwrap_or_default(), who.email().unwrap_or_default(), &head.time())?;
        let message = format!("Merge {} into {}", head.id(), base.id());
        let sha = self.git.commit(None, &who, &who, &message, tree, &[base, head])?;
        Ok(sha.to_string())
    }

    /// `None` when the two conflict.
    fn merged_tree(&self, base: &Commit<'_>, head: &Commit<'_>) -> Result<Option<Tree<'_>>, StoreError> {
        let mut index = self.git.merge_commits(base, head, None)?;
        if index.has_conflicts() {
            return Ok(None);
        }
        let tree = index.write_tree_to(&self.git)?;
        Ok(Some(self.git.find_tree(tree)?))
    }

    fn merge_message(
        &self,
        pull: &Pull,
        base: &Commit<'_>,
        head: &Commit<'_>,
        request: &MergeRequest,
    ) -> Result<String, StoreError> {
        let number = pull.number;
        let (title, body) = match request.method {
            MergeMethod::Merge => {
                (format!("Merge pull request #{number} from {}/{}", self.name.owner(), pull.head), pull.title.clone())
            }
            MergeMethod::Squash | MergeMethod::Rebase => {
                (format!("{} (#{number})", pull.title), self.squashed_messages(base, head)?)
            }
        };
        let title = request.title.clone().unwrap_or(title);
        let body = request.message.clone().unwrap_or(body);
        Ok(if body.is_empty() { title } else { format!("{title}\n\n{body}") })
    }

    /// One commit: its body. Several: a list of them, as GitHub writes it.
    fn squashed_messages(&self, base: &Commit<'_>, head: &Commit<'_>) -> Result<String, StoreError> {
        let ahead = self.distance(base.id(), head.id())?.ahead;
        let mut messages = Vec::with_capacity(ahead.len());
        for oid in &ahead {
            let commit = self.git.find_commit(*oid)?;
            messages.push(String::from_utf8_lossy(commit.message_bytes()).into_owned());
        }
        if let [only] = messages.as_slice() {
            let body = only.split_once("\n\n").map(|(_, body)| body);
            return Ok(body.unwrap_or_default().trim_end().to_owned());
        }
        let listed: Vec<String> = messages.iter().map(|message| format!("* {}", message.trim_end())).collect();
        Ok(listed.join("\n\n"))
    }
}
