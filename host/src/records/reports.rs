//! `reports`.
//!
//! Invariant: the digest of a report is of what is stored, and can be made again from it.

use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

use super::words::{self, storable};

const SERIES_MAX: usize = 20;
const POINTS_MAX: usize = 1000;
const MARKDOWN_BYTES_MAX: usize = 1024 * 1024;

/// How a series is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SeriesKind {
    Bar,
    Line,
}

/// Data that a chart is drawn from. A guest's words and numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Series {
    pub name: String,
    pub unit: String,
    pub kind: SeriesKind,
    pub labels: Vec<String>,
    /// One for each label.
    pub values: Vec<f64>,
}

impl Series {
    /// `kind` as in the WIT package.
    pub fn new(name: &str, unit: &str, kind: &str, labels: &[String], values: Vec<f64>) -> Result<Self, String> {
        words::chars("a series' name", name, 1..=100)?;
        words::chars("a series' unit", unit, 0..=100)?;
        let kind = match kind {
            "bar" => SeriesKind::Bar,
            "line" => SeriesKind::Line,
            _ => return Err("a series' kind must be bar or line".to_owned()),
        };
        words::within("a series' labels", labels.len(), 0..=POINTS_MAX, "entries")?;
        labels.iter().try_for_each(|label| words::chars("a label", label, 0..=100))?;
        if labels.len() != values.len() {
            return Err(format!("series {name:?} has {} labels and {} values", labels.len(), values.len()));
        }
        if values.iter().any(|value| !value.is_finite()) {
            return Err(format!("series {name:?} has a value that is not finite"));
        }
        let labels = labels.iter().map(|label| storable(label)).collect();
        // The database knows no negative zero.
        let values = values.into_iter().map(|value| value + 0.0).collect();
        Ok(Self { name: storable(name), unit: storable(unit), kind, labels, values })
    }
}

/// A document on its way into the table.
#[derive(Clone, Debug, PartialEq)]
pub struct ReportDraft {
    pub title: String,
    pub markdown: String,
    pub series: Vec<Series>,
}

impl ReportDraft {
    pub fn new(title: &str, markdown: &str, series: Vec<Series>) -> Result<Self, String> {
        words::chars("title", title, 1..=200)?;
        words::bytes("markdown", markdown, 0..=MARKDOWN_BYTES_MAX)?;
        words::within("series", series.len(), 0..=SERIES_MAX, "entries")?;
        Ok(Self { title: storable(title), markdown: storable(markdown), series })
    }

    /// Title, text and series, always in the same order and spelling.
    fn canonical(&self) -> String {
        let Self { title, markdown, series } = self;
        json!({ "title": title, "markdown": markdown, "series": series }).to_string()
    }

    /// What the evidence names.
    pub fn sha256(&self) -> String {
        hex::encode(Sha256::digest(self.canonical().as_bytes()))
    }

    /// Bytes of text and data.
    pub fn size(&self) -> usize {
        self.canonical().len()
    }
}

/// What a role is told of its report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredAs {
    pub id: String,
    pub sha256: String,
}

/// A change of reports.
#[derive(Clone, Debug)]
pub enum ReportChange {
    /// `reports_max` is the attempt's.
    Store { draft: ReportDraft, reports_max: u32 },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(count: usize) -> Vec<String> {
        (0..count).map(|label| label.to_string()).collect()
    }

    #[test]
    fn a_series_is_whole_and_finite() {
        assert!(Series::new("n", "", "bar", &labels(2), vec![1.0, 2.0]).is_ok());
        for (name, kind, count, values) in [
            ("", "bar", 1, vec![1.0]),
            ("n", "pie", 1, vec![1.0]),
            ("n", "bar", 2, vec![1.0]),
            ("n", "bar", 1, vec![f64::NAN]),
            ("n", "bar", 1, vec![f64::INFINITY]),
            ("n", "bar", 1001, vec![0.0; 1001]),
        ] {
            assert!(Series::new(name, "u", kind, &labels(count), values).is_err(), "{name} {kind} {count}");
        }
        assert!(Series::new("n", "u", "bar", &["x".repeat(101)], vec![1.0]).is_err());
    }

    #[test]
    fn the_digest_is_of_all_of_it_and_comes_back_from_json() {
        let series = Series::new("n", "u", "line", &labels(3), vec![-0.0, 1e300, 0.1]).unwrap();
        let draft = ReportDraft::new("t", "m\0", vec![series.clone()]).unwrap();
        assert!(!draft.canonical().contains('\0'));
        let stored: Vec<Series> = serde_json::from_value(serde_json::to_value(&draft.series).unwrap()).unwrap();
        let again = ReportDraft { series: stored, ..draft.clone() };
        assert_eq!(draft.sha256(), again.sha256());
        for other in [
            ReportDraft { title: "other".to_owned(), ..draft.clone() },
            ReportDraft { markdown: "other".to_owned(), ..draft.clone() },
            ReportDraft { series: Vec::new(), ..draft.clone() },
        ] {
            assert_ne!(draft.sha256(), other.sha256());
        }
    }

    #[test]
    fn a_report_has_a_title_and_bounds() {
        assert!(ReportDraft::new("", "m", Vec::new()).is_err());
        assert!(ReportDraft::new(&"t".repeat(201), "m", Vec::new()).is_err());
        assert!(ReportDraft::new("t", &"m".repeat(MARKDOWN_BYTES_MAX + 1), Vec::new()).is_err());
        let one = Series::new("n", "u", "bar", &[], Vec::new()).unwrap();
        assert!(ReportDraft::new("t", "m", vec![one; SERIES_MAX + 1]).is_err());
    }
}
