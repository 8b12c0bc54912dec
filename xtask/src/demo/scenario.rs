//! What the demo shows, and how each claim is verified.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::cli::Cli;
use super::git::Repository;
use super::show::{Row, heading, item, line};
use super::{CHECK, Places, REPOSITORY, interrupt};

pub(super) const TASK_MAX: Duration = Duration::from_secs(90);
/// Begins the title of each task of a demo.
pub(super) const TITLE_PREFIX: &str = "Demo run ";
/// Where a run's change goes, in the sample.
const CHANGED_PATH: &str = "core/memory.py";
const PLACEHOLDER: &str = "@RUN@";
pub(super) const OPEN_STATUSES: [&str; 4] = ["pending", "in_progress", "suspended", "waiting_approval"];
const PROSE_ATTEMPTS: u32 = 2;
/// Problems of a refused component that are shown.
const PROBLEMS_SHOWN: usize = 2;
/// "Code Task Workflow" of the specification: calls in this order; the sixth step is the completion itself.
const WORKFLOW: [(&str, &str, &str); 5] = [
    ("step 1", "github-read.get-branch", "commit of"),
    ("step 2", "github-write.create-branch", "feature branch"),
    ("step 3", "github-write.put-file", "file"),
    ("step 4", "github-write.open-pull-request", "pull request"),
    ("step 5", "github-merge.merge", "squash merge"),
];

#[derive(Debug)]
pub(super) struct Scenario<'a> {
    pub(super) cli: Cli,
    pub(super) repository: Repository,
    pub(super) places: &'a Places,
    /// The host's database, for the commands that work on it.
    pub(super) database: String,
    pub(super) run: u32,
}

/// A demo that was cut off may have left tasks, which this host has resumed; they would merge among ours.
pub(super) fn cancel_leftovers(cli: &Cli) -> Result<()> {
    for status in OPEN_STATUSES {
        let page = cli.json(&["task", "list", "--status", status, "--limit", "200"])?;
        let tasks = page["items"].as_array().into_iter().flatten();
        for task in tasks.filter(|task| text(task, "title").starts_with(TITLE_PREFIX)) {
            let id = text(task, "id");
            // It may have ended by itself in between, which is as good.
            match cli.json(&["task", "cancel", id]) {
                Ok(_) => item("cancelled", &format!("{id}, left by an earlier demo"))?,
                Err(error) => item("left alone", &format!("{id}: {error:#}"))?,
            }
        }
    }
    Ok(())
}

