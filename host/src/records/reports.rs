//! `reports`.

/// A change of reports.
#[derive(Clone, Debug)]
pub enum ReportChange {}
