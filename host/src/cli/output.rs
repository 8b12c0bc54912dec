//! The only place that prints.
//!
//! Invariants: what a person asked for goes to stdout, everything about it to stderr; text that a guest or a stranger
//! wrote is made [`visible`] first; a reader that went away (`| head`) is an error like any other, never a panic.

use std::io::{self, Write as _};

use comfy_table::{ContentArrangement, Table, TableStyle};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use crate::text;

const TIME: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
/// Characters of a cell; what is longer ends in an ellipsis.
const CELL_CHARS_MAX: usize = 60;

/// Writes to stdout: JSON as the API gave it, or tables for people.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    pub json: bool,
}

impl Output {
    /// One line, as it is.
    pub fn line(self, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out, "{text}")?;
        out.flush()
    }

    /// A table with these headings; nothing but the headings if there are no rows.
    pub fn table(self, headings: &[&str], rows: Vec<Vec<String>>) -> io::Result<()> {
        let mut table = Table::new();
        table.load_style(TableStyle::new()).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(headings.to_vec());
        for row in rows {
            table.add_row(row);
        }
        self.line(&table.trim_fmt())
    }
}

/// A line on stderr, for progress and for what to do next. If even that can not be written, nobody is listening.
pub fn note(text: &str) {
    writeln!(io::stderr().lock(), "{text}").unwrap_or_default();
}

/// Makes visible what would act on a terminal or deceive a reader. Line breaks too: each line that we print is ours.
pub fn visible(text: &str) -> String {
    text::visible(text).into_owned()
}

/// Text of several lines, each made visible; the further ones are set in, so that none can pass for a line of ours.
pub fn visible_lines(text: &str) -> String {
    text.trim_end().split('\n').map(visible).collect::<Vec<_>>().join("\n      | ")
}

/// For a cell: visible and short.
pub fn cell(text: &str) -> String {
    let shown = visible(text);
    if shown.chars().count() <= CELL_CHARS_MAX {
        return shown;
    }
    shown.chars().take(CELL_CHARS_MAX - 1).chain(['…']).collect()
}

/// In UTC, to the second.
pub fn time(time: OffsetDateTime) -> String {
    time.to_offset(time::UtcOffset::UTC).format(TIME).unwrap_or_default()
}

pub fn time_or_dash(time_or_none: Option<OffsetDateTime>) -> String {
    time_or_none.map_or_else(|| "-".to_owned(), time)
}

pub fn or_dash(text: Option<&str>) -> String {
    text.map_or_else(|| "-".to_owned(), cell)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_on_a_terminal_is_made_visible() {
        assert_eq!(visible("a\u{1b}[31mb\n"), "a<U+001B>[31mb<U+000A>");
        assert_eq!(visible_lines("a\u{9b}\nb\u{202e}\n"), "a<U+009B>\n      | b<U+202E>");
    }

    #[test]
    fn a_cell_is_short() {
        assert_eq!(cell(&"x".repeat(60)).chars().count(), 60);
        let long = cell(&"x".repeat(61));
        assert_eq!(long.chars().count(), 60);
        assert!(long.ends_with('…'));
    }

    #[test]
    fn times_are_utc() {
        let noon = time::macros::datetime!(2026-11-22 12:00 +02:00);
        assert_eq!(time(noon), "2026-11-22 10:00:00");
    }
}
