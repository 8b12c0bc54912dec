//! The specification's "Code Quality Requirements", checked on Python with ruff's linter as a library.
//!
//! Invariants: nothing that stands in a file switches a check off; only what a change touches or makes
//! wrong is judged; no input, however hostile, ends the process, takes its memory (`names`, `nesting`), or holds up the
//! caller longer than [`TIME_MAX`].

mod changed;
mod cookie;
mod functions;
mod guarded;
mod handlers;
mod lint;
mod names;
mod nesting;
mod select;

use std::time::Duration;

pub use guarded::Refused;
pub use select::is_python;

/// Findings that a report carries; the rest is counted.
pub const FINDINGS_MAX: usize = 100;
/// Longest message; names that it quotes may be of any length.
pub const MESSAGE_BYTES_MAX: usize = 300;
/// Largest Python file that is checked.
pub const SOURCE_BYTES_MAX: usize = 512 * 1024;
/// Longest that [`check`] takes, waiting for other checks included.
pub const TIME_MAX: Duration = Duration::from_secs(20);
/// First-party import roots that are heeded.
pub const FIRST_PARTY_MAX: usize = 1000;

/// A Python file as it shall be written.
#[derive(Clone, Debug, Default)]
pub struct Source {
    pub path: String,
    /// What the file holds now. None: all of it is new.
    pub before: Option<String>,
    pub after: Vec<u8>,
    /// Top-level packages and modules of the repository, which imports are grouped by.
    pub first_party: Vec<String>,
}

/// One requirement that one place does not meet. Ordered by line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Counted from 1.
    pub line: u32,
    /// As ruff calls it (`ANN001`), or `invalid-syntax`, `invalid-encoding`, `too-large`, `too-deep`.
    pub rule: String,
    pub message: String,
}

/// What a check found: nothing, if the file may be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Sorted, no two the same, at most [`FINDINGS_MAX`].
    pub findings: Vec<Finding>,
    /// Findings beyond these.
    pub more: usize,
}

impl Report {
    fn new(mut findings: Vec<Finding>) -> Self {
        for Finding { message, .. } in &mut findings {
            message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
        }
        findings.sort();
        findings.dedup();
        let more = findings.len().saturating_sub(FINDINGS_MAX);
        findings.truncate(FINDINGS_MAX);
        Self { findings, more }
    }

    fn too_large(bytes: usize) -> Self {
        let message = format!("{bytes} bytes; a Python file of more than {SOURCE_BYTES_MAX} is not checked");
        Self::whole_file("too-large", message)
    }

    fn whole_file(rule: &str, message: String) -> Self {
        Self::new(vec![Finding { line: 1, rule: rule.to_owned(), message }])
    }
}

/// Checks one Python file. Blocks its thread until the answer is there, at most [`TIME_MAX`].
pub fn check(source: Source) -> Result<Report, Refused> {
    if source.after.len() > SOURCE_BYTES_MAX {
        return Ok(Report::too_large(source.after.len()));
    }
    guarded::run(move || examine(source), TIME_MAX)
}

/// Needs a deep stack; see `guarded`.
fn examine(source: Source) -> Report {
    let Source { path, before, after, first_party } = source;
    let code = match String::from_utf8(after) {
        Ok(code) => code,
        Err(error) => {
            let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = changed::lines_of(&String::from_utf8_lossy(valid)).len().max(1);
            let message = "this is not UTF-8, which Python files are written in".to_owned();
            let line = u32::try_from(line).unwrap_or(u32::MAX);
            return Report::new(vec![Finding { line, rule: "invalid-encoding".to_owned(), message }]);
        }
    };
    if let Some(line) = cookie::foreign(&code) {
        let message = "this declares another encoding than UTF-8, in which Python would read other code".to_owned();
        return Report::new(vec![Finding { line, rule: "invalid-encoding".to_owned(), message }]);
    }
    let changed = changed::Changed::between(before.as_deref(), &code);
    Report::new(lint::findings((before.as_deref(), &code), select::is_stub(&path), &first_party, &changed))
}

#[cfg(test)]
mod tests;