impl Scenario<'_> {
    /// A code task, from its creation to the merged pull request.
    pub(super) fn code_task(&self) -> Result<Row> {
        heading("1. A code task: EXECUTOR, in its sandbox, carries it to a merged pull request")?;
        let template = self.places.sources.join("change/memory.py");
        let revision = self.stamp()?;
        let content = fs::read_to_string(&template)
            .with_context(|| format!("could not read {}", template.display()))?
            .replace(PLACEHOLDER, &revision);
        let revision = format!("REVISION = \"{revision}\"");
        let criteria = [
            json!({"type": "merged"}).to_string(),
            json!({"type": "file-contains", "path": CHANGED_PATH, "text": revision}).to_string(),
            json!({"type": "check-green", "name": CHECK}).to_string(),
        ];
        let title = format!("{TITLE_PREFIX}{}: keep notes in a memory", self.run);
        let id = self.create(&title, "executor", 1, &content, &criteria)?;
        let task = self.follow(&id)?;
        ensure!(task["status"] == "completed", "task {id} is {}: {}", task["status"], task["error_message"]);
        self.verify_journal(&id)?;
        let evidence = self.verify_merged(&id, &task, &content, criteria.len())?;
        Ok(Row { task: id, role: "executor".to_owned(), status: "completed".to_owned(), evidence })
    }

    /// The number of the run, and the time besides: a demo that was cut off may have merged under the same number.
    pub(super) fn stamp(&self) -> Result<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock stands before 1970")?;
        Ok(format!("{}-{}", self.run, now.as_secs()))
    }

    /// A task whose role claims to be done, in words alone.
    pub(super) fn prose_task(&self) -> Result<Row> {
        heading("2. A code task whose role only says that it did the work: \"Completed the task\"")?;
        let title = format!("{TITLE_PREFIX}{}: do the work, honestly", self.run);
        let criteria = [json!({"type": "merged"}).to_string()];
        let id = self.create(&title, "prose", PROSE_ATTEMPTS, "X = 1\n", &criteria)?;
        let task = self.ended(&id, |_| Ok(()))?;
        let reason = text(&task, "error_message").to_owned();
        ensure!(task["status"] == "failed", "task {id} is {}, and should have failed: {reason}", task["status"]);
        ensure!(reason.contains("is prose"), "task {id} failed, but not for its evidence: {reason}");
        ensure!(
            task["evidence"].is_null() && task["completion_evidence"].is_null(),
            "task {id} failed and has evidence all the same"
        );
        let log = self.cli.items("logs", &id)?;
        let refusals: Vec<&Value> =
            log.iter().filter(|entry| entry["error_data"]["error_type"] == "EvidenceRefused").collect();
        for refusal in &refusals {
            item("refused", &format!("attempt {}: {}", refusal["attempt"], text(refusal, "message")))?;
        }
        ensure!(
            refusals.len() == PROSE_ATTEMPTS as usize,
            "{} of {PROSE_ATTEMPTS} attempts were refused for their evidence",
            refusals.len()
        );
        ensure!(!log.iter().any(|entry| entry["action"] == "task_completed"), "the log of {id} says it was completed");
        let branch = format!("feature/{id}");
        let untouched = !self.repository.has_branch(&branch)?
            && self.repository.pull_requests_from(&branch)?.is_empty()
            && self.repository.commits_of(&id)?.is_empty();
        ensure!(untouched, "task {id} was refused, and yet it left something in the repository");
        item("git", "no branch, no commit, no pull request")?;
        let evidence = "none: prose was refused".to_owned();
        Ok(Row { task: id, role: "prose".to_owned(), status: "failed".to_owned(), evidence })
    }

    /// Components that import more than they were granted.
    pub(super) fn refused_components(&self) -> Result<Vec<Row>> {
        heading("3. Components that import more than their manifests grant are refused before they run")?;
        let (status, checks) = self.cli.role_check(&self.places.roles)?;
        ensure!(status == Some(0), "`role check` refuses the roles of the demo itself: {}", json!(checks));
        let (status, checks) = self.cli.role_check(&self.places.refused)?;
        line(&format!("   $ juggernaut role check {}", self.places.refused.display()))?;
        ensure!(status == Some(1), "`role check` ended with {status:?} where it should refuse");
        let rows: Vec<Row> = [
            ("sockets", "it imports wasi:sockets/", "remove the use of std::net"),
            ("overreach", "it imports juggernaut:host/github-write@", "or remove the call"),
        ]
        .into_iter()
        .map(|(folder, import, remedy)| refused(&checks, folder, import, remedy))
        .collect::<Result<_>>()?;
        item("exit", "status 1")?;
        Ok(rows)
    }

    fn create(&self, title: &str, worker: &str, attempts: u32, content: &str, criteria: &[String]) -> Result<String> {
        let payload = json!({"repository": REPOSITORY, "changes": [{"path": CHANGED_PATH, "content": content}]});
        let file = self.places.home.join("demo-payload.json");
        fs::write(&file, payload.to_string()).with_context(|| format!("could not write {}", file.display()))?;
        let (file, attempts) = (file.to_string_lossy(), attempts.to_string());
        let mut arguments = vec!["task", "create", "--type", "code", "--title", title, "--worker", worker];
        arguments.extend(["--attempts-max", &attempts, "--payload", &file]);
        for criterion in criteria {
            arguments.extend(["--criterion", criterion]);
        }
        let task = self.cli.json(&arguments)?;
        let id = text(&task, "id").to_owned();
        ensure!(!id.is_empty(), "the new task has no id");
        line(&format!("   $ juggernaut task create --type code --worker {worker} --title {title:?} …"))?;
        item("task", &id)?;
        Ok(id)
    }

    /// Shows the journal as it grows, until the task has ended.
    fn follow(&self, id: &str) -> Result<Value> {
        let mut shown = 0;
        self.ended(id, |cli| {
            let steps = cli.items("steps", id)?;
            let done = steps.iter().take_while(|step| step["state"] == "done");
            for step in done.skip(shown) {
                show_step(step)?;
                shown += 1;
            }
            Ok(())
        })
    }

    fn ended(&self, id: &str, mut meanwhile: impl FnMut(&Cli) -> Result<()>) -> Result<Value> {
        interrupt::wait(&format!("the end of task {id}"), TASK_MAX, || {
            // The status first: what belongs to the end is in the journal by then.
            let task = self.cli.task(id)?;
            meanwhile(&self.cli)?;
            Ok((!OPEN_STATUSES.contains(&text(&task, "status"))).then_some(task))
        })
    }

    /// The workflow's calls are there, each once, in order, and the merge waited for the checks.
    fn verify_journal(&self, id: &str) -> Result<()> {
        let steps = self.cli.items("steps", id)?;
        let calls: Vec<String> = steps.iter().map(call).collect();
        let mut before = 0;
        for (name, wanted, _) in WORKFLOW {
            let found: Vec<usize> = (0..calls.len()).filter(|at| calls[*at] == wanted).collect();
            let [at] = found[..] else {
                bail!("{name} of the workflow, {wanted}, is {} times in the journal of {id}", found.len());
            };
            ensure!(at >= before, "{name} of the workflow, {wanted}, comes too early in the journal of {id}");
            before = at;
        }
        let looks = calls.iter().filter(|call| *call == "github-read.list-check-runs").count();
        let waited = calls.iter().any(|call| call == "timer.sleep");
        ensure!(looks > 1 && waited, "the run of {id} did not wait for its checks");
        Ok(())
    }

    /// The same from three sides: the API's evidence, git's commit, the forge's pull request.
    fn verify_merged(&self, id: &str, task: &Value, content: &str, criteria: usize) -> Result<String> {
        let evidence = &task["evidence"];
        ensure!(evidence["verdict"] == "verified", "the evidence of {id} is not verified");
        let verdicts = evidence["criteria"].as_array().context("the evidence answers no criteria")?;
        let verified = verdicts.iter().filter(|verdict| verdict["answered"] == "verified").count();
        ensure!(verified == criteria, "{verified} of {criteria} criteria of {id} are verified");
        let commits = self.repository.commits_of(id)?;
        let [commit] = &commits[..] else {
            bail!("main has {} commits of task {id}; exactly one squash commit is right", commits.len());
        };
        ensure!(commit.parents == 1, "{} is no squash commit: it has {} parents", commit.sha, commit.parents);
        let merged = text(&evidence["pull_request"], "merge_sha");
        ensure!(commit.sha == merged, "main has {}, the evidence says {merged}", commit.sha);
        ensure!(self.repository.file_on_main(CHANGED_PATH)? == content, "{CHANGED_PATH} on main is not the change");
        let pulls = self.repository.pull_requests_from(&format!("feature/{id}"))?;
        let [pull] = &pulls[..] else {
            bail!("the forge has {} pull requests of task {id}; exactly one is right", pulls.len());
        };
        ensure!(pull["merged"]["sha"] == merged, "the forge's pull request is not merged as {merged}");
        let number = &pull["number"];
        ensure!(
            *number == evidence["pull_request"]["number"],
            "the forge and the evidence name different pull requests"
        );
        let short = &commit.sha[..commit.sha.len().min(10)];
        item("step 6", &format!("completed: {}", first_line(text(task, "completion_evidence"))))?;
        for verdict in verdicts {
            item("criterion", &format!("{}: {}", text(verdict, "answered"), text(verdict, "text")))?;
        }
        item("git", &format!("{short} {}", commit.subject))?;
        item("", &format!("(git -C {} log main)", self.repository.shown()))?;
        Ok(format!("verified: pull request #{number}, squash commit {short}"))
    }
}

