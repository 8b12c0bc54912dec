//! What a task asks for.

use serde::Deserialize;

/// The longest window that the manifest grants.
const WINDOW_HOURS_MAX: u64 = 720;
const URLS_MAX: usize = 20;

/// Of `analysis` and `report`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Analysis {
    #[serde(default = "a_day")]
    pub window_hours: u64,
}

fn a_day() -> u64 {
    24
}

/// Of `research`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Research {
    pub urls: Vec<String>,
    /// The task's title, if unset.
    #[serde(default)]
    pub question: Option<String>,
}

impl Analysis {
    pub fn parse(payload: &str) -> Result<Self, String> {
        let asked: Self = serde_json::from_str(payload)
            .map_err(|error| format!("the payload is not that of an analysis: {error}"))?;
        if !(1..=WINDOW_HOURS_MAX).contains(&asked.window_hours) {
            return Err(format!("window_hours is {}; it must be 1 to {WINDOW_HOURS_MAX}", asked.window_hours));
        }
        Ok(asked)
    }
}

impl Research {
    pub fn parse(payload: &str) -> Result<Self, String> {
        let mut asked: Self = serde_json::from_str(payload).map_err(|error| {
            format!("the payload is not that of a research task: {error}; it needs `urls`, a list of pages to read")
        })?;
        let mut seen = Vec::new();
        asked.urls.retain(|url| {
            !seen.contains(url) && {
                seen.push(url.clone());
                true
            }
        });
        if !(1..=URLS_MAX).contains(&asked.urls.len()) {
            return Err(format!("urls names {} pages; it must be 1 to {URLS_MAX}", asked.urls.len()));
        }
        Ok(asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_has_bounds_and_a_default() {
        assert_eq!(Analysis::parse("{}").unwrap().window_hours, 24);
        for odd in [r#"{"window_hours": 0}"#, r#"{"window_hours": 721}"#, r#"{"hours": 1}"#] {
            assert!(Analysis::parse(odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn a_page_is_read_once() {
        assert_eq!(Research::parse(r#"{"urls": ["a", "b", "a"]}"#).unwrap().urls, ["a", "b"]);
        assert!(Research::parse(r#"{"urls": []}"#).is_err() && Research::parse("{}").is_err());
    }
}
