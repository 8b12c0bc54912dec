//! How a host call fails.

use super::run::RunError;
use crate::github::GitHubError;
use crate::policy::Denied;
use crate::repo::InvalidName;

/// The error that a guest sees; `wit/types.wit` explains the cases.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum GuestError {
    Denied(String),
    NotFound(String),
    Conflict(String),
    RateLimited { message: String, after_ms: u64 },
    Invalid(String),
    Unavailable(String),
    Findings(Vec<Finding>),
}

impl GuestError {
    /// For people.
    pub(super) fn message(&self) -> &str {
        match self {
            Self::Denied(message)
            | Self::NotFound(message)
            | Self::Conflict(message)
            | Self::RateLimited { message, .. }
            | Self::Invalid(message)
            | Self::Unavailable(message) => message,
            Self::Findings(_) => "requirements are not met",
        }
    }
}

/// How an act on the world fails, by what is known of its effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ActError {
    /// It had none: nothing was sent, or what was sent was turned away unseen.
    NotDone(GuestError),
    /// It had none, by the word of the world, which is not as the call supposes.
    Refused(GuestError),
    /// It may have had one.
    Unknown(String),
    /// It may have had one, and looking again would not tell.
    Lost(String),
}

impl From<GitHubError> for ActError {
    fn from(error: GitHubError) -> Self {
        match error {
            GitHubError::Conflict(_) | GitHubError::Invalid(_) => Self::Refused(error.into()),
            GitHubError::NotFound(_)
            | GitHubError::Denied(_)
            | GitHubError::RateLimited { .. }
            | GitHubError::Unavailable(_) => Self::NotDone(error.into()),
            GitHubError::Unknown(cause) => Self::Unknown(cause),
        }
    }
}

/// A requirement that a line of written code does not meet.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Finding {
    pub(super) path: String,
    pub(super) rule: String,
    pub(super) line: u32,
    pub(super) message: String,
}

/// How a host call fails: with an error for the guest, or by ending the run.
#[derive(Debug)]
pub(super) enum CallError {
    Guest(GuestError),
    Stop(RunError),
}

impl From<GuestError> for CallError {
    fn from(error: GuestError) -> Self {
        Self::Guest(error)
    }
}

impl From<RunError> for CallError {
    fn from(stop: RunError) -> Self {
        Self::Stop(stop)
    }
}

impl From<wasmtime::component::ResourceTableError> for CallError {
    fn from(error: wasmtime::component::ResourceTableError) -> Self {
        Self::Stop(RunError::Host(error.to_string()))
    }
}

impl From<InvalidName> for GuestError {
    fn from(error: InvalidName) -> Self {
        Self::Invalid(error.to_string())
    }
}

impl From<InvalidName> for CallError {
    fn from(error: InvalidName) -> Self {
        GuestError::from(error).into()
    }
}

impl From<Denied> for GuestError {
    fn from(denied: Denied) -> Self {
        Self::Denied(denied.to_string())
    }
}

impl From<GitHubError> for GuestError {
    fn from(error: GitHubError) -> Self {
        match error {
            GitHubError::NotFound(message) => Self::NotFound(message),
            GitHubError::Denied(message) => Self::Denied(message),
            GitHubError::Conflict(message) => Self::Conflict(message),
            GitHubError::Invalid(message) => Self::Invalid(message),
            GitHubError::RateLimited { message, after } => {
                Self::RateLimited { message, after_ms: u64::try_from(after.as_millis()).unwrap_or(u64::MAX) }
            }
            GitHubError::Unavailable(message) | GitHubError::Unknown(message) => Self::Unavailable(message),
        }
    }
}
