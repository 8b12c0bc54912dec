//! `verification`: looks at what the payload names, and reports what it expected and found. A check that does not pass is reported
//! like one that does; whether that is good enough, the task's criteria say.

use juggernaut_guest::github_read::{self, PullRequest, PullRequestState};
use juggernaut_guest::{Assignment, Check, Error, Evidence, Failure, http_fetch, info, task};
use serde_json::{Value, json};

use crate::answered;
use crate::payload::{self, Looked, NamedCheck, VerificationPayload};

/// What was found, and in which call.
struct Found {
    check: Check,
    step: u32,
    /// Whether the call was answered: only such a call answers a criterion.
    is_answer: bool,
    passed: bool,
    told: String,
}

pub fn run(task: &Assignment) -> Result<Evidence, Failure> {
    let VerificationPayload { repository, checks } = payload::parse("verification", &task.payload)?;
    if checks.is_empty() {
        return Err(Failure::final_("the payload names no checks: there is nothing to verify"));
    }
    let found: Vec<Found> =
        checks.iter().map(|check| look(check, repository.as_deref())).collect::<Result<_, Failure>>()?;
    let mut steps: Vec<u32> = found.iter().filter(|found| found.is_answer).map(|found| found.step).collect();
    steps.dedup();
    let passed = found.iter().filter(|found| found.passed).count();
    let told: Vec<&str> = found.iter().map(|found| found.told.as_str()).collect();
    told.iter().for_each(|line| info!("{line}"));
    let summary = format!("{passed} of {} checks passed\n{}", found.len(), told.join("\n"));
    let claim = Evidence::verification_report(found.into_iter().map(|found| found.check));
    Ok(answered(claim.summary(summary.chars().take(4_000).collect::<String>()), task, &steps))
}

fn look(check: &NamedCheck, own: Option<&str>) -> Result<Found, Failure> {
    let NamedCheck { name, what } = check;
    let repository = |named: &Option<String>| {
        let none = || Failure::final_(format!("check {name:?} names no repository, and neither does the payload"));
        named.clone().or_else(|| own.map(str::to_owned)).ok_or_else(none)
    };
    match what {
        Looked::FileContains { repository: named, path, reference, text, expected } => {
            match github_read::get_file(&repository(named)?, path, reference) {
                Ok(file) => Ok(contains(name, &file.content, text, *expected)),
                Err(Error::NotFound(message)) => Ok(value(name, "/err/not-found", &format!("a file {path}"), message)),
                Err(error) => Err(error.into()),
            }
        }
        Looked::HttpStatus { url, expected } => {
            let answer = http_fetch::get(url)?;
            Ok(value(name, "/ok/status", &expected.to_string(), answer.status.to_string()))
        }
        Looked::HttpContains { url, text, expected } => {
            let answer = http_fetch::get(url)?;
            Ok(contains(name, &answer.body, text, *expected))
        }
        Looked::PullRequestState { repository: named, number, expected } => {
            let found = github_read::get_pull_request(&repository(named)?, *number)?;
            Ok(value(name, "/ok/state", expected, state(&found).to_owned()))
        }
        Looked::CheckConclusion { repository: named, reference, check, expected } => {
            conclusion(name, &repository(named)?, reference, check, expected)
        }
        Looked::JsonValue { repository: named, number, pointer, expected } => {
            let found = github_read::get_pull_request(&repository(named)?, *number)?;
            let record = recorded(&found);
            let actual = record.pointer(pointer).ok_or_else(|| {
                Failure::final_(format!("check {name:?}: {pointer:?} points at nothing in a pull request: {record}"))
            })?;
            let actual = actual.as_str().map_or_else(|| actual.to_string(), str::to_owned);
            Ok(value(name, &format!("/ok{pointer}"), expected, actual))
        }
    }
}

fn conclusion(name: &str, repository: &str, reference: &str, check: &str, expected: &str) -> Result<Found, Failure> {
    let sha = github_read::get_branch(repository, reference).or_else(|error| match error {
        // Then it is a commit.
        Error::NotFound(_) => Ok(reference.to_owned()),
        error => Err(Failure::from(error)),
    })?;
    let runs = github_read::list_check_runs(repository, &sha)?;
    match runs.iter().position(|run| run.name == check) {
        Some(at) => {
            // In GitHub's spelling, which the journal has.
            let actual = runs[at].conclusion.as_deref().unwrap_or("null").replace('-', "_");
            Ok(value(name, &format!("/ok/{at}/conclusion"), &expected.replace('-', "_"), actual))
        }
        None => Err(Failure::retriable(format!("check {name:?}: {repository} has no check run {check:?} on {sha}"))),
    }
}

fn state(found: &PullRequest) -> &'static str {
    match found.state {
        PullRequestState::Open => "open",
        PullRequestState::Closed => "closed",
        PullRequestState::Merged => "merged",
    }
}

/// As the journal has it, where the host will look.
fn recorded(found: &PullRequest) -> Value {
    json!({
        "number": found.number, "state": state(found), "title": found.title, "url": found.url,
        "head_branch": found.head_branch, "head_sha": found.head_sha, "base_branch": found.base_branch,
        "mergeable": found.mergeable, "merge_sha": found.merge_sha,
    })
}

fn value(name: &str, pointer: &str, expected: &str, actual: String) -> Found {
    let step = task::last_step().unwrap_or_default();
    let passed = expected == actual;
    Found {
        told: told(name, passed, expected, &actual),
        check: Check::value(name, step, pointer, expected, actual),
        step,
        is_answer: pointer.starts_with("/ok"),
        passed,
    }
}

fn contains(name: &str, body: &[u8], text: &str, expected: bool) -> Found {
    let step = task::last_step().unwrap_or_default();
    let actual = String::from_utf8_lossy(body).contains(text);
    let passed = expected == actual;
    let (wanted, found) = (expected.to_string(), actual.to_string());
    Found {
        told: told(name, passed, &wanted, &found),
        check: Check::body_contains(name, step, text, expected, actual),
        step,
        is_answer: true,
        passed,
    }
}

fn told(name: &str, passed: bool, expected: &str, actual: &str) -> String {
    let verdict = if passed { "passed" } else { "failed" };
    format!("{name}: {verdict}, expected {expected:?}, found {actual:?}")
}
