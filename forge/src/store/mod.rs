//! Bare git repositories below one directory, and what GitHub knows beside git: pull requests, check runs and runs of
//! workflows.
//!
//! Invariant: every change of a repository happens inside [`Store::locked`], so changes of one repository are in
//! sequence; reading takes no lock. All of it blocks: call it from a blocking thread only.

mod checks;
mod commit_files;
mod commits;
mod diff;
mod json;
mod merges;
mod names;
mod pulls;
mod refs;
mod seed;
mod trees;
mod workflows;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use git2::Repository;
use serde::{Deserialize, Serialize};

pub(crate) use checks::{CheckChange, CheckOutput, CheckRun, CheckStatus};
pub use checks::{CheckConclusion, CheckPolicy};
pub(crate) use commit_files::{FileWrite, Signer, WrittenFile};
pub(crate) use diff::FileDiff;
pub(crate) use json::{read as read_json, write as write_json};
pub(crate) use merges::{MergeMethod, MergeRequest};
pub(crate) use names::matches;
pub use names::{BadRepoName, RepoName};
pub(crate) use pulls::{NewPull, Pull, PullChange, PullView};
pub(crate) use refs::NamedRef;
pub(crate) use seed::Content;
pub(crate) use trees::{Entry, Found};
pub(crate) use workflows::{Dispatch, RunChange, WorkflowPolicy, WorkflowRun};

use crate::error::StoreError;

/// All repositories of a forge.
#[derive(Debug)]
pub(crate) struct Store {
    root: PathBuf,
    checks: Arc<[CheckPolicy]>,
    locks: Mutex<HashMap<RepoName, Arc<Mutex<()>>>>,
}

/// One repository, opened for one request.
pub(crate) struct Repo {
    pub(crate) name: RepoName,
    pub(crate) git: Repository,
    dir: PathBuf,
    checks: Arc<[CheckPolicy]>,
}

/// What GitHub knows of a repository and git does not.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Meta {
    pub(crate) default_branch: String,
    pub(crate) created_at: String,
    pub(crate) check_policies: Vec<CheckPolicy>,
    #[serde(default)]
    pub(crate) workflow_policies: Vec<WorkflowPolicy>,
}

impl Store {
    pub(crate) fn open(root: &Path, checks: Vec<CheckPolicy>) -> Result<Self, StoreError> {
        fs::create_dir_all(root)?;
        Ok(Self { root: root.canonicalize()?, checks: checks.into(), locks: Mutex::default() })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn repo(&self, name: &RepoName) -> Result<Repo, StoreError> {
        let dir = self.dir(name);
        // The metadata is written last when a repository is made: without it the repository is not there yet.
        if !dir.join("forge/repository.json").is_file() {
            return Err(StoreError::NotFound);
        }
        Ok(Repo { name: name.clone(), git: Repository::open_bare(&dir)?, dir, checks: Arc::clone(&self.checks) })
    }

    /// Runs a change of a repository while no other change of it runs.
    pub(crate) fn locked<T>(
        &self,
        name: &RepoName,
        change: impl FnOnce(&Repo) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let repo = self.repo(name)?;
        let lock = self.lock(name);
        // A panic under the lock leaves git and the documents whole, since both are replaced by rename.
        let _guard = lock.lock().unwrap_or_else(PoisonError::into_inner);
        change(&repo)
    }

    fn lock(&self, name: &RepoName) -> Arc<Mutex<()>> {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(locks.entry(name.clone()).or_default())
    }

    fn dir(&self, name: &RepoName) -> PathBuf {
        self.root.join(name.owner()).join(format!("{}.git", name.name()))
    }
}

impl Repo {
    pub(crate) fn meta(&self) -> Result<Meta, StoreError> {
        self.read("repository")
    }

    pub(crate) fn set_check_policies(&self, policies: Vec<CheckPolicy>) -> Result<(), StoreError> {
        let mut meta = self.meta()?;
        meta.check_policies = policies;
        self.write("repository", &meta)
    }

    pub(crate) fn set_workflow_policies(&self, policies: Vec<WorkflowPolicy>) -> Result<(), StoreError> {
        let mut meta = self.meta()?;
        meta.workflow_policies = policies;
        self.write("repository", &meta)
    }

    fn read<T: serde::de::DeserializeOwned + Default>(&self, document: &str) -> Result<T, StoreError> {
        json::read(&self.dir.join(format!("forge/{document}.json")))
    }

    fn write<T: Serialize>(&self, document: &str, value: &T) -> Result<(), StoreError> {
        json::write(&self.dir.join(format!("forge/{document}.json")), value)
    }
}
