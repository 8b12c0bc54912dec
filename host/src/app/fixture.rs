//! A fixture of `role test`: a task, the calls that are expected with their answers, and how the run is to end.
//!
//! Invariant: parsing is strict. An unknown key, a capability that does not exist or is not granted, and an expectation
//! that can not be met are errors that name the file.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use toml::Spanned;

use crate::manifest::{self, Interface, Manifest};
use crate::sandbox::{ScriptedCall, Times};
use crate::task::{Attempt, EvidenceKind, GoalId, NewTask, Task, TaskDraft, TaskId};

/// Largest fixture that is read.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// The task's id where the fixture says none: its branch is the same in each run.
const FIXED_ID: u128 = 0x0192_0000_0000_7000_8000_0000_0000_0001;
/// Stands for the task's own branch, in arguments and answers.
const OWN_BRANCH: &str = "{branch}";

/// A fixture, checked.
#[derive(Debug)]
pub(super) struct Fixture {
    pub(super) task: Task,
    pub(super) calls: Vec<ScriptedCall>,
    /// Where each call stands in the file, counted from 1.
    pub(super) lines: Vec<usize>,
    pub(super) expect: Expect,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    task: toml::Table,
    #[serde(default)]
    call: Vec<Entry>,
    expect: Expect,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    call: Spanned<String>,
    arguments: Option<toml::Table>,
    answer: Option<toml::Value>,
    answer_json: Option<String>,
    times: Option<HowOften>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum HowOften {
    Times(u32),
    Word(String),
}

/// How the run is to end.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expect {
    pub(super) outcome: ExpectedOutcome,
    #[serde(default)]
    pub(super) summary_contains: Texts,
    /// The proof's kind, or the proof as far as it matters.
    pub(super) proof: Option<toml::Value>,
    #[serde(default)]
    pub(super) reason_contains: Texts,
    pub(super) retriable: Option<bool>,
    #[serde(default)]
    pub(super) log_contains: Texts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ExpectedOutcome {
    Completed,
    Failed,
}

/// One text or several.
#[derive(Debug, Default, Deserialize)]
#[serde(untagged)]
pub(super) enum Texts {
    #[default]
    None,
    One(String),
    Many(Vec<String>),
}

impl Texts {
    pub(super) fn all(&self) -> &[String] {
        match self {
            Self::None => &[],
            Self::One(text) => std::slice::from_ref(text),
            Self::Many(texts) => texts,
        }
    }
}

impl Fixture {
    pub(super) fn read(path: &Path, manifest: &Manifest) -> Result<Self> {
        let shown = path.display();
        let bytes = manifest::read_bounded(path, FILE_BYTES_MAX)
            .with_context(|| format!("{shown} can not be read"))?
            .with_context(|| format!("{shown} is too large; a fixture has at most {FILE_BYTES_MAX} bytes"))?;
        let source = String::from_utf8(bytes).with_context(|| format!("{shown} is not UTF-8"))?;
        Self::parse(&source, manifest).with_context(|| format!("{shown} is no fixture"))
    }

