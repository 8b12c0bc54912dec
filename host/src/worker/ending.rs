//! What an end of a run means for its task.
//!
//! Invariant: pure, but for the jitter and the time.

use std::time::Duration;

use rand::RngExt;
use serde_json::json;
use time::OffsetDateTime;

use super::verify::Verdict;
use crate::crash::Point;
use crate::db::outcomes::Ending;
use crate::evidence::{self, Verified};
use crate::journal::{Alert, Severity, Unsettled};
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
    OutcomeUnknown,
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
            Self::OutcomeUnknown => "OutcomeUnknown",
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
    match Ending::completed(verified, evidence::text(verified)) {
        Ok(completed) => (completed, Cause::Completed),
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
    unsettled: Option<&Unsettled>,
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
        // Whatever is unsettled stays so: only a person can find out, and says whether to begin anew.
        RunError::Lost { .. } => return (Ending::Failed { reason }, Cause::OutcomeUnknown),
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
    let ending = match (unsettled, cause) {
        (None, _) => again(task, reason, retry_base),
        // The same role would part from its journal again, and never come to what is unsettled.
        (Some(unsettled), Cause::NotDeterministic) => Ending::Failed {
            reason: format!(
                "{reason}; an earlier run had begun {unsettled}, and whether that took effect is not known: look at the \
                 repository, bring back the component that the attempt began with, then run `juggernaut task retry`"
            ),
        },
        (Some(_), _) => ask_again(started_at, &reason),
    };
    (ending, cause)
}

