//! What a `planning` task says of how to plan.

use serde::Deserialize;

/// The longest window that the manifest grants.
const WINDOW_HOURS_MAX: u64 = 720;
/// What one recommendation may hold.
const CHANGES_MAX: usize = 50;

/// The payload. What is missing has a default.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// A task of low priority that waits longer is raised.
    pub wait_hours: u64,
    /// How far back failures count.
    pub window_hours: u64,
    pub changes_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { wait_hours: 24, window_hours: 168, changes_max: CHANGES_MAX }
    }
}

impl Settings {
    pub fn parse(payload: &str) -> Result<Self, String> {
        let settings: Self = serde_json::from_str(payload).map_err(|error| {
            format!("the payload is not that of a planning task: {error}; the role's README says what it takes")
        })?;
        if !(1..=WINDOW_HOURS_MAX).contains(&settings.window_hours) {
            return Err(format!("window_hours is {}; it must be 1 to {WINDOW_HOURS_MAX}", settings.window_hours));
        }
        if !(1..=CHANGES_MAX).contains(&settings.changes_max) {
            return Err(format!("changes_max is {}; it must be 1 to {CHANGES_MAX}", settings.changes_max));
        }
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_has_a_default_and_what_is_odd_is_told() {
        assert_eq!(Settings::parse("{}").unwrap(), Settings::default());
        assert_eq!(Settings::parse(r#"{"wait_hours": 2}"#).unwrap().wait_hours, 2);
        for (payload, why) in [
            (r#"{"window_hours": 0}"#, "window_hours is 0"),
            (r#"{"window_hours": 721}"#, "window_hours is 721"),
            (r#"{"changes_max": 51}"#, "changes_max is 51"),
            (r#"{"wait": 1}"#, "unknown field"),
        ] {
            assert!(Settings::parse(payload).unwrap_err().contains(why), "{payload}");
        }
    }
}