    pub(super) fn parse(source: &str, manifest: &Manifest) -> Result<Self> {
        let File { task, call, expect } = toml::from_str(source)?;
        let task = self::task(task, manifest).context("[task]")?;
        expect.check().context("[expect]")?;
        let branch = task.branch();
        let line = |entry: &Entry| source[..entry.call.span().start].matches('\n').count() + 1;
        let lines: Vec<usize> = call.iter().map(line).collect();
        let calls = call.into_iter().zip(&lines).map(|(entry, line)| {
            scripted(entry, &branch, manifest).with_context(|| format!("the [[call]] at line {line}"))
        });
        Ok(Self { task, calls: calls.collect::<Result<_>>()?, lines, expect })
    }
}

impl Expect {
    fn check(&self) -> Result<()> {
        let completed = self.outcome == ExpectedOutcome::Completed;
        if completed && (self.retriable.is_some() || !self.reason_contains.all().is_empty()) {
            bail!("retriable and reason_contains are of a run that failed; write outcome = \"failed\" or remove them");
        }
        if !completed && (self.proof.is_some() || !self.summary_contains.all().is_empty()) {
            bail!(
                "proof and summary_contains are of a run that completed; write outcome = \"completed\" or remove them"
            );
        }
        Ok(())
    }
}

/// A task as its creator drafts it, with what an attempt knows besides: `id`, `attempt`, `last_error` and `goal`.
fn task(mut table: toml::Table, manifest: &Manifest) -> Result<Task> {
    let mut taken = |key: &str| table.remove(key).map(json_of);
    let (id, attempt, last_error, goal) = (taken("id"), taken("attempt"), taken("last_error"), taken("goal"));
    let id: TaskId = id.map_or(Ok(TaskId(uuid::Uuid::from_u128(FIXED_ID))), serde_json::from_value).context("id")?;
    let attempt: Attempt = attempt.map_or(Ok(Attempt::FIRST), serde_json::from_value).context("attempt")?;
    let last_error: Option<String> = last_error.map(serde_json::from_value).transpose().context("last_error")?;
    let goal: Option<GoalId> = goal.map(serde_json::from_value).transpose().context("goal")?;
    let draft: TaskDraft = serde_json::from_value(json_of(toml::Value::Table(table)))?;
    let admitted = NewTask::admit(draft)?;
    let criteria = admitted.criteria().to_vec();
    let draft = admitted.draft();
    if !manifest.role.task_types.contains(&draft.task_type) {
        bail!(
            "task_type is {:?}, and the role claims {}; correct it, or role.task_types of {}",
            draft.task_type,
            manifest.role.task_types.join(", "),
            manifest.path.display()
        );
    }
    Ok(Task {
        id,
        title: draft.title.clone(),
        description: draft.description.clone(),
        task_type: draft.task_type.clone(),
        // Which it is, the database knows; a run does not look at it.
        evidence_kind: EvidenceKind::Document,
        priority: draft.priority,
        risk: draft.risk,
        risk_reasons: Vec::new(),
        payload: draft.payload.clone(),
        criteria,
        attempt,
        attempts_max: draft.attempts_max,
        last_error,
        goal,
    })
}

fn scripted(entry: Entry, branch: &str, manifest: &Manifest) -> Result<ScriptedCall> {
    let Entry { call, arguments, answer, answer_json, times } = entry;
    let call = call.into_inner();
    let (interface, _) =
        call.split_once('.').with_context(|| format!("call = {call:?} is not \"interface.function\""))?;
    match Interface::from_name(interface) {
        Some(Interface::Scratch) => bail!("scratch is real in a test, and needs no answers; remove it"),
        Some(interface) if manifest.grants(interface) => {}
        Some(_) => bail!("{call} is not granted; add [grants.{interface}] to {}", manifest.path.display()),
        None if interface == "task" => {}
        None => bail!(
            "{interface:?} is no capability; there are {}",
            Interface::ALL.iter().map(|interface| interface.name()).collect::<Vec<_>>().join(", ")
        ),
    }
    let answer = match (answer, answer_json) {
        (Some(answer), None) => json_of(answer),
        (None, Some(json)) => serde_json::from_str(&json).context("answer_json is not JSON")?,
        (None, None) => bail!("it has no answer; write answer = {{ ok = … }}, {{ err = … }} or \"ok\""),
        (Some(_), Some(_)) => bail!("it has answer and answer_json; remove one of the two"),
    };
    let times = match times {
        None => Times::Exactly(1),
        Some(HowOften::Times(times)) => Times::Exactly(times),
        Some(HowOften::Word(word)) if word == "any" => Times::Any,
        Some(HowOften::Word(word)) => bail!("times is {word:?}; write a number, or \"any\""),
    };
    let arguments = arguments.map(|table| json_of(toml::Value::Table(table))).unwrap_or_default();
    Ok(ScriptedCall {
        call,
        arguments: with_branch(arguments, branch),
        answer: with_branch(journalled(answer)?, branch),
        times,
    })
}

/// TOML has no null, which is what a call without a result gives: it is written as `"ok"`.
fn journalled(answer: Value) -> Result<Value> {
    if answer == "ok" {
        return Ok(json!({ "ok": null }));
    }
    let one = answer.as_object().filter(|fields| fields.len() == 1);
    if one.is_some_and(|fields| fields.contains_key("ok") || fields.contains_key("err")) {
        return Ok(answer);
    }
    Err(anyhow!("its answer is {answer}; write {{ ok = … }}, {{ err = … }} or \"ok\""))
}

fn with_branch(value: Value, branch: &str) -> Value {
    match value {
        Value::String(text) => Value::String(text.replace(OWN_BRANCH, branch)),
        Value::Array(items) => items.into_iter().map(|item| with_branch(item, branch)).collect(),
        Value::Object(fields) => {
            fields.into_iter().map(|(key, value)| (key, with_branch(value, branch))).collect::<Map<_, _>>().into()
        }
        other => other,
    }
}

/// TOML's times are text, as JSON has them.
pub(super) fn json_of(value: toml::Value) -> Value {
    match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => number.into(),
        toml::Value::Boolean(truth) => truth.into(),
        toml::Value::Datetime(time) => time.to_string().into(),
        toml::Value::Array(items) => items.into_iter().map(json_of).collect(),
        toml::Value::Table(table) => {
            table.into_iter().map(|(key, value)| (key, json_of(value))).collect::<Map<_, _>>().into()
        }
    }
}

/// The way back, in one line; null is left out.
pub(super) fn toml_of(value: &Value) -> Option<toml::Value> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(truth) => (*truth).into(),
        Value::Number(number) => match number.as_i64() {
            Some(number) => number.into(),
            None => number.as_f64()?.into(),
        },
        Value::String(text) => text.as_str().into(),
        Value::Array(items) => toml::Value::Array(items.iter().filter_map(toml_of).collect()),
        Value::Object(fields) => {
            toml::Value::Table(fields.iter().filter_map(|(key, value)| Some((key.clone(), toml_of(value)?))).collect())
        }
    })
}

/// The fixtures of a role's directory, sorted.
pub(super) fn beside(directory: &Path) -> Result<Vec<PathBuf>> {
    let folder = directory.join("tests");
    let mut found = Vec::new();
    let what = || format!("{} can not be read; write a fixture there, or name one with --fixture", folder.display());
    for entry in std::fs::read_dir(&folder).with_context(what)? {
        let path = entry.with_context(what)?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            found.push(path);
        }
    }
    if found.is_empty() {
        bail!("{} holds no fixture (*.toml); docs/WRITING_A_ROLE.md says what one looks like", folder.display());
    }
    found.sort();
    Ok(found)
}
