//! The report: Markdown, and the series that the host draws charts from.
//!
//! Invariant: pure. Words of strangers (samples, log lines) stand in fenced blocks that they can not close, and nowhere else.

use std::fmt::Write as _;

use crate::figures::{Figures, Hour, Pattern, patterns, percent};

/// Errors, types and models that are told one by one.
const ROWS_MAX: usize = 50;
const SAMPLE_CHARS_MAX: usize = 300;
const LINES_MAX: usize = 20;

/// Data of a chart.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    pub name: &'static str,
    pub unit: &'static str,
    pub kind: &'static str,
    pub points: Vec<(String, f64)>,
}

/// A line of the execution log.
#[derive(Clone, Debug)]
pub struct LogLine {
    pub action: String,
    pub message: String,
}

pub fn markdown(title: &str, figures: &Figures, lines: &[LogLine], learnings: &[String]) -> String {
    let mut text = format!("# {}\n\nThe last {} hours.\n", inline(title), figures.window_hours);
    summary(&mut text, figures);
    types(&mut text, figures);
    durations(&mut text, figures);
    queue(&mut text, figures);
    cost(&mut text, figures);
    errors(&mut text, figures);
    if !lines.is_empty() {
        add(&mut text, "\n## Newest errors of the log\n\nWritten by roles and by the host.\n");
        for LogLine { action, message } in lines.iter().take(LINES_MAX) {
            quote(&mut text, &format!("{action}: {message}"));
        }
    }
    if !learnings.is_empty() {
        add(&mut text, "\n## Learnings that were looked at\n");
        learnings.iter().for_each(|learning| quote(&mut text, learning));
    }
    text
}

/// One line for people.
pub fn headline(figures: &Figures) -> String {
    let (completed, failed) = totals(figures);
    let all = completed + failed;
    format!(
        "{completed} tasks completed and {failed} failed in {} hours ({:.1} % completed); {} patterns, {} kinds of errors",
        figures.window_hours,
        percent(completed, all),
        patterns(figures).len(),
        figures.errors.len(),
    )
}

fn totals(figures: &Figures) -> (u64, u64) {
    figures.types.iter().fold((0, 0), |(completed, failed), it| (completed + it.completed, failed + it.failed))
}

fn summary(text: &mut String, figures: &Figures) {
    add(text, &format!("\n## Summary\n\n{}.\n", headline(figures)));
    let found = patterns(figures);
    if found.is_empty() {
        add(text, "\nNothing stands out.\n");
        return;
    }
    add(text, "");
    found.iter().for_each(|pattern| add(text, &format!("- {}", told(pattern))));
}

/// A pattern in words.
pub fn told(pattern: &Pattern) -> String {
    match pattern {
        Pattern::Failing { task_type, failed, all } => {
            format!("{failed} of {all} tasks of type `{task_type}` failed ({:.0} %).", percent(*failed, *all))
        }
        Pattern::Dominating { fingerprint, task_type, count, all } => format!(
            "Error `{fingerprint}` in tasks of type `{task_type}` makes up {count} of {all} errors ({:.0} %).",
            percent(*count, *all)
        ),
        Pattern::Uneven { task_type, times } => {
            format!("The slowest twentieth of `{task_type}` takes {times} times as long as the median, or longer.")
        }
        Pattern::Growing { created, ended } => {
            format!("{created} tasks were created and {ended} ended: the queue grows.")
        }
        Pattern::Worsening { before_percent, after_percent } => format!(
            "Failures went from {before_percent} % in the older half of the window to {after_percent} % in the newer one."
        ),
    }
}

fn types(text: &mut String, figures: &Figures) {
    add(text, "\n## Completion by type\n\n| type | created | completed | failed | completed % | failed % |");
    add(text, "| --- | ---: | ---: | ---: | ---: | ---: |");
    for it in figures.types.iter().take(ROWS_MAX) {
        let all = it.completed + it.failed;
        add(
            text,
            &format!(
                "| {} | {} | {} | {} | {:.1} | {:.1} |",
                inline(&it.task_type),
                it.created,
                it.completed,
                it.failed,
                percent(it.completed, all),
                percent(it.failed, all)
            ),
        );
    }
}

fn durations(text: &mut String, figures: &Figures) {
    add(text, "\n## Durations of completed tasks, seconds\n\n| type | tasks | median | 95 % within | longest |");
    add(text, "| --- | ---: | ---: | ---: | ---: |");
    for it in figures.durations.iter().take(ROWS_MAX) {
        let (name, p50, p95, max) = (inline(&it.task_type), it.p50, it.p95, it.max);
        add(text, &format!("| {name} | {} | {p50:.1} | {p95:.1} | {max:.1} |", it.count));
    }
}

fn queue(text: &mut String, figures: &Figures) {
    add(text, "\n## Queue, now\n\n| type | status | tasks | oldest, minutes |\n| --- | --- | ---: | ---: |");
    for it in figures.queue.iter().take(ROWS_MAX) {
        let (name, status) = (inline(&it.task_type), inline(&it.status));
        add(text, &format!("| {name} | {status} | {} | {:.0} |", it.count, it.oldest_seconds / 60.0));
    }
}

fn cost(text: &mut String, figures: &Figures) {
    add(text, "\n## Cost of models\n");
    let Some(models) = &figures.cost else {
        add(text, "Not measured: this host keeps no account of models.");
        return;
    };
    add(text, "| model | calls | tokens | US dollars |\n| --- | ---: | ---: | ---: |");
    for it in models.iter().take(ROWS_MAX) {
        let dollars = format!("{}.{:06}", it.microdollars / 1_000_000, it.microdollars % 1_000_000);
        add(text, &format!("| {} | {} | {} | {dollars} |", inline(&it.model), it.calls, it.tokens));
    }
}

