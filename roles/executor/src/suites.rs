//! `test`: waits for the check runs of a commit, reads reports, and tells how they ended. Red tests are a result, too.

use juggernaut_guest::github_read::CheckRun;
use juggernaut_guest::{Assignment, Evidence, Failure, TestCounts, TestSuite, github_read, http_fetch, info, task};

use crate::payload::{self, Report, TestPayload};
use crate::{answered, checks, junit};

/// Suites of one claim, by the host.
const SUITES_MAX: usize = 50;

pub fn run(task: &Assignment) -> Result<Evidence, Failure> {
    let TestPayload { repository, reference, checks, reports } = payload::parse("test", &task.payload)?;
    let sha = commit(&repository, &reference)?;
    let mut suites = Vec::new();
    let mut steps = Vec::new();
    let mut told = Vec::new();
    if reports.is_empty() || !checks.is_empty() {
        let runs = checks::all_over(&repository, &sha, &checks)?;
        steps.extend(task::last_step());
        for run in runs.iter().filter(|run| checks.is_empty() || checks.contains(&run.name)) {
            let counts = of_conclusion(run);
            told.push(tell(&run.name, counts));
            suites.push(TestSuite::check_run(&run.name, counts, &repository, &sha, &run.name));
        }
    }
    for report in &reports {
        let (content, step) = read(&repository, &sha, report)?;
        let counts =
            junit::count(&content).map_err(|problem| Failure::final_(format!("report {:?} {problem}", report.name)))?;
        steps.push(step);
        told.push(tell(&report.name, counts));
        suites.push(TestSuite::junit_report(&report.name, counts, step));
    }
    if suites.is_empty() {
        return Err(Failure::final_(format!(
            "{repository} has no check runs on {sha}, and the payload names no reports: there is nothing to tell"
        )));
    }
    if suites.len() > SUITES_MAX {
        let count = suites.len();
        return Err(Failure::final_(format!(
            "{count} suites; the host takes {SUITES_MAX}: name `checks` in the payload"
        )));
    }
    told.iter().for_each(|line| info!("{line}"));
    let summary = format!("{repository} at {sha}\n{}", told.join("\n"));
    Ok(answered(Evidence::test_results(suites).summary(summary), task, &steps))
}

fn commit(repository: &str, reference: &str) -> Result<String, Failure> {
    let is_sha = reference.len() == 40 && reference.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if is_sha { Ok(reference.to_owned()) } else { Ok(github_read::get_branch(repository, reference)?) }
}

fn of_conclusion(run: &CheckRun) -> TestCounts {
    let none = TestCounts::default();
    match run.conclusion.as_deref() {
        Some("success") => TestCounts { passed: 1, ..none },
        Some("neutral" | "skipped") => TestCounts { skipped: 1, ..none },
        _ => TestCounts { failed: 1, ..none },
    }
}

fn tell(name: &str, counts: TestCounts) -> String {
    let TestCounts { passed, failed, skipped } = counts;
    format!("{name}: {passed} passed, {failed} failed, {skipped} skipped")
}

fn read(repository: &str, sha: &str, report: &Report) -> Result<(Vec<u8>, u32), Failure> {
    let content = match (&report.path, &report.url) {
        (Some(path), None) => github_read::get_file(repository, path, sha)?.content,
        (None, Some(url)) => {
            let answer = http_fetch::get(url)?;
            if !(200..300).contains(&answer.status) {
                return Err(Failure::retriable(format!("{url} answers with {}", answer.status)));
            }
            answer.body
        }
        _ => return Err(Failure::final_(format!("report {:?} needs either a path or a url", report.name))),
    };
    Ok((content, task::last_step().unwrap_or_default()))
}
