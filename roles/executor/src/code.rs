//! `code`: a change that ends as a merged pull request.

use juggernaut_guest::{Assignment, Evidence, Failure};

use crate::answered;
use crate::change::{self, Job, Source};
use crate::payload::{self, CodePayload};

pub fn run(task: &Assignment) -> Result<Evidence, Failure> {
    let CodePayload { repository, base, changes, instructions, message } = payload::parse("code", &task.payload)?;
    let source = match (changes.is_empty(), instructions) {
        (false, None) => Source::Given(changes),
        (true, Some(instructions)) => Source::Instructions { instructions, only: None },
        (true, None) => {
            return Err(Failure::final_("the payload has neither changes nor instructions: there is nothing to do"));
        }
        (false, Some(_)) => {
            return Err(Failure::final_("the payload has both changes and instructions; give one of them"));
        }
    };
    let job = Job { repository, base, kind: "feat", subject: message.unwrap_or_else(|| task.title.clone()), source };
    let done = change::carry_out(task, &job)?;
    let claim = Evidence::merged_pull_request(&job.repository, done.pull_request).summary(format!(
        "{}: {}",
        task.title,
        done.paths.join(", ")
    ));
    Ok(answered(claim, task, &done.steps))
}
