//! `juggernaut approval …`

use std::process::ExitCode;

use serde_json::json;

use super::args::{ApprovalCommand, ApprovalListArguments};
use super::client::Client;
use super::output::{Output, cell, note, time, visible};
use crate::approval::{ApprovalId, ApprovalState};
use crate::db::approvals::{ApprovalDetail, ApprovalSummary};
use crate::http::ApprovalPage;
use crate::text::visible_block;

const SOLO: &str = "SOLO MODE is on: who created a task may approve it";

pub(super) async fn run(client: &Client, command: ApprovalCommand, output: Output) -> anyhow::Result<ExitCode> {
    match command {
        ApprovalCommand::List(arguments) => list(client, arguments, output).await,
        ApprovalCommand::Show { id } => show(client, id, output).await,
        ApprovalCommand::Approve { id, note } => decide(client, id, "approve", note, output).await,
        ApprovalCommand::Deny { id, note } => decide(client, id, "deny", Some(note), output).await,
    }
}

async fn list(client: &Client, arguments: ApprovalListArguments, output: Output) -> anyhow::Result<ExitCode> {
    let ApprovalListArguments { state, all, task, limit, cursor } = arguments;
    let state = if all { None } else { Some(state.unwrap_or(ApprovalState::Requested)) };
    let query = [
        ("state", state.map(|state| state.to_string())),
        ("task", task.map(|task| task.to_string())),
        ("limit", Some(limit.to_string())),
        ("cursor", cursor),
    ];
    let query: Vec<_> = query.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    let answer = client.get(&["approvals"], &query).await?;
    if output.json {
        output.line(&answer.text)?;
        return Ok(ExitCode::SUCCESS);
    }
    let ApprovalPage { page, solo_mode } = answer.parse()?;
    if solo_mode {
        note(SOLO);
    }
    let rows = page.items.iter().map(row).collect();
    output.table(&["ID", "STATE", "RISK", "ACTION", "REQUESTED", "EXPIRES", "DECIDED BY", "TASK", "TITLE"], rows)?;
    if let Some(next) = page.next {
        note(&format!("there is more: add --cursor {}", visible(&next)));
    }
    Ok(ExitCode::SUCCESS)
}

fn decided_by(approval: &ApprovalSummary) -> String {
    let solo = if approval.solo { " (solo)" } else { "" };
    approval.decided_by.as_deref().map_or_else(|| "-".to_owned(), |by| format!("{}{solo}", cell(by)))
}

fn row(approval: &ApprovalSummary) -> Vec<String> {
    vec![
        approval.id.to_string(),
        approval.state.to_string(),
        approval.risk.to_string(),
        cell(&approval.action),
        time(approval.requested_at),
        time(approval.expires_at),
        decided_by(approval),
        approval.task_id.to_string(),
        cell(&approval.task_title),
    ]
}

async fn show(client: &Client, id: ApprovalId, output: Output) -> anyhow::Result<ExitCode> {
    let answer = client.get(&["approvals", &id.to_string()], &[]).await?;
    if output.json {
        output.line(&answer.text)?;
        return Ok(ExitCode::SUCCESS);
    }
    let approval: ApprovalDetail = answer.parse()?;
    if approval.solo_mode {
        note(SOLO);
    }
    for line in head(&approval).iter().chain(&body(&approval)) {
        output.line(line)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What it is, for one line each.
fn head(approval: &ApprovalDetail) -> Vec<String> {
    let ApprovalDetail { summary, content, solo_mode: _ } = approval;
    let mut lines = Vec::new();
    let mut field = |name: &str, value: String| lines.push(format!("{name:14} {value}"));
    field("approval", summary.id.to_string());
    field("state", summary.state.to_string());
    field("action", visible(&summary.action));
    field("task", format!("{} {}", summary.task_id, visible(&summary.task_title)));
    field("risk", summary.risk.to_string());
    for reason in &summary.reasons {
        field("because", visible(reason));
    }
    field("policies", visible(&summary.policies.join(", ")));
    field("requested", time(summary.requested_at));
    field("expires", time(summary.expires_at));
    if let Some(decided_at) = summary.decided_at {
        field("decided", format!("{} by {}", time(decided_at), decided_by(summary)));
    }
    for line in summary.note.iter().flat_map(|note| note.lines()) {
        field("note", visible(line));
    }
    field("digest", visible(&content.digest));
    for (name, digest) in [
        ("component", &content.component_sha256),
        ("manifest", &content.manifest_sha256),
        ("policy", &content.policy_sha256),
    ] {
        if let Some(digest) = digest {
            field(name, visible(digest));
        }
    }
    lines
}

/// The host's text, and far from it the role's, each line of which is marked.
fn body(approval: &ApprovalDetail) -> Vec<String> {
    let mut lines = vec![String::new(), "=== what would be done, as the host sees it ===".to_owned()];
    lines.extend(approval.content.shown.lines().map(|line| visible_block(line).into_owned()));
    lines.push("=== end of what would be done ===".to_owned());
    if let Some(says) = &approval.content.role_says {
        lines.push(String::new());
        lines.push("=== what the role says about it: NOT checked by the host ===".to_owned());
        lines.extend(says.lines().map(|text| format!("role> {}", visible_block(text))));
        lines.push("=== end of what the role says ===".to_owned());
    }
    lines
}

async fn decide(
    client: &Client,
    id: ApprovalId,
    verb: &str,
    why: Option<String>,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let answer = client.post(&["approvals", &id.to_string(), verb], Some(&json!({ "note": why }))).await?;
    if output.json {
        output.line(&answer.text)?;
        return Ok(ExitCode::SUCCESS);
    }
    let approval: ApprovalDetail = answer.parse()?;
    if approval.summary.solo {
        note(SOLO);
    }
    let ApprovalSummary { state, action, task_id, .. } = &approval.summary;
    output.line(&format!("{state} {} of task {task_id}", visible(action)))?;
    output.line(&format!("arguments {}", visible(&approval.content.arguments.to_string())))?;
    output.line(&format!("digest    {}", visible(&approval.content.digest)))?;
    Ok(ExitCode::SUCCESS)
}
