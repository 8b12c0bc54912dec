//! `documentation`: the document answers at its URL, or the file at its place has that digest.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::observed::{Origin, canonical, content, newest_fetch, touches};
use super::{Refusal, World, refuse};
use crate::repo::Repository;
use crate::task::ClaimedDocument;

/// A document that the host saw.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DocumentEvidence {
    pub document: DocumentPlace,
    pub sha256: String,
    pub bytes: usize,
}

/// Where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DocumentPlace {
    Url { url: String, step: u32 },
    File { repository: Repository, path: String, reference: String },
}

pub(super) fn judge(claimed: &ClaimedDocument, world: &World) -> Result<(DocumentEvidence, BTreeSet<u32>), Refusal> {
    match claimed {
        ClaimedDocument::Url(url) => at_url(url, world),
        ClaimedDocument::File { repository, path, reference, sha256 } => {
            let repository = repository.as_ref().map_err(|problem| Refusal(problem.clone()))?;
            in_repository(repository, path, reference, sha256, world)
        }
    }
}

/// The newest look of this attempt counts.
fn at_url(url: &str, world: &World) -> Result<(DocumentEvidence, BTreeSet<u32>), Refusal> {
    let Some(target) = canonical(url) else {
        return refuse(format!("{url:?} is no URL that http-fetch fetches; name the document's own URL"));
    };
    let Some((step, status)) = newest_fetch(&world.steps, &target) else {
        return refuse(format!("no call of this attempt fetched {url}; fetch it, so that the host sees it answer"));
    };
    if !(200..300).contains(&status) {
        return refuse(format!("{url} answered with {status} in step {step}"));
    }
    let content = content(&world.steps, step, "the document")?;
    match &content.origin {
        Origin::Web { method, .. } if !method.eq_ignore_ascii_case("get") => {
            return refuse(format!("step {step} asked for {url} with {method}; fetch the document itself with GET"));
        }
        Origin::Web { .. } | Origin::File { .. } => {}
    }
    if content.body.is_empty() {
        return refuse(format!("{url} answers, and the answer is empty"));
    }
    let document = DocumentPlace::Url { url: target, step };
    let evidence = DocumentEvidence { document, sha256: content.sha256, bytes: content.body.len() };
    Ok((evidence, BTreeSet::from([step])))
}

fn in_repository(
    repository: &Repository,
    path: &str,
    reference: &str,
    sha256: &str,
    world: &World,
) -> Result<(DocumentEvidence, BTreeSet<u32>), Refusal> {
    if sha256.len() != 64 || !sha256.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return refuse(format!("{sha256:?} is no SHA-256: 64 lower-case hexadecimal digits of the content are"));
    }
    let Some(seen) = &world.document else {
        return refuse(format!("GitHub shows no file {path} at {reference} in {repository}"));
    };
    if seen.sha256 != sha256 {
        return refuse(format!(
            "{path} at {reference} in {repository} is claimed to have the SHA-256 {sha256}, and it has {}",
            seen.sha256
        ));
    }
    if seen.bytes == 0 {
        return refuse(format!("{path} at {reference} in {repository} is empty"));
    }
    let steps: BTreeSet<u32> =
        world.steps.iter().filter(|step| touches(step, repository, path)).map(|step| step.position).collect();
    if steps.is_empty() {
        return refuse(format!("no call of this attempt read or wrote {path} in {repository}; read it first"));
    }
    let document =
        DocumentPlace::File { repository: repository.clone(), path: path.to_owned(), reference: reference.to_owned() };
    Ok((DocumentEvidence { document, sha256: seen.sha256.clone(), bytes: seen.bytes }, steps))
}
