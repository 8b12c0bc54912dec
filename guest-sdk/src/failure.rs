//! Why an attempt did not complete its task.

use std::fmt::Display;

use crate::{Error, Finding, RetryHint};

/// Findings that a failure's reason spells out.
const FINDINGS_SHOWN: usize = 10;
/// Findings that the host hands out at most; see `wit/types.wit`.
const FINDINGS_MAX: usize = 100;

/// A failed attempt. Host errors turn into one with `?`: those that may pass by themselves are retriable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What happened and what would help; shown to people and to the next attempt.
    pub reason: String,
    /// Whether the same task could succeed later without anybody changing it.
    pub retriable: bool,
}

impl Failure {
    /// Trying again changes nothing until somebody changes the task or the world.
    pub fn final_(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), retriable: false }
    }

    /// It may work later.
    pub fn retriable(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), retriable: true }
    }

    /// Puts words before the reason: what was being done.
    #[must_use]
    pub fn before(mut self, what: &str) -> Self {
        self.reason.insert_str(0, what);
        self
    }

    /// Adds a cause to the reason.
    #[must_use]
    pub fn because(mut self, cause: impl Display) -> Self {
        self.reason = format!("{}{cause}", self.reason);
        self
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let retriable = match &error {
            Error::RateLimited(_) | Error::Unavailable(_) | Error::Conflict(_) => true,
            Error::Denied(_) | Error::NotFound(_) | Error::Invalid(_) | Error::Findings(_) => false,
        };
        Self { reason: describe(&error), retriable }
    }
}

fn describe(error: &Error) -> String {
    match error {
        Error::Denied(message) => format!("denied: {message}"),
        Error::NotFound(message) => format!("not found: {message}"),
        Error::Conflict(message) => format!("conflict: {message}"),
        Error::RateLimited(RetryHint { message, after_ms }) => format!("rate limited for {after_ms} ms: {message}"),
        Error::Invalid(message) => format!("invalid: {message}"),
        Error::Unavailable(message) => format!("unavailable: {message}"),
        Error::Findings(findings) => describe_findings(findings),
    }
}

fn describe_findings(findings: &[Finding]) -> String {
    let mut lines = vec!["the code does not meet the quality requirements:".to_owned()];
    lines.extend(
        (findings.iter().take(FINDINGS_SHOWN))
            .map(|Finding { path, rule, line, message }| format!("{path}:{line} {rule} {message}")),
    );
    let more = findings.len().saturating_sub(FINDINGS_SHOWN);
    if more > 0 {
        // The host counts no further.
        let least = if findings.len() >= FINDINGS_MAX { "at least " } else { "" };
        lines.push(format!("and {least}{more} more"));
    }
    lines.join("\n")
}