fn show_step(step: &Value) -> Result<()> {
    let call = call(step);
    let arguments = &step["arguments"];
    let (label, what) =
        WORKFLOW.iter().find(|(_, wanted, _)| *wanted == call).map_or(("", "look"), |(label, _, what)| (*label, *what));
    let detail = match call.as_str() {
        "timer.sleep" => "wait; suspended meanwhile".to_owned(),
        "github-read.list-check-runs" => "look at the checks".to_owned(),
        _ => ["path", "branch", "head", "head_sha"]
            .iter()
            .find_map(|key| arguments[key].as_str())
            .map_or_else(|| what.to_owned(), |value| format!("{what} {value}")),
    };
    let position = step["position"].to_string();
    item(label, &format!("journal {position:>2}  {call:<32} {detail}"))
}

fn refused(checks: &[Value], folder: &str, import: &str, remedy: &str) -> Result<Row> {
    let here = format!("/{folder}/");
    let check = checks
        .iter()
        .find(|check| text(check, "world").contains(&here))
        .with_context(|| format!("`role check` says nothing of {folder}"))?;
    let problems: Vec<&str> = check["problems"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let named = problems.iter().any(|problem| problem.contains(import) && problem.contains(remedy));
    ensure!(named, "`role check` of {folder} names neither {import:?} nor {remedy:?}: {problems:?}");
    for problem in problems.iter().take(PROBLEMS_SHOWN) {
        item(folder, problem)?;
    }
    if problems.len() > PROBLEMS_SHOWN {
        item("", &format!("and {} more", problems.len() - PROBLEMS_SHOWN))?;
    }
    let evidence = format!("{} imports that it was not granted", problems.len());
    Ok(Row { task: "-".to_owned(), role: folder.to_owned(), status: "refused at load".to_owned(), evidence })
}

fn call(step: &Value) -> String {
    format!("{}.{}", text(step, "interface"), text(step, "function"))
}

pub(super) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
