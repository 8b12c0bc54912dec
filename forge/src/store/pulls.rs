//! Pull requests.
//!
//! Invariant: an open pull request follows its branches; a closed one keeps the commits that it had when it closed.
//! `refs/pull/N/head` keeps its commits from being collected after the branch is gone.

use git2::Oid;
use serde::{Deserialize, Serialize};

use super::Repo;
use crate::clock;
use crate::error::StoreError;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Pull {
    pub(crate) number: u64,
    pub(crate) title: String,
    pub(crate) body: Option<String>,
    pub(crate) draft: bool,
    pub(crate) open: bool,
    pub(crate) author: String,
    pub(crate) head: String,
    pub(crate) base: String,
    pub(crate) head_sha: String,
    pub(crate) base_sha: String,
    pub(crate) created_at: String,
    pub(crate) updated_at: String,
    pub(crate) closed_at: Option<String>,
    pub(crate) merged: Option<Merged>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Merged {
    pub(crate) at: String,
    pub(crate) by: String,
    pub(crate) sha: String,
}

#[derive(Debug)]
pub(crate) struct NewPull {
    pub(crate) title: String,
    pub(crate) body: Option<String>,
    pub(crate) draft: bool,
    pub(crate) author: String,
    pub(crate) head: String,
    pub(crate) base: String,
}

#[derive(Debug, Default)]
pub(crate) struct PullChange {
    pub(crate) title: Option<String>,
    pub(crate) body: Option<String>,
    pub(crate) open: Option<bool>,
    pub(crate) base: Option<String>,
}

/// A pull request with what is computed from git when somebody looks.
#[derive(Debug)]
pub(crate) struct PullView {
    pub(crate) pull: Pull,
    pub(crate) mergeable: Option<bool>,
    pub(crate) mergeable_state: &'static str,
    /// Of an open one: GitHub's test merge, which says nothing about a real one.
    pub(crate) merge_commit_sha: Option<String>,
    pub(crate) commits: Vec<Oid>,
    pub(crate) merge_base: Option<Oid>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Document {
    last_number: u64,
    pulls: Vec<Pull>,
}

impl Repo {
    /// Newest first.
    pub(crate) fn pulls(&self) -> Result<Vec<Pull>, StoreError> {
        let document: Document = self.read("pulls")?;
        let mut pulls = document.pulls;
        pulls.reverse();
        pulls.iter_mut().try_for_each(|pull| self.follow(pull))?;
        Ok(pulls)
    }

    pub(crate) fn pull(&self, number: u64) -> Result<Pull, StoreError> {
        let document: Document = self.read("pulls")?;
        let found = document.pulls.into_iter().find(|it| it.number == number);
        let mut pull = found.ok_or(StoreError::NotFound)?;
        self.follow(&mut pull)?;
        Ok(pull)
    }

    pub(crate) fn create_pull(&self, new: NewPull) -> Result<Pull, StoreError> {
        let invalid = |field| StoreError::field("PullRequest", field, "invalid");
        let head_tip = self.branch_tip(&new.head)?;
        let head_sha = head_tip.ok_or_else(|| invalid("head"))?.id();
        let base_tip = self.branch_tip(&new.base)?;
        let base_sha = base_tip.ok_or_else(|| invalid("base"))?.id();
        let mut document: Document = self.read("pulls")?;
        self.refuse_twin(&document.pulls, &new.head, &new.base)?;
        let nothing_new = match self.distance(base_sha, head_sha) {
            Ok(distance) => distance.ahead.is_empty(),
            Err(StoreError::NotFound) => {
                let message = format!("The {} branch has no history in common with {}", new.head, new.base);
                return Err(StoreError::custom("PullRequest", &message));
            }
            Err(error) => return Err(error),
        };
        if nothing_new {
            let message = format!("No commits between {} and {}", new.base, new.head);
            return Err(StoreError::custom("PullRequest", &message));
        }
        document.last_number += 1;
        let created_at = clock::now();
        let pull = Pull {
            number: document.last_number,
            title: new.title,
            body: new.body,
            draft: new.draft,
            open: true,
            author: new.author,
            head: new.head,
            base: new.base,
            head_sha: head_sha.to_string(),
            base_sha: base_sha.to_string(),
            updated_at: created_at.clone(),
            created_at,
            closed_at: None,
            merged: None,
        };
        self.keep_head(pull.number, head_sha)?;
        document.pulls.push(pull.clone());
        self.write("pulls", &document)?;
        Ok(pull)
    }

    pub(crate) fn change_pull(&self, number: u64, change: PullChange) -> Result<Pull, StoreError> {
        let mut document: Document = self.read("pulls")?;
        let at = index(&document, number)?;
        let mut pull = document.pulls[at].clone();
        self.follow(&mut pull)?;
        let PullChange { title, body, open, base } = change;
        if let Some(base) = base {
            if self.branch_tip(&base)?.is_none() {
                return Err(StoreError::field("PullRequest", "base", "invalid"));
            }
            pull.base = base;
        }
        match (pull.open, open) {
            (true, Some(false)) => close(&mut pull),
            (false, Some(true)) => {
                if pull.merged.is_some() || self.branch_tip(&pull.head)?.is_none() {
                    return Err(StoreError::field("PullRequest", "state", "invalid"));
                }
                self.refuse_twin(&document.pulls, &pull.head, &pull.base)?;
                pull.open = true;
                pull.closed_at = None;
                self.follow(&mut pull)?;
            }
            (true, Some(true) | None) | (false, Some(false) | None) => {}
        }
        pull.title = title.unwrap_or(pull.title);
        pull.body = body.or(pull.body);
        pull.updated_at = clock::now();
        document.pulls[at] = pull.clone();
        self.write("pulls", &document)?;
        Ok(pull)
    }

    pub(super) fn mark_merged(&self, pull: &Pull, merged: Merged) -> Result<(), StoreError> {
        let mut document: Document = self.read("pulls")?;
        let at = index(&document, pull.number)?;
        let mut pull = pull.clone();
        close(&mut pull);
        pull.merged = Some(merged);
        document.pulls[at] = pull;
        self.write("pulls", &document)
    }

    pub(super) fn close_pulls_of(&self, branch: &str) -> Result<(), StoreError> {
        let mut document: Document = self.read("pulls")?;
        let of_branch = |pull: &Pull| pull.open && (pull.head == branch || pull.base == branch);
        if !document.pulls.iter().any(of_branch) {
            return Ok(());
        }
        for pull in document.pulls.iter_mut().filter(|pull| of_branch(pull)) {
            self.follow(pull)?;
            close(pull);
        }
        self.write("pulls", &document)
    }

    /// Called when a branch moved: what the pull request saw last must survive the branch.
    pub(super) fn note_pull_head(&self, branch: &str, tip: Oid) -> Result<(), StoreError> {
        let mut document: Document = self.read("pulls")?;
        let mut noted = false;
        for pull in &mut document.pulls {
            if pull.open && pull.head == branch {
                pull.head_sha = tip.to_string();
                pull.updated_at = clock::now();
                self.keep_head(pull.number, tip)?;
                noted = true;
            }
        }
        if noted {
            self.write("pulls", &document)?;
        }
        Ok(())
    }

    fn keep_head(&self, number: u64, tip: Oid) -> Result<(), StoreError> {
        let name = format!("refs/pull/{number}/head");
        self.git.reference(&name, tip, true, "forge: pull request")?;
        Ok(())
    }

    /// Branches may also have been pushed past the forge, so an open pull request looks at them each time.
    fn follow(&self, pull: &mut Pull) -> Result<(), StoreError> {
        if !pull.open {
            return Ok(());
        }
        if let Some(tip) = self.ref_target(&format!("refs/heads/{}", pull.head))? {
            pull.head_sha = tip.to_string();
        }
        if let Some(tip) = self.ref_target(&format!("refs/heads/{}", pull.base))? {
            pull.base_sha = tip.to_string();
        }
        Ok(())
    }

    fn refuse_twin(&self, pulls: &[Pull], head: &str, base: &str) -> Result<(), StoreError> {
        let twin = |pull: &Pull| pull.open && pull.head == head && pull.base == base;
        if !pulls.iter().any(twin) {
            return Ok(());
        }
        let message = format!("A pull request already exists for {}:{head}.", self.name.owner());
        Err(StoreError::custom("PullRequest", &message))
    }
}

fn index(document: &Document, number: u64) -> Result<usize, StoreError> {
    document.pulls.iter().position(|pull| pull.number == number).ok_or(StoreError::NotFound)
}

fn close(pull: &mut Pull) {
    let now = clock::now();
    pull.open = false;
    pull.closed_at = Some(now.clone());
    pull.updated_at = now;
}
