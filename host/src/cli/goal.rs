//! `juggernaut goal …`

use std::process::ExitCode;

use serde_json::{Map, Value, json};

use super::client::Client;
use super::follow::{self, Followed, Lines};
use super::goal_args::{GoalCommand, GoalCreateArguments, GoalListArguments};
use super::output::{Output, cell, note, or_dash, time, time_or_dash, visible};
use super::task::{criterion, read_json};
use crate::db::goals::{GoalChild, GoalDetail, GoalSummary};
use crate::http::Page;
use crate::task::{Criterion, GoalId, GoalState};

pub(super) async fn run(client: &Client, command: GoalCommand, output: Output) -> anyhow::Result<ExitCode> {
    match command {
        GoalCommand::Create(create) => self::create(client, *create, output).await,
        GoalCommand::List(list) => self::list(client, list, output).await,
        GoalCommand::Show { id } => show(client, id, output).await,
        GoalCommand::Cancel { id } => cancel(client, id, output).await,
    }
}

async fn create(client: &Client, create: GoalCreateArguments, output: Output) -> anyhow::Result<ExitCode> {
    let wait = create.wait;
    let draft = match &create.file {
        Some(file) => read_json(file).map_err(|error| error.context("--file"))?,
        None => draft(create)?,
    };
    let answer = client.create(&["goals"], &draft).await?;
    let goal: GoalDetail = answer.parse()?;
    let GoalSummary { id, title, planned_by, .. } = &goal.summary;
    let Some(planner) = planned_by.filter(|_| wait) else {
        if output.json {
            output.line(&answer.text)?;
        } else {
            output.line(&format!("created {id} ({})", goal.summary.state))?;
        }
        return Ok(ExitCode::SUCCESS);
    };
    note(&format!("created goal {id}: {}", visible(title)));
    // The planning task ends with the goal.
    match follow::follow(client, planner, Lines::Stderr, output).await? {
        Followed::Ended(_) => {
            let state = show_state(client, *id, output).await?;
            Ok(if state == GoalState::Completed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Followed::Interrupted => follow::exit_code(Followed::Interrupted),
    }
}

/// The flags as the JSON that the API takes; what was not given is left to the API's defaults.
fn draft(create: GoalCreateArguments) -> anyhow::Result<Value> {
    let GoalCreateArguments { file: _, title, description, criteria, priority, plan, replans_max, wait: _ } = create;
    let criteria: Vec<Value> = criteria.iter().map(|text| criterion(text)).collect::<anyhow::Result<_>>()?;
    let plan = plan.map(|file| read_json(&file).map_err(|error| error.context("--plan"))).transpose()?;
    let fields = [
        ("title", title.map(Value::from)),
        ("description", description.map(Value::from)),
        ("acceptance_criteria", (!criteria.is_empty()).then(|| Value::from(criteria))),
        ("priority", priority.map(|priority| json!(priority))),
        // A plan is its list of tasks, too.
        ("plan", plan.map(|plan| if plan.is_array() { json!({ "tasks": plan }) } else { plan })),
        ("replans_max", replans_max.map(Value::from)),
    ];
    let mut draft = Map::new();
    draft.extend(fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    Ok(Value::Object(draft))
}

async fn list(client: &Client, list: GoalListArguments, output: Output) -> anyhow::Result<ExitCode> {
    let GoalListArguments { state, limit, cursor } = list;
    let query =
        [("state", state.map(|state| state.to_string())), ("limit", Some(limit.to_string())), ("cursor", cursor)];
    let query: Vec<_> = query.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    let answer = client.get(&["goals"], &query).await?;
    if output.json {
        output.line(&answer.text)?;
        return Ok(ExitCode::SUCCESS);
    }
    let page: Page<GoalSummary> = answer.parse()?;
    let rows = page.items.iter().map(row).collect();
    output.table(&["ID", "STATE", "PRIORITY", "TASKS", "REPLANS", "CREATED", "TITLE"], rows)?;
    if let Some(next) = page.next {
        note(&format!("there is more: add --cursor {}", visible(&next)));
    }
    Ok(ExitCode::SUCCESS)
}

fn row(goal: &GoalSummary) -> Vec<String> {
    vec![
        goal.id.to_string(),
        goal.state.to_string(),
        goal.priority.to_string(),
        format!("{}/{}", goal.tasks_completed, goal.tasks),
        format!("{}/{}", goal.replans, goal.replans_max),
        time(goal.created_at),
        cell(&goal.title),
    ]
}

async fn show(client: &Client, id: GoalId, output: Output) -> anyhow::Result<ExitCode> {
    show_state(client, id, output).await.map(|_| ExitCode::SUCCESS)
}

async fn show_state(client: &Client, id: GoalId, output: Output) -> anyhow::Result<GoalState> {
    let answer = client.get(&["goals", &id.to_string()], &[]).await?;
    let goal: GoalDetail = answer.parse()?;
    if output.json {
        output.line(&answer.text)?;
    } else {
        for line in describe(&goal) {
            output.line(&line)?;
        }
    }
    Ok(goal.summary.state)
}

async fn cancel(client: &Client, id: GoalId, output: Output) -> anyhow::Result<ExitCode> {
    let answer = client.post(&["goals", &id.to_string(), "cancel"], None).await?;
    let goal: GoalDetail = answer.parse()?;
    if output.json {
        output.line(&answer.text)?;
    } else {
        output.line(&format!("cancelled {id} ({})", goal.summary.state))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn describe(goal: &GoalDetail) -> Vec<String> {
    let GoalDetail { summary, description, acceptance_criteria, plan, outcome, children } = goal;
    let mut lines = Vec::new();
    let mut field = |name: &str, value: String| lines.push(format!("{name:14} {value}"));
    field("goal", summary.id.to_string());
    field("title", visible(&summary.title));
    field("state", summary.state.to_string());
    field("priority", summary.priority.to_string());
    field("created", format!("{} by {}", time(summary.created_at), visible(&summary.created_by)));
    field("ended", time_or_dash(summary.ended_at));
    field("planned by", or_dash(summary.planned_by.map(|id| id.to_string()).as_deref()));
    field("plan", if plan.is_some() { "given".to_owned() } else { "made by the planner".to_owned() });
    field("planned anew", format!("{} of {}", summary.replans, summary.replans_max));
    for line in description.lines() {
        field("description", visible(line));
    }
    for criterion in Criterion::parse_list(acceptance_criteria).unwrap_or_default() {
        field("criterion", format!("{} ({})", visible(&criterion.describe()), criterion.kind()));
    }
    let text = |key: &str| outcome.as_ref()?.get(key)?.as_str().map(visible);
    if let Some(reason) = text("reason") {
        field("reason", reason);
    }
    if let Some(said) = text("summary") {
        field("summary", said);
    }
    for answer in outcome.iter().filter_map(|outcome| outcome.get("criteria")?.as_array()).flatten() {
        let text = |key: &str| visible(answer.get(key).and_then(Value::as_str).unwrap_or("-"));
        field("answered", format!("{}: {} by {}", text("text"), text("answered"), text("by")));
    }
    for child in children {
        describe_child(child, &mut field);
    }
    let left = summary.tasks - i64::try_from(children.len()).unwrap_or(i64::MAX);
    if left > 0 {
        field("task", format!("and {left} more: juggernaut task list --goal {}", summary.id));
    }
    lines
}

fn describe_child(child: &GoalChild, field: &mut impl FnMut(&str, String)) {
    let GoalChild { id, title, task_type, status, replaced, error_message, completion_evidence, .. } = child;
    let replaced = if *replaced { " (replaced)" } else { "" };
    field("task", format!("{id} {status}{replaced} {} {}", cell(task_type), cell(title)));
    if let Some(error) = error_message {
        field("", format!("error: {}", cell(error)));
    }
    for line in completion_evidence.iter().flat_map(|evidence| evidence.lines()) {
        field("", format!("| {}", visible(line)));
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use clap::Parser as _;

    use super::super::args::{Arguments, Command};
    use super::*;

    #[test]
    fn flags_become_a_draft() {
        let mut plan = tempfile::NamedTempFile::new().unwrap();
        plan.write_all(b"[{\"key\": \"a\", \"title\": \"A\", \"task_type\": \"code\"}]").unwrap();
        let arguments = Arguments::parse_from([
            "juggernaut",
            "goal",
            "create",
            "--title",
            "T",
            "--criterion",
            "nice",
            "--plan",
            plan.path().to_str().unwrap(),
        ]);
        let Command::Goal { command: GoalCommand::Create(create) } = arguments.command else { panic!() };
        let wanted = json!({"title": "T", "acceptance_criteria": ["nice"],
            "plan": {"tasks": [{"key": "a", "title": "A", "task_type": "code"}]}});
        assert_eq!(draft(*create).unwrap(), wanted);
    }
}
