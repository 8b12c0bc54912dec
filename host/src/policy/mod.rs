//! Decides what a run may do.
//!
//! The rules stand in `policies/`, in Cedar. This module turns a call into a question ([`Scope`]), asks ([`Policies`])
//! and makes the authority to act ([`Granted`]) of a permission.
//!
//! Invariant: pure but for reading the policies' files at the start and remembering answers. No clock; the default is deny; only this module
//! makes a [`Granted`], and only for the action with exactly the arguments that were judged, or to take that very action back.

pub mod action;
mod admission;
pub mod case;
mod constants;
mod engine;
mod fetch;
mod granted;
mod harm;
mod known;
mod outside;
mod outward;
mod paths;
mod question;
mod records;
pub mod risk;
mod scope;
mod sql;

pub use admission::{Admission, admit};
pub use engine::{Asker, DEFAULT_DENY, Decision, Policies, PoliciesError, PolicySummary};
pub use granted::{Granted, TakingBack};
pub use harm::{Harm, is_migration, is_program, is_sql};
pub use question::{Action, Question};
pub use records::Beyond;
pub use risk::{Assessment, assess_task};
pub use scope::{Authority, Scope};

use crate::repo::{Branch, Repository, Sha};
use crate::task::Risk;

/// Longest commit message, pull request title and body, and largest file, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 4096;
pub const TITLE_BYTES_MAX: usize = 256;
pub const BODY_BYTES_MAX: usize = 64 * 1024;
pub const FILE_BYTES_MAX: usize = 1024 * 1024;

/// Why an action is refused: the policies that did it, and what they mean for the reader.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} [{}]", .policies.join(", "))]
pub struct Denied {
    pub policies: Vec<String>,
    pub message: String,
}

/// Why a permitted action waits for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needed {
    /// Policies that ask for the person.
    pub policies: Vec<String>,
    /// Of this very action.
    pub risk: Risk,
    pub reasons: Vec<String>,
}

/// A permitted action.
#[derive(Debug)]
pub struct Ruling<A> {
    pub grant: Granted<A>,
    /// None where it may be done without a person.
    pub needs: Option<Needed>,
    /// What the permission stands on.
    pub decision: Decision,
    /// The action's own risk.
    pub risk: Assessment,
}

/// What a pull request looks like to the host, for the decision to merge it.
#[derive(Debug, Clone)]
pub struct MergeFacts {
    /// None where the fork that it came from is gone.
    pub head_repository: Option<Repository>,
    pub head_branch: String,
    pub base_branch: String,
    /// The commit that would be merged.
    pub head: String,
    /// Every commit that the base does not have, by GitHub's own comparison, oldest first.
    pub commits: Vec<Sha>,
    /// Whether GitHub's comparison was cut off.
    pub truncated: bool,
    /// Every path that differs.
    pub paths: Vec<String>,
    /// Of these, what is not there after the merge.
    pub gone: Vec<String>,
    /// Commits that calls of this task made, in any attempt.
    pub own_commits: Vec<Sha>,
    /// Where files went that the base renamed since the branch left it: a merge carries changes there.
    pub base_renames: Vec<String>,
    /// Files that the merge removes or empties.
    pub files_removed: usize,
    /// What stands after the merge in the files whose content decides on the risk, by path.
    pub contents: Vec<(String, Vec<u8>)>,
    /// Programs that nobody could look into: too many, or too large.
    pub unread: Vec<String>,
}

impl MergeFacts {
    /// A merge that changes nothing: to ask whether the run may merge there at all.
    fn none(repository: Repository, head_branch: String, base_branch: String) -> Self {
        Self {
            head_repository: Some(repository),
            head_branch,
            base_branch,
            head: String::new(),
            commits: Vec::new(),
            truncated: false,
            paths: Vec::new(),
            gone: Vec::new(),
            own_commits: Vec::new(),
            base_renames: Vec::new(),
            files_removed: 0,
            contents: Vec::new(),
            unread: Vec::new(),
        }
    }

    fn newest_commit(&self) -> String {
        self.commits.last().map(ToString::to_string).unwrap_or_default()
    }

    /// Every path that the merge touches.
    fn touched(&self) -> impl Iterator<Item = &str> {
        self.paths.iter().chain(&self.base_renames).map(String::as_str)
    }

    /// SQL and migrations that stand after the merge with a content that nobody has looked at.
    fn unseen(&self) -> impl Iterator<Item = &str> {
        self.judged_files()
            .filter(|(path, content)| content.is_none() && (is_sql(path) || is_migration(path)))
            .map(|(path, _)| path)
            .filter(|path| !self.gone.iter().any(|gone| gone == path))
    }

    fn judged_files(&self) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
        self.touched().map(|path| {
            let content = self.contents.iter().find(|(known, _)| known == path);
            (path, content.map(|(_, content)| content.as_slice()))
        })
    }
}

/// A run of a workflow that a call of the task dispatched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnRun {
    pub repository: Repository,
    pub workflow: String,
    pub branch: Branch,
    pub id: u64,
}

/// What GitHub says of a commit that a branch is to begin at.
#[derive(Debug, Clone, Copy)]
pub struct BranchFacts {
    /// Whether the task's base branch holds the commit, so that nothing but reviewed history gets a name.
    pub on_base: bool,
}

#[cfg(test)]
mod tests;
