//! What an end of a run means for its task.
//!
//! Invariant: pure, but for the jitter and the time.

use std::time::Duration;

use rand::RngExt;
use time::OffsetDateTime;

use super::verify::Verdict;
use crate::crash::Point;
use crate::db::outcomes::Ending;
use crate::evidence::{self, Verified};
use crate::sandbox::RunError;
use crate::task::{Failure, Task};

/// Longest pause between two attempts.
const RETRY_PAUSE_MAX: Duration = Duration::from_hours(1);
/// Pause before something is asked again that the outside did not answer.
const ASK_AGAIN: time::Duration = time::Duration::seconds(15);
/// How old an attempt may grow while the outside does not answer; then a person has to look.
const ASK_FOR: time::Duration = time::Duration::hours(24);

/// What kind of end it was, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    Completed,
    EvidenceRefused,
    NeedsAcceptance,
    Unverifiable,
    RoleFailed,
    Suspended,
    WaitingApproval,
    Released,
    Crashed,
    OutOfTime,
    OutOfMemory,
    OutOfHostCalls,
    OutOfJournal,
    OutOfLog,
    NotDeterministic,
    Unreconciled,
    HostFailed,
}

impl Cause {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Completed => "Completed",
            Self::EvidenceRefused => "EvidenceRefused",
            Self::NeedsAcceptance => "NeedsAcceptance",
            Self::Unverifiable => "Unverifiable",
            Self::RoleFailed => "RoleFailed",
            Self::Suspended => "Suspended",
            Self::WaitingApproval => "WaitingApproval",
            Self::Released => "Released",
            Self::Crashed => "Crashed",
            Self::OutOfTime => "OutOfTime",
            Self::OutOfMemory => "OutOfMemory",
            Self::OutOfHostCalls => "OutOfHostCalls",
            Self::OutOfJournal => "OutOfJournal",
            Self::OutOfLog => "OutOfLog",
            Self::NotDeterministic => "NotDeterministic",
            Self::Unreconciled => "Unreconciled",
            Self::HostFailed => "HostFailed",
        }
    }
}

/// Where tests end the host around this end of a run.
pub(super) fn crash_points(ending: &Ending) -> (Point, Point) {
    match ending {
        Ending::Completed { .. } => (Point::BeforeCompletion, Point::AfterCompletion),
        Ending::Suspended { .. } | Ending::WaitingGoal { .. } => (Point::BeforeSuspension, Point::AfterSuspension),
        Ending::WaitingApproval { .. } => (Point::BeforeWaiting, Point::AfterWaiting),
        Ending::Failed { .. } | Ending::Retry { .. } | Ending::DeadLetter { .. } | Ending::Released { .. } => {
            (Point::BeforeEnding, Point::AfterEnding)
        }
    }
}

pub(super) fn of_verdict(
    task: &Task,
    started_at: OffsetDateTime,
    verdict: Verdict,
    retry_base: Duration,
) -> (Ending, Cause) {
    match verdict {
        Verdict::Verified(verified) => completed(&verified),
        Verdict::Refused(refusal) => {
            let reason = refusal.to_string();
            let ending = match next_attempt(task, retry_base) {
                Some(after) => Ending::Retry { reason, after },
                None => Ending::Failed { reason },
            };
            (ending, Cause::EvidenceRefused)
        }
        Verdict::Unanswered(cause) => {
            let reason = format!("the evidence can not be verified: {cause}");
            (ask_again(started_at, &reason), Cause::Unverifiable)
        }
    }
}

/// With the evidence as it is stored, and as people read it.
pub(super) fn completed(verified: &Verified) -> (Ending, Cause) {
    match serde_json::to_value(verified) {
        Ok(evidence) => (Ending::Completed { evidence, text: evidence::text(verified) }, Cause::Completed),
        Err(error) => (Ending::Failed { reason: format!("evidence can not be stored: {error}") }, Cause::HostFailed),
    }
}

pub(super) fn of_failure(task: &Task, failure: Failure, retry_base: Duration) -> (Ending, Cause) {
    let Failure { reason, retriable } = failure;
    let reason = if reason.trim().is_empty() { "the role failed and gave no reason".to_owned() } else { reason };
    let ending = if retriable { again(task, reason, retry_base) } else { Ending::Failed { reason } };
    (ending, Cause::RoleFailed)
}

pub(super) fn of_error(
    task: &Task,
    started_at: OffsetDateTime,
    error: &RunError,
    unsettled: bool,
    retry_base: Duration,
) -> (Ending, Cause) {
    let reason = error.to_string();
    let cause = match error {
        RunError::Suspended { wake_at } => {
            return (Ending::Suspended { wake_at: *wake_at, reason: "the role waits".to_owned() }, Cause::Suspended);
        }
        RunError::WaitingGoal { wake_at, ended } => {
            return (Ending::WaitingGoal { wake_at: *wake_at, ended: *ended }, Cause::Suspended);
        }
        RunError::WaitingApproval { approval, .. } => {
            return (Ending::WaitingApproval { approval: *approval, reason }, Cause::WaitingApproval);
        }
        RunError::Unreconciled { .. } => return (ask_again(started_at, &reason), Cause::Unreconciled),
        // Handled before: there is no claim to end.
        RunError::LeaseLost => return (Ending::Released { reason }, Cause::Released),
        RunError::Trapped(_) => Cause::Crashed,
        RunError::OutOfTime { .. } => Cause::OutOfTime,
        RunError::OutOfMemory { .. } => Cause::OutOfMemory,
        RunError::OutOfHostCalls { .. } => Cause::OutOfHostCalls,
        RunError::OutOfJournal { .. } => Cause::OutOfJournal,
        RunError::OutOfLog { .. } => Cause::OutOfLog,
        RunError::Diverged(_) => Cause::NotDeterministic,
        // The second is of a replay alone.
        RunError::Host(_) | RunError::BeyondJournal { .. } => Cause::HostFailed,
    };
    if unsettled {
        return (ask_again(started_at, &reason), cause);
    }
    (again(task, reason, retry_base), cause)
}

/// The same attempt goes on later, until it is too old: then only a person can find out.
fn ask_again(started_at: OffsetDateTime, reason: &str) -> Ending {
    let now = OffsetDateTime::now_utc();
    if now - started_at < ASK_FOR {
        return Ending::Suspended { wake_at: now + ASK_AGAIN, reason: reason.to_owned() };
    }
    Ending::Failed { reason: format!("{reason}; look at the repository, then run `juggernaut task retry`") }
}

fn again(task: &Task, reason: String, retry_base: Duration) -> Ending {
    match next_attempt(task, retry_base) {
        Some(after) => Ending::Retry { reason, after },
        None => Ending::DeadLetter { reason },
    }
}

/// Exponential backoff with jitter, or none where the attempts are used up.
fn next_attempt(task: &Task, retry_base: Duration) -> Option<Duration> {
    let made = task.attempt.number();
    if made >= task.attempts_max {
        return None;
    }
    let doubled = retry_base.saturating_mul(1 << (made.saturating_sub(1)).min(16));
    let jitter = rand::rng().random_range(0.8..1.2);
    Some(doubled.min(RETRY_PAUSE_MAX).mul_f64(jitter))
}
