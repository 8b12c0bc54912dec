//! The figures: one table for people, one JSON file for machines.

use std::fs;
use std::io::{Write as _, stdout};
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};

/// One line of the table.
#[derive(Debug)]
struct Figure {
    name: String,
    value: String,
    target: Option<Target>,
    /// Of any length: it does not widen the table.
    note: bool,
}

/// A ratio inside this run, or a limit.
#[derive(Debug)]
struct Target {
    text: String,
    measured: f64,
    met: bool,
}

#[derive(Debug, Default)]
pub(super) struct Report {
    figures: Vec<Figure>,
    details: Map<String, Value>,
}

impl Report {
    /// A figure without a target.
    pub(super) fn figure(&mut self, name: &str, value: String) {
        self.figures.push(Figure { name: name.to_owned(), value, target: None, note: false });
    }

    /// A line of words.
    pub(super) fn note(&mut self, name: &str, value: String) {
        self.figures.push(Figure { name: name.to_owned(), value, target: None, note: true });
    }

    /// The targets that were missed, by name.
    pub(super) fn missed(&self) -> Vec<&str> {
        let missed = self.figures.iter().filter(|figure| figure.target.as_ref().is_some_and(|target| !target.met));
        missed.map(|figure| figure.name.trim()).collect()
    }

    /// `measured` must reach `least`.
    pub(super) fn at_least(&mut self, name: &str, measured: f64, least: f64, unit: &str) {
        self.judged(name, measured, measured >= least, format!("at least {least}{unit}"), unit);
    }

    /// `measured` must be more than `least`.
    pub(super) fn more_than(&mut self, name: &str, measured: f64, least: f64, unit: &str) {
        self.judged(name, measured, measured > least, format!("more than {least}{unit}"), unit);
    }

    /// `measured` must not exceed `most`.
    pub(super) fn at_most(&mut self, name: &str, measured: f64, most: f64, unit: &str) {
        self.judged(name, measured, measured <= most, format!("at most {most}{unit}"), unit);
    }

    fn judged(&mut self, name: &str, measured: f64, met: bool, text: String, unit: &str) {
        let target = Some(Target { text, measured, met });
        self.figures.push(Figure { name: name.to_owned(), value: format!("{measured:.2}{unit}"), target, note: false });
    }

    /// What the figures of a section came from, for the JSON file.
    pub(super) fn detail(&mut self, section: &str, value: Value) {
        self.details.insert(section.to_owned(), value);
    }

    /// To standard output: it is what the bench is for.
    pub(super) fn print(&self) -> Result<()> {
        let figures = || self.figures.iter().filter(|figure| !figure.note);
        let widths = |text: fn(&Figure) -> usize| figures().map(text).max().unwrap_or_default();
        let (name, value) = (widths(|it| it.name.chars().count()), widths(|it| it.value.chars().count()));
        let mut out = stdout().lock();
        let mut line =
            |text: String| writeln!(out, "{}", text.trim_end()).context("could not write to standard output");
        line(String::new())?;
        for figure in &self.figures {
            if figure.note {
                line(format!("{:name$}  {}", figure.name, figure.value))?;
                continue;
            }
            let target = figure
                .target
                .as_ref()
                .map(|target| format!("{:<20} {}", target.text, if target.met { "met" } else { "MISSED" }));
            line(format!("{:name$}  {:>value$}  {}", figure.name, figure.value, target.unwrap_or_default()))?;
        }
        line(String::new())
    }

    pub(super) fn write(&self, file: &Path, settings: &Value) -> Result<()> {
        let figures: Vec<Value> = self
            .figures
            .iter()
            .map(|Figure { name, value, target, note: _ }| {
                let target = target
                    .as_ref()
                    .map(|Target { text, measured, met }| json!({"target": text, "measured": measured, "met": met}));
                json!({"name": name, "value": value, "judged": target})
            })
            .collect();
        let document = json!({"settings": settings, "figures": figures, "details": self.details});
        let text = serde_json::to_string_pretty(&document)?;
        fs::write(file, text).with_context(|| format!("could not write {}", file.display()))
    }
}

/// A rate for people: three digits and a unit.
pub(super) fn per_second(rate: f64) -> String {
    if rate < 1000.0 { format!("{rate:.0}/s") } else { format!("{:.1} k/s", rate / 1000.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_target_is_named() {
        let mut report = Report::default();
        report.figure("rate", "1/s".to_owned());
        report.at_least("  least", 0.5, 0.5, "");
        report.more_than("  more", 1.0, 1.0, "");
        report.at_most("most", f64::NAN, 1.0, "");
        assert_eq!(report.missed(), ["more", "most"]);
    }
}
