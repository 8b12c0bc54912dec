//! `juggernaut report …`

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use uuid::Uuid;

use super::args::ReportCommand;
use super::client::Client;
use super::output::{Output, cell, note, time, visible};
use crate::db::reports::{ReportSummary, ReportView};
use crate::http::Page;
use crate::text;

pub(super) async fn run(client: &Client, command: ReportCommand, output: Output) -> anyhow::Result<ExitCode> {
    match command {
        ReportCommand::List { task, limit, cursor } => {
            let query =
                [("task", task.map(|task| task.to_string())), ("limit", Some(limit.to_string())), ("cursor", cursor)];
            let query: Vec<_> = query.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
            list(client, &query, output).await
        }
        ReportCommand::Show { id, charts } => show(client, id, charts.as_deref(), output).await,
    }
}

async fn list(client: &Client, query: &[(&str, String)], output: Output) -> anyhow::Result<ExitCode> {
    let answer = client.get(&["reports"], query).await?;
    if output.json {
        output.line(&answer.text)?;
        return Ok(ExitCode::SUCCESS);
    }
    let page: Page<ReportSummary> = answer.parse()?;
    let rows = page.items.iter().map(row).collect();
    output.table(&["ID", "CREATED", "TASK", "WORKER", "CHARTS", "TITLE"], rows)?;
    if let Some(next) = page.next {
        note(&format!("there is more: add --cursor {}", visible(&next)));
    }
    Ok(ExitCode::SUCCESS)
}

fn row(report: &ReportSummary) -> Vec<String> {
    vec![
        report.id.to_string(),
        time(report.created_at),
        report.task_id.map_or_else(|| "-".to_owned(), |id| id.to_string()),
        cell(&report.worker_id),
        report.charts.to_string(),
        cell(&report.title),
    ]
}

/// The text as it is, but for what a terminal would act on.
async fn show(client: &Client, id: Uuid, charts: Option<&Path>, output: Output) -> anyhow::Result<ExitCode> {
    let answer = client.get(&["reports", &id.to_string()], &[]).await?;
    let report: ReportView = answer.parse()?;
    if output.json {
        output.line(&answer.text)?;
    } else {
        output.line(&text::visible_block(&report.markdown))?;
        note(&format!(
            "stored {} by {}, sha256 {}",
            time(report.created_at),
            visible(&report.worker_id),
            report.sha256
        ));
    }
    let Some(folder) = charts else { return Ok(ExitCode::SUCCESS) };
    fs::create_dir_all(folder).with_context(|| format!("{} can not be made", folder.display()))?;
    for number in 0..report.series.0.len() {
        let name = format!("{number}.svg");
        let chart = client.get(&["reports", &id.to_string(), "charts", &name], &[]).await?;
        let file = folder.join(&name);
        // Never through a link, and never over what somebody else put there.
        let mut written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&file)
            .with_context(|| format!("{} can not be written; choose a new folder", file.display()))?;
        written.write_all(chart.text.as_bytes()).with_context(|| format!("{} can not be written", file.display()))?;
        note(&format!("wrote {}", file.display()));
    }
    Ok(ExitCode::SUCCESS)
}
