//! The one way from a guest to the world: find the call's place in the journal, decide, record the intent, act,
//! record the result.
//!
//! Invariant: nothing is done to the world before its intent is durable, and nothing that the journal holds a result
//! for is done again.

use std::future::Future;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::sync::oneshot;

use super::decisions::Failed;
use super::determinism;
pub(super) use super::errors::{CallError, Finding, GuestError};
use super::leaks::Leak;
use super::run::RunError;
use super::state::{RunState, Services};
use crate::github::{GitHub, GitHubError};
use crate::journal::{self, Alert, Call, Message, Next, NotDurable, Outcome, Raised, Reply};
use crate::policy::{Assessment, Decision, Denied};
use crate::repo::Branch;
use crate::task::Risk;

impl RunState {
    /// A call that only reads from GitHub. `allowed` is policy's answer to it.
    pub(super) async fn read<T, F>(
        &mut self,
        call: Call,
        allowed: Result<Decision, Denied>,
        act: impl FnOnce(GitHub) -> F,
    ) -> Result<T, CallError>
    where
        T: Serialize + DeserializeOwned + Send + 'static,
        F: Future<Output = Result<T, GitHubError>> + Send + 'static,
    {
        self.observe(call, allowed, |services| services.github.clone().map(act).ok_or_else(no_github)).await
    }

