//! Changed files between two trees, in GitHub's terms.

use git2::{Delta, Diff, DiffFindOptions, DiffOptions, Oid, Patch};

use super::Repo;
use crate::error::StoreError;

/// GitHub leaves the patch of a larger file out.
const PATCH_BYTES_MAX: usize = 1024 * 1024;

#[derive(Debug)]
pub(crate) struct FileDiff {
    pub(crate) filename: String,
    pub(crate) previous_filename: Option<String>,
    pub(crate) status: &'static str,
    pub(crate) additions: usize,
    pub(crate) deletions: usize,
    /// The blob after the change, or the last one of a removed file.
    pub(crate) sha: Oid,
    /// Absent for binary and for very large files.
    pub(crate) patch: Option<String>,
}

impl Repo {
    /// From the empty tree if `old` is `None`: a commit without parents.
    pub(crate) fn diff_commits(&self, old: Option<Oid>, new: Oid) -> Result<Vec<FileDiff>, StoreError> {
        let old = match old {
            Some(old) => Some(self.git.find_commit(old)?.tree()?),
            None => None,
        };
        let new = self.git.find_commit(new)?.tree()?;
        let mut options = DiffOptions::new();
        options.context_lines(3);
        let mut diff = self.git.diff_tree_to_tree(old.as_ref(), Some(&new), Some(&mut options))?;
        diff.find_similar(Some(DiffFindOptions::new().renames(true)))?;
        (0..diff.deltas().len()).filter_map(|at| file_diff(&diff, at).transpose()).collect()
    }
}

fn file_diff(diff: &Diff<'_>, at: usize) -> Result<Option<FileDiff>, StoreError> {
    let Some(delta) = diff.get_delta(at) else {
        return Ok(None);
    };
    let status = match delta.status() {
        Delta::Added => "added",
        Delta::Deleted => "removed",
        Delta::Renamed => "renamed",
        Delta::Copied => "copied",
        Delta::Typechange => "changed",
        _ => "modified",
    };
    let path =
        |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default();
    let old_path = path(delta.old_file().path_bytes());
    let file = if delta.status() == Delta::Deleted { delta.old_file() } else { delta.new_file() };
    let (additions, deletions, text) = match Patch::from_diff(diff, at)? {
        Some(mut change) => {
            let (_, additions, deletions) = change.line_stats()?;
            (additions, deletions, hunks(&mut change)?)
        }
        None => (0, 0, None),
    };
    Ok(Some(FileDiff {
        filename: path(file.path_bytes()),
        previous_filename: (status == "renamed").then_some(old_path),
        status,
        additions,
        deletions,
        sha: file.id(),
        patch: text,
    }))
}

/// GitHub's `patch` begins with the first hunk and has no newline at its end.
fn hunks(patch: &mut Patch<'_>) -> Result<Option<String>, StoreError> {
    if patch.num_hunks() == 0 {
        return Ok(None);
    }
    let whole = patch.to_buf()?;
    if whole.len() > PATCH_BYTES_MAX {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&whole).into_owned();
    let Some(at) = text.find("\n@@") else {
        return Ok(None);
    };
    let hunks = &text[at + 1..];
    Ok(Some(hunks.strip_suffix('\n').unwrap_or(hunks).to_owned()))
}