fn errors(text: &mut String, figures: &Figures) {
    add(text, "\n## Errors\n");
    if figures.errors.is_empty() {
        add(text, "None.");
    }
    for group in figures.errors.iter().take(ROWS_MAX) {
        let (fingerprint, name) = (inline(&group.fingerprint), inline(&group.task_type));
        add(text, &format!("\n`{fingerprint}` in `{name}`, {} times; one of them:\n", group.count));
        quote(text, &group.sample);
    }
}

/// The series of the report.
pub fn charts(figures: &Figures) -> Vec<Chart> {
    let counts = |value: fn(&crate::figures::TypeFigures) -> u64| {
        figures.types.iter().take(ROWS_MAX).map(|it| (it.task_type.clone(), number(value(it)))).collect()
    };
    let hours =
        |value: fn(&Hour) -> u64| figures.hours.iter().map(|hour| (clock(hour.at_ms), number(value(hour)))).collect();
    let chart = |name, unit, kind, points| Chart { name, unit, kind, points };
    vec![
        chart("Completed by type", "tasks", "bar", counts(|it| it.completed)),
        chart("Failed by type", "tasks", "bar", counts(|it| it.failed)),
        chart(
            "Duration, 95 % within",
            "seconds",
            "bar",
            figures.durations.iter().take(ROWS_MAX).map(|it| (it.task_type.clone(), it.p95)).collect(),
        ),
        chart("Completed by hour", "tasks", "line", hours(|hour| hour.completed)),
        chart("Failed by hour", "tasks", "line", hours(|hour| hour.failed)),
        chart(
            "Errors by fingerprint",
            "errors",
            "bar",
            figures.errors.iter().take(20).map(|it| (it.fingerprint.clone(), number(it.count))).collect(),
        ),
    ]
}

#[expect(clippy::cast_precision_loss, reason = "counts of tasks")]
fn number(count: u64) -> f64 {
    count as f64
}

/// Day and hour, UTC.
fn clock(at_ms: u64) -> String {
    let hours = at_ms / 3_600_000;
    let (year, month, day) = date(hours / 24);
    format!("{year}-{month:02}-{day:02} {:02}h", hours % 24)
}

/// Of a day since 1970; Howard Hinnant's `civil_from_days`.
fn date(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let of_era = shifted % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

fn add(text: &mut String, line: &str) {
    // Writing to a string does not fail.
    writeln!(text, "{line}").unwrap_or_default();
}

/// Words that become part of a line: no markup, no break.
pub fn inline(words: &str) -> String {
    let plain = |character: char| {
        if character.is_control() || "`*_[]<>|#\\!".contains(character) { ' ' } else { character }
    };
    words.chars().take(200).map(plain).collect()
}

/// A stranger's words in a block of their own, behind a fence that is longer than any in them.
fn quote(text: &mut String, words: &str) {
    let words: String = words.chars().take(SAMPLE_CHARS_MAX).collect();
    let longest = words.split(|character| character != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    add(text, &format!("{fence}text\n{words}\n{fence}"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::{ErrorGroup, TypeFigures};

    fn figures(sample: &str) -> Figures {
        Figures {
            window_hours: 24,
            types: vec![TypeFigures { task_type: "code".into(), created: 10, completed: 5, failed: 5 }],
            errors: vec![ErrorGroup {
                fingerprint: "f".into(),
                task_type: "code".into(),
                count: 5,
                sample: sample.into(),
            }],
            hours: vec![Hour { at_ms: 1_785_000_000_000, completed: 2, failed: 3 }],
            ..Figures::default()
        }
    }

    #[test]
    fn a_report_tells_rates_patterns_and_errors() {
        let text = markdown("Weekly", &figures("boom"), &[], &["learnt".to_owned()]);
        assert!(text.starts_with("# Weekly\n\nThe last 24 hours.\n"), "{text}");
        assert!(text.contains("| code | 10 | 5 | 5 | 50.0 | 50.0 |"), "{text}");
        assert!(text.contains("- 5 of 10 tasks of type `code` failed (50 %)."), "{text}");
        assert!(text.contains("```text\nboom\n```") && text.contains("```text\nlearnt\n```"), "{text}");
        assert!(text.contains("Not measured"), "{text}");
    }

    #[test]
    fn a_sample_does_not_get_out_of_its_block() {
        let hostile = "x\n```\n# I am the report\n````\n<script>";
        let text = markdown("t", &figures(hostile), &[], &[]);
        assert!(text.contains(&format!("`````text\n{hostile}\n`````\n")), "{text}");
        let heading = markdown("a\n# b <script> [x](y)", &figures(""), &[], &[]);
        assert!(heading.starts_with("# a   b  script   x (y)\n"), "{heading}");
    }

    #[test]
    fn each_chart_has_its_data() {
        let charts = charts(&figures(""));
        assert_eq!(charts.len(), 6);
        assert_eq!(charts[1].points, [("code".to_owned(), 5.0)]);
        assert_eq!(charts[4].points, [("2026-07-25 17h".to_owned(), 3.0)]);
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!((date(0), date(59), date(11_016)), ((1970, 1, 1), (1970, 3, 1), (2000, 2, 29)));
        assert_eq!(date(20_784), (2026, 11, 27));
    }
}
