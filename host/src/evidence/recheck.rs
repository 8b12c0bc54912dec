//! Whether evidence that was accepted once still holds.

use super::observed::content;
use super::tests_run::{changed_since, counted, recount};
use super::verification::look;
use super::{
    Details, DocumentPlace, EvaluatedAlerts, FiledRecommendation, GoalEvidence, StepRef, StoredReport, Verified, World,
    criteria, records,
};
use crate::github::{PullRequest, PullRequestState};
use crate::journal::Step;
use crate::task::Criterion;

/// What the world shows now of what completed tasks stand on.
#[derive(Debug, Clone, Default)]
pub struct WorldNow {
    /// What was asked for when the claim was judged, asked for again. The journal is that of the attempt that completed the
    /// task.
    pub world: World,
    /// Whether the base branch still holds the merge.
    pub merge_in_base: bool,
}

/// What came of looking again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holding {
    Holds,
    /// Each is one thing that is no longer so.
    Broken(Vec<String>),
    /// The outside did not answer: nothing is known.
    NotAnswered(String),
}

/// Compares stored evidence with the world. Never [`Holding::NotAnswered`]: whoever asks the world knows that.
pub fn recheck(verified: &Verified, criteria: &[Criterion], now: &WorldNow) -> Holding {
    let Verified { verdict: _, details, criteria: answered, steps, summary: _ } = verified;
    let WorldNow { world, merge_in_base: _ } = now;
    let mut problems = missing_steps(steps, &world.steps);
    problems.extend(criteria::unmet(criteria, answered, details, world));
    match details {
        Details::MergedPullRequest(stored) => problems.extend(merge_problem(&stored.pull_request, now)),
        Details::TestResults(tests) => {
            for suite in &tests.suites {
                problems.extend(changed_since(suite, world));
                match recount(suite, &world.steps) {
                    Ok(counts) if counts == suite.counts => {}
                    Ok(counts) => problems.push(format!(
                        "suite {:?} had {}, and the journal shows {}",
                        suite.name,
                        counted(suite.counts),
                        counted(counts)
                    )),
                    Err(refusal) => problems.push(refusal.0),
                }
            }
        }
        Details::VerificationReport(report) => {
            for check in &report.checks {
                match look(&check.name, check.step, &check.observation, &world.steps) {
                    Ok(found) if found == check.actual && check.passed == (found == check.expected) => {}
                    Ok(found) => problems.push(format!(
                        "check {:?} had found {:?}, and the journal shows {found:?}",
                        check.name, check.actual
                    )),
                    Err(refusal) => problems.push(refusal.0),
                }
            }
        }
        Details::CitedSummary(citations) => {
            for source in &citations.sources {
                problems.extend(changed_body(source.step, &source.sha256, &world.steps));
            }
        }
        Details::TasksCreated(GoalEvidence { children, .. }) => {
            problems.extend(records::goal(children, &world.steps).err().map(|refusal| refusal.0));
        }
        Details::ReportStored(StoredReport { id, sha256, .. }) => {
            problems.extend(records::report(id, sha256, &world.steps).err().map(|refusal| refusal.0));
        }
        Details::AlertsEvaluated(EvaluatedAlerts { measurements, raised }) => {
            problems.extend(records::alerts(measurements, raised, &world.steps).err().map(|refusal| refusal.0));
        }
        Details::RecommendationFiled(FiledRecommendation { id, .. }) => {
            problems.extend(records::recommendation(id, &world.steps).err().map(|refusal| refusal.0));
        }
        Details::Document(stored) => {
            let place = match &stored.document {
                DocumentPlace::Url { url, step } => {
                    problems.extend(changed_body(*step, &stored.sha256, &world.steps));
                    url.clone()
                }
                DocumentPlace::File { repository, path, reference } => format!("{path} at {reference} in {repository}"),
            };
            match &world.document {
                None => problems.push(format!("{place} is gone")),
                Some(seen) if seen.sha256 != stored.sha256 => {
                    problems.push(format!("{place} had the SHA-256 {}, and has {}", stored.sha256, seen.sha256));
                }
                Some(_) => {}
            }
        }
    }
    if problems.is_empty() { Holding::Holds } else { Holding::Broken(problems) }
}

fn missing_steps(named: &[StepRef], journal: &[Step]) -> Vec<String> {
    let done = |position| journal.iter().any(|step| step.position == position && step.outcome.is_some());
    named
        .iter()
        .filter(|step| !done(step.position))
        .map(|step| format!("step {} of attempt {} is not in the journal", step.position, step.attempt.number()))
        .collect()
}

fn merge_problem(stored: &PullRequest, now: &WorldNow) -> Option<String> {
    let number = stored.number;
    let Some(pull_request) = &now.world.pull_request else {
        return Some(format!("GitHub shows no pull request #{number}"));
    };
    if pull_request.state != PullRequestState::Merged {
        return Some(format!("pull request #{number} is not merged"));
    }
    if pull_request.merge_sha != stored.merge_sha {
        let shown = |sha: &PullRequest| sha.merge_sha.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
        return Some(format!(
            "pull request #{number} was merged as {}, and now shows {}",
            shown(stored),
            shown(pull_request)
        ));
    }
    let merge = stored.merge_sha.as_ref()?;
    (!now.merge_in_base).then(|| format!("{} no longer holds the merge {merge} of #{number}", stored.base_branch))
}

fn changed_body(step: u32, stored: &str, steps: &[Step]) -> Option<String> {
    match content(steps, step, "the evidence") {
        Ok(content) if content.sha256 == stored => None,
        Ok(content) => Some(format!("step {step} had the SHA-256 {stored}, and the journal holds {}", content.sha256)),
        Err(refusal) => Some(refusal.0),
    }
}
