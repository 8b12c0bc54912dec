//! `alerts`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::words::{self, storable, storable_json};

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

/// Kinds that the host raises itself. No role can be granted one: an alert of these is never a guest's word.
/// `db::alerts` holds each alert of the host against this list.
pub const HOST_KINDS: &[&str] = &[
    "secret-in-arguments",
    "secret-in-log",
    "secret-in-outcome",
    "unsettled-mutation",
    "unknown-outcome",
    "late-pull-request",
    "deployed-other-commit",
    "schedule-refused",
];

/// Longest details, as JSON.
const DETAILS_BYTES_MAX: usize = 16 * 1024;

/// What a role wants people to look at. Its own words.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertDraft {
    pub severity: Severity,
    pub kind: String,
    /// As the role knows it; the table has it behind the kind.
    pub fingerprint: String,
    pub title: String,
    /// An object.
    pub details: Value,
}

impl AlertDraft {
    /// Within the limits of the capability, and fit to be stored. `details` is JSON.
    pub fn new(
        severity: Severity,
        kind: String,
        fingerprint: &str,
        title: &str,
        details: &str,
    ) -> Result<Self, String> {
        words::bytes("fingerprint", fingerprint, 1..=200)?;
        words::chars("title", title, 1..=200)?;
        words::bytes("details", details, 2..=DETAILS_BYTES_MAX)?;
        let details: Value =
            serde_json::from_str(details).map_err(|error| format!("details are not JSON: {error}; give an object"))?;
        if !details.is_object() {
            return Err("details are no JSON object; put them into one".to_owned());
        }
        Ok(Self {
            severity,
            kind,
            fingerprint: storable(fingerprint),
            title: storable(title),
            details: storable_json(&details),
        })
    }
}

/// A look at alerts.
#[derive(Clone, Debug)]
pub enum AlertQuery {
    /// Those of these kinds that runs raised and that are not resolved.
    Open { kinds: Vec<String> },
}

/// A change of alerts.
#[derive(Clone, Debug)]
pub enum AlertChange {
    /// Counted where it is open already. `alerts_max` is the attempt's.
    Raise {
        draft: AlertDraft,
        alerts_max: u32,
    },
    Resolve {
        kind: String,
        fingerprint: String,
    },
}

/// An alert as a role sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenAlert {
    pub id: String,
    pub severity: Severity,
    pub kind: String,
    pub fingerprint: String,
    pub title: String,
    pub acknowledged: bool,
    pub occurrences: u64,
    pub first_seen_ms: u64,
    pub last_seen_ms: u64,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn draft(fingerprint: &str, title: &str, details: &str) -> Result<AlertDraft, String> {
        AlertDraft::new(Severity::Info, "stale-worker".to_owned(), fingerprint, title, details)
    }

    #[test]
    fn what_is_too_long_or_no_object_is_refused() {
        assert!(draft("f", "t", "{}").is_ok());
        let long = "x".repeat(201);
        let giant = json!({ "a": "x".repeat(DETAILS_BYTES_MAX) }).to_string();
        for (fingerprint, title, details) in [
            ("", "t", "{}"),
            (long.as_str(), "t", "{}"),
            ("f", "", "{}"),
            ("f", long.as_str(), "{}"),
            ("f", "t", ""),
            ("f", "t", "[]"),
            ("f", "t", "{"),
            ("f", "t", giant.as_str()),
        ] {
            assert!(draft(fingerprint, title, details).is_err(), "{fingerprint:.10} {title:.10} {details:.10}");
        }
    }

    #[test]
    fn no_nul_reaches_the_tables() {
        let draft = draft("f\0", "t\0", "{\"a\\u0000\": \"\\u0000\"}").unwrap();
        assert_eq!((draft.fingerprint.as_str(), draft.title.as_str()), ("f␀", "t␀"));
        assert_eq!(draft.details, json!({ "a␀": "␀" }));
    }
}
