//! `juggernaut alert …`

use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::json;

use super::args::AlertCommand;
use super::client::Client;
use super::output::{Output, cell, note, time, visible};
use crate::app;
use crate::config::{EgressSettings, Env, WebhookConfig};
use crate::db::alerts::AlertView;
use crate::http::Page;

pub(super) async fn run(env: Env<'_>, command: AlertCommand, output: Output) -> anyhow::Result<ExitCode> {
    let (id, verb, done) = match command {
        AlertCommand::List { state, severity, limit, cursor } => {
            let query = [
                ("state", state.map(|state| state.name().to_owned())),
                ("severity", severity.map(|severity| severity.name().to_owned())),
                ("limit", Some(limit.to_string())),
                ("cursor", cursor),
            ];
            let query: Vec<_> = query.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
            return list(&Client::from_env(env)?, &query, output).await;
        }
        AlertCommand::Test => return test(env, output).await,
        AlertCommand::Ack { id } => (id, "acknowledge", "acknowledged"),
        AlertCommand::Resolve { id } => (id, "resolve", "resolved"),
    };
    let answer = Client::from_env(env)?.post(&["alerts", &id.to_string(), verb], None).await?;
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
    output.table(
        &["ID", "SEVERITY", "STATE", "COUNT", "FIRST SEEN", "LAST SEEN", "TOLD", "TASK", "RAISED BY", "TITLE"],
        rows,
    )?;
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
        alert.notice_state.map_or_else(|| "-".to_owned(), |state| state.to_string()),
        alert.task_id.map_or_else(|| "-".to_owned(), |id| id.to_string()),
        // Whose words the title is: those of a worker, or the host's.
        alert.raised_by.as_deref().map_or_else(|| "host".to_owned(), cell),
        cell(&alert.title),
    ]
}

/// Sends a notification from here, with the environment's webhook.
async fn test(env: Env<'_>, output: Output) -> anyhow::Result<ExitCode> {
    let webhook = WebhookConfig::if_set(env)?;
    let webhook = webhook.context("JUGGERNAUT_ALERT_WEBHOOK_URL is not set, so nobody is told of alerts; set it")?;
    let answer = app::test_notification(&webhook, EgressSettings::from_env(env)?).await?;
    let body = visible(&String::from_utf8_lossy(&answer.body));
    if output.json {
        output.line(&json!({ "status": answer.status, "answer": body }).to_string())?;
    } else {
        output.line(&format!("the webhook answered {}: {body}", answer.status))?;
    }
    Ok(if (200..300).contains(&answer.status) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
