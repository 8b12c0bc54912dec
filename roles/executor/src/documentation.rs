//! `documentation`: a document is written by the way of a pull request, or is there already, in a repository or on the web.

use juggernaut_guest::{Assignment, Evidence, Failure, github_read, http_fetch, info, task};
use sha2::{Digest as _, Sha256};

use crate::answered;
use crate::change::{self, Job, Source};
use crate::payload::{self, Change, DocumentationPayload};

pub fn run(task: &Assignment) -> Result<Evidence, Failure> {
    let payload: DocumentationPayload = payload::parse("documentation", &task.payload)?;
    let DocumentationPayload { url, repository, base, path, content, instructions, message } = payload;
    match (url, repository, path) {
        (Some(url), None, None) if content.is_none() && instructions.is_none() => on_the_web(task, &url),
        (None, Some(repository), Some(path)) => {
            let source = match (content, instructions) {
                (Some(_), Some(_)) => {
                    return Err(Failure::final_("the payload has both content and instructions; give one"));
                }
                (Some(content), None) => Some(Source::Given(vec![Change { path: path.clone(), content }])),
                (None, Some(instructions)) => Some(Source::Instructions { instructions, only: Some(path.clone()) }),
                (None, None) => None,
            };
            let steps = match source {
                Some(source) => {
                    let subject = message.unwrap_or_else(|| task.title.clone());
                    let job = Job { repository: repository.clone(), base: base.clone(), kind: "docs", subject, source };
                    change::carry_out(task, &job)?.steps
                }
                None => Vec::new(),
            };
            in_repository(task, &repository, &path, &base, steps)
        }
        _ => Err(Failure::final_(
            "the payload names no document: give url, or repository and path, the latter with content or instructions where the \
             document is to be written",
        )),
    }
}

fn on_the_web(task: &Assignment, url: &str) -> Result<Evidence, Failure> {
    let answer = http_fetch::get(url)?;
    let step = task::last_step();
    if !(200..300).contains(&answer.status) {
        let status = answer.status;
        return Err(Failure::retriable(format!("{url} answers with {status}; publish the document, then retry")));
    }
    info!("{url} answers with {} bytes", answer.body.len());
    let steps: Vec<u32> = step.into_iter().collect();
    Ok(answered(Evidence::document_url(url).summary(format!("{}: {url}", task.title)), task, &steps))
}

fn in_repository(
    task: &Assignment,
    repository: &str,
    path: &str,
    base: &str,
    mut steps: Vec<u32>,
) -> Result<Evidence, Failure> {
    let file = github_read::get_file(repository, path, base)?;
    steps.extend(task::last_step());
    let digest = Sha256::digest(&file.content);
    let sha256: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let claim = Evidence::document_file(repository, path, base, sha256);
    Ok(answered(claim.summary(format!("{}: {path} at {base} in {repository}", task.title)), task, &steps))
}