/// What somebody has to look at, whatever becomes of the task: the world may have been changed without anybody's knowing.
pub(super) fn alert(task: &Task, error: &RunError, unsettled: Option<&Unsettled>) -> Option<Alert> {
    let (RunError::Diverged(diverged), Some(unsettled)) = (error, unsettled) else { return None };
    Some(Alert {
        severity: Severity::Critical,
        kind: "unsettled-mutation",
        fingerprint: format!("unsettled-mutation:{}:{}", task.id, task.attempt.number()),
        title: "A role is not deterministic, and whether a mutation of its run took effect is not known".to_owned(),
        details: json!({
            "attempt": task.attempt, "diverged_at": diverged.position, "position": unsettled.position,
            "interface": unsettled.interface, "function": unsettled.function,
        }),
        occurrences: 1,
    })
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

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use uuid::Uuid;

    use super::*;
    use crate::approval::ApprovalId;
    use crate::journal::Diverged;
    use crate::task::{Attempt, EvidenceKind, Priority, Risk, TaskId};

    const BASE: Duration = Duration::from_secs(10);

    fn task(attempt: i32, attempts_max: u32) -> Task {
        Task {
            id: TaskId(Uuid::now_v7()),
            title: "t".to_owned(),
            description: String::new(),
            task_type: "code".to_owned(),
            evidence_kind: EvidenceKind::MergedPullRequest,
            priority: Priority::Medium,
            risk: Risk::Low,
            risk_reasons: Vec::new(),
            payload: Value::Null,
            criteria: Vec::new(),
            attempt: Attempt(attempt),
            attempts_max,
            last_error: None,
            goal: None,
        }
    }

    fn unsettled() -> Unsettled {
        Unsettled {
            position: 4,
            interface: "github-write".to_owned(),
            function: "create-branch".to_owned(),
            arguments: json!({ "from": "main" }),
        }
    }

    fn diverged() -> RunError {
        RunError::Diverged(Diverged { position: 2, recorded: "a.b".to_owned(), made: "a.c".to_owned() })
    }

    fn of(error: &RunError, unsettled: Option<&Unsettled>, age: time::Duration) -> (Ending, Cause) {
        of_error(&task(1, 3), OffsetDateTime::now_utc() - age, error, unsettled, BASE)
    }

    #[test]
    fn pauses_double_up_to_their_limit_and_are_spread() {
        for attempt in 1..=30 {
            let expected = BASE.saturating_mul(1 << (attempt - 1).min(16)).min(RETRY_PAUSE_MAX);
            let (shortest, longest) = (expected.mul_f64(0.8), expected.mul_f64(1.2));
            let pauses: Vec<_> = (0..200).map(|_| next_attempt(&task(attempt, 100), BASE).unwrap()).collect();
            assert!(pauses.iter().all(|pause| (shortest..=longest).contains(pause)), "{attempt}: {pauses:?}");
            let (least, most) = (pauses.iter().min().unwrap(), pauses.iter().max().unwrap());
            assert!(
                most.saturating_sub(*least) > expected.mul_f64(0.2),
                "{attempt}: they come together: {least:?} to {most:?}"
            );
        }
        // However long the first pause is.
        assert!(next_attempt(&task(90, 100), Duration::MAX).unwrap() <= RETRY_PAUSE_MAX.mul_f64(1.2));
    }

    #[test]
    fn attempts_are_counted() {
        assert!(next_attempt(&task(2, 3), BASE).is_some());
        for (attempt, attempts_max) in [(3, 3), (4, 3), (1, 1)] {
            assert_eq!(next_attempt(&task(attempt, attempts_max), BASE), None);
        }
        let failure = |retriable| Failure { reason: "no".to_owned(), retriable };
        let of = |attempt, retriable| of_failure(&task(attempt, 3), failure(retriable), BASE).0;
        assert!(matches!(of(2, true), Ending::Retry { reason, .. } if reason == "no"));
        assert!(matches!(of(3, true), Ending::DeadLetter { reason } if reason == "no"));
        assert!(matches!(of(1, false), Ending::Failed { reason } if reason == "no"));
        let nothing = of_failure(&task(1, 3), Failure { reason: " \n".to_owned(), retriable: false }, BASE);
        assert!(matches!(nothing.0, Ending::Failed { reason } if reason.contains("gave no reason")));
    }

    #[test]
    fn every_error_of_a_run_has_its_cause() {
        let now = OffsetDateTime::now_utc();
        let waiting = RunError::WaitingApproval { approval: ApprovalId::generate(), action: "merge".to_owned() };
        let unreconciled = RunError::Unreconciled { step: "s".to_owned(), cause: "c".to_owned() };
        let beyond = RunError::BeyondJournal { position: 1, call: "c".to_owned() };
        for (error, cause) in [
            (RunError::Suspended { wake_at: now }, Cause::Suspended),
            (waiting, Cause::WaitingApproval),
            (unreconciled, Cause::Unreconciled),
            (RunError::LeaseLost, Cause::Released),
            (RunError::Trapped("unreachable".to_owned()), Cause::Crashed),
            (RunError::OutOfTime { limit_ms: 1 }, Cause::OutOfTime),
            (RunError::OutOfMemory { limit_mib: 1 }, Cause::OutOfMemory),
            (RunError::OutOfHostCalls { calls_max: 1 }, Cause::OutOfHostCalls),
            (RunError::OutOfJournal { limit_kib: 1 }, Cause::OutOfJournal),
            (RunError::OutOfLog { lines_max: 1 }, Cause::OutOfLog),
            (diverged(), Cause::NotDeterministic),
            (RunError::Host("h".to_owned()), Cause::HostFailed),
            (beyond, Cause::HostFailed),
        ] {
            let (ending, found) = of(&error, None, time::Duration::ZERO);
            assert_eq!(found, cause, "{error:?}");
            let fits = match cause {
                Cause::Suspended | Cause::Unreconciled => matches!(ending, Ending::Suspended { .. }),
                Cause::WaitingApproval => matches!(ending, Ending::WaitingApproval { .. }),
                Cause::Released => matches!(ending, Ending::Released { .. }),
                _ => matches!(ending, Ending::Retry { .. }),
            };
            assert!(fits, "{error:?}: {ending:?}");
        }
    }

    /// The attempt whose journal holds the mutation goes on, until it is too old.
    #[test]
    fn what_is_unsettled_is_looked_for_by_the_same_attempt() {
        let (error, left) = (RunError::Host("gone".to_owned()), unsettled());
        let (ending, _) = of(&error, Some(&left), time::Duration::ZERO);
        assert!(matches!(ending, Ending::Suspended { .. }), "{ending:?}");
        let (ending, _) = of(&error, Some(&left), ASK_FOR + time::Duration::SECOND);
        assert!(matches!(&ending, Ending::Failed { reason } if reason.contains("task retry")), "{ending:?}");
        assert_eq!(alert(&task(1, 3), &error, Some(&left)), None);
    }

    /// To ask again would give the same answer for a day.
    #[test]
    fn a_role_that_parts_from_its_journal_before_what_is_unsettled_fails_at_once() {
        let (error, left) = (diverged(), unsettled());
        let (ending, cause) = of(&error, Some(&left), time::Duration::ZERO);
        assert_eq!(cause, Cause::NotDeterministic);
        let Ending::Failed { reason } = ending else { panic!("{ending:?}") };
        assert!(reason.contains("not deterministic: step 2 was a.b"), "{reason}");
        assert!(reason.contains("had begun step 4, github-write.create-branch {\"from\":\"main\"}, and"), "{reason}");
        let task = task(1, 3);
        let raised = alert(&task, &error, Some(&left)).expect("somebody has to look");
        assert_eq!(raised.severity, Severity::Critical);
        assert!(raised.fingerprint.contains(&task.id.to_string()));
        assert_eq!(alert(&task, &error, None), None, "nothing is unsettled");
    }
}