    /// A call that only looks at the world. `allowed` is policy's answer to it; `act` finds the client that it needs.
    pub(super) async fn observe<T, E, F>(
        &mut self,
        call: Call,
        allowed: Result<Decision, Denied>,
        act: impl FnOnce(&Services) -> Result<F, GuestError>,
    ) -> Result<T, CallError>
    where
        T: Serialize + DeserializeOwned + Send + 'static,
        E: Failed,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        let (call, leak) = self.screen(call, &[]);
        let position = match self.advance(&call).await? {
            Next::Recorded(_, outcome) => return self.replay(&outcome),
            Next::Fresh(position) | Next::Unfinished(position, _) => position,
        };
        let began_at = determinism::now();
        if let Some(leak) = leak {
            return self.refuse(Made { position, call, began_at }, *leak).await;
        }
        self.decided(position, &call, &allowed).await?;
        let result = match allowed.map_err(GuestError::from).and_then(|_| act(&self.services)) {
            Err(refused) => Err(refused),
            Ok(acting) => {
                let acted = self.outside(acting).await?;
                self.denied_outside(position, &call, &acted).await?;
                acted.map_err(Into::into)
            }
        };
        let at = determinism::now();
        self.clock.move_to(at);
        let stored = to_journal(&result)?;
        self.weigh(journal::weight(&stored))?;
        let made = Made { position, call, began_at };
        self.send(made.done(stored, at, None, None)).await?;
        Ok(result?)
    }

    /// A durable sleep: the run is suspended at this call, and resumes at it.
    pub(super) async fn wait(&mut self, call: Call, duration: Duration) -> Result<(), CallError> {
        let made = match self.advance(&call).await? {
            Next::Recorded(_, outcome) => return self.replay(&outcome),
            Next::Unfinished(position, step) => Made { position, call, began_at: step.intended_at },
            Next::Fresh(position) => {
                let made = Made { position, call, began_at: determinism::now() };
                let Made { position, call, began_at: at } = made.clone();
                // Nothing stands on it before the run is suspended, and that stores it, too.
                self.send(Message::Intend { position, call, at, approval: None, reply: None }).await?;
                made
            }
        };
        let wake_at = made.began_at + duration;
        if determinism::now() < wake_at {
            return Err(RunError::Suspended { wake_at }.into());
        }
        let at = determinism::now();
        self.clock.move_to(at);
        let stored = to_journal(&Ok(()))?;
        self.weigh(journal::weight(&stored))?;
        self.send(made.done(stored, at, None, None)).await?;
        Ok(())
    }

    /// Raises the risk of this task, in this run and for every later one. Durable before it returns.
    pub(super) async fn raise_risk(&mut self, call: Call, risk: Risk, reason: &str) -> Result<(), RunError> {
        let next = self.advance(&call).await?;
        self.risk.raise(risk, format!("a run of the task says: {reason}"));
        let position = match next {
            Next::Recorded(_, outcome) => {
                self.clock.move_to(outcome.at);
                return Ok(());
            }
            Next::Fresh(position) | Next::Unfinished(position, _) => position,
        };
        let at = determinism::now();
        self.clock.move_to(at);
        let raised = Raised { level: self.risk.level, reasons: self.risk.reasons.clone() };
        self.send(Message::Raise(raised)).await?;
        let (reply, durable) = oneshot::channel();
        let made = Made { position, call, began_at: at };
        self.send(made.done(json!({ "ok": null }), at, None, Some(reply))).await?;
        acknowledged(durable).await.map(drop)
    }

    /// What a call turned out to be is what the task is from here on: later starts, its acceptance and its logs go by
    /// it. A recorded call was not decided again, so it raises nothing twice; the journal has no step of it.
    pub(super) async fn keep_risk(&mut self, found: Assessment) -> Result<(), RunError> {
        if found.level <= self.risk.level {
            return Ok(());
        }
        self.risk = found;
        let raised = Raised { level: self.risk.level, reasons: self.risk.reasons.clone() };
        self.send(Message::Raise(raised)).await
    }

    pub(super) async fn advance(&mut self, call: &Call) -> Result<Next, RunError> {
        self.drain_log().await?;
        if self.cursor.calls() >= self.manifest.limits.host_calls {
            return Err(RunError::OutOfHostCalls { calls_max: self.manifest.limits.host_calls });
        }
        let next = self.mode.admit(self.cursor.advance(call)?, call)?;
        let recorded = if let Next::Recorded(_, outcome) = &next { journal::weight(&outcome.result) } else { 0 };
        self.weigh(journal::weight(&call.arguments) + recorded)?;
        Ok(next)
    }

    /// Counts what a call carries, in both directions; the journal has to hold it, and a resumed run to load it.
    pub(super) fn weigh(&mut self, bytes: usize) -> Result<(), RunError> {
        let limit_kib = self.manifest.limits.journal_kib;
        self.journal_bytes = self.journal_bytes.saturating_add(bytes);
        if self.journal_bytes > limit_kib as usize * 1024 {
            return Err(RunError::OutOfJournal { limit_kib });
        }
        Ok(())
    }

    /// Gives the guest what the journal holds.
    pub(super) fn replay<T: DeserializeOwned>(&mut self, outcome: &Outcome) -> Result<T, CallError> {
        self.clock.move_to(outcome.at);
        let unreadable =
            |error: serde_json::Error| RunError::Host(format!("a recorded result can not be read: {error}"));
        if let Some(value) = outcome.ok() {
            return Ok(T::deserialize(value).map_err(unreadable)?);
        }
        if let Some(lost) = RunError::recorded(&outcome.result) {
            return Err(lost.into());
        }
        let error = outcome.result.get("err").cloned().unwrap_or(Value::Null);
        Err(serde_json::from_value::<GuestError>(error).map_err(unreadable)?.into())
    }

    /// Runs on the host's runtime, where no guest can hold it up.
    pub(super) async fn outside<T: Send + 'static>(
        &mut self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, RunError> {
        self.outside.spawn(work).await.map_err(|error| RunError::Host(format!("a host call broke off: {error}")))
    }

    /// Fails where the lease may have passed to another host meanwhile.
    pub(super) fn may_act(&self) -> Result<(), RunError> {
        if Instant::now() < *self.act_until.borrow() { Ok(()) } else { Err(RunError::LeaseLost) }
    }

    pub(super) fn github(&self) -> Result<GitHub, GuestError> {
        self.services.github.clone().ok_or_else(no_github)
    }

    /// GitHub, and the base branch of the task.
    pub(super) fn github_and_base(&self) -> Result<(GitHub, Branch), GuestError> {
        let github = self.github()?;
        let target = self.target.as_ref();
        let base = target.map(|target| target.base.clone());
        Ok((github, base.ok_or_else(|| GuestError::Denied("the task's payload names no repository".to_owned()))?))
    }

    pub(super) async fn intend(&mut self, made: &Made) -> Result<(), RunError> {
        let (reply, durable) = oneshot::channel();
        let Made { position, call, began_at } = made.clone();
        self.send(Message::Intend { position, call, at: began_at, approval: None, reply: Some(reply) }).await?;
        acknowledged(durable).await?.ok_or_else(|| RunError::Host("an intent without an approval lacks one".to_owned()))
    }

    /// Records how a mutation ended, and waits until that is durable.
    pub(super) async fn finish<T: Serialize>(
        &mut self,
        made: Made,
        result: Result<T, GuestError>,
    ) -> Result<T, CallError> {
        self.finish_with(made, result, None).await
    }

    /// The same, with what it has people look at.
    pub(super) async fn finish_with<T: Serialize>(
        &mut self,
        made: Made,
        result: Result<T, GuestError>,
        alert: Option<Box<Alert>>,
    ) -> Result<T, CallError> {
        let at = determinism::now();
        self.clock.move_to(at);
        let stored = to_journal(&result)?;
        let weight = journal::weight(&stored);
        let (reply, durable) = oneshot::channel();
        self.send(made.done(stored, at, alert, Some(reply))).await?;
        acknowledged(durable).await?;
        // Counted after it is stored: what was done is recorded, whatever it weighs.
        self.weigh(weight)?;
        Ok(result?)
    }

    /// Records that a call was not made because it would have sent a secret out.
    pub(super) async fn refuse<T>(&mut self, made: Made, leak: Leak) -> Result<T, CallError> {
        let at = determinism::now();
        self.clock.move_to(at);
        let Leak { error, alert } = leak;
        let stored = to_journal(&Err::<(), _>(error.clone()))?;
        self.weigh(journal::weight(&stored))?;
        self.send(made.done(stored, at, Some(Box::new(alert)), None)).await?;
        Err(error.into())
    }
}

