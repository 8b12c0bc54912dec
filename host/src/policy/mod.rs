//! Decides what a run may do.
//!
//! Invariant: pure. No I/O, no clock; the default is deny; only this module makes a [`Granted`], and only for the
//! action with exactly the arguments that it judged.

pub mod action;
mod approval;
mod granted;
mod paths;

pub use approval::{Needed, Ruling, digest, needed_for_call};
pub use granted::Granted;

use crate::manifest::{BranchPattern, Manifest, RepositoryPattern};
use crate::repo::{Branch, Repository, Sha};
use crate::task::{Target, TaskId};
use action::{CreateBranch, MergePullRequest, OpenPullRequest, PutFile};

/// Longest commit message, pull request title and body, and largest file, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 4096;
pub const TITLE_BYTES_MAX: usize = 256;
pub const BODY_BYTES_MAX: usize = 64 * 1024;
pub const FILE_BYTES_MAX: usize = 1024 * 1024;

/// Why an action is refused: the rule's id for the log, and what it means for the reader.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} [{rule}]")]
pub struct Denied {
    pub rule: &'static str,
    pub message: String,
}

/// What a pull request looks like to the host, for the decision to merge it.
#[derive(Debug, Clone)]
pub struct MergeFacts {
    /// None where the fork that it came from is gone.
    pub head_repository: Option<Repository>,
    pub head_branch: String,
    pub base_branch: String,
    /// The commit that would be merged.
    pub head: Sha,
    /// Every commit that the base does not have, by GitHub's own comparison.
    pub commits: Vec<Sha>,
    /// Whether GitHub's comparison was cut off.
    pub truncated: bool,
    /// Every path that differs.
    pub paths: Vec<String>,
    /// Commits that calls of this task made, in any attempt.
    pub own_commits: Vec<Sha>,
    /// Where files went that the base renamed since the branch left it: a merge carries changes there.
    pub base_renames: Vec<String>,
}

/// What GitHub says of a commit that a branch is to begin at.
#[derive(Debug, Clone, Copy)]
pub struct BranchFacts {
    /// Whether the task's base branch holds the commit, so that nothing but reviewed history gets a name.
    pub on_base: bool,
}

/// The authority of one run: its task and its role's manifest.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    pub task: TaskId,
    /// What the task's payload names; nothing else may be changed.
    pub target: Option<&'a Target>,
    pub manifest: &'a Manifest,
}

fn deny<T>(rule: &'static str, message: String) -> Result<T, Denied> {
    Err(Denied { rule, message })
}

