//! Steps 1 to 3: base commit, feature branch, files.

use juggernaut_guest::{Assignment, Error, Failure, github_read, github_write, info, task};

use crate::payload::{Change, Payload};

/// Brings the task's branch to hold the changes, and says which commit is its head.
pub fn prepare(task: &Assignment, payload: &Payload, steps: &mut Vec<u32>) -> Result<String, Failure> {
    let base = github_read::get_branch(&payload.repository, &payload.base).map_err(|error| match error {
        Error::NotFound(message) => {
            Failure::final_(format!("{} has no branch {}: {message}", payload.repository, payload.base))
        }
        error => error.into(),
    })?;
    let mut head = match github_write::create_branch(&payload.repository, &task.branch, &base) {
        Ok(()) => {
            info!("created branch {} at {base}", task.branch);
            base
        }
        // From an attempt before this one.
        Err(Error::Conflict(_)) => {
            info!("branch {} exists; going on from there", task.branch);
            github_read::get_branch(&payload.repository, &task.branch)?
        }
        Err(error) => return Err(error.into()),
    };
    for change in &payload.changes {
        if let Some(commit) = write(task, payload, change)? {
            steps.extend(task::last_step());
            head = commit;
        }
    }
    Ok(head)
}

/// Commits one file, unless the branch holds it already.
fn write(task: &Assignment, payload: &Payload, change: &Change) -> Result<Option<String>, Failure> {
    let there = match github_read::get_file(&payload.repository, &change.path, &task.branch) {
        Ok(file) if file.content == change.content.as_bytes() => {
            info!("{} is as it should be", change.path);
            return Ok(None);
        }
        Ok(file) => Some(file.sha),
        Err(Error::NotFound(_)) => None,
        Err(error) => return Err(error.into()),
    };
    let verb = if there.is_some() { "update" } else { "add" };
    let subject = payload.message.as_deref().unwrap_or(&task.title);
    let message = format!("feat: {subject}\n\n{verb} {}", change.path);
    let commit = github_write::put_file(
        &payload.repository,
        &task.branch,
        &change.path,
        change.content.as_bytes(),
        &message,
        there.as_deref(),
    )?;
    info!("committed {} as {}", change.path, commit.sha);
    Ok(Some(commit.sha))
}
