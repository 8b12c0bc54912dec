//! A goal: split, carried out in order by the roles, watched, analysed and learnt from, without any key.

use std::fs;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::scenario::{OPEN_STATUSES, Scenario, TASK_MAX, TITLE_PREFIX, text};
use super::show::{Row, heading, item, line};
use super::{REPOSITORY, interrupt};

/// Whose tasks the plan has, in the order of their dependencies.
const PLAN: [(&str, &str); 3] = [("code", "executor"), ("verification", "executor"), ("analysis", "analyst")];

impl Scenario<'_> {
    /// ORCHESTRATOR follows a plan of three tasks, each of which depends on the one before.
    pub(super) fn goal(&self) -> Result<Vec<Row>> {
        heading("6. A goal: ORCHESTRATOR splits it by its plan, the roles carry it out in order, and close it")?;
        let stamp = self.stamp()?;
        let path = format!("docs/goal-{stamp}.md");
        let content = format!("# Goal of run {}\n\nWritten for a goal: {stamp}.\n", self.run);
        let id = self.create_goal(&path, &content, &stamp)?;
        let mut seen = Vec::new();
        let goal = interrupt::wait(&format!("the end of goal {id}"), TASK_MAX, || {
            let goal = self.cli.json(&["goal", "show", &id])?;
            for child in children(&goal).filter(|child| child["status"] == "completed") {
                let task = text(child, "id").to_owned();
                if !seen.contains(&task) {
                    let evidence = text(child, "completion_evidence").lines().next().unwrap_or_default();
                    item("completed", &format!("{:<13} {evidence}", text(child, "task_type")))?;
                    seen.push(task);
                }
            }
            Ok((goal["state"] != "open").then_some(goal))
        })?;
        ensure!(goal["state"] == "completed", "goal {id} is {}: {}", goal["state"], goal["outcome"]);
        let rows = self.in_order(&goal)?;
        ensure!(self.repository.file_on_main(&path)? == content, "{path} on main is not what the goal wanted");
        let planner = self.cli.task(text(&goal, "planned_by"))?;
        ensure!(planner["evidence"]["kind"] == "tasks_created", "the planning task has other evidence: {planner}");
        item("closed", text(&planner, "completion_evidence").lines().next().unwrap_or_default())?;
        self.reported(&rows[2].task)?;
        self.learnt(text(&goal, "planned_by"))?;
        Ok(rows)
    }

    /// WATCHDOG, whose task the host's own schedule makes each minute, looks once more.
    pub(super) fn watched(&self) -> Result<Row> {
        heading("7. WATCHDOG looks after workers, tasks and budgets")?;
        let schedule = self.cli.json(&["schedule", "show", "watchdog"])?;
        ensure!(schedule["created_by"] == "host", "the host keeps no schedule of its own: {schedule}");
        item("schedule", &format!("watchdog, {:?}, kept by the host", text(&schedule, "cron")))?;
        let title = format!("{TITLE_PREFIX}{}: watch", self.run);
        let task = self.cli.json(&["task", "create", "--type", "monitoring", "--title", &title])?;
        let id = text(&task, "id").to_owned();
        line(&format!("   $ juggernaut task create --type monitoring --title {title:?}"))?;
        let task = interrupt::wait(&format!("the end of task {id}"), TASK_MAX, || {
            let task = self.cli.task(&id)?;
            Ok((!OPEN_STATUSES.contains(&text(&task, "status"))).then_some(task))
        })?;
        ensure!(task["status"] == "completed", "task {id} is {}: {}", task["status"], task["error_message"]);
        ensure!(task["evidence"]["kind"] == "alerts_evaluated", "task {id} has other evidence: {}", task["evidence"]);
        let evidence = text(&task, "completion_evidence").lines().next().unwrap_or_default().to_owned();
        item("watched", &evidence)?;
        Ok(Row { task: id, role: "watchdog".to_owned(), status: "completed".to_owned(), evidence })
    }

    fn create_goal(&self, path: &str, content: &str, stamp: &str) -> Result<String> {
        let plan = json!([
            {"key": "write", "title": "Write the page", "task_type": "code", "assigned_worker": "executor", "acceptance_criteria": [{"type": "merged"}],
             "payload": {"repository": REPOSITORY, "changes": [{"path": path, "content": content}]}},
            {"key": "check", "title": "See whether it is there", "task_type": "verification", "depends_on": ["write"],
             "acceptance_criteria": [{"type": "checks-pass"}],
             "payload": {"repository": REPOSITORY, "checks": [
                 {"name": "the page is on main", "kind": "file-contains", "path": path, "text": stamp}]}},
            {"key": "report", "title": "Report how the work went", "task_type": "analysis", "depends_on": ["check"]},
        ]);
        let file = self.places.home.join("demo-plan.json");
        fs::write(&file, plan.to_string()).with_context(|| format!("could not write {}", file.display()))?;
        let title = format!("{TITLE_PREFIX}{}: a page that somebody checked", self.run);
        let plan = file.to_string_lossy();
        let arguments = ["goal", "create", "--title", &title, "--plan", &plan, "--criterion", "{\"type\": \"merged\"}"];
        let goal = self.cli.json(&arguments)?;
        let id = text(&goal, "id").to_owned();
        ensure!(!id.is_empty(), "the new goal has no id");
        line(&format!("   $ juggernaut goal create --title {title:?} --plan {plan}"))?;
        item("goal", &id)?;
        Ok(id)
    }

    /// No task began before the one that it depends on had completed.
    fn in_order(&self, goal: &Value) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        let mut before: Option<String> = None;
        for (task_type, role) in PLAN {
            let Some(child) = children(goal).find(|child| child["task_type"] == task_type) else {
                bail!("the goal has no {task_type} task");
            };
            let id = text(child, "id").to_owned();
            let task = self.cli.task(&id)?;
            ensure!(task["evidence"]["verdict"] == "verified", "the evidence of {id} is not verified");
            let (began, ended) = (text(&task, "started_at").to_owned(), text(&task, "completed_at").to_owned());
            if let Some(before) = before.replace(ended) {
                ensure!(before <= began, "{task_type} began at {began}, before its dependency ended at {before}");
            }
            let evidence = text(&task, "completion_evidence").lines().next().unwrap_or_default().to_owned();
            rows.push(Row { task: id, role: role.to_owned(), status: "completed".to_owned(), evidence });
        }
        item("order", "each began after the one that it depends on had completed")?;
        Ok(rows)
    }

    fn reported(&self, task: &str) -> Result<()> {
        let page = self.cli.json(&["report", "list", "--task", task])?;
        let report = &page["items"][0];
        let id = text(report, "id");
        ensure!(!id.is_empty(), "task {task} is completed, and there is no report of it");
        // One for each report: a folder with charts in it is not written to again.
        let charts = self.places.home.join(format!("charts-{id}"));
        self.cli.json(&["report", "show", id, "--charts", &charts.to_string_lossy()])?;
        item("report", &format!("{:?}, {} charts in {}", text(report, "title"), report["charts"], charts.display()))
    }

    fn learnt(&self, planner: &str) -> Result<()> {
        let page = self.cli.json(&["learning", "list", "--tag", "goal"])?;
        let learnings = page["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        let Some(learning) = learnings.iter().find(|learning| learning["task_id"] == planner) else {
            bail!("nothing was learnt of the goal");
        };
        item("learnt", &format!("{}: {}", text(learning, "category"), text(learning, "description")))
    }
}

fn children(goal: &Value) -> impl Iterator<Item = &Value> {
    goal["children"].as_array().into_iter().flatten()
}
