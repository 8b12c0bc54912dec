//! Acceptance criteria, one by one: verified where the host can see it, attested where only the role can.

use super::observed::{OBSERVING, canonical, newest_fetch, observes, step_at};
use super::{Answered, CriterionVerdict, Details, Refusal, World, refuse};
use crate::github::CheckRun;
use crate::journal::Step;
use crate::task::{Claim, Criterion, Task};

/// Interfaces that see or change what the host keeps itself. What a model or an earlier task said shows nothing.
const KEPT: &[&str] = &[
    "tasks-read",
    "tasks-write",
    "goals",
    "workers-read",
    "metrics-read",
    "logs-read",
    "alerts",
    "reports",
    "recommendations",
];

/// Conclusions of a check run that do not stand in the way of a merge.
const GREEN: &[&str] = &["success", "neutral", "skipped"];

pub(super) fn answer(
    task: &Task,
    claim: &Claim,
    world: &World,
    details: &Details,
) -> Result<Vec<CriterionVerdict>, Refusal> {
    if claim.answers.len() > task.criteria.len() {
        return refuse(format!("{} answers for {} criteria", claim.answers.len(), task.criteria.len()));
    }
    let mut files = world.files.iter();
    let mut verdicts = Vec::new();
    for (number, criterion) in (0u32..).zip(&task.criteria) {
        let text = criterion.describe();
        let mut steps = answered_steps(claim, world, number, &text)?;
        let refused = |reason: String| Refusal(format!("criterion {number}: {reason}"));
        let (answered, step) = look(criterion, &mut files, details, world).map_err(refused)?;
        if answered == Answered::Attested {
            attested(world, &steps).map_err(refused)?;
        }
        steps.extend(step);
        steps.sort_unstable();
        steps.dedup();
        verdicts.push(CriterionVerdict { number, kind: criterion.kind().to_owned(), text, answered, steps });
    }
    Ok(verdicts)
}

/// What the host sees of a criterion, and the step that shows it where that is one.
fn look<'w>(
    criterion: &Criterion,
    files: &mut impl Iterator<Item = &'w Option<String>>,
    details: &Details,
    world: &World,
) -> Result<(Answered, Option<u32>), String> {
    let answered = match criterion {
        Criterion::FreeText { .. } => Answered::Attested,
        Criterion::Merged => merged(details)?,
        Criterion::FileContains { path, text } => file_contains(files.next().and_then(Option::as_deref), path, text)?,
        Criterion::CheckGreen { name } => check_green(details, world, name)?,
        Criterion::TestsPass { suite } => tests_pass(details, suite.as_deref())?,
        Criterion::ChecksPass => checks_pass(details)?,
        Criterion::HttpStatus { url, status } => {
            return Ok((Answered::Verified, Some(http_status(world, url, *status)?)));
        }
    };
    Ok((answered, None))
}

/// What of the criteria is not met any more, or is not what was answered.
pub(super) fn unmet(
    criteria: &[Criterion],
    answered: &[CriterionVerdict],
    details: &Details,
    world: &World,
) -> Vec<String> {
    if criteria.len() != answered.len() {
        return vec![format!("the task has {} criteria, and its evidence answers {}", criteria.len(), answered.len())];
    }
    let mut files = world.files.iter();
    let mut problems = Vec::new();
    for (criterion, answered) in criteria.iter().zip(answered) {
        let (number, text) = (answered.number, criterion.describe());
        if text != answered.text {
            problems.push(format!("criterion {number} is {text:?}, and {:?} was answered", answered.text));
        }
        problems
            .extend(look(criterion, &mut files, details, world).err().map(|why| format!("criterion {number}: {why}")));
    }
    problems
}

/// For the role's word at least one step that saw or changed something: that time went by shows nothing.
fn attested(world: &World, steps: &[u32]) -> Result<(), String> {
    let shows = |step: &Step| observes(step) || KEPT.contains(&step.interface.as_str());
    if steps.iter().filter_map(|step| step_at(&world.steps, *step)).any(shows) {
        return Ok(());
    }
    let names = [OBSERVING, KEPT].concat().join(", ");
    Err(format!("none of the steps that it names saw or changed anything; name a call of {names}"))
}

fn merged(details: &Details) -> Result<Answered, String> {
    match details {
        Details::MergedPullRequest(_) => Ok(Answered::Verified),
        Details::TestResults(_)
        | Details::VerificationReport(_)
        | Details::CitedSummary(_)
        | Details::Document(_)
        | Details::TasksCreated(_)
        | Details::ReportStored(_)
        | Details::AlertsEvaluated(_)
        | Details::RecommendationFiled(_) => {
            Err("only a merged pull request shows that it is merged, and this task's evidence is none".to_owned())
        }
    }
}

