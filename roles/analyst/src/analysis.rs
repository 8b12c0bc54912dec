//! `analysis` and `report`: measures, calculates, writes and stores.

use juggernaut_guest::learnings::{self, Draft as LearningDraft};
use juggernaut_guest::logs_read::{self, Filter, Level};
use juggernaut_guest::metrics_read::{self, Metric, Record};
use juggernaut_guest::reports::{self, Draft, Series};
use juggernaut_guest::{Assignment, Error, Evidence, Failure, info, task};

use crate::figures::{Cost, Durations, ErrorGroup, Figures, Hour, Pattern, Queued, TypeFigures, patterns};
use crate::payload::Analysis;
use crate::write::{self, LogLine};

/// Newest errors of the log that the report shows.
const LINES: u32 = 20;
/// Of the manifest.
const LEARNINGS_MAX: usize = 3;

pub fn run(task: &Assignment) -> Result<Evidence, Failure> {
    let Analysis { window_hours } = Analysis::parse(&task.payload).map_err(Failure::final_)?;
    let offered = learnings::offered()?;
    let mut steps = Vec::new();
    let figures = measure(window_hours, &mut steps)?;
    let filter = Filter { task: None, level: Level::Error, window_seconds: window_hours * 3600, limit: LINES };
    let lines = logs_read::list_lines(&filter)?;
    steps.extend(task::last_step());
    let lines: Vec<LogLine> =
        lines.into_iter().map(|line| LogLine { action: line.action, message: line.message }).collect();
    let learnt: Vec<String> = offered.iter().map(|it| format!("{}: {}", it.title, it.description)).collect();
    let stored = reports::store(&Draft {
        title: task.title.clone(),
        markdown: write::markdown(&task.title, &figures, &lines, &learnt),
        series: write::charts(&figures).into_iter().map(series).collect(),
    })?;
    steps.extend(task::last_step());
    let headline = write::headline(&figures);
    info!("stored report {}: {headline}", stored.id);
    capture(&figures)?;
    let claim = Evidence::report_stored(stored.id, stored.sha256).summary(headline);
    Ok(task.criteria.iter().fold(claim, |claim, criterion| claim.answer(criterion.number, steps.clone())))
}

fn series(chart: write::Chart) -> Series {
    let (labels, values) = chart.points.into_iter().map(|(label, value)| (cut(&label), value)).unzip();
    Series { name: chart.name.to_owned(), unit: chart.unit.to_owned(), kind: chart.kind.to_owned(), labels, values }
}

fn cut(label: &str) -> String {
    label.chars().take(100).collect()
}

/// Keeps what stands out for those after it, unless it is kept already.
fn capture(figures: &Figures) -> Result<(), Failure> {
    let mut kept = 0;
    for pattern in patterns(figures) {
        let (Some((tag, task_type)), true) = (lasting(&pattern), kept < LEARNINGS_MAX) else { continue };
        if !learnings::search("", std::slice::from_ref(&tag), 1)?.is_empty() {
            continue;
        }
        let id = learnings::capture(&LearningDraft {
            category: "failure".to_owned(),
            title: format!("A pattern in tasks of type {task_type}"),
            description: write::told(&pattern),
            impact_score: 0.6,
            tags: vec![task_type, tag],
        })?;
        kept += 1;
        info!("kept learning {id}");
    }
    Ok(())
}

/// A tag that names the pattern, and the task type that it is about. What only this window shows is no learning.
fn lasting(pattern: &Pattern) -> Option<(String, String)> {
    match pattern {
        Pattern::Dominating { fingerprint, task_type, .. } => Some((format!("error-{fingerprint}"), task_type.clone())),
        Pattern::Failing { task_type, .. } => Some((format!("failing-{}", cut_tag(task_type)), task_type.clone())),
        Pattern::Uneven { task_type, .. } => Some((format!("uneven-{}", cut_tag(task_type)), task_type.clone())),
        Pattern::Growing { .. } | Pattern::Worsening { .. } => None,
    }
}

fn cut_tag(task_type: &str) -> String {
    task_type.chars().take(40).collect()
}

fn measure(window_hours: u64, steps: &mut Vec<u32>) -> Result<Figures, Failure> {
    let window = window_hours * 3600;
    let mut table = |metric| {
        let table = metrics_read::measure(metric, window)?;
        steps.extend(task::last_step());
        Ok::<_, Error>(table)
    };
    Ok(Figures {
        window_hours,
        types: table(Metric::Completion)?.records().map(of_type).collect(),
        durations: table(Metric::Duration)?.records().map(durations).collect(),
        queue: table(Metric::Queue)?.records().map(queued).collect(),
        hours: table(Metric::Throughput)?.records().map(hour).collect(),
        errors: table(Metric::Errors)?.records().map(error).collect(),
        cost: match table(Metric::Cost) {
            Ok(table) => Some(table.records().map(cost).collect()),
            // No model is configured here.
            Err(Error::Invalid(_) | Error::Unavailable(_)) => None,
            Err(error) => return Err(error.into()),
        },
    })
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped by the cast; counts and times")]
fn count(record: &Record<'_>, column: &str) -> u64 {
    record.number(column) as u64
}

fn of_type(record: Record<'_>) -> TypeFigures {
    TypeFigures {
        task_type: record.text("task-type").to_owned(),
        created: count(&record, "created"),
        completed: count(&record, "completed"),
        failed: count(&record, "failed") + count(&record, "dead-lettered"),
    }
}

fn durations(record: Record<'_>) -> Durations {
    Durations {
        task_type: record.text("task-type").to_owned(),
        count: count(&record, "count"),
        p50: record.number("p50-seconds"),
        p95: record.number("p95-seconds"),
        max: record.number("max-seconds"),
    }
}

fn queued(record: Record<'_>) -> Queued {
    Queued {
        task_type: record.text("task-type").to_owned(),
        status: record.text("status").to_owned(),
        count: count(&record, "count"),
        oldest_seconds: record.number("oldest-seconds"),
    }
}

fn hour(record: Record<'_>) -> Hour {
    Hour { at_ms: count(&record, "hour-ms"), completed: count(&record, "completed"), failed: count(&record, "failed") }
}

fn error(record: Record<'_>) -> ErrorGroup {
    ErrorGroup {
        fingerprint: record.text("fingerprint").to_owned(),
        task_type: record.text("task-type").to_owned(),
        count: count(&record, "count"),
        sample: record.text("sample").to_owned(),
    }
}

fn cost(record: Record<'_>) -> Cost {
    Cost {
        model: record.text("model").to_owned(),
        calls: count(&record, "calls"),
        tokens: count(&record, "prompt-tokens") + count(&record, "answer-tokens"),
        microdollars: count(&record, "cost-microdollars"),
    }
}
