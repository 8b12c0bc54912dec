//! Whether a task may exist, how risky it is, and whether it waits for a person before it first runs.

use super::engine::{Asker, Decision, Policies};
use super::question::{Action, Question, Subject};
use super::risk::{Assessment, assess};
use super::scope::{attended, permitted, task_fact};
use super::sql::Looker;
use super::{Denied, Harm, Needed, Scope};
use crate::task::{Risk, Target, TaskDraft, TaskId, Treatment};

/// What the host calls the beginning of a task, to policies.
const START: &str = "start";

/// A task that may exist.
#[derive(Debug, Clone)]
pub struct Admission {
    pub decision: Decision,
    /// Never less than declared.
    pub risk: Assessment,
    /// Why it waits for a person before its first run, if so.
    pub start: Option<Needed>,
}

impl Admission {
    /// What the queue has to know of it.
    pub fn treatment(self) -> Treatment {
        let Self { decision, risk, start } = self;
        let start_reason = start.map(|needed| needed.reasons.join("; "));
        Treatment { risk: risk.level, risk_reasons: risk.reasons, start_reason, policies: decision.policies }
    }
}

/// Judges a task that somebody wants to create.
pub fn admit(policies: &Policies, creator: &str, id: TaskId, draft: &TaskDraft) -> Result<Admission, Denied> {
    let asker = policies
        .person(creator)
        .map_err(|error| Denied { policies: vec![super::DEFAULT_DENY.to_owned()], message: error.to_string() })?;
    admit_from(policies, &asker, None, id, draft)
}

/// `least`: risk that the task has whatever it is.
fn admit_from(
    policies: &Policies,
    asker: &Asker,
    least: Option<(Risk, &str)>,
    id: TaskId,
    draft: &TaskDraft,
) -> Result<Admission, Denied> {
    let mut looker = Looker::default();
    let mut risk = assess(draft, &mut looker);
    if let Some((level, reason)) = least {
        risk.raise(level, reason);
    }
    let target = Target::of_payload(&draft.payload);
    let harm = Harm::of_payload(&draft.payload, &mut looker);
    let question = Question {
        action: Action::CreateTask,
        subject: Subject::task(id),
        facts: vec![("task", task_fact(id, &draft.task_type, &risk, target.as_ref())), ("harm", harm.fact())],
        words: vec![("harm", harm.to_string())],
    };
    let decision = permitted(policies, asker, &question)?;
    let start = attended(policies, asker, START, &risk, false);
    Ok(Admission { decision, risk, start })
}

impl Scope<'_> {
    /// Judges a task that the run wants to create: as if a person asked, but with the role as the one who asks, and with
    /// no less risk than the run's own task has.
    pub fn admit(&self, id: TaskId, draft: &TaskDraft) -> Result<Admission, Denied> {
        let Self { authority, task, risk, .. } = self;
        let reason = format!("the task that made it, {task}, has this risk");
        admit_from(&authority.policies, &authority.asker, Some((risk.level, &reason)), id, draft)
    }

    /// Why the task waits for a person before it first runs, if so.
    pub fn start(&self) -> Option<Needed> {
        attended(&self.authority.policies, &self.authority.asker, START, self.risk, false)
    }
}
