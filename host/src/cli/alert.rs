//! `juggernaut alert …`

use std::process::ExitCode;

use super::args::AlertCommand;
use super::client::Client;
use super::output::{Output, cell, note, time, visible};
use crate::db::alerts::AlertView;
use crate::http::Page;

pub(super) async fn run(client: &Client, command: AlertCommand, output: Output) -> anyhow::Result<ExitCode> {
    let (id, verb, done) = match command {
        AlertCommand::List { state, severity, limit, cursor } => {
            let query = [
                ("state", state.map(|state| state.name().to_owned())),
                ("severity", severity.map(|severity| severity.name().to_owned())),
                ("limit", Some(limit.to_string())),
                ("cursor", cursor),
            ];
            let query: Vec<_> = query.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
            return list(client, &query, output).await;
        }
        AlertCommand::Ack { id } => (id, "acknowledge", "acknowledged"),
        AlertCommand::Resolve { id } => (id, "resolve", "resolved"),
    };
    let answer = client.post(&["alerts", &id.to_string(), verb], None).await?;
    if output.json {
        output.line(&answer.text)?;
    } else {
        let alert: AlertView = answer.parse()?;
        output.line(&format!("{done} {}: {}", alert.id, visible(&alert.title)))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(client: &Client, query: &[(&str, String)], output: Output) -> anyhow::Result<ExitCode> {
    let answer = client.get(&["alerts"], query).await?;
    if output.json {
        output.line(&answer.text)?;
        return Ok(ExitCode::SUCCESS);
    }
    let page: Page<AlertView> = answer.parse()?;
    let rows = page.items.iter().map(row).collect();
    output
        .table(&["ID", "SEVERITY", "STATE", "COUNT", "FIRST SEEN", "LAST SEEN", "TASK", "RAISED BY", "TITLE"], rows)?;
    if let Some(next) = page.next {
        note(&format!("there is more: add --cursor {}", visible(&next)));
    }
    Ok(ExitCode::SUCCESS)
}

fn row(alert: &AlertView) -> Vec<String> {
    vec![
        alert.id.to_string(),
        alert.severity.name().to_owned(),
        alert.state.name().to_owned(),
        alert.occurrences.to_string(),
        time(alert.first_seen_at),
        time(alert.last_seen_at),
        alert.task_id.map_or_else(|| "-".to_owned(), |id| id.to_string()),
        // Whose words the title is: those of a worker, or the host's.
        alert.raised_by.as_deref().map_or_else(|| "host".to_owned(), cell),
        cell(&alert.title),
    ]
}
