//! What a run has people look at.

use serde_json::Value;

use crate::records::Severity;

/// An alert as it is raised. Those with the same fingerprint are one row until somebody resolves it.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    pub severity: Severity,
    /// What kind of thing happened, for programs: one of `records::HOST_KINDS`.
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
