//! Committing one file onto a branch.

use git2::build::TreeUpdateBuilder;
use git2::{Commit, ErrorCode, FileMode, ObjectType, Oid, Signature, Time, Tree};

use super::trees::Entry;
use super::{Repo, names};
use crate::error::StoreError;

const FORGE_NAME: &str = "Juggernaut Forge";
const FORGE_EMAIL: &str = "forge@localhost";

/// An author or committer given by the client.
#[derive(Clone, Debug)]
pub(crate) struct Signer {
    pub(crate) name: String,
    pub(crate) email: String,
    pub(crate) unix: Option<i64>,
}

#[derive(Debug)]
pub(crate) struct FileWrite {
    pub(crate) path: String,
    pub(crate) message: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) branch: Option<String>,
    /// The blob that the client believes to replace.
    pub(crate) sha: Option<String>,
    pub(crate) author: Option<Signer>,
    pub(crate) committer: Option<Signer>,
}

#[derive(Debug)]
pub(crate) struct WrittenFile {
    pub(crate) entry: Entry,
    pub(crate) branch: String,
    pub(crate) commit: Oid,
    pub(crate) created: bool,
}

impl Repo {
    pub(crate) fn write_file(&self, write: &FileWrite) -> Result<WrittenFile, StoreError> {
        let path = names::tree_path(&write.path)?;
        let branch = match &write.branch {
            Some(branch) => branch.clone(),
            None => self.meta()?.default_branch,
        };
        let tip = self.branch_tip(&branch)?.ok_or_else(|| StoreError::BranchNotFound(branch.clone()))?;
        let root = tip.tree()?;
        let old = self.entry(&root, path)?;
        check_replaced(write, old.as_ref())?;
        self.no_file_above(&root, path)?;

        let blob = self.git.blob(&write.bytes)?;
        let mode = match old.as_ref().map(|entry| entry.mode) {
            Some(0o100_755) => FileMode::BlobExecutable,
            _ => FileMode::Blob,
        };
        let mut update = TreeUpdateBuilder::new();
        update.upsert(path, blob, mode);
        let tree = self.git.find_tree(update.create_updated(&self.git, &root)?)?;
        let commit = self.commit_on(&branch, write, &tree, &tip)?;
        let entry = self.entry(&tree, path)?.ok_or(StoreError::NotFound)?;
        Ok(WrittenFile { entry, branch, commit, created: old.is_none() })
    }

    fn commit_on(&self, branch: &str, write: &FileWrite, tree: &Tree<'_>, tip: &Commit<'_>) -> Result<Oid, StoreError> {
        let committer = signature(write.committer.as_ref())?;
        let author = signature(write.author.as_ref().or(write.committer.as_ref()))?;
        let full_name = format!("refs/heads/{branch}");
        let commit = self
            .git
            .commit(Some(&full_name), &author, &committer, &write.message, tree, &[tip])
            .map_err(|error| moved_meanwhile(&error, branch))?;
        self.head_moved(&full_name, commit)?;
        Ok(commit)
    }

    /// `a` being a file, `a/b` cannot be written; git2 would silently put a directory in its place.
    fn no_file_above(&self, root: &Tree<'_>, path: &str) -> Result<(), StoreError> {
        for (at, _) in path.match_indices('/') {
            let above = self.entry(root, &path[..at])?;
            if above.is_some_and(|entry| entry.kind != ObjectType::Tree) {
                return Err(StoreError::Unprocessable(format!(
                    "path contains a file where a directory is needed: {}",
                    &path[..at]
                )));
            }
        }
        Ok(())
    }
}

fn check_replaced(write: &FileWrite, old: Option<&Entry>) -> Result<(), StoreError> {
    match (old, &write.sha) {
        (None, None) => Ok(()),
        (Some(entry), _) if entry.kind != ObjectType::Blob => {
            Err(StoreError::Unprocessable(format!("{} is not a file", write.path)))
        }
        (Some(_), None) => Err(StoreError::Unprocessable("Invalid request.\n\n\"sha\" wasn't supplied.".to_owned())),
        (Some(entry), Some(sha)) if entry.sha.to_string() == *sha => Ok(()),
        (_, Some(sha)) => Err(StoreError::ShaMismatch { path: write.path.clone(), sha: sha.clone() }),
    }
}

/// Somebody pushed into the bare repository past the forge, which our lock cannot prevent.
pub(super) fn moved_meanwhile(error: &git2::Error, branch: &str) -> StoreError {
    match error.code() {
        ErrorCode::Modified | ErrorCode::Locked => {
            StoreError::Conflict(format!("{branch} was modified meanwhile; read it and try again"))
        }
        _ => StoreError::Git(git2::Error::new(error.code(), error.class(), error.message())),
    }
}

pub(super) fn forge_signature() -> Result<Signature<'static>, StoreError> {
    Ok(Signature::now(FORGE_NAME, FORGE_EMAIL)?)
}

fn signature(signer: Option<&Signer>) -> Result<Signature<'static>, StoreError> {
    let Some(Signer { name, email, unix }) = signer else {
        return forge_signature();
    };
    let made = match unix {
        Some(unix) => Signature::new(name, email, &Time::new(*unix, 0)),
        None => Signature::now(name, email),
    };
    made.map_err(|_| StoreError::Unprocessable("author and committer need a name and an email".to_owned()))
}
