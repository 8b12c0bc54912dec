//! Steps 1 to 3: base commit, feature branch, files.

use juggernaut_guest::{Assignment, Error, Failure, github_read, github_write, info};

use crate::change::Job;
use crate::payload::Change;

/// Brings the task's branch about, and says which commit is its head.
pub fn prepare(task: &Assignment, job: &Job) -> Result<String, Failure> {
    let base = github_read::get_branch(&job.repository, &job.base).map_err(|error| match error {
        Error::NotFound(message) => {
            Failure::final_(format!("{} has no branch {}: {message}", job.repository, job.base))
        }
        error => error.into(),
    })?;
    match github_write::create_branch(&job.repository, &task.branch, &base) {
        Ok(()) => {
            info!("created branch {} at {base}", task.branch);
            Ok(base)
        }
        // From an attempt before this one.
        Err(Error::Conflict(_)) => {
            info!("branch {} exists; going on from there", task.branch);
            Ok(github_read::get_branch(&job.repository, &task.branch)?)
        }
        Err(error) => Err(error.into()),
    }
}

/// Commits one file, unless the branch holds it already.
pub fn write(task: &Assignment, job: &Job, change: &Change) -> Result<Option<String>, Failure> {
    let there = match github_read::get_file(&job.repository, &change.path, &task.branch) {
        Ok(file) if file.content == change.content.as_bytes() => {
            info!("{} is as it should be", change.path);
            return Ok(None);
        }
        Ok(file) => Some(file.sha),
        Err(Error::NotFound(_)) => None,
        Err(error) => return Err(error.into()),
    };
    let commit = put(task, job, change, there.as_deref())?;
    info!("committed {} as {}", change.path, commit.sha);
    Ok(Some(commit.sha))
}

/// `there` is the blob that the content replaces.
pub fn put(task: &Assignment, job: &Job, change: &Change, there: Option<&str>) -> Result<github_write::Commit, Error> {
    let verb = if there.is_some() { "update" } else { "add" };
    let message = format!("{}: {}\n\n{verb} {}", job.kind, job.subject, change.path);
    let content = change.content.as_bytes();
    github_write::put_file(&job.repository, &task.branch, &change.path, content, &message, there)
}
