//! Reading trees and files at a commit.

use git2::{Commit, ErrorCode, ObjectType, Oid, Tree};

use super::{Repo, names};
use crate::error::StoreError;

pub(crate) const TREE_ENTRIES_MAX: usize = 100_000;

/// One entry of a tree, with its path from where the listing began.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) path: String,
    pub(crate) mode: u32,
    pub(crate) kind: ObjectType,
    pub(crate) sha: Oid,
    pub(crate) size: Option<usize>,
}

/// What a path names at a commit.
#[derive(Debug)]
pub(crate) enum Found {
    File(Entry),
    Directory(Vec<Entry>),
}

impl Entry {
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }
}

impl Repo {
    /// The commit that `?ref=` names, or the tip of the default branch.
    pub(crate) fn commit_for_contents(&self, spec: Option<&str>) -> Result<Commit<'_>, StoreError> {
        match spec {
            Some(spec) => self.commit_of(spec)?.ok_or_else(|| StoreError::NoCommitForRef(spec.to_owned())),
            None => self.commit_of("HEAD")?.ok_or(StoreError::Empty),
        }
    }

    pub(crate) fn find(&self, commit: &Commit<'_>, path: &str) -> Result<Found, StoreError> {
        let root = commit.tree()?;
        if path.is_empty() {
            return Ok(Found::Directory(self.list(&root, "")?));
        }
        // Reading a path that cannot exist is not found; only writing one is a mistake worth explaining.
        let path = names::tree_path(path).map_err(|_| StoreError::NotFound)?;
        let entry = self.entry(&root, path)?.ok_or(StoreError::NotFound)?;
        if entry.kind == ObjectType::Tree {
            let tree = self.git.find_tree(entry.sha)?;
            return Ok(Found::Directory(self.list(&tree, &format!("{path}/"))?));
        }
        Ok(Found::File(entry))
    }

    pub(super) fn entry(&self, root: &Tree<'_>, path: &str) -> Result<Option<Entry>, StoreError> {
        match root.get_path(path.as_ref()) {
            Ok(entry) => Ok(Some(self.describe(&entry, path.to_owned())?)),
            Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) fn blob(&self, sha: Oid) -> Result<Vec<u8>, StoreError> {
        Ok(self.git.find_blob(sha)?.content().to_vec())
    }

    /// The tree of a branch, a commit or a tree's own SHA, its entries, and whether some were left out.
    pub(crate) fn tree(&self, spec: &str, recursive: bool) -> Result<(Oid, Vec<Entry>, bool), StoreError> {
        let tree = match self.commit_of(spec)? {
            Some(commit) => commit.tree()?,
            None => Oid::from_str(spec).and_then(|oid| self.git.find_tree(oid)).map_err(|_| StoreError::NotFound)?,
        };
        let mut entries = Vec::new();
        self.walk(&tree, "", recursive, &mut entries)?;
        let truncated = entries.len() > TREE_ENTRIES_MAX;
        entries.truncate(TREE_ENTRIES_MAX);
        Ok((tree.id(), entries, truncated))
    }

    fn walk(&self, tree: &Tree<'_>, prefix: &str, recursive: bool, entries: &mut Vec<Entry>) -> Result<(), StoreError> {
        for entry in self.list(tree, prefix)? {
            if entries.len() > TREE_ENTRIES_MAX {
                return Ok(());
            }
            let below = (recursive && entry.kind == ObjectType::Tree).then(|| (entry.sha, format!("{}/", entry.path)));
            entries.push(entry);
            if let Some((sha, prefix)) = below {
                self.walk(&self.git.find_tree(sha)?, &prefix, recursive, entries)?;
            }
        }
        Ok(())
    }

    fn list(&self, tree: &Tree<'_>, prefix: &str) -> Result<Vec<Entry>, StoreError> {
        tree.iter()
            .map(|entry| {
                let path = format!("{prefix}{}", String::from_utf8_lossy(entry.name_bytes()));
                self.describe(&entry, path)
            })
            .collect()
    }

    fn describe(&self, entry: &git2::TreeEntry<'_>, path: String) -> Result<Entry, StoreError> {
        let kind = entry.kind().unwrap_or(ObjectType::Any);
        let size = match kind {
            ObjectType::Blob => Some(self.git.odb()?.read_header(entry.id())?.0),
            _ => None,
        };
        Ok(Entry { path, mode: u32::try_from(entry.filemode()).unwrap_or_default(), kind, sha: entry.id(), size })
    }
}
