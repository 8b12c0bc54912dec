//! When something is wrong.

use serde::Deserialize;

/// The longest window that the manifest grants.
const WINDOW_SECONDS_MAX: u64 = 24 * 3600;

/// The payload of a `monitoring` task. What is missing has a default.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Thresholds {
    pub heartbeat_seconds: u64,
    pub forgotten_seconds: u64,
    pub running_seconds: u64,
    pub failure_window_seconds: u64,
    pub failure_rate: f64,
    pub failure_tasks: u64,
    pub error_window_seconds: u64,
    pub error_count: u64,
    pub queue_seconds: u64,
    pub queue_count: u64,
    pub budget_share: f64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            heartbeat_seconds: 300,
            forgotten_seconds: 7 * 24 * 3600,
            running_seconds: 2 * 3600,
            failure_window_seconds: 3600,
            failure_rate: 0.5,
            failure_tasks: 10,
            error_window_seconds: 3600,
            error_count: 5,
            queue_seconds: 3600,
            queue_count: 1000,
            budget_share: 0.8,
        }
    }
}

impl Thresholds {
    /// From a task's payload.
    pub fn parse(payload: &str) -> Result<Self, String> {
        let thresholds: Self = serde_json::from_str(payload)
            .map_err(|error| format!("the payload is not one of thresholds: {error}; the role's README lists them"))?;
        for (name, seconds) in [
            ("failure_window_seconds", thresholds.failure_window_seconds),
            ("error_window_seconds", thresholds.error_window_seconds),
        ] {
            if !(1..=WINDOW_SECONDS_MAX).contains(&seconds) {
                return Err(format!("{name} is {seconds}; it must be 1 to {WINDOW_SECONDS_MAX}"));
            }
        }
        for (name, share) in [("failure_rate", thresholds.failure_rate), ("budget_share", thresholds.budget_share)] {
            if !(share > 0.0 && share <= 1.0) {
                return Err(format!("{name} is {share}; it must be above 0 and at most 1"));
            }
        }
        Ok(thresholds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_has_its_default() {
        assert_eq!(Thresholds::parse("{}").unwrap(), Thresholds::default());
        let given = Thresholds::parse(r#"{"running_seconds": 60}"#).unwrap();
        assert_eq!(given, Thresholds { running_seconds: 60, ..Thresholds::default() });
    }

    #[test]
    fn what_is_misspelt_or_senseless_is_refused() {
        for odd in [
            r#"{"runing_seconds": 60}"#,
            r#"{"running_seconds": -1}"#,
            r#"{"failure_rate": 0}"#,
            r#"{"budget_share": 1.5}"#,
            r#"{"error_window_seconds": 0}"#,
            r#"{"failure_window_seconds": 90000}"#,
        ] {
            assert!(Thresholds::parse(odd).is_err(), "{odd}");
        }
    }
}
