//! `test`: how often which end came, counted again by the host. A red test is a result like a green one.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::observed::{Content, Origin, content, text};
use super::{Refusal, World, junit, refuse};
use crate::github::CheckRun;
use crate::journal::Step;
use crate::repo::{Repository, Sha};
use crate::task::{ClaimedSuite, SuiteSource, TestCounts};

/// Suites of one claim.
const SUITES_MAX: usize = 50;
const NAME_BYTES_MAX: usize = 200;

/// Tests that the host counted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TestEvidence {
    pub suites: Vec<TestSuite>,
}

/// A suite and where its counts come from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TestSuite {
    pub name: String,
    #[serde(flatten)]
    pub counts: TestCounts,
    pub source: SuiteFrom,
}

/// What was counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum SuiteFrom {
    /// One check run, by its conclusion. It says nothing of how many tests ran.
    CheckRun { repository: Repository, sha: Sha, name: String, step: u32 },
    /// Test cases of a report.
    JunitReport { url: String, sha256: String, step: u32 },
}

impl TestEvidence {
    /// The named check run, where a suite of the evidence is that.
    pub(super) fn check_run<'a>(&self, world: &'a World, wanted: &str) -> Option<&'a CheckRun> {
        self.suites.iter().find_map(|suite| match &suite.source {
            SuiteFrom::CheckRun { repository, sha, name, .. } if name == wanted => {
                let runs = world.suites.get(&(repository.clone(), sha.clone()))?;
                runs.iter().find(|run| run.name == wanted)
            }
            SuiteFrom::CheckRun { .. } | SuiteFrom::JunitReport { .. } => None,
        })
    }
}

pub(super) fn judge(suites: &[ClaimedSuite], world: &World) -> Result<(TestEvidence, BTreeSet<u32>), Refusal> {
    if suites.is_empty() || suites.len() > SUITES_MAX {
        return refuse(format!("test results have 1 to {SUITES_MAX} suites, not {}", suites.len()));
    }
    let (mut names, mut sources, mut steps) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let mut judged = Vec::new();
    for claimed in suites {
        let name = &claimed.name;
        if name.trim().is_empty() || name.len() > NAME_BYTES_MAX {
            return refuse(format!("a suite's name has 1 to {NAME_BYTES_MAX} bytes; name each suite"));
        }
        if !names.insert(name) {
            return refuse(format!("two suites are named {name:?}"));
        }
        let (seen, source) = match &claimed.source {
            SuiteSource::CheckRun { repository, sha, name: run } => of_check_run(name, repository, sha, run, world)?,
            SuiteSource::JunitReport { step } => of_report(name, *step, world)?,
        };
        let (step, identity) = match &source {
            SuiteFrom::CheckRun { repository, sha, name, step } => (*step, format!("{repository} {sha} {name}")),
            SuiteFrom::JunitReport { sha256, step, .. } => (*step, sha256.clone()),
        };
        if !sources.insert(identity) {
            return refuse(format!("suite {name:?} counts what another suite counts already"));
        }
        if seen != claimed.counts {
            return refuse(format!(
                "suite {name:?} is claimed to have {}, and the host counts {}",
                counted(claimed.counts),
                counted(seen)
            ));
        }
        steps.insert(step);
        judged.push(TestSuite { name: name.clone(), counts: seen, source });
    }
    Ok((TestEvidence { suites: judged }, steps))
}

/// Counts of a stored suite, made again from the journal alone.
pub(super) fn recount(suite: &TestSuite, steps: &[Step]) -> Result<TestCounts, Refusal> {
    match &suite.source {
        SuiteFrom::CheckRun { repository, sha, name, step } => {
            let listed = steps.iter().find(|it| it.position == *step && lists(it, repository, sha));
            let run = listed.and_then(|step| recorded_run(step, name));
            let Some(run) = run else {
                return refuse(format!("step {step} of the journal does not list check {name:?} of {sha}"));
            };
            by_conclusion(&suite.name, &run)
        }
        SuiteFrom::JunitReport { step, .. } => {
            let report = report(&suite.name, *step, steps)?;
            junit::count(&report.body).map_err(|problem| Refusal(format!("the report of step {step} {problem}")))
        }
    }
}

