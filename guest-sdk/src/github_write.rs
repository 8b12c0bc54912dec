//! Writing to the task's own branch and opening its pull request. Grant `[grants.github-write]`; the task's payload names
//! the repository, and its base branch where that is not `main`.
//!
//! ```no_run
//! # use juggernaut_guest::{Assignment, Failure};
//! # fn write(task: &Assignment) -> Result<(), Failure> {
//! use juggernaut_guest::{Error, Failure, github_read, github_write};
//!
//! let repository = "demo/sample";
//! let main = github_read::get_branch(repository, "main")?;
//! match github_write::create_branch(repository, &task.branch, &main) {
//!     // An attempt before this one made it.
//!     Ok(()) | Err(Error::Conflict(_)) => {}
//!     Err(error) => return Err(error.into()),
//! }
//! // What the file replaces is named by the blob's SHA; none where it is new.
//! let previous = match github_read::get_file(repository, "NOTES.md", &task.branch) {
//!     Ok(file) => Some(file.sha),
//!     Err(Error::NotFound(_)) => None,
//!     Err(error) => return Err(error.into()),
//! };
//! let text = format!("Notes of task {}\n", task.id);
//! let commit = github_write::put_file(
//!     repository, &task.branch, "NOTES.md", text.as_bytes(), "docs: notes", previous.as_deref(),
//! )?;
//! let pull_request =
//!     github_write::open_pull_request(repository, &task.branch, "main", &task.title, "Notes of a task.")?;
//! juggernaut_guest::info!("#{} holds {}", pull_request.number, commit.sha);
//! # Ok(())
//! # }
//! ```

pub use crate::bindings::juggernaut::host::github_write::*;
