//! Figures over a window of time.
//!
//! ```no_run
//! # fn run() -> Result<(), juggernaut_guest::Failure> {
//! use juggernaut_guest::metrics_read::{self, Metric};
//!
//! let table = metrics_read::measure(Metric::Completion, 3600)?;
//! for row in table.records() {
//!     juggernaut_guest::info!("{}: {} failed", row.text("task-type"), row.number("failed"));
//! }
//! # Ok(())
//! # }
//! ```

pub use crate::bindings::juggernaut::host::metrics_read::*;

/// A row of a [`Table`], by the names of its columns.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    table: &'a Table,
    row: &'a [String],
}

impl Record<'_> {
    /// Empty where there is no such column.
    pub fn text(&self, column: &str) -> &str {
        let place = self.table.columns.iter().position(|name| name == column);
        place.and_then(|place| self.row.get(place)).map_or("", String::as_str)
    }

    /// 0 where there is no such column, or no number in it.
    pub fn number(&self, column: &str) -> f64 {
        self.text(column).parse().unwrap_or(0.0)
    }
}

impl Table {
    /// Its rows.
    pub fn records(&self) -> impl Iterator<Item = Record<'_>> {
        self.rows.iter().map(|row| Record { table: self, row })
    }
}
