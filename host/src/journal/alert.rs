//! What a run has people look at.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How soon somebody has to look.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    sqlx::Type,
    utoipa::ToSchema,
    clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "alert_severity", rename_all = "snake_case")]
#[clap(rename_all = "snake_case")]
pub enum Severity {
    Info,
    Warning,
    Critical,
}

impl Severity {
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// An alert as it is raised. Those with the same fingerprint are one row until somebody resolves it.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    pub severity: Severity,
    /// What kind of thing happened, for programs: `secret-in-arguments`.
    pub kind: &'static str,
    /// Names what makes two alerts the same.
    pub fingerprint: String,
    /// For people. Nothing that a guest wrote.
    pub title: String,
    /// More of it: an object without anything that a guest wrote.
    pub details: Value,
    /// How often it happened since it was raised last.
    pub occurrences: u32,
}

impl Alert {
    /// Adds an alert to those that wait, counted where it waits already.
    pub fn gather(waiting: &mut Vec<Self>, alert: Self) {
        match waiting.iter_mut().find(|other| other.fingerprint == alert.fingerprint) {
            Some(same) => {
                same.occurrences = same.occurrences.saturating_add(alert.occurrences);
                same.severity = same.severity.max(alert.severity);
                same.details = alert.details;
            }
            None => waiting.push(alert),
        }
    }
}