/// A call that is being made.
#[derive(Clone)]
pub(super) struct Made {
    pub(super) position: u32,
    pub(super) call: Call,
    pub(super) began_at: OffsetDateTime,
}

impl Made {
    pub(super) fn done(
        self,
        result: Value,
        at: OffsetDateTime,
        alert: Option<Box<Alert>>,
        reply: Option<Reply>,
    ) -> Message {
        let Self { position, call, began_at } = self;
        Message::Done { position, call, began_at, result, at, alert, reply }
    }
}

/// None where the approval that went with it was not good any more.
pub(super) async fn acknowledged(durable: oneshot::Receiver<Result<(), NotDurable>>) -> Result<Option<()>, RunError> {
    match durable.await {
        Ok(Ok(())) => Ok(Some(())),
        Ok(Err(NotDurable::NotApproved)) => Ok(None),
        Ok(Err(NotDurable::LeaseLost)) | Err(_) => Err(RunError::LeaseLost),
        Ok(Err(NotDurable::Storage(cause))) => Err(RunError::Host(cause)),
    }
}

fn no_github() -> GuestError {
    GuestError::Unavailable("this host has no GitHub token; the operator sets GITHUB_TOKEN".to_owned())
}

pub(super) fn to_journal<T: Serialize>(result: &Result<T, GuestError>) -> Result<Value, RunError> {
    let stored = match result {
        Ok(value) => serde_json::to_value(value).map(|value| json!({ "ok": value })),
        Err(error) => serde_json::to_value(error).map(|error| json!({ "err": error })),
    };
    stored.map_err(|error| RunError::Host(format!("a result can not be journalled: {error}")))
}
