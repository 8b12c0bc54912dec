//! `juggernaut schedule …`

use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::json;

use super::args::ScheduleCommand;
use super::client::{Answer, Client};
use super::output::{Output, cell, note, or_dash, time, time_or_dash, visible, visible_lines};
use super::task::read_json;
use crate::db::schedules::{ScheduleDetail, ScheduleView};
use crate::http::Page;

pub(super) async fn run(client: &Client, command: ScheduleCommand, output: Output) -> anyhow::Result<ExitCode> {
    match command {
        ScheduleCommand::Create { name, cron, file, missed, overlap } => {
            let task = read_json(&file).context("--file")?;
            let mut draft = json!({ "name": name, "cron": cron, "task": task, "overlap": overlap });
            if let Some(missed) = missed {
                draft["missed"] = json!(missed);
            }
            let answer = client.post(&["schedules"], Some(&draft)).await?;
            print_change(&answer, "created", output)
        }
        ScheduleCommand::List { state, limit, cursor } => {
            let query = [
                ("state", state.map(|state| state.to_string())),
                ("limit", Some(limit.to_string())),
                ("cursor", cursor),
            ];
            let query: Vec<_> = query.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
            list(client, &query, output).await
        }
        ScheduleCommand::Show { schedule } => show(client, &schedule, output).await,
        ScheduleCommand::Pause { schedule } => {
            print_change(&client.post(&["schedules", &schedule, "pause"], None).await?, "paused", output)
        }
        ScheduleCommand::Resume { schedule } => {
            print_change(&client.post(&["schedules", &schedule, "resume"], None).await?, "resumed", output)
        }
        ScheduleCommand::Delete { schedule } => {
            print_change(&client.delete(&["schedules", &schedule]).await?, "deleted", output)
        }
    }
}

fn print_change(answer: &Answer, done: &str, output: Output) -> anyhow::Result<ExitCode> {
    if output.json {
        output.line(&answer.text)?;
        return Ok(ExitCode::SUCCESS);
    }
    let schedule: ScheduleView = answer.parse()?;
    let fires = schedule.next_at.map_or_else(String::new, |at| format!(", fires at {} UTC", time(at)));
    output.line(&format!("{done} {} {}: {}{fires}", schedule.id, visible(&schedule.name), visible(&schedule.title)))?;
    Ok(ExitCode::SUCCESS)
}

async fn list(client: &Client, query: &[(&str, String)], output: Output) -> anyhow::Result<ExitCode> {
    let answer = client.get(&["schedules"], query).await?;
    if output.json {
        output.line(&answer.text)?;
        return Ok(ExitCode::SUCCESS);
    }
    let page: Page<ScheduleView> = answer.parse()?;
    let rows = page.items.iter().map(row).collect();
    output.table(
        &["NAME", "STATE", "CRON", "NEXT", "LAST", "FIRED", "MISSED", "OVERLAPS", "BY", "TITLE", "ERROR"],
        rows,
    )?;
    if let Some(next) = page.next {
        note(&format!("there is more: add --cursor {}", visible(&next)));
    }
    Ok(ExitCode::SUCCESS)
}

fn row(schedule: &ScheduleView) -> Vec<String> {
    vec![
        cell(&schedule.name),
        schedule.state.to_string(),
        cell(&schedule.cron),
        time_or_dash(schedule.next_at),
        time_or_dash(schedule.last_fired_at),
        schedule.fired.to_string(),
        schedule.misfires.to_string(),
        schedule.overlapped.to_string(),
        cell(&schedule.created_by),
        cell(&schedule.title),
        or_dash(schedule.last_error.as_deref()),
    ]
}

async fn show(client: &Client, schedule: &str, output: Output) -> anyhow::Result<ExitCode> {
    let answer = client.get(&["schedules", schedule], &[]).await?;
    if output.json {
        output.line(&answer.text)?;
        return Ok(ExitCode::SUCCESS);
    }
    let ScheduleDetail { summary, task } = answer.parse()?;
    let overlap = if summary.overlap { "allowed" } else { "left out" };
    let field = |name: &str, value: String| output.line(&format!("{name:14} {value}"));
    field("schedule", summary.id.to_string())?;
    field("name", visible(&summary.name))?;
    field("state", summary.state.to_string())?;
    field("cron", format!("{} (UTC)", visible(&summary.cron)))?;
    field("next", time_or_dash(summary.next_at))?;
    field("missed", format!("{}; {} so far", summary.missed, summary.misfires))?;
    field("overlapping", format!("{overlap}; {} so far", summary.overlapped))?;
    field("created", format!("{} by {}", time(summary.created_at), visible(&summary.created_by)))?;
    field("last fired", format!("{}; {} tasks in all", time_or_dash(summary.last_fired_at), summary.fired))?;
    field("last task", summary.last_task.map_or_else(|| "-".to_owned(), |task| task.to_string()))?;
    field("last error", summary.last_error.as_deref().map_or_else(|| "-".to_owned(), visible))?;
    field("task", visible_lines(&serde_json::to_string_pretty(&task)?))?;
    Ok(ExitCode::SUCCESS)
}
