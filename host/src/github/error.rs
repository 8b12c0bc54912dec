//! What can go wrong, by what the caller can do about it, and how an answer becomes one of these.
//!
//! Invariant: a message is made by [`Call`] alone, where texts of the other side lose the token, are bounded, and show
//! no control or bidirectional character as itself.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::wire::{Problem, ProblemDetail};

/// Longest text of GitHub's within a message, in characters.
const MESSAGE_CHARS_MAX: usize = 500;
/// Longest path within a message, in characters.
const PATH_CHARS_MAX: usize = 200;
/// Longest wait that we pass on; GitHub's windows are an hour.
const RATE_LIMIT_SECONDS_MAX: u64 = 3600;
/// GitHub's advice where it does not say how long.
const RATE_LIMIT_SECONDS_DEFAULT: u64 = 60;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum GitHubError {
    /// Not there, or not visible to the token: GitHub does not tell which.
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    Denied(String),
    /// The world is not as the call supposes: read it again and decide anew.
    #[error("{0}")]
    Conflict(String),
    /// Would fail the same way again.
    #[error("{0}")]
    Invalid(String),
    #[error("{message}; wait {} s", after.as_secs())]
    RateLimited { message: String, after: Duration },
    /// Nothing was done; may work later.
    #[error("{0}")]
    Unavailable(String),
    /// A mutation that may or may not have happened: look before doing it again.
    #[error("{0}")]
    Unknown(String),
}

/// Names a call in messages, and keeps the token out of them: a server, or something between us and it, may repeat
/// what we sent.
#[derive(Clone, Debug)]
pub(super) struct Call {
    name: String,
    token: Option<SecretString>,
}

impl Call {
    /// `path` is of a `Url`, so plain ASCII already.
    pub(super) fn new(method: &Method, path: &str, token: Option<SecretString>) -> Self {
        let path = shortened(&scrubbed(path, token.as_ref()), PATH_CHARS_MAX);
        Self { name: format!("GitHub, {method} {path}"), token }
    }

    pub(super) fn invalid(&self, what: impl AsRef<str>) -> GitHubError {
        GitHubError::Invalid(self.message(what))
    }

    pub(super) fn conflict(&self, what: impl AsRef<str>) -> GitHubError {
        GitHubError::Conflict(self.message(what))
    }

    pub(super) fn unavailable(&self, what: impl AsRef<str>) -> GitHubError {
        GitHubError::Unavailable(self.message(what))
    }

    pub(super) fn unknown(&self, what: impl AsRef<str>) -> GitHubError {
        GitHubError::Unknown(format!("{}; it may have happened: look before doing it again", self.message(what)))
    }

    fn message(&self, what: impl AsRef<str>) -> String {
        format!("{}: {}", self.name, visible(&scrubbed(what.as_ref(), self.token.as_ref())))
    }

    /// The error that a definite refusal stands for: any status but 2xx and 3xx.
    pub(super) fn refused(&self, status: StatusCode, headers: &HeaderMap, problem: &str) -> GitHubError {
        let message = self.message(format!("{}: {problem}", status.as_u16()));
        if let Some(after) = rate_limit(status, headers, problem, SystemTime::now()) {
            return GitHubError::RateLimited { message: format!("{message} (rate limit)"), after };
        }
        match status.as_u16() {
            404 | 410 => GitHubError::NotFound(format!("{message}; check the name and that the token may see it")),
            // GitHub's own code for a file that the contents API does not carry.
            403 if problem.contains("too_large") => GitHubError::Invalid(message),
            401 => GitHubError::Denied(format!("{message}; check the GitHub token")),
            403 | 451 => GitHubError::Denied(format!("{message}; check what the GitHub token may do there")),
            // 405 is what the merge endpoint says of a pull request that can't be merged now.
            405 | 409 => GitHubError::Conflict(message),
            422 if is_conflict(problem) => GitHubError::Conflict(message),
            408 | 500..=599 => GitHubError::Unavailable(message),
            _ => GitHubError::Invalid(message),
        }
    }
}

/// 422 says both "this makes no sense" and "somebody was faster"; only the text tells them apart.
fn is_conflict(problem: &str) -> bool {
    let problem = problem.to_ascii_lowercase();
    ["already exists", "already_exists", "\"sha\" wasn't supplied", "does not match", "is not a fast forward"]
        .iter()
        .any(|sign| problem.contains(sign))
}

/// How long to keep away, if this is a rate limit.
fn rate_limit(status: StatusCode, headers: &HeaderMap, problem: &str, now: SystemTime) -> Option<Duration> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<u64>().ok();
    let exhausted = number("x-ratelimit-remaining") == Some(0);
    let problem = problem.to_ascii_lowercase();
    let secondary = ["secondary rate limit", "abuse detection"].iter().any(|sign| problem.contains(sign));
    let limited = match status {
        StatusCode::TOO_MANY_REQUESTS => true,
        StatusCode::FORBIDDEN => headers.contains_key(RETRY_AFTER) || exhausted || secondary,
        _ => false,
    };
    if !limited {
        return None;
    }
    let until_reset = || {
        let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        // At least a second: the reset is given in whole ones.
        number("x-ratelimit-reset").filter(|_| exhausted).map(|reset| reset.saturating_sub(now).max(1))
    };
    let seconds = number(RETRY_AFTER.as_str()).or_else(until_reset).unwrap_or(RATE_LIMIT_SECONDS_DEFAULT);
    Some(Duration::from_secs(seconds.min(RATE_LIMIT_SECONDS_MAX)))
}

/// What a refusal says in its body, whether it is GitHub's JSON or the page of something in between.
pub(super) fn problem_text(body: &[u8]) -> String {
    let Ok(Problem { message, errors }) = serde_json::from_slice(body) else {
        return String::from_utf8_lossy(body).trim().to_owned();
    };
    let details = errors.into_iter().filter_map(|detail| match detail {
        ProblemDetail::Text(text) => Some(text),
        ProblemDetail::Field { message, code, field } => {
            let parts: Vec<String> = [field, code, message].into_iter().flatten().collect();
            (!parts.is_empty()).then(|| parts.join(" "))
        }
        ProblemDetail::Other(_) => None,
    });
    std::iter::once(message).chain(details).collect::<Vec<_>>().join("; ")
}

/// Bounded, and with everything escaped that a terminal or a reader would take for something else.
fn visible(text: &str) -> String {
    let mut out = String::new();
    let mut chars = 0;
    for c in text.chars() {
        let shown: String = match c {
            // `escape_debug` would escape these for being in quotes, which they are not.
            '"' | '\'' | '\\' => c.into(),
            _ => c.escape_debug().collect(),
        };
        chars += shown.chars().count();
        if chars >= MESSAGE_CHARS_MAX {
            out.push('…');
            break;
        }
        out.push_str(&shown);
    }
    out
}

fn scrubbed(text: &str, token: Option<&SecretString>) -> String {
    match token.map(ExposeSecret::expose_secret) {
        Some(token) if !token.is_empty() => text.replace(token, "[secret]"),
        _ => text.to_owned(),
    }
}

fn shortened(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
