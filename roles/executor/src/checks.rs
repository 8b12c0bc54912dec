//! Waiting for check runs, where there are any.

use std::time::Duration;

use juggernaut_guest::github_read::{self, CheckRun, CheckStatus};
use juggernaut_guest::{Failure, info, timer};

use crate::payload::Payload;

/// How long a head may be without any check run before it counts as having none.
const APPEAR_WITHIN: Duration = Duration::from_secs(2);
/// Pause between two looks; it grows up to the longest.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// Looks before the attempt gives up: about two hours.
const LOOKS_MAX: u32 = 120;
const GREEN: &[&str] = &["success", "neutral", "skipped"];

/// Returns when every check of the head is green. A red one ends the task; one that never ends, the attempt.
pub fn wait(payload: &Payload, head: &str) -> Result<(), Failure> {
    let mut pause = PAUSE_FIRST;
    for look in 0..LOOKS_MAX {
        let checks = github_read::list_check_runs(&payload.repository, head)?;
        if let Some(red) = checks.iter().find(|check| is_red(check)) {
            return Err(Failure::final_(format!(
                "check {:?} is {} on {head}{}; mend the change, or rerun the check, and retry the task",
                red.name,
                red.conclusion.as_deref().unwrap_or("without a conclusion"),
                red.url.as_ref().map(|url| format!(" ({url})")).unwrap_or_default(),
            )));
        }
        let waiting = checks.iter().filter(|check| check.status != CheckStatus::Completed).count();
        if waiting == 0 && !checks.is_empty() {
            info!("{} checks are green", checks.len());
            return Ok(());
        }
        if checks.is_empty() && look > 0 {
            info!("the repository has no checks for {head}");
            return Ok(());
        }
        if checks.is_empty() {
            timer::sleep(APPEAR_WITHIN)?;
        } else {
            info!("waiting for {waiting} of {} checks", checks.len());
            timer::sleep(pause)?;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }
    Err(Failure::retriable("the checks did not end within the time that this role waits"))
}

fn is_red(check: &CheckRun) -> bool {
    check.status == CheckStatus::Completed && !check.conclusion.as_deref().is_some_and(|it| GREEN.contains(&it))
}