/// Whether the world shows another end of a stored check run than was counted.
pub(super) fn changed_since(suite: &TestSuite, world: &World) -> Option<String> {
    let SuiteFrom::CheckRun { repository, sha, name, step: _ } = &suite.source else { return None };
    let now = world.suites.get(&(repository.clone(), sha.clone()));
    let Some(run) = now.and_then(|runs| runs.iter().find(|run| run.name == *name)) else {
        return Some(format!("GitHub shows no check run {name:?} on {sha} in {repository}"));
    };
    match by_conclusion(&suite.name, run) {
        Ok(counts) if counts == suite.counts => None,
        Ok(counts) => Some(format!(
            "suite {:?} had {}, and GitHub shows {} for check {name:?}",
            suite.name,
            counted(suite.counts),
            counted(counts)
        )),
        Err(refusal) => Some(refusal.0),
    }
}

fn of_check_run(
    suite: &str,
    repository: &Result<Repository, String>,
    sha: &Result<Sha, String>,
    name: &str,
    world: &World,
) -> Result<(TestCounts, SuiteFrom), Refusal> {
    let invalid = |problem: &String| Refusal(format!("suite {suite:?}: {problem}"));
    let (repository, sha) = (repository.as_ref().map_err(invalid)?, sha.as_ref().map_err(invalid)?);
    let Some(step) = world.steps.iter().rev().find(|step| lists(step, repository, sha)) else {
        return refuse(format!(
            "suite {suite:?}: no call of this attempt listed the check runs of {sha} in {repository}; call \
             github-read.list-check-runs first"
        ));
    };
    let now = world.suites.get(&(repository.clone(), sha.clone()));
    let Some(run) = now.and_then(|runs| runs.iter().find(|run| run.name == name)) else {
        return refuse(format!("suite {suite:?}: GitHub shows no check run {name:?} on {sha} in {repository}"));
    };
    let counts = by_conclusion(suite, run)?;
    let recorded = recorded_run(step, name).map(|run| by_conclusion(suite, &run));
    if !matches!(recorded, Some(Ok(recorded)) if recorded == counts) {
        return refuse(format!(
            "suite {suite:?}: check {name:?} has changed since step {} listed it; list it again",
            step.position
        ));
    }
    let (repository, sha) = (repository.clone(), sha.clone());
    Ok((counts, SuiteFrom::CheckRun { repository, sha, name: name.to_owned(), step: step.position }))
}

fn of_report(suite: &str, step: u32, world: &World) -> Result<(TestCounts, SuiteFrom), Refusal> {
    let report = report(suite, step, &world.steps)?;
    if world.own_files.contains(&report.sha256) {
        return refuse(format!("suite {suite:?}: this task wrote the report of step {step} itself"));
    }
    let counts = junit::count(&report.body)
        .map_err(|problem| Refusal(format!("suite {suite:?}: the report of step {step} {problem}")))?;
    Ok((counts, SuiteFrom::JunitReport { url: report.origin.url(), sha256: report.sha256, step }))
}

fn report(suite: &str, step: u32, steps: &[Step]) -> Result<Content, Refusal> {
    let report = content(steps, step, &format!("suite {suite:?}"))?;
    match &report.origin {
        Origin::Web { status, .. } if !(200..300).contains(status) => {
            refuse(format!("suite {suite:?} names step {step}, which was answered with {status}"))
        }
        Origin::Web { .. } | Origin::File { .. } => Ok(report),
    }
}

fn lists(step: &Step, repository: &Repository, sha: &Sha) -> bool {
    step.interface == "github-read"
        && step.function == "list-check-runs"
        && step.outcome.as_ref().is_some_and(|outcome| outcome.ok().is_some())
        && text(&step.arguments, "repository") == Some(&repository.to_string())
        && text(&step.arguments, "sha") == Some(sha.as_str())
}

fn recorded_run(step: &Step, name: &str) -> Option<CheckRun> {
    let runs = step.outcome.as_ref()?.ok()?.as_array()?;
    let run = runs.iter().find(|run| run.get("name").and_then(Value::as_str) == Some(name))?;
    serde_json::from_value(run.clone()).ok()
}

/// A check run is one: GitHub knows how it ended, not how many tests it ran.
fn by_conclusion(suite: &str, run: &CheckRun) -> Result<TestCounts, Refusal> {
    let one = TestCounts::default();
    match run.conclusion.as_deref() {
        Some("success") => Ok(TestCounts { passed: 1, ..one }),
        Some("neutral" | "skipped") => Ok(TestCounts { skipped: 1, ..one }),
        Some(_) => Ok(TestCounts { failed: 1, ..one }),
        None => refuse(format!("suite {suite:?}: check {:?} has not finished", run.name)),
    }
}

pub(super) fn counted(counts: TestCounts) -> String {
    format!("{} passed, {} failed, {} skipped", counts.passed, counts.failed, counts.skipped)
}
