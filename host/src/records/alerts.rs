//! `alerts`.

use serde::{Deserialize, Serialize};

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

/// A look at alerts.
#[derive(Clone, Debug)]
pub enum AlertQuery {}

/// A change of alerts.
#[derive(Clone, Debug)]
pub enum AlertChange {}
