//! Walking the history.

use git2::{Commit, Oid, Sort};

use super::{Repo, names};
use crate::error::StoreError;

/// `head` seen from `base`.
#[derive(Debug)]
pub(crate) struct Distance {
    pub(crate) merge_base: Oid,
    pub(crate) behind_by: usize,
    /// On `head` and not on `base`, oldest first.
    pub(crate) ahead: Vec<Oid>,
}

/// One page of something, and how many there are in all.
#[derive(Debug)]
pub(crate) struct Slice<T> {
    pub(crate) items: Vec<T>,
    pub(crate) total: usize,
}

impl Repo {
    /// Newest first; with `path`, only commits that changed what is there.
    pub(crate) fn history(
        &self,
        from: &Commit<'_>,
        path: Option<&str>,
        skip: usize,
        take: usize,
    ) -> Result<Slice<Oid>, StoreError> {
        let path = match path.map(names::tree_path) {
            Some(Ok(path)) => Some(path),
            // Nothing ever was at a path that cannot exist.
            Some(Err(_)) => {
                return Ok(Slice { items: Vec::new(), total: 0 });
            }
            None => None,
        };
        let mut walk = self.git.revwalk()?;
        walk.set_sorting(Sort::TOPOLOGICAL | Sort::TIME)?;
        walk.push(from.id())?;
        let mut items = Vec::new();
        let mut total = 0;
        for oid in walk {
            let oid = oid?;
            if let Some(path) = path
                && !self.changed(&self.git.find_commit(oid)?, path)?
            {
                continue;
            }
            if total >= skip && items.len() < take {
                items.push(oid);
            }
            total += 1;
        }
        Ok(Slice { items, total })
    }

    /// A merge counts only if it differs from each of its parents, as in `git log -- path`.
    fn changed(&self, commit: &Commit<'_>, path: &str) -> Result<bool, StoreError> {
        let here = self.entry(&commit.tree()?, path)?.map(|entry| entry.sha);
        if commit.parent_count() == 0 {
            return Ok(here.is_some());
        }
        for parent in commit.parents() {
            if self.entry(&parent.tree()?, path)?.map(|entry| entry.sha) == here {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Histories without a common commit have no distance: not found, as on GitHub.
    pub(crate) fn distance(&self, base: Oid, head: Oid) -> Result<Distance, StoreError> {
        let merge_base = self.git.merge_base(base, head).map_err(|error| {
            if error.code() == git2::ErrorCode::NotFound { StoreError::NotFound } else { error.into() }
        })?;
        let mut walk = self.git.revwalk()?;
        walk.set_sorting(Sort::TOPOLOGICAL | Sort::REVERSE)?;
        walk.push(head)?;
        walk.hide(base)?;
        let ahead = walk.collect::<Result<Vec<_>, _>>()?;
        let (_, behind_by) = self.git.graph_ahead_behind(head, base)?;
        Ok(Distance { merge_base, behind_by, ahead })
    }
}
