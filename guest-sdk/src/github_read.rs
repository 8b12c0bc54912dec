//! Reading repositories: branches, files, trees, pull requests, check runs and comparisons. Grant `[grants.github-read]`.
//!
//! ```no_run
//! # fn run() -> Result<(), juggernaut_guest::Failure> {
//! use juggernaut_guest::{Error, github_read};
//!
//! let head = github_read::get_branch("demo/sample", "main")?;
//! let readme = match github_read::get_file("demo/sample", "README.md", &head) {
//!     Ok(file) => String::from_utf8_lossy(&file.content).into_owned(),
//!     // What `?` would end the attempt with can be looked at instead.
//!     Err(Error::NotFound(_)) => String::new(),
//!     Err(error) => return Err(error.into()),
//! };
//! for entry in github_read::get_tree("demo/sample", &head)? {
//!     juggernaut_guest::debug!("{} {} {:?}", entry.kind, entry.path, entry.size);
//! }
//! let green = github_read::list_check_runs("demo/sample", &head)?
//!     .iter()
//!     .all(|check| check.conclusion.as_deref() == Some("success"));
//! # let _ = (readme, green);
//! # Ok(())
//! # }
//! ```

pub use crate::bindings::juggernaut::host::github_read::*;
