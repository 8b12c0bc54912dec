//! `juggernaut role test`: runs a role's component against fixtures, without a database, a forge or a network.
//!
//! Invariant: nothing is done. The sandbox is the real one, with the manifest's limits and imports; each call is answered
//! by the fixture ([`RunMode::Scripted`]), and there is no client of the outside.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;
use time::macros::datetime;
use tokio::sync::{mpsc, watch};

use super::fixture::{self, Expect, ExpectedOutcome, Fixture};
use super::{component, offline, policies, review};
use crate::journal::Call;
use crate::manifest::Manifest;
use crate::policy::Authority;
use crate::sandbox::{
    LoadedRole, RoleFiles, RunEnd, RunError, RunInput, RunMode, Sandbox, Script, Services, Times, answer_example,
    difference, plural,
};
use crate::task::{Claim, Failure, Task};

/// What the run's clock begins with, always.
const BEGAN_AT: OffsetDateTime = datetime!(2026-01-01 00:00 UTC);
/// Messages from the run that may wait.
const MESSAGES_MAX: usize = 64;
/// Nothing acts; a run wants to know until when it might.
const FOREVER: Duration = Duration::from_hours(24 * 365);
/// How a fixture says that there is no proof.
const PROOF_NONE: &str = "none";

/// What is tested.
#[derive(Debug)]
pub struct RoleTest<'a> {
    /// The role's directory.
    pub directory: &'a Path,
    /// None: where builds put it.
    pub component: Option<PathBuf>,
    /// None: all of `tests/`.
    pub fixtures: Vec<PathBuf>,
}

/// What came of it.
#[derive(Debug, Serialize)]
pub struct RoleTested {
    pub role: String,
    pub component: PathBuf,
    pub passed: bool,
    pub fixtures: Vec<FixtureTested>,
}

/// One fixture.
#[derive(Debug, Serialize)]
pub struct FixtureTested {
    pub file: PathBuf,
    pub passed: bool,
    /// How the run ended, in one sentence.
    pub ended: String,
    pub calls: u32,
    pub problems: Vec<String>,
    /// What the role said.
    pub log: Vec<String>,
}

/// The parts that all fixtures of a role share.
struct Stage {
    sandbox: Sandbox,
    role: Arc<LoadedRole>,
    authority: Arc<Authority>,
    services: Arc<Services>,
}

/// Runs each fixture once.
pub async fn test_role(wanted: RoleTest<'_>) -> Result<RoleTested> {
    let RoleTest { directory, component, fixtures } = wanted;
    let manifest = Manifest::read(&directory.join(crate::manifest::FILE_NAME))?;
    let files = if fixtures.is_empty() { fixture::beside(directory)? } else { fixtures };
    let fixtures =
        files.into_iter().map(|file| Ok((Fixture::read(&file, &manifest)?, file))).collect::<Result<Vec<_>>>()?;
    let component = match component {
        Some(component) => component,
        None => component::newest(directory, &manifest)?,
    };
    let sandbox = review::sandbox_for_tools()?;
    let role = Arc::new(LoadedRole::load(&sandbox, RoleFiles::of(manifest, component.clone())?)?);
    let authority = Arc::new(Authority::new(Arc::new(policies::validated(None)?), Arc::clone(&role.manifest))?);
    let stage = Stage { sandbox, role, authority, services: offline::services("juggernaut-role-test")? };
    let mut tested = Vec::new();
    for (fixture, file) in fixtures {
        tested.push(stage.test(fixture, file).await);
    }
    let passed = tested.iter().all(|fixture| fixture.passed);
    Ok(RoleTested { role: stage.role.manifest.role.name.clone(), component, passed, fixtures: tested })
}

impl Stage {
    async fn test(&self, fixture: Fixture, file: PathBuf) -> FixtureTested {
        let Fixture { task, calls, lines, expect } = fixture;
        let script = Arc::new(Script::new(calls.clone(), BEGAN_AT));
        let task = Arc::new(task);
        let (end, log) = self.run(&task, &script).await;
        let mut problems = match &end {
            Ok(end) => compare(&expect, end, &task, script.calls()),
            Err(error) => vec![stopped(error, &script, &lines)],
        };
        problems.extend(unlogged(&expect, &log));
        for (at, times) in script.missing() {
            let call = &calls[at];
            let wanted = match call.times {
                Times::Exactly(wanted) => plural(wanted, "call"),
                Times::Any => "any number of calls".to_owned(),
            };
            problems.push(format!(
                "{} was to be called: line {} expects {wanted}, and there {} {times}",
                call.call,
                lines[at],
                if times == 1 { "was" } else { "were" },
            ));
        }
        let ended = told(&end);
        FixtureTested { file, passed: problems.is_empty(), ended, calls: script.calls(), problems, log }
    }

    async fn run(&self, task: &Arc<Task>, script: &Arc<Script>) -> (Result<RunEnd, RunError>, Vec<String>) {
        let (recorder, messages) = mpsc::channel(MESSAGES_MAX);
        let (_until, act_until) = watch::channel(Instant::now() + FOREVER);
        let input = RunInput {
            task: Arc::clone(task),
            authority: Arc::clone(&self.authority),
            steps: Vec::new(),
            log_lines: 0,
            started_at: BEGAN_AT,
            own_commits: Vec::new(),
            own_runs: Vec::new(),
            recorder,
            act_until,
            mode: RunMode::Scripted(Arc::clone(script)),
        };
        tokio::join!(self.sandbox.run(&self.role, &self.services, input), offline::listen(messages))
    }
}

