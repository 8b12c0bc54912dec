//! Runs and their journal.

use std::borrow::Cow;

use serde_json::{Value, json};

use super::{Db, DbError};
use crate::approval::Use;
use crate::audit::{Event, EventKind};
use crate::journal::{Alert, Effect, LogLine, Outcome, Raised, Step, Unsettled};
use crate::policy::OwnRun;
use crate::repo::{Branch, Repository, Sha};
use crate::task::{Attempt, Lease, Risk, TaskId, WorkerId};

/// Whose run writes, and by which claim.
#[derive(Debug, Clone)]
pub struct RunKey {
    pub task: TaskId,
    pub attempt: Attempt,
    pub lease: Lease,
    pub worker: WorkerId,
}

/// What a run has written down since the last flush, in order.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    pub steps: Vec<StepRow>,
    pub lines: Vec<LogLine>,
    /// Lines of the host about this run's calls.
    pub calls: Vec<LogLine>,
    pub raised: Option<Raised>,
    /// Approvals that steps use up, by the steps' positions.
    pub uses: Vec<(u32, Use)>,
    /// What else has to be recorded with it, decisions above all. Mutations need not be said here: see
    /// [`Batch::events`].
    pub audit: Vec<Event>,
    /// Each fingerprint once.
    pub alerts: Vec<Alert>,
}

/// A step as it is stored. The same position may come twice in a batch: first the intent, then the result.
#[derive(Debug, Clone)]
pub struct StepRow {
    pub step: Step,
    /// The arguments, fit for people.
    pub arguments: Value,
}

impl Batch {
    pub fn is_empty(&self) -> bool {
        let Self { steps, lines, calls, raised, uses, audit, alerts } = self;
        let host = alerts.is_empty() && calls.is_empty() && raised.is_none() && uses.is_empty() && audit.is_empty();
        steps.is_empty() && lines.is_empty() && host
    }

    /// What the audit log says of this batch: first what was given, then each intent and each end of a mutation.
    pub(super) fn events<'a>(&'a self, key: &'a RunKey) -> impl Iterator<Item = Cow<'a, Event>> {
        let mutations = self.steps.iter().filter(|row| row.step.effect == Effect::Write);
        let mutations = mutations.map(|row| Cow::Owned(host_call(key, &row.step)));
        self.audit.iter().map(Cow::Borrowed).chain(mutations)
    }
}

/// A use of the host's authority: the arguments are in the journal, under this digest.
fn host_call(key: &RunKey, step: &Step) -> Event {
    let outcome = match &step.outcome {
        None => "intended",
        // Nobody knows whether it took effect.
        Some(outcome) if outcome.result.get("lost").is_some() => "lost",
        Some(outcome) if outcome.ok().is_some() => "ok",
        Some(_) => "err",
    };
    let details = json!({
        "interface": step.interface, "function": step.function, "arguments_sha256": hex::encode(step.digest),
        "attempt": key.attempt, "position": step.position, "outcome": outcome,
    });
    Event::new(EventKind::HostCall, &key.worker.0, details).of(key.task)
}

impl Db {
    /// The journal of one attempt, in order.
    pub async fn load_steps(&self, task: TaskId, attempt: Attempt) -> Result<Vec<Step>, DbError> {
        let rows = sqlx::query!(
            r#"select position, interface, function, effect as "effect: Effect", arguments_sha256,
                      arguments as "arguments: Value", result as "result: Value", intended_at, done_at
               from task_steps where task_id = $1 and attempt = $2 order by position"#,
            task.0,
            attempt.0,
        )
        .fetch_all(self.pool())
        .await?;
        rows.into_iter()
            .map(|row| {
                let digest = row.arguments_sha256.try_into().map_err(|_| DbError::corrupt("arguments_sha256"))?;
                Ok(Step {
                    position: u32::try_from(row.position).map_err(|_| DbError::corrupt("position"))?,
                    interface: row.interface,
                    function: row.function,
                    effect: row.effect,
                    digest,
                    arguments: row.arguments,
                    intended_at: row.intended_at,
                    outcome: row.result.zip(row.done_at).map(|(result, at)| Outcome { result, at }),
                })
            })
            .collect()
    }

    /// The risk of a task, as far as its runs have raised it.
    pub async fn risk_of_task(&self, task: TaskId) -> Result<Risk, DbError> {
        let risk = sqlx::query_scalar!(r#"select risk as "risk: Risk" from governance_tasks where id = $1"#, task.0)
            .fetch_optional(self.pool())
            .await?;
        risk.ok_or(DbError::UnknownTask(task))
    }

    /// The mutation of the attempt that began and whose end is not known, if there is one. A question to a model changes
    /// nothing but what is spent, and that is known: nothing has to be found out before another attempt.
    pub async fn unsettled_step(&self, task: TaskId, attempt: Attempt) -> Result<Option<Unsettled>, DbError> {
        let found = sqlx::query!(
            r#"select position, interface, function, arguments as "arguments: Value" from task_steps
               where task_id = $1 and attempt = $2 and effect = 'write' and state = 'intended'
                   and interface <> 'llm'
               order by position desc limit 1"#,
            task.0,
            attempt.0,
        )
        .fetch_optional(self.pool())
        .await?;
        Ok(found.map(|row| Unsettled {
            position: row.position,
            interface: row.interface,
            function: row.function,
            arguments: row.arguments,
        }))
    }

    /// Commits that calls of a task made, in any attempt.
    pub async fn commits_of_task(&self, task: TaskId) -> Result<Vec<Sha>, DbError> {
        let rows = sqlx::query_scalar!(
            r#"select result -> 'ok' ->> 'commit' as "commit!" from task_steps
               where task_id = $1 and interface = 'github-write' and function = 'put-file'
                   and result -> 'ok' ->> 'commit' is not null
               order by attempt, position"#,
            task.0,
        )
        .fetch_all(self.pool())
        .await?;
        rows.iter().map(|sha| Sha::parse(sha).map_err(|_| DbError::corrupt("result"))).collect()
    }

    /// Runs of workflows that calls of a task dispatched, in any attempt.
    pub async fn runs_of_task(&self, task: TaskId) -> Result<Vec<OwnRun>, DbError> {
        let rows = sqlx::query!(
            r#"select arguments ->> 'repository' as "repository!", arguments ->> 'workflow' as "workflow!",
                      arguments ->> 'reference' as "branch!", result -> 'ok' ->> 'id' as "id!"
               from task_steps
               where task_id = $1 and interface = 'deploy' and function = 'dispatch'
                   and result -> 'ok' ->> 'id' is not null
               order by attempt, position"#,
            task.0,
        )
        .fetch_all(self.pool())
        .await?;
        let corrupt = || DbError::corrupt("arguments");
        rows.into_iter()
            .map(|row| {
                Ok(OwnRun {
                    repository: Repository::parse(&row.repository).map_err(|_| corrupt())?,
                    workflow: row.workflow,
                    branch: Branch::parse(&row.branch).map_err(|_| corrupt())?,
                    id: row.id.parse().map_err(|_| corrupt())?,
                })
            })
            .collect()
    }
}
