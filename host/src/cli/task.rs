//! `juggernaut task …`

use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::args::{CreateArguments, ListArguments};
use super::client::{Answer, Client};
use super::follow::{self, Followed, Lines};
use super::output::{Output, cell, note, or_dash, time, time_or_dash, visible};
use crate::db::logs::LogLine;
use crate::db::steps::{StepStateView, StepView};
use crate::db::task_views::{TaskDetail, TaskSummary};
use crate::http::{BODY_BYTES_MAX, BULK_BODY_BYTES_MAX, CreatedTasks, Page};
use crate::task::{Criterion, TaskId, TaskStatus};

/// Rows of a page when everything is fetched.
const PAGE_ROWS: u32 = 200;

pub(super) async fn create(client: &Client, create: CreateArguments, output: Output) -> anyhow::Result<ExitCode> {
    let wait = create.wait;
    let draft = match &create.file {
        Some(file) => read_json_within(file, BULK_BODY_BYTES_MAX).context("--file")?,
        None => draft(create)?,
    };
    if draft.is_array() {
        return create_all(client, &draft, wait, output).await;
    }
    let answer = client.create(&["tasks"], &draft).await?;
    let task: TaskSummary = answer.parse()?;
    if !wait {
        print_change(&answer, &task, "created", output)?;
        return Ok(ExitCode::SUCCESS);
    }
    note(&format!("created task {}: {}", task.id, visible(&task.title)));
    let followed = follow::follow(client, task.id, Lines::Stderr, output).await?;
    if let Followed::Ended(_) = followed {
        show(client, task.id, output).await?;
    }
    follow::exit_code(followed)
}

