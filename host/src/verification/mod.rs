//! Asks the world what `evidence` judges: for a claim when a run ends, and again for completed tasks.
//!
//! Invariant: what does not exist is an answer; what can't be asked is none, and decides nothing.

mod again;
mod gather;

pub use again::{Asked, Checked, Found, Request, verify_again};
pub use gather::{Gathered, gather};

use sha2::{Digest as _, Sha256};

use crate::evidence::SeenDocument;
use crate::github::{GitHub, GitHubError};
use crate::repo::{RepoPath, Repository};
use crate::task::Criterion;

/// The file as it is now, none where there is no such file.
async fn document(
    github: &GitHub,
    repository: &Repository,
    path: &str,
    reference: &str,
) -> Result<Option<SeenDocument>, GitHubError> {
    let Ok(path) = RepoPath::parse(path) else { return Ok(None) };
    let file = found(github.file(repository, &path, reference).await)?;
    Ok(file.map(|file| SeenDocument { sha256: hex::encode(Sha256::digest(&file.content)), bytes: file.content.len() }))
}

/// One for each `file-contains` criterion: its text, none where there is no such text file.
async fn files(
    github: &GitHub,
    criteria: &[Criterion],
    repository: &Repository,
    reference: Option<&str>,
) -> Result<Vec<Option<String>>, GitHubError> {
    let mut files = Vec::new();
    for criterion in criteria {
        let Criterion::FileContains { path, .. } = criterion else { continue };
        files.push(match (RepoPath::parse(path), reference) {
            (Ok(path), Some(reference)) => {
                let file = found(github.file(repository, &path, reference).await)?;
                file.and_then(|file| String::from_utf8(file.content).ok())
            }
            (Ok(_) | Err(_), _) => None,
        });
    }
    Ok(files)
}

fn found<T>(answer: Result<T, GitHubError>) -> Result<Option<T>, GitHubError> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(GitHubError::NotFound(_) | GitHubError::Invalid(_)) => Ok(None),
        Err(error) => Err(error),
    }
}
