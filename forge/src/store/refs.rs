//! Branches, tags and what a client means by "ref".
//!
//! Invariant: a name from outside is looked up, never parsed as a revision expression (`main~3`, `@{1}`).

use git2::{Commit, ErrorCode, ObjectType, Oid};

use super::Repo;
use crate::error::StoreError;

const SHA_PREFIX_MIN: usize = 7;

/// A reference and the object that it points to.
#[derive(Debug)]
pub(crate) struct NamedRef {
    pub(crate) name: String,
    pub(crate) target: Oid,
    pub(crate) kind: ObjectType,
}

impl Repo {
    /// `name` is without `refs/`, and exact.
    pub(crate) fn reference(&self, name: &str) -> Result<NamedRef, StoreError> {
        let full = format!("refs/{name}");
        let target = self.ref_target(&full)?.ok_or(StoreError::NotFound)?;
        self.named(full, target)
    }

    pub(crate) fn matching_references(&self, prefix: &str) -> Result<Vec<NamedRef>, StoreError> {
        let full_prefix = format!("refs/{prefix}");
        let mut found = Vec::new();
        for reference in self.git.references()? {
            let reference = reference?;
            if let (Ok(name), Some(target)) = (reference.name(), reference.target())
                && name.starts_with(&full_prefix)
            {
                found.push(self.named(name.to_owned(), target)?);
            }
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    pub(crate) fn create_reference(&self, name: &str, sha: &str) -> Result<NamedRef, StoreError> {
        check_ref_name(name)?;
        let target = self.existing_object(sha)?;
        if self.ref_target(name)?.is_some() {
            return Err(unprocessable("Reference already exists"));
        }
        self.only_commits_on_branches(name, target)?;
        self.git.reference(name, target, false, "forge: create").map_err(|error| match error.code() {
            ErrorCode::Exists => unprocessable("Reference already exists"),
            // `a` and `a/b` cannot both be references.
            ErrorCode::Directory | ErrorCode::GenericError => unprocessable("Reference update failed"),
            _ => error.into(),
        })?;
        self.head_moved(name, target)?;
        self.named(name.to_owned(), target)
    }

    /// `name` is without `refs/`.
    pub(crate) fn update_reference(&self, name: &str, sha: &str, force: bool) -> Result<NamedRef, StoreError> {
        let full = format!("refs/{name}");
        let target = self.existing_object(sha)?;
        let Some(old) = self.ref_target(&full)? else {
            return Err(unprocessable("Reference does not exist"));
        };
        self.only_commits_on_branches(&full, target)?;
        if !force && old != target && !self.git.graph_descendant_of(target, old)? {
            return Err(unprocessable("Update is not a fast forward"));
        }
        self.git.reference(&full, target, true, "forge: update")?;
        self.head_moved(&full, target)?;
        self.named(full, target)
    }

    /// `name` is without `refs/`. Open pull requests from a deleted branch are closed, as on GitHub.
    pub(crate) fn delete_reference(&self, name: &str) -> Result<(), StoreError> {
        let full = format!("refs/{name}");
        if self.ref_target(&full)?.is_none() {
            return Err(unprocessable("Reference does not exist"));
        }
        if full == format!("refs/heads/{}", self.meta()?.default_branch) {
            return Err(unprocessable("Cannot delete the default branch"));
        }
        if let Some(branch) = full.strip_prefix("refs/heads/") {
            self.close_pulls_of(branch)?;
        }
        self.git.find_reference(&full)?.delete()?;
        Ok(())
    }

    pub(crate) fn branch_tip(&self, branch: &str) -> Result<Option<Commit<'_>>, StoreError> {
        match self.ref_target(&format!("refs/heads/{branch}"))? {
            Some(target) => Ok(Some(self.git.find_commit(target)?)),
            None => Ok(None),
        }
    }

    /// A branch, a tag, `heads/x`, `refs/heads/x`, `HEAD`, or a commit's SHA (at least seven digits of it).
    pub(crate) fn commit_of(&self, spec: &str) -> Result<Option<Commit<'_>>, StoreError> {
        let named = if spec == "HEAD" {
            vec![format!("refs/heads/{}", self.meta()?.default_branch)]
        } else {
            vec![format!("refs/heads/{spec}"), format!("refs/tags/{spec}"), format!("refs/{spec}"), spec.to_owned()]
        };
        for name in named.iter().filter(|name| name.starts_with("refs/")) {
            if let Some(target) = self.ref_target(name)? {
                let object = self.git.find_object(target, None)?;
                return Ok(object.peel_to_commit().ok());
            }
        }
        let hex = spec.len() >= SHA_PREFIX_MIN && spec.bytes().all(|b| b.is_ascii_hexdigit());
        if !hex || spec.len() > 40 {
            return Ok(None);
        }
        match self.git.find_commit_by_prefix(spec) {
            Ok(commit) => Ok(Some(commit)),
            Err(error)
                if matches!(error.code(), ErrorCode::NotFound | ErrorCode::Ambiguous | ErrorCode::InvalidSpec) =>
            {
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) fn ref_target(&self, full_name: &str) -> Result<Option<Oid>, StoreError> {
        if !git2::Reference::is_valid_name(full_name) {
            return Ok(None);
        }
        match self.git.find_reference(full_name) {
            Ok(reference) => Ok(reference.resolve()?.target()),
            Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Everything that follows from a branch having a new tip.
    pub(super) fn head_moved(&self, full_name: &str, tip: Oid) -> Result<(), StoreError> {
        let Some(branch) = full_name.strip_prefix("refs/heads/") else {
            return Ok(());
        };
        self.note_pull_head(branch, tip)?;
        self.plan_checks(branch, tip)
    }

    fn named(&self, name: String, target: Oid) -> Result<NamedRef, StoreError> {
        let kind = self.git.odb()?.read_header(target)?.1;
        Ok(NamedRef { name, target, kind })
    }

    fn existing_object(&self, sha: &str) -> Result<Oid, StoreError> {
        let target = full_sha(sha)?;
        if !self.git.odb()?.exists(target) {
            return Err(unprocessable("Object does not exist"));
        }
        Ok(target)
    }

    fn only_commits_on_branches(&self, name: &str, target: Oid) -> Result<(), StoreError> {
        if name.starts_with("refs/heads/") && self.git.find_commit(target).is_err() {
            return Err(unprocessable("Object is not a commit"));
        }
        Ok(())
    }
}

pub(crate) fn full_sha(sha: &str) -> Result<Oid, StoreError> {
    match Oid::from_str(sha) {
        Ok(oid) if sha.len() == 40 => Ok(oid),
        _ => Err(unprocessable("The sha parameter must be exactly 40 characters and contain only [0-9a-f].")),
    }
}

fn check_ref_name(name: &str) -> Result<(), StoreError> {
    if name.split('/').count() < 3 || !name.starts_with("refs/") {
        return Err(unprocessable(
            "Reference name must start with 'refs/' and contain at least three slash-separated components.",
        ));
    }
    if !git2::Reference::is_valid_name(name) {
        return Err(StoreError::Unprocessable(format!("{name} is not a valid ref name.")));
    }
    Ok(())
}

fn unprocessable(message: &str) -> StoreError {
    StoreError::Unprocessable(message.to_owned())
}
