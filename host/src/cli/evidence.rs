//! `evidence verify`: asks the world again what completed tasks stand on. Works on the database, GitHub and the web directly, so
//! that it also tells the truth about a host that is not trusted.

use std::process::ExitCode;

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::args::EvidenceCommand;
use super::database::connect;
use super::output::{Output, cell, note, time, visible};
use crate::app;
use crate::config::{self, EgressSettings, Env, GitHubSettings};
use crate::verification::{Asked, Checked, Found, Request, verify_again};

pub(super) async fn run(command: EvidenceCommand, output: Output) -> anyhow::Result<ExitCode> {
    let EvidenceCommand::Verify { since, task } = command;
    let db = connect().await?;
    let env = Env(&config::process);
    let github = app::github(&GitHubSettings::from_env(env)?)?;
    if github.is_none() {
        note("GITHUB_TOKEN is not set: evidence that only GitHub shows is not answered");
    }
    let asked = Asked { github, web: app::web(EgressSettings::from_env(env)?)? };
    let request = Request { since: OffsetDateTime::now_utc() - since, task };
    // One line each as it comes: a pass over many tasks takes its time.
    let found = verify_again(&db, &asked, &request, |checked| print(&checked, output)).await?;
    let Found { holds, broken, not_answered } = found;
    let all = holds + broken + not_answered;
    if let (0, Some(task)) = (all, task) {
        anyhow::bail!("no completed task has the id {task}");
    }
    if output.json {
        let summary = json!({ "checked": all, "holds": holds, "broken": broken, "not_answered": not_answered });
        output.line(&summary.to_string())?;
    } else {
        output.line(&format!("{all} tasks: {holds} hold, {broken} broken, {not_answered} not answered"))?;
    }
    Ok(if broken == 0 && not_answered == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(checked: &Checked, output: Output) -> anyhow::Result<()> {
    let Checked { task, title, task_type, completed_at, .. } = checked;
    let (verdict, problems) = checked.verdict();
    if output.json {
        let completed_at = completed_at.format(&Rfc3339)?;
        let line = json!({
            "task": task, "title": title, "task_type": task_type, "completed_at": completed_at, "verdict": verdict,
            "problems": problems,
        });
        output.line(&Value::to_string(&line))?;
        return Ok(());
    }
    let (when, kind) = (time(*completed_at), visible(task_type));
    output.line(&format!("{verdict:12} {task} {when} {kind:13} {}", cell(title)))?;
    for problem in problems {
        output.line(&format!("             {}", visible(&problem)))?;
    }
    Ok(())
}
