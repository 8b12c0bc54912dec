//! EXECUTOR: carries a `code` task to a merged pull request.
//!
//! The six steps of the specification's "Code Task Workflow", in order: base commit, branch, files, pull request,
//! merge, evidence. Each step first looks at what is there, so that an attempt after a failed one goes on from its
//! branch and its pull request and never makes a second one.

mod branch;
mod checks;
mod payload;
mod pull_request;

use juggernaut_guest::{Assignment, Evidence, Failure, github_merge, info, task};

use payload::Payload;

juggernaut_guest::role!(run);

fn run(task: Assignment) -> Result<Evidence, Failure> {
    let payload = Payload::parse(&task.payload)?;
    if let Some(last) = &task.last_error {
        info!("attempt {}; the one before ended with: {last}", task.attempt);
    }
    let mut steps = Vec::new();
    if let Some(merged) = pull_request::merged_before(&task, &payload)? {
        info!("pull request #{} is merged already", merged.number);
        steps.extend(task::last_step());
        return Ok(evidence(&task, &payload, merged.number, &steps));
    }
    let head = branch::prepare(&task, &payload, &mut steps)?;
    let pull_request = pull_request::open(&task, &payload, &mut steps)?;
    checks::wait(&payload, &head)?;
    steps.extend(task::last_step());
    match github_merge::merge(&payload.repository, pull_request.number, &head) {
        Ok(merged) => info!("merged pull request #{} as {}", pull_request.number, merged.sha),
        Err(error) => pull_request::merged_meanwhile(&payload, pull_request.number, error)?,
    }
    steps.extend(task::last_step());
    Ok(evidence(&task, &payload, pull_request.number, &steps))
}

/// Each criterion is answered with the calls that changed or showed something; the host verifies what it can.
fn evidence(task: &Assignment, payload: &Payload, number: u64, steps: &[u32]) -> Evidence {
    let paths: Vec<&str> = payload.changes.iter().map(|change| change.path.as_str()).collect();
    let claim = Evidence::merged_pull_request(&payload.repository, number).summary(format!(
        "{}: {}",
        task.title,
        paths.join(", ")
    ));
    task.criteria.iter().fold(claim, |claim, criterion| claim.answer(criterion.number, steps))
}
