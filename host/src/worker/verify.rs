//! Gathers what the host itself can see of a claim, for `evidence` to judge.

use super::Worker;
use crate::db::DbError;
use crate::db::journal::RunKey;
use crate::evidence::{self, Refusal, Verified, World};
use crate::github::{GitHub, GitHubError, PullRequest};
use crate::policy::{Assessment, Scope};
use crate::repo::{RepoPath, Repository};
use crate::task::{Claim, Criterion, EvidenceKind, Proof, Target, Task};

/// What came of a claim.
#[derive(Debug)]
pub(super) enum Verdict {
    Verified(Box<Verified>),
    Refused(Refusal),
    /// The outside did not answer; nothing is decided.
    Unanswered(String),
}

pub(super) async fn verify(worker: &Worker, task: &Task, key: &RunKey, claim: &Claim) -> Result<Verdict, DbError> {
    let mut world = World {
        steps: worker.db.load_steps(key.task, key.attempt).await?,
        own_commits: worker.db.commits_of_task(key.task).await?,
        ..World::default()
    };
    if let (EvidenceKind::MergedPullRequest, Some(Proof::MergedPullRequest { repository: Ok(repository), number })) =
        (task.evidence_kind, &claim.proof)
    {
        // The host asks about no repository on a role's word that the role itself may not read.
        if let Err(denied) = may_read(worker, task, repository) {
            return Ok(Verdict::Refused(Refusal(denied)));
        }
        let Some(github) = &worker.services.github else {
            return Ok(Verdict::Unanswered("this host has no GitHub token".to_owned()));
        };
        if let Err(error) = look(github, task, repository, *number, &mut world).await {
            return Ok(Verdict::Unanswered(error.to_string()));
        }
    }
    let judged = evidence::judge(task, claim, &world);
    // "Mark tasks complete without evidence" is a prohibited action like any other: policy has the last word.
    let completed = may_complete(worker, task, judged.is_ok());
    Ok(match (judged, completed) {
        (Ok(verified), Ok(())) => Verdict::Verified(Box::new(verified)),
        (Ok(_), Err(denied)) => Verdict::Refused(Refusal(denied)),
        (Err(refusal), _) => Verdict::Refused(refusal),
    })
}

fn may_complete(worker: &Worker, task: &Task, verified: bool) -> Result<(), String> {
    let (target, risk) = (task.target(), Assessment::new(task.risk, task.risk_reasons.clone()));
    let scope = scope(worker, task, &risk, target.as_ref());
    scope.complete(verified).map(drop).map_err(|denied| denied.to_string())
}

fn may_read(worker: &Worker, task: &Task, repository: &Repository) -> Result<(), String> {
    let target = task.target();
    let risk = Assessment::new(task.risk, task.risk_reasons.clone());
    let scope = scope(worker, task, &risk, target.as_ref());
    scope.read(repository).map(drop).map_err(|denied| denied.to_string())
}

fn scope<'a>(worker: &'a Worker, task: &'a Task, risk: &'a Assessment, target: Option<&'a Target>) -> Scope<'a> {
    Scope { authority: &worker.authority, task: task.id, task_type: &task.task_type, risk, target }
}

async fn look(
    github: &GitHub,
    task: &Task,
    repository: &Repository,
    number: u64,
    world: &mut World,
) -> Result<(), GitHubError> {
    let Some(pull_request) = found(github.pull_request(repository, number).await)? else {
        return Ok(());
    };
    if task.criteria.iter().any(|criterion| matches!(criterion, Criterion::CheckGreen { .. })) {
        world.checks = github.check_runs(repository, &pull_request.head_sha).await?;
    }
    for criterion in &task.criteria {
        if let Criterion::FileContains { path, .. } = criterion {
            world.files.push(file_after(github, repository, path, &pull_request).await?);
        }
    }
    world.pull_request = Some(pull_request);
    Ok(())
}

/// The file's text at the merge, none where there is no such text file.
async fn file_after(
    github: &GitHub,
    repository: &Repository,
    path: &str,
    pull_request: &PullRequest,
) -> Result<Option<String>, GitHubError> {
    let (Ok(path), Some(merge)) = (RepoPath::parse(path), &pull_request.merge_sha) else {
        return Ok(None);
    };
    let file = found(github.file(repository, &path, merge.as_str()).await)?;
    Ok(file.and_then(|file| String::from_utf8(file.content).ok()))
}

/// What does not exist is an answer; what can't be asked is not.
fn found<T>(answer: Result<T, GitHubError>) -> Result<Option<T>, GitHubError> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(GitHubError::NotFound(_) | GitHubError::Invalid(_)) => Ok(None),
        Err(error) => Err(error),
    }
}
