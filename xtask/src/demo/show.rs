//! What the person at the terminal sees. Standard output: it is what the demo is for.

use std::io::{Write as _, stdout};

use anyhow::{Context as _, Result};

/// A line of the table at the end.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) task: String,
    pub(super) role: String,
    pub(super) status: String,
    pub(super) evidence: String,
}

pub(super) fn line(text: &str) -> Result<()> {
    let mut out = stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).context("could not write to standard output")
}

pub(super) fn heading(text: &str) -> Result<()> {
    line(&format!("\n{text}"))
}

pub(super) fn item(label: &str, text: &str) -> Result<()> {
    line(&format!("   {label:<10} {text}"))
}

pub(super) fn table(rows: &[Row]) -> Result<()> {
    let cells = |row: &Row| [row.task.clone(), row.role.clone(), row.status.clone(), row.evidence.clone()];
    let mut lines = vec![["TASK", "ROLE", "STATUS", "EVIDENCE"].map(str::to_owned)];
    lines.extend(rows.iter().map(cells));
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default();
    let (task, role, status) = (width(0), width(1), width(2));
    line("")?;
    for [first, second, third, last] in &lines {
        line(&format!("{first:task$}  {second:role$}  {third:status$}  {last}"))?;
    }
    line("")
}