impl Scope<'_> {
    /// Whether the run may read a repository.
    pub fn read(&self, repository: &Repository) -> Result<(), Denied> {
        let Some(grant) = &self.manifest.grants.github_read else {
            return self.not_granted("github-read");
        };
        self.repository("github-read", &grant.as_ref().repositories, repository)
    }

    /// A branch begins at a commit of the base: a name for any other commit (a stranger's, from a fork) would let the
    /// repository's CI run it with its secrets.
    pub fn create_branch(&self, action: CreateBranch, facts: BranchFacts) -> Result<Granted<CreateBranch>, Denied> {
        self.may_create_branch(&action)?;
        if !facts.on_base {
            return deny("branch-from-base", format!("{} is not a commit of the task's base branch", action.sha));
        }
        Ok(Granted::new(action))
    }

    /// What can be said of it before looking at the repository.
    pub fn may_create_branch(&self, action: &CreateBranch) -> Result<(), Denied> {
        self.write(&action.repository, &action.branch)
    }

    pub fn put_file(&self, action: PutFile) -> Result<Granted<PutFile>, Denied> {
        self.write(&action.repository, &action.branch)?;
        path_allowed(action.path.as_str())?;
        Ok(Granted::new(action))
    }

    pub fn open_pull_request(&self, action: OpenPullRequest) -> Result<Granted<OpenPullRequest>, Denied> {
        self.write(&action.repository, &action.head)?;
        let Some(grant) = &self.manifest.grants.github_write else {
            return self.not_granted("github-write");
        };
        self.base("github-write", &grant.as_ref().bases, action.base.as_str())?;
        self.own_base(action.base.as_str())?;
        Ok(Granted::new(action))
    }

    /// Whether the run may merge in a repository at all.
    pub fn may_merge_in(&self, repository: &Repository) -> Result<(), Denied> {
        let Some(grant) = &self.manifest.grants.github_merge else {
            return self.not_granted("github-merge");
        };
        self.repository("github-merge", &grant.as_ref().repositories, repository)?;
        self.own_repository(repository)
    }

    /// Merges only what this task made: its own branch, in the same repository, with nobody else's commits on it.
    pub fn merge(&self, action: MergePullRequest, facts: &MergeFacts) -> Result<Granted<MergePullRequest>, Denied> {
        let Some(grant) = &self.manifest.grants.github_merge else {
            return self.not_granted("github-merge");
        };
        self.may_merge_in(&action.repository)?;
        self.base("github-merge", &grant.as_ref().bases, &facts.base_branch)?;
        self.own_base(&facts.base_branch)?;
        if facts.head_repository.as_ref() != Some(&action.repository) {
            return deny("merge-same-repository", "the pull request comes from another repository".to_owned());
        }
        if facts.head_branch != self.task.branch() {
            return deny(
                "merge-own-branch",
                format!("the pull request's branch is {}, this task's is {}", facts.head_branch, self.task.branch()),
            );
        }
        if facts.truncated {
            return deny("merge-judged-whole", "the change is too large for GitHub to show whole".to_owned());
        }
        if let Some(foreign) = facts.commits.iter().find(|commit| !facts.own_commits.contains(commit)) {
            return deny("merge-own-commits", format!("commit {foreign} was not made by a call of this task"));
        }
        if facts.head != action.head_sha || facts.commits.last() != Some(&action.head_sha) {
            return deny("merge-judged-head", format!("{} is not the head that was judged", action.head_sha));
        }
        facts.paths.iter().chain(&facts.base_renames).try_for_each(|path| path_allowed(path))?;
        Ok(Granted::new(action))
    }

    fn write(&self, repository: &Repository, branch: &Branch) -> Result<(), Denied> {
        let Some(grant) = &self.manifest.grants.github_write else {
            return self.not_granted("github-write");
        };
        self.repository("github-write", &grant.as_ref().repositories, repository)?;
        self.own_repository(repository)?;
        if branch.as_str() != self.task.branch() {
            return deny(
                "own-branch",
                format!("branch {branch} is not this task's; it may write to {} only", self.task.branch()),
            );
        }
        if !grant.as_ref().branches.iter().any(|pattern| pattern.matches(branch)) {
            return deny(
                "manifest-branches",
                format!("branch {branch} matches none of github-write.branches in {}", self.manifest.path.display()),
            );
        }
        Ok(())
    }

    fn own_repository(&self, repository: &Repository) -> Result<(), Denied> {
        match self.target {
            Some(target) if target.repository == *repository => Ok(()),
            Some(target) => {
                deny("own-repository", format!("{repository} is not the task's repository, {}", target.repository))
            }
            None => deny("own-repository", "the task's payload names no repository to change".to_owned()),
        }
    }

    fn own_base(&self, base: &str) -> Result<(), Denied> {
        match self.target {
            Some(target) if target.base.as_str() == base => Ok(()),
            Some(target) => deny("own-base", format!("{base:?} is not the task's base branch, {}", target.base)),
            None => deny("own-base", "the task's payload names no base branch".to_owned()),
        }
    }

    fn repository(
        &self,
        interface: &str,
        patterns: &[RepositoryPattern],
        repository: &Repository,
    ) -> Result<(), Denied> {
        if patterns.iter().any(|pattern| pattern.matches(repository)) {
            return Ok(());
        }
        deny(
            "manifest-repositories",
            format!(
                "repository {repository} is not granted; add \"{repository}\" to repositories of [grants.{interface}] in {}",
                self.manifest.path.display()
            ),
        )
    }

    fn base(&self, interface: &str, patterns: &[BranchPattern], base: &str) -> Result<(), Denied> {
        if Branch::parse(base).is_ok_and(|base| patterns.iter().any(|pattern| pattern.matches(&base))) {
            return Ok(());
        }
        deny(
            "manifest-bases",
            format!(
                "base branch {base:?} is not granted; see bases of [grants.{interface}] in {}",
                self.manifest.path.display()
            ),
        )
    }

    fn not_granted<T>(&self, interface: &str) -> Result<T, Denied> {
        deny("not-granted", format!("{} does not grant {interface}", self.manifest.path.display()))
    }
}

fn path_allowed(path: &str) -> Result<(), Denied> {
    match paths::runs_elsewhere(path) {
        Some(why) => deny("authority-elsewhere", format!("path {path:?} {why}; no role may write it")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
