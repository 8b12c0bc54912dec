//! The configuration: read once, at the start of a command, into one struct for each concern.
//!
//! Invariant: nothing else in the host reads the environment. Every name stands in the registry ([`reference`] makes
//! the documentation from it); parsing takes a lookup, so that a test needs no environment; a secret never appears in
//! an error.

mod alerts;
mod audit;
mod client;
mod models;
mod names;
mod settings;
#[cfg(test)]
mod tests;
mod values;

pub use alerts::{NotifyFrom, WebhookConfig, WebhookFormat};
pub use audit::{AuditConfig, AuditKey, CheckpointSchedule};
pub use client::ClientConfig;
pub use models::{ModelBudget, ModelSettings, Price, Prices};
pub use names::{NAMES, Name, reference};
pub use settings::{
    ApprovalConfig, DatabaseConfig, EgressSettings, GitHubSettings, HostConfig, LogConfig, LogFormat, ServerConfig,
    WorkerConfig,
};
pub use values::{ConfigError, Env};

/// Where the operator's own policies are, for the commands that review them.
pub fn policies_dir(env: Env<'_>) -> Option<std::path::PathBuf> {
    env.text(&names::JUGGERNAUT_POLICIES).map(Into::into)
}

/// The environment of this process. An empty variable counts as unset: that is how deployment platforms clear one.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
pub fn process(name: &str) -> Option<String> {
    // Bytes that are not text become U+FFFD, which the parser of the value then refuses by name.
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}
