//! EXECUTOR: carries `code`, `test`, `verification` and `documentation` tasks out.
//!
//! A change of a repository takes the six steps of the specification's "Code Task Workflow", in order: base commit, branch, files,
//! pull request, merge, evidence (`change`). Each step first looks at what is there, so that an attempt after a failed one goes on
//! from its branch and its pull request and never makes a second one. Files are given in the payload, or written by a language model
//! after the payload's instructions (`author`), which mends what the host's quality gate and the repository's checks find.
//!
//! Invariant: a model proposes content of files and nothing else. Where they go, and whether they go anywhere, the host decides.

mod author;
mod branch;
mod change;
mod checks;
mod code;
mod context;
mod documentation;
mod edits;
mod junit;
mod lessons;
mod payload;
mod pull_request;
mod suites;
mod verification;

use juggernaut_guest::{Assignment, Evidence, Failure, info};

juggernaut_guest::role!(run);

fn run(task: Assignment) -> Result<Evidence, Failure> {
    if let Some(last) = &task.last_error {
        info!("attempt {}; the one before ended with: {last}", task.attempt);
    }
    match task.task_type.as_str() {
        "code" => code::run(&task),
        "test" => suites::run(&task),
        "verification" => verification::run(&task),
        "documentation" => documentation::run(&task),
        other => Err(Failure::final_(format!("this executor does not know tasks of the type {other:?}"))),
    }
}

/// Each criterion is answered with the calls that changed or showed something; the host verifies what it can.
fn answered(claim: Evidence, task: &Assignment, steps: &[u32]) -> Evidence {
    task.criteria.iter().fold(claim, |claim, criterion| claim.answer(criterion.number, steps))
}