fn told(end: &Result<RunEnd, RunError>) -> String {
    match end {
        Ok(RunEnd::Completed(claim)) if claim.summary.is_empty() => "completed".to_owned(),
        Ok(RunEnd::Completed(claim)) => format!("completed: {}", claim.summary),
        Ok(RunEnd::Failed(Failure { reason, retriable: true })) => format!("failed, retriable: {reason}"),
        Ok(RunEnd::Failed(Failure { reason, retriable: false })) => format!("failed: {reason}"),
        Err(error) => format!("stopped: {error}"),
    }
}

/// Why a run did not come to its own end, and what to add to the fixture.
fn stopped(error: &RunError, script: &Script, lines: &[usize]) -> String {
    match (error, script.newest()) {
        (RunError::BeyondJournal { position, .. }, Some(call)) => {
            let mut text = format!("no [[call]] answers call {position}, {}", call.describe());
            for (at, misfit) in script.misfits(&call) {
                text.push_str(&format!("\nthe one at line {} does not: {misfit}", lines[at]));
            }
            text.push_str("\nadd to the fixture, with the answer that it is to get:\n");
            text.push_str(&block(&call));
            text
        }
        (RunError::Host(cause), Some(call)) => {
            format!("the answer that the fixture gives to {} is none that this call has: {cause}", call.describe())
        }
        (error, _) => format!("the run was stopped: {error}"),
    }
}

/// What answers a call, to be pasted into a fixture.
fn block(call: &Call) -> String {
    let arguments =
        fixture::toml_of(&call.arguments).map_or_else(|| "{}".to_owned(), |arguments| arguments.to_string());
    let name = format!("{}.{}", call.interface, call.function);
    let answer = answer_example(&name).unwrap_or("{ ok = … }");
    format!("[[call]]\ncall = \"{name}\"\narguments = {arguments}\nanswer = {answer}")
}

fn compare(expect: &Expect, end: &RunEnd, task: &Task, calls: u32) -> Vec<String> {
    match (expect.outcome, end) {
        (ExpectedOutcome::Completed, RunEnd::Completed(claim)) => compare_claim(expect, claim, task, calls),
        (ExpectedOutcome::Failed, RunEnd::Failed(failure)) => {
            let mut problems = not_contained("reason_contains", expect.reason_contains.all(), &failure.reason);
            if expect.retriable.is_some_and(|retriable| retriable != failure.retriable) {
                problems.push(format!("retriable is {}, and the other is expected", failure.retriable));
            }
            problems
        }
        (ExpectedOutcome::Completed, RunEnd::Failed(failure)) => {
            vec![format!("it failed, and was to complete: {}", failure.reason)]
        }
        (ExpectedOutcome::Failed, RunEnd::Completed(claim)) => {
            vec![format!("it completed, and was to fail; its summary is {:?}", claim.summary)]
        }
    }
}

/// What is expected, and what the host asks of every claim before it looks at the world.
fn compare_claim(expect: &Expect, claim: &Claim, task: &Task, calls: u32) -> Vec<String> {
    let mut problems = not_contained("summary_contains", expect.summary_contains.all(), &claim.summary);
    let proof = claim.proof.as_ref().map(|proof| serde_json::to_value(proof).unwrap_or_default());
    problems.extend(compare_proof(expect.proof.as_ref(), proof.as_ref()));
    for (number, criterion) in (0u32..).zip(&task.criteria) {
        let mut answers = claim.answers.iter().filter(|answer| answer.criterion == number);
        let (answer, second) = (answers.next(), answers.next());
        let steps = answer.map_or(&[][..], |answer| &answer.steps);
        if steps.is_empty() || second.is_some() {
            problems.push(format!(
                "criterion {number} ({}) needs one answer with the positions of the calls that show it; write \
                 evidence.answer({number}, [step])",
                criterion.describe()
            ));
        }
        if let Some(step) = steps.iter().find(|step| **step >= calls) {
            problems.push(format!("the answer to criterion {number} names step {step}, and there are {calls} calls"));
        }
    }
    problems
}

fn compare_proof(expected: Option<&toml::Value>, proof: Option<&Value>) -> Option<String> {
    let kind = proof.and_then(Value::as_object).and_then(|proof| proof.keys().next());
    let kind = kind.map_or(PROOF_NONE, String::as_str);
    match expected {
        Some(toml::Value::String(wanted)) => {
            (wanted != kind).then(|| format!("the proof is {kind}, and {wanted} is expected"))
        }
        Some(wanted) => {
            difference(&fixture::json_of(wanted.clone()), proof.unwrap_or(&Value::Null), "proof")
        }
        None => proof.is_none().then(|| {
            "the claim has no proof, and the host completes no task without one; if that is meant, expect proof = \"none\""
                .to_owned()
        }),
    }
}

fn not_contained(what: &str, texts: &[String], whole: &str) -> Vec<String> {
    let absent = texts.iter().filter(|text| !whole.contains(text.as_str()));
    absent.map(|text| format!("{what}: {text:?} is not in {whole:?}")).collect()
}

fn unlogged(expect: &Expect, log: &[String]) -> Vec<String> {
    let absent = expect.log_contains.all().iter().filter(|text| !log.iter().any(|line| line.contains(text.as_str())));
    absent.map(|text| format!("log_contains: no line of the log holds {text:?}")).collect()
}