fn file_contains(content: Option<&str>, path: &str, text: &str) -> Result<Answered, String> {
    match content {
        Some(content) if content.contains(text) => Ok(Answered::Verified),
        Some(_) => Err(format!("{path} does not contain {text:?}")),
        None => Err(format!("there is no text file {path}")),
    }
}

fn check_green(details: &Details, world: &World, name: &str) -> Result<Answered, String> {
    let (found, place) = match details {
        Details::MergedPullRequest(_) => (world.checks.iter().find(|check| check.name == name), "the merged head"),
        Details::TestResults(tests) => (tests.check_run(world, name), "the suites of the evidence"),
        Details::VerificationReport(_)
        | Details::CitedSummary(_)
        | Details::Document(_)
        | Details::TasksCreated(_)
        | Details::ReportStored(_)
        | Details::AlertsEvaluated(_)
        | Details::RecommendationFiled(_) => {
            return Err("only merged-pull-request and test-results evidence show check runs".to_owned());
        }
    };
    match found.map(conclusion) {
        Some(Some(conclusion)) if GREEN.contains(&conclusion) => Ok(Answered::Verified),
        Some(conclusion) => Err(format!("check {name:?} is {}", conclusion.unwrap_or("not finished"))),
        None => Err(format!("there is no check {name:?} on {place}")),
    }
}

fn conclusion(check: &CheckRun) -> Option<&str> {
    check.conclusion.as_deref()
}

fn tests_pass(details: &Details, wanted: Option<&str>) -> Result<Answered, String> {
    let Details::TestResults(tests) = details else {
        return Err("only test-results evidence shows that tests pass".to_owned());
    };
    let suites: Vec<_> = tests.suites.iter().filter(|suite| wanted.is_none_or(|name| suite.name == name)).collect();
    if let (true, Some(name)) = (suites.is_empty(), wanted) {
        return Err(format!("the evidence has no suite {name:?}"));
    }
    if let Some(red) = suites.iter().find(|suite| suite.counts.failed > 0) {
        return Err(format!("suite {:?} has {} failed tests", red.name, red.counts.failed));
    }
    // A suite in which everything was skipped shows nothing.
    match suites.iter().find(|suite| suite.counts.passed == 0) {
        Some(empty) => Err(format!("suite {:?} has no test that passed", empty.name)),
        None => Ok(Answered::Verified),
    }
}

fn checks_pass(details: &Details) -> Result<Answered, String> {
    let Details::VerificationReport(report) = details else {
        return Err("only verification-report evidence has checks".to_owned());
    };
    match report.checks.iter().find(|check| !check.passed) {
        Some(failed) => {
            Err(format!("check {:?} expected {:?} and found {:?}", failed.name, failed.expected, failed.actual))
        }
        None => Ok(Answered::Verified),
    }
}

/// The step that shows it. The newest look counts: what it said before is past.
fn http_status(world: &World, url: &str, status: u16) -> Result<u32, String> {
    let Some(target) = canonical(url) else {
        return Err(format!("{url} is no URL that http-fetch fetches, so nobody can show its status"));
    };
    match newest_fetch(&world.steps, &target) {
        Some((position, found)) if found == status => Ok(position),
        Some((position, found)) => Err(format!("{url} answered with {found} in step {position}, not with {status}")),
        None => Err(format!("no step of this attempt fetched {url}; fetch it with http-fetch")),
    }
}

/// Each criterion is answered one by one, with steps that exist and succeeded.
fn answered_steps(claim: &Claim, world: &World, number: u32, text: &str) -> Result<Vec<u32>, Refusal> {
    let mut answers = claim.answers.iter().filter(|answer| answer.criterion == number);
    let (Some(answer), None) = (answers.next(), answers.next()) else {
        return refuse(format!("criterion {number} ({text}) needs exactly one answer with journal steps"));
    };
    if answer.steps.len() > world.steps.len() {
        return refuse(format!("criterion {number} ({text}) names more steps than the journal has"));
    }
    if answer.steps.is_empty() {
        return refuse(format!("criterion {number} ({text}) is answered without a journal step"));
    }
    for position in &answer.steps {
        let Some(outcome) = step_at(&world.steps, *position).and_then(|step| step.outcome.as_ref()) else {
            return refuse(format!("criterion {number} names step {position}, which this attempt's journal has not"));
        };
        if outcome.ok().is_none() {
            return refuse(format!("criterion {number} names step {position}, which failed"));
        }
    }
    Ok(answer.steps.clone())
}