/// A list of tasks: all are created, or none is.
async fn create_all(client: &Client, drafts: &Value, wait: bool, output: Output) -> anyhow::Result<ExitCode> {
    if wait {
        bail!("--wait follows one task, and the file is a list of them; leave --wait out");
    }
    let answer = client.create(&["tasks", "bulk"], drafts).await?;
    if output.json {
        output.line(&answer.text)?;
        return Ok(ExitCode::SUCCESS);
    }
    let CreatedTasks { ids } = answer.parse()?;
    for id in ids {
        output.line(&format!("created {id}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The flags as the JSON that the API takes; what was not given is left to the API's defaults.
fn draft(create: CreateArguments) -> anyhow::Result<Value> {
    let CreateArguments {
        file: _,
        title,
        description,
        task_type,
        priority,
        risk,
        payload,
        criteria,
        depends_on,
        worker,
        attempts_max,
        deadline,
        wait: _,
    } = create;
    let mut draft = Map::new();
    let criteria: Vec<Value> = criteria.iter().map(|text| criterion(text)).collect::<anyhow::Result<_>>()?;
    let payload = payload.map(|file| read_json(&file).context("--payload")).transpose()?;
    let fields = [
        ("title", title.map(Value::from)),
        ("description", description.map(Value::from)),
        ("task_type", task_type.map(Value::from)),
        ("priority", priority.map(|priority| json!(priority))),
        ("risk", risk.map(|risk| json!(risk))),
        ("payload", payload),
        ("acceptance_criteria", (!criteria.is_empty()).then(|| Value::from(criteria))),
        ("depends_on", (!depends_on.is_empty()).then(|| json!(depends_on))),
        ("assigned_worker", worker.map(Value::from)),
        ("attempts_max", attempts_max.map(Value::from)),
        ("deadline_at", deadline.map(Value::from)),
    ];
    draft.extend(fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    Ok(Value::Object(draft))
}

/// Text that begins with a brace is meant as JSON: then it must be JSON, and not become text by a typing mistake.
pub(super) fn criterion(text: &str) -> anyhow::Result<Value> {
    if !text.trim_start().starts_with('{') {
        return Ok(Value::from(text));
    }
    serde_json::from_str(text)
        .with_context(|| format!("--criterion {} is not JSON; for example {{\"type\": \"merged\"}}", visible(text)))
}

pub(super) fn read_json(file: &Path) -> anyhow::Result<Value> {
    read_json_within(file, BODY_BYTES_MAX)
}

fn read_json_within(file: &Path, bytes_max: usize) -> anyhow::Result<Value> {
    let shown = if file == Path::new("-") { "stdin".to_owned() } else { file.display().to_string() };
    let mut text = String::new();
    let limit = u64::try_from(bytes_max)? + 1;
    let read = if file == Path::new("-") {
        std::io::stdin().lock().take(limit).read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(limit).read_to_string(&mut text))
    };
    read.with_context(|| format!("{shown} can not be read"))?;
    if text.len() > bytes_max {
        bail!("{shown} is larger than {bytes_max} bytes, the most that the host takes");
    }
    serde_json::from_str(&text).with_context(|| format!("{shown} is not JSON"))
}

pub(super) async fn list(client: &Client, list: ListArguments, output: Output) -> anyhow::Result<ExitCode> {
    let ListArguments { status, task_type, priority, worker, goal, limit, cursor } = list;
    let query = [
        ("status", status.map(|status| status.to_string())),
        ("type", task_type),
        ("priority", priority.map(|priority| priority.to_string())),
        ("assigned_worker", worker),
        ("goal", goal.map(|goal| goal.to_string())),
        ("limit", Some(limit.to_string())),
        ("cursor", cursor),
    ];
    let query: Vec<_> = query.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    let answer = client.get(&["tasks"], &query).await?;
    if output.json {
        output.line(&answer.text)?;
        return Ok(ExitCode::SUCCESS);
    }
    let page: Page<TaskSummary> = answer.parse()?;
    let rows = page.items.iter().map(row).collect();
    output.table(&["ID", "STATUS", "PRIORITY", "RISK", "TYPE", "ATTEMPT", "WORKER", "CREATED", "TITLE"], rows)?;
    if let Some(next) = page.next {
        note(&format!("there is more: add --cursor {}", visible(&next)));
    }
    Ok(ExitCode::SUCCESS)
}

fn row(task: &TaskSummary) -> Vec<String> {
    vec![
        task.id.to_string(),
        task.status.to_string(),
        task.priority.to_string(),
        task.risk.to_string(),
        cell(&task.task_type),
        format!("{}/{}", task.attempt, task.attempts_max),
        or_dash(task.assigned_worker.as_deref()),
        time(task.created_at),
        cell(&task.title),
    ]
}

pub(super) async fn show(client: &Client, id: TaskId, output: Output) -> anyhow::Result<ExitCode> {
    let answer = client.get(&["tasks", &id.to_string()], &[]).await?;
    if output.json {
        output.line(&answer.text)?;
        return Ok(ExitCode::SUCCESS);
    }
    let task: TaskDetail = answer.parse()?;
    for line in describe(&task) {
        output.line(&line)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn describe(task: &TaskDetail) -> Vec<String> {
    let TaskDetail { summary, content, depends_on, run, approvals } = task;
    let mut lines = Vec::new();
    let mut field = |name: &str, value: String| lines.push(format!("{name:14} {value}"));
    field("task", summary.id.to_string());
    field("title", visible(&summary.title));
    field("status", summary.status.to_string());
    field("type", visible(&summary.task_type));
    field("priority, risk", format!("{}, {}", summary.priority, summary.risk));
    field("attempt", format!("{} of {}", summary.attempt, summary.attempts_max));
    field("worker", or_dash(summary.assigned_worker.as_deref()));
    if let Some(goal) = summary.goal {
        field("goal", goal.to_string());
    }
    field("created", format!("{} by {}", time(summary.created_at), visible(&summary.created_by)));
    field("started", time_or_dash(summary.started_at));
    field("ended", time_or_dash(summary.completed_at));
    if summary.deadline_at.is_some() {
        field("deadline", time_or_dash(summary.deadline_at));
    }
    if let Some(reason) = &summary.approval_reason {
        field("approval", visible(reason));
    }
    for open in approvals {
        let (id, action, state) = (open.id, visible(&open.action), open.state);
        field("approval", format!("{id} of {action} is {state}, until {}", time(open.expires_at)));
    }
    if let Some(error) = &summary.error_message {
        field("error", visible(error));
    }
    for line in content.description.lines() {
        field("description", visible(line));
    }
    for criterion in Criterion::parse_list(&content.acceptance_criteria).unwrap_or_default() {
        field("criterion", format!("{} ({})", visible(&criterion.describe()), criterion.kind()));
    }
    for dependency in depends_on {
        field("depends on", format!("{} {} {}", dependency.id, dependency.status, cell(&dependency.title)));
    }
    if let Some(run) = run {
        field("run", format!("{} as {}, since {}", visible(&run.worker_id), visible(&run.role), time(run.started_at)));
        field("component", run.component_sha256.clone());
        field("manifest", run.manifest_sha256.clone());
    }
    for line in content.completion_evidence.iter().flat_map(|evidence| evidence.lines()) {
        field("evidence", visible(line));
    }
    lines
}

pub(super) async fn logs(client: &Client, id: TaskId, follow: bool, output: Output) -> anyhow::Result<ExitCode> {
    if follow {
        // The log was asked for, not success: its exit status is about the log.
        return match follow::follow(client, id, Lines::Stdout, output).await? {
            Followed::Ended(_) => Ok(ExitCode::SUCCESS),
            Followed::Interrupted => Ok(ExitCode::FAILURE),
        };
    }
    every_page(client, id, "logs", &[], output, |page: Vec<LogLine>| {
        page.iter().try_for_each(|line| output.line(&follow::log_line(line)))
    })
    .await
}

/// The journal, whole: what the run called and how far each call came.
pub(super) async fn steps(
    client: &Client,
    id: TaskId,
    attempt: Option<u32>,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let query: Vec<_> = attempt.map(|attempt| ("attempt", attempt.to_string())).into_iter().collect();
    every_page(client, id, "steps", &query, output, |page: Vec<StepView>| {
        page.iter().try_for_each(|step| output.line(&step_line(step)))
    })
    .await
}

fn step_line(step: &StepView) -> String {
    let StepView {
        attempt,
        position,
        interface,
        function,
        effect,
        state,
        outcome: _,
        arguments,
        intended_at,
        done_at: _,
    } = step;
    let effect = effect.name();
    let unfinished = match state {
        StepStateView::Done => "",
        StepStateView::Intended => " (no result yet)",
    };
    let call = visible(&format!("{interface}.{function} {arguments}"));
    format!("{} {attempt}/{position:<4} {effect:5} {call}{unfinished}", time(*intended_at))
}

/// Everything of one kind that belongs to a task; as JSON each page as the API gave it.
async fn every_page<T: DeserializeOwned>(
    client: &Client,
    id: TaskId,
    kind: &str,
    query: &[(&'static str, String)],
    output: Output,
    print: impl Fn(Vec<T>) -> std::io::Result<()>,
) -> anyhow::Result<ExitCode> {
    let mut cursor = None;
    loop {
        let mut query = query.to_vec();
        query.push(("limit", PAGE_ROWS.to_string()));
        query.extend(cursor.map(|cursor| ("cursor", cursor)));
        let answer = client.get(&["tasks", &id.to_string(), kind], &query).await?;
        let page: Page<T> = answer.parse()?;
        if output.json {
            output.line(&answer.text)?;
        } else {
            print(page.items)?;
        }
        match page.next {
            Some(next) => cursor = Some(next),
            None => return Ok(ExitCode::SUCCESS),
        }
    }
}

/// The same, gathered.
pub(super) async fn all_pages<T: DeserializeOwned>(
    client: &Client,
    id: TaskId,
    kind: &str,
    query: &[(&'static str, String)],
) -> anyhow::Result<Vec<T>> {
    let (mut all, mut cursor) = (Vec::new(), None);
    loop {
        let mut query = query.to_vec();
        query.push(("limit", PAGE_ROWS.to_string()));
        query.extend(cursor.map(|cursor| ("cursor", cursor)));
        let page: Page<T> = client.get(&["tasks", &id.to_string(), kind], &query).await?.parse()?;
        all.extend(page.items);
        match page.next {
            Some(next) => cursor = Some(next),
            None => return Ok(all),
        }
    }
}

/// Cancel or retry: the verb is the path's last part.
pub(super) async fn change(client: &Client, id: TaskId, verb: &str, output: Output) -> anyhow::Result<ExitCode> {
    let answer = client.post(&["tasks", &id.to_string(), verb], None).await?;
    let task: TaskSummary = answer.parse()?;
    print_change(&answer, &task, if verb == "cancel" { "cancelled" } else { "retried" }, output)?;
    Ok(ExitCode::SUCCESS)
}

fn print_change(answer: &Answer, task: &TaskSummary, verb: &str, output: Output) -> anyhow::Result<()> {
    if output.json {
        output.line(&answer.text)?;
        return Ok(());
    }
    output.line(&format!("{verb} {} ({})", task.id, task.status))?;
    if let (TaskStatus::WaitingApproval, Some(reason)) = (task.status, &task.approval_reason) {
        note(&visible(reason));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::args::{Arguments, Command, TaskCommand};
    use super::*;

    #[test]
    fn flags_become_a_draft_that_leaves_out_what_was_not_given() {
        let arguments = Arguments::parse_from([
            "juggernaut",
            "task",
            "create",
            "--title",
            "T",
            "--type",
            "code",
            "--priority",
            "high",
            "--criterion",
            "{\"type\": \"merged\"}",
            "--criterion",
            "reads well",
            "--wait",
        ]);
        let Command::Task { command: TaskCommand::Create(create) } = arguments.command else { panic!() };
        assert!(create.wait);
        assert_eq!(
            draft(create).unwrap(),
            json!({"title": "T", "task_type": "code", "priority": "high",
                "acceptance_criteria": [{"type": "merged"}, "reads well"]})
        );
    }

    #[test]
    fn a_criterion_that_looks_like_json_must_be_json() {
        assert!(criterion("{\"type\": \"merged\"").is_err());
        assert_eq!(criterion("plain").unwrap(), json!("plain"));
    }

    #[test]
    fn a_file_stands_alone() {
        let both = ["juggernaut", "task", "create", "--file", "-", "--title", "T"];
        assert!(Arguments::try_parse_from(both).is_err());
        assert!(Arguments::try_parse_from(["juggernaut", "task", "create"]).is_err());
        assert!(Arguments::try_parse_from(["juggernaut", "task", "create", "--file", "-"]).is_ok());
    }
}
