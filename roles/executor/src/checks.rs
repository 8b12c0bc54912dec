//! Waiting for check runs, where there are any.

use std::time::Duration;

use juggernaut_guest::github_read::{self, CheckRun, CheckStatus};
use juggernaut_guest::{Failure, info, timer};

/// How long a head may be without any check run before it counts as having none.
const APPEAR_WITHIN: Duration = Duration::from_secs(2);
/// Pause between two looks; it grows up to the longest.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// Looks before the attempt gives up: about two hours.
const LOOKS_MAX: u32 = 120;
const GREEN: &[&str] = &["success", "neutral", "skipped"];

/// Returns when every check of the head is green, or with a red one; a check that never ends, ends the attempt.
pub fn wait(repository: &str, head: &str) -> Result<Option<CheckRun>, Failure> {
    let mut pause = PAUSE_FIRST;
    for look in 0..LOOKS_MAX {
        let checks = github_read::list_check_runs(repository, head)?;
        if let Some(red) = checks.iter().find(|check| is_red(check)) {
            return Ok(Some(red.clone()));
        }
        let waiting = checks.iter().filter(|check| !is_over(check)).count();
        if waiting == 0 && !checks.is_empty() {
            info!("{} checks are green", checks.len());
            return Ok(None);
        }
        if checks.is_empty() && look > 0 {
            info!("the repository has no checks for {head}");
            return Ok(None);
        }
        pause_for(checks.is_empty(), waiting, checks.len(), &mut pause)?;
    }
    Err(late())
}

/// Returns when every check of a commit is over, whatever its end, and those that are `wanted` are there.
pub fn all_over(repository: &str, sha: &str, wanted: &[String]) -> Result<Vec<CheckRun>, Failure> {
    let mut pause = PAUSE_FIRST;
    for look in 0..LOOKS_MAX {
        let checks = github_read::list_check_runs(repository, sha)?;
        let missing = wanted.iter().any(|name| !checks.iter().any(|check| check.name == *name));
        let waiting = checks.iter().filter(|check| !is_over(check)).count();
        if waiting == 0 && !missing && (!checks.is_empty() || look > 0) {
            return Ok(checks);
        }
        pause_for(checks.is_empty() || (missing && look == 0), waiting, checks.len(), &mut pause)?;
    }
    Err(late())
}

fn pause_for(appearing: bool, waiting: usize, all: usize, pause: &mut Duration) -> Result<(), Failure> {
    if appearing {
        timer::sleep(APPEAR_WITHIN)?;
        return Ok(());
    }
    info!("waiting for {waiting} of {all} checks");
    timer::sleep(*pause)?;
    *pause = (*pause * 2).min(PAUSE_MAX);
    Ok(())
}

fn late() -> Failure {
    Failure::retriable("the checks did not end within the time that this role waits")
}

fn is_over(check: &CheckRun) -> bool {
    check.status == CheckStatus::Completed
}

fn is_red(check: &CheckRun) -> bool {
    is_over(check) && !check.conclusion.as_deref().is_some_and(|it| GREEN.contains(&it))
}
