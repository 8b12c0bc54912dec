//! `code`: the pull request is merged, from the task's branch, at a commit of the task.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Refusal, World, refuse};
use crate::github::{PullRequest, PullRequestState};
use crate::journal::Step;
use crate::repo::Repository;
use crate::task::{CodePayload, Task};

/// A merge that the host saw.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MergeEvidence {
    pub repository: Repository,
    pub pull_request: PullRequest,
    /// Files that this attempt committed, by the journal.
    pub files: Vec<String>,
    /// Whether the merge is a step of this attempt, or somebody else merged what this task committed.
    pub merged_by_this_run: bool,
}

pub(super) fn judge(
    task: &Task,
    repository: &Result<Repository, String>,
    number: u64,
    world: &World,
) -> Result<(MergeEvidence, BTreeSet<u32>), Refusal> {
    let repository = repository.as_ref().map_err(|problem| Refusal(problem.clone()))?;
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
    let merge = world.steps.iter().find(|step| merges(step, repository, number));
    let mut steps: BTreeSet<u32> = merge.map(|step| step.position).into_iter().collect();
    steps.extend(world.steps.iter().filter(|step| shows(step, repository, number)).map(|step| step.position));
    let evidence = MergeEvidence {
        repository: repository.clone(),
        pull_request: pull_request.clone(),
        files: committed_files(&world.steps),
        merged_by_this_run: merge.is_some(),
    };
    Ok((evidence, steps))
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

/// A call to GitHub that answered with the pull request of this repository.
fn shows(step: &Step, repository: &Repository, number: u64) -> bool {
    step.interface.starts_with("github-")
        && step.arguments.get("repository").and_then(Value::as_str) == Some(&repository.to_string())
        && step.outcome.as_ref().and_then(|outcome| outcome.ok()).is_some_and(|answer| {
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
