//! Step 4 and what can be in its way: an earlier attempt's pull request, open, closed or merged.

use juggernaut_guest::github_read::{self, PullRequest, PullRequestState};
use juggernaut_guest::{Assignment, Error, Failure, github_write, info, task};

use crate::change::Job;

const TITLE_BYTES_MAX: usize = 256;

/// The task's pull request, where it is merged already: by an attempt whose host died, or by a person.
pub fn merged_before(task: &Assignment, job: &Job) -> Result<Option<PullRequest>, Failure> {
    let found = github_read::find_pull_requests(&job.repository, &task.branch).map_err(|error| match error {
        Error::NotFound(message) => Failure::final_(format!("no repository {}: {message}", job.repository)),
        error => error.into(),
    })?;
    Ok(found.into_iter().find(|found| found.state == PullRequestState::Merged))
}

/// Opens the pull request, or finds the one that is open.
pub fn open(task: &Assignment, job: &Job, paths: &[String], steps: &mut Vec<u32>) -> Result<PullRequest, Failure> {
    let found = github_read::find_pull_requests(&job.repository, &task.branch)?;
    if let Some(open) = found.iter().find(|found| found.state == PullRequestState::Open) {
        info!("pull request #{} is open; going on with it", open.number);
        steps.extend(task::last_step());
        return Ok(open.clone());
    }
    if let Some(closed) = found.first() {
        return Err(Failure::final_(format!(
            "pull request #{} of this task was closed without a merge, and a task opens only one; reopen it and retry \
             the task, or cancel the task: {}",
            closed.number, closed.url
        )));
    }
    let opened =
        github_write::open_pull_request(&job.repository, &task.branch, &job.base, &title(task), &body(task, paths))
            .map_err(|error| match error {
                Error::Invalid(message) => Failure::final_(format!("the pull request can not be opened: {message}")),
                error => error.into(),
            })?;
    steps.extend(task::last_step());
    info!("opened pull request #{}: {}", opened.number, opened.url);
    Ok(opened)
}

/// What a refused merge means for the task: all is well where a person was quicker; a conflict is for a person.
pub fn merged_meanwhile(job: &Job, number: u64, error: Error) -> Result<(), Failure> {
    let Error::Conflict(message) = error else {
        return Err(error.into());
    };
    let now = github_read::get_pull_request(&job.repository, number)?;
    if now.state == PullRequestState::Merged {
        info!("pull request #{number} was merged by somebody else");
        return Ok(());
    }
    Err(Failure::final_(format!(
        "pull request #{number} can not be merged: {message}; resolve it on GitHub (or change the task), then retry"
    )))
}

fn title(task: &Assignment) -> String {
    let title = format!("{}: {}", task.id, task.title);
    title[..title.floor_char_boundary(TITLE_BYTES_MAX)].to_owned()
}

fn body(task: &Assignment, paths: &[String]) -> String {
    let description = if task.description.trim().is_empty() { &task.title } else { &task.description };
    let changes: Vec<String> = paths.iter().map(|path| format!("- `{path}`")).collect();
    format!("{}\n\n## Changes\n{}\n", description.trim(), changes.join("\n"))
}
