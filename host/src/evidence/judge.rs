//! The rules of the specification's "Requirements for Completion".

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Answered, CriterionVerdict, Refusal, StepRef, VerdictMark, Verified, World};
use crate::github::{PullRequest, PullRequestState};
use crate::journal::Step;
use crate::repo::Repository;
use crate::task::{Claim, CodePayload, Criterion, EvidenceKind, Proof, SUMMARY_BYTES_MAX, Task};

/// Conclusions of a check run that do not stand in the way of a merge.
const GREEN: &[&str] = &["success", "neutral", "skipped"];

fn refuse<T>(reason: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal(reason.into()))
}

/// Whether the claim holds, and on what.
pub fn judge(task: &Task, claim: &Claim, world: &World) -> Result<Verified, Refusal> {
    if claim.summary.len() > SUMMARY_BYTES_MAX {
        return refuse(format!("the summary is longer than {SUMMARY_BYTES_MAX} bytes"));
    }
    match task.evidence_kind {
        EvidenceKind::MergedPullRequest => judge_merge(task, claim, world),
        EvidenceKind::TestResults
        | EvidenceKind::VerificationReport
        | EvidenceKind::CitedSummary
        | EvidenceKind::Document
        | EvidenceKind::TasksCreated
        | EvidenceKind::ReportStored
        | EvidenceKind::AlertsEvaluated
        | EvidenceKind::RecommendationFiled => refuse(format!(
            "this host can not verify `{}`, which a `{}` task needs, and accepts nothing unverified",
            task.evidence_kind, task.task_type
        )),
    }
}

fn judge_merge(task: &Task, claim: &Claim, world: &World) -> Result<Verified, Refusal> {
    let (repository, number) = named_pull_request(task, claim)?;
    let Some(pull_request) = &world.pull_request else {
        return refuse(format!("GitHub shows no pull request #{number} in {repository}"));
    };
    let payload = CodePayload::parse(&task.payload).map_err(Refusal)?;
    if !payload.repository.eq_ignore_ascii_case(&repository.to_string()) {
        return refuse(format!("{repository} is not the task's repository, {}", payload.repository));
    }
    check_pull_request(task, &payload, repository, pull_request)?;
    if !world.own_commits.contains(&pull_request.head_sha) {
        return refuse(format!(
            "the merged head {} is not a commit that this task's calls made",
            pull_request.head_sha
        ));
    }
    let criteria = answer_criteria(task, claim, world)?;
    let mut steps: BTreeSet<u32> = criteria.iter().flat_map(|criterion| criterion.steps.iter().copied()).collect();
    let merge = world.steps.iter().find(|step| merges(step, repository, number));
    steps.extend(merge.map(|step| step.position));
    steps.extend(world.steps.iter().filter(|step| shows(step, number)).map(|step| step.position));
    if steps.is_empty() {
        return refuse("no step of this attempt's journal looked at the pull request");
    }
    Ok(Verified {
        verdict: VerdictMark::Verified,
        kind: task.evidence_kind.to_string(),
        repository: repository.clone(),
        pull_request: pull_request.clone(),
        files: committed_files(&world.steps),
        merged_by_this_run: merge.is_some(),
        criteria,
        steps: steps.into_iter().map(|position| StepRef { attempt: task.attempt, position }).collect(),
        summary: claim.summary.clone(),
    })
}

fn named_pull_request<'a>(task: &Task, claim: &'a Claim) -> Result<(&'a Repository, u64), Refusal> {
    match &claim.proof {
        Some(Proof::MergedPullRequest { repository: Ok(repository), number }) => Ok((repository, *number)),
        Some(Proof::MergedPullRequest { repository: Err(problem), .. }) => refuse(problem),
        None => {
            let said: String = claim.summary.chars().take(80).collect();
            refuse(format!(
                "{said:?} is prose. A `{}` task is completed only by `merged-pull-request` evidence: name the repository \
                 and the number of the pull request that is merged from branch {}",
                task.task_type,
                task.branch()
            ))
        }
    }
}

fn check_pull_request(
    task: &Task,
    payload: &CodePayload,
    repository: &Repository,
    pull_request: &PullRequest,
) -> Result<(), Refusal> {
    let number = pull_request.number;
    match pull_request.state {
        PullRequestState::Merged => {}
        PullRequestState::Open => return refuse(format!("pull request #{number} is open, not merged")),
        PullRequestState::Closed => return refuse(format!("pull request #{number} was closed without a merge")),
    }
    if pull_request.head_repository.as_ref() != Some(repository) {
        return refuse(format!("pull request #{number} comes from another repository"));
    }
    if pull_request.head_branch != task.branch() {
        return refuse(format!(
            "pull request #{number} comes from branch {}, this task's is {}",
            pull_request.head_branch,
            task.branch()
        ));
    }
    if pull_request.base_branch != payload.base {
        return refuse(format!(
            "pull request #{number} went into {}, the task asks for {}",
            pull_request.base_branch, payload.base
        ));
    }
    Ok(())
}

fn merges(step: &Step, repository: &Repository, number: u64) -> bool {
    step.interface == "github-merge"
        && step.outcome.as_ref().is_some_and(|outcome| outcome.ok().is_some())
        && step.arguments.get("repository").and_then(Value::as_str) == Some(&repository.to_string())
        && step.arguments.get("number").and_then(Value::as_u64) == Some(number)
}

/// A step that answered with the pull request.
fn shows(step: &Step, number: u64) -> bool {
    step.outcome.as_ref().and_then(|outcome| outcome.ok()).is_some_and(|answer| {
        let is_it = |value: &Value| value.get("number").and_then(Value::as_u64) == Some(number);
        is_it(answer) || answer.as_array().is_some_and(|items| items.iter().any(is_it))
    })
}

fn committed_files(steps: &[Step]) -> Vec<String> {
    let paths: BTreeSet<String> = steps
        .iter()
        .filter(|step| step.function == "put-file" && step.outcome.as_ref().is_some_and(|o| o.ok().is_some()))
        .filter_map(|step| step.arguments.get("path").and_then(Value::as_str).map(str::to_owned))
        .collect();
    paths.into_iter().collect()
}

fn answer_criteria(task: &Task, claim: &Claim, world: &World) -> Result<Vec<CriterionVerdict>, Refusal> {
    if claim.answers.len() > task.criteria.len() {
        return refuse(format!("{} answers for {} criteria", claim.answers.len(), task.criteria.len()));
    }
    let mut files = world.files.iter();
    let mut verdicts = Vec::new();
    for (number, criterion) in (0u32..).zip(&task.criteria) {
        let text = criterion.describe();
        let steps = answered_steps(claim, world, number, &text)?;
        let answered = match criterion {
            Criterion::Merged => Answered::Verified,
            Criterion::FileContains { path, text } => match files.next() {
                Some(Some(content)) if content.contains(text.as_str()) => Answered::Verified,
                Some(Some(_)) => return refuse(format!("criterion {number}: {path} does not contain {text:?}")),
                Some(None) | None => return refuse(format!("criterion {number}: there is no text file {path}")),
            },
            Criterion::CheckGreen { name } => check_green(world, number, name)?,
            Criterion::FreeText { .. } => Answered::Attested,
        };
        verdicts.push(CriterionVerdict { number, kind: criterion.kind().to_owned(), text, answered, steps });
    }
    Ok(verdicts)
}

fn check_green(world: &World, number: u32, name: &str) -> Result<Answered, Refusal> {
    let conclusion = world.checks.iter().find(|check| check.name == name).map(|check| check.conclusion.as_deref());
    match conclusion {
        Some(Some(conclusion)) if GREEN.contains(&conclusion) => Ok(Answered::Verified),
        Some(conclusion) => {
            refuse(format!("criterion {number}: check {name:?} is {}", conclusion.unwrap_or("not finished")))
        }
        None => refuse(format!("criterion {number}: there is no check {name:?} on the merged head")),
    }
}

/// Each criterion is answered one by one, with steps that exist and succeeded.
fn answered_steps(claim: &Claim, world: &World, number: u32, text: &str) -> Result<Vec<u32>, Refusal> {
    let mut answers = claim.answers.iter().filter(|answer| answer.criterion == number);
    let (Some(answer), None) = (answers.next(), answers.next()) else {
        return refuse(format!("criterion {number} ({text}) needs exactly one answer with journal steps"));
    };
    if answer.steps.len() > world.steps.len() {
        return refuse(format!("criterion {number} ({text}) names more steps than the journal has"));
    }
    if answer.steps.is_empty() {
        return refuse(format!("criterion {number} ({text}) is answered without a journal step"));
    }
    for position in &answer.steps {
        // Positions count from 0 without gaps.
        let step = world.steps.get(*position as usize).filter(|step| step.position == *position);
        let Some(outcome) = step.and_then(|step| step.outcome.as_ref()) else {
            return refuse(format!("criterion {number} names step {position}, which this attempt's journal has not"));
        };
        if outcome.ok().is_none() {
            return refuse(format!("criterion {number} names step {position}, which failed"));
        }
    }
    let mut steps = answer.steps.clone();
    steps.sort_unstable();
    steps.dedup();
    Ok(steps)
}
