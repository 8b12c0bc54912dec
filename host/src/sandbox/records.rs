//! Calls that look at the host's own tables, and calls that change them.
//!
//! Invariant: no SQL here. A look leaves as a query and comes back as a value; a change is stored with its step, in one
//! transaction, by whoever receives it, so that there is no intent to reconcile.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::oneshot;

use super::calls::{CallError, GuestError, Made, to_journal};
use super::determinism;
use super::run::RunError;
use super::state::RunState;
use crate::journal::{self, Call, Message, Next, NotDurable};
use crate::policy::{Decision, Denied};
use crate::records::{self, Change, Changed, GoalQuery, Query, Refused};

impl From<Refused> for GuestError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Denied(message) => Self::Denied(message),
            Refused::NotFound(message) => Self::NotFound(message),
            Refused::Conflict(message) => Self::Conflict(message),
            Refused::Invalid(message) => Self::Invalid(message),
        }
    }
}

impl RunState {
    /// A call that only looks. `allowed` is policy's answer to it.
    pub(super) async fn look<T: DeserializeOwned>(
        &mut self,
        call: Call,
        allowed: Result<Decision, Denied>,
        query: Query,
    ) -> Result<T, CallError> {
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
        let result: Result<Value, GuestError> = match allowed {
            Err(denied) => Err(denied.into()),
            Ok(_) => self.answer(query).await?.map_err(GuestError::from),
        };
        let at = determinism::now();
        self.clock.move_to(at);
        let stored = to_journal(&result)?;
        self.weigh(journal::weight(&stored))?;
        self.send(Made { position, call, began_at }.done(stored, at, None, None)).await?;
        read(result?)
    }

    /// A call that changes something. `allowed` is policy's answer to it. Durable before it returns.
    pub(super) async fn change<T: DeserializeOwned>(
        &mut self,
        call: Call,
        allowed: Result<Decision, Denied>,
        change: Change,
    ) -> Result<T, CallError> {
        self.change_if(call, allowed, Ok(change)).await
    }

    /// The same where the arguments may be no change at all: then that is what the journal says.
    pub(super) async fn change_if<T: DeserializeOwned>(
        &mut self,
        call: Call,
        allowed: Result<Decision, Denied>,
        change: Result<Change, GuestError>,
    ) -> Result<T, CallError> {
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
        if let Err(denied) = allowed {
            let refused: Result<Value, GuestError> = Err(denied.into());
            return read(self.finish(Made { position, call, began_at }, refused).await?);
        }
        let change = match change {
            Ok(change) => change,
            Err(invalid) => {
                let refused: Result<Value, GuestError> = Err(invalid);
                return read(self.finish(Made { position, call, began_at }, refused).await?);
            }
        };
        self.may_act()?;
        let (reply, durable) = oneshot::channel();
        self.send(Message::Change { position, call, began_at, change: Box::new(change), reply }).await?;
        let Changed { outcome, at } = received(durable.await)?;
        self.clock.move_to(at);
        self.weigh(journal::weight(&records::stored(&outcome)))?;
        read(outcome.map_err(GuestError::from)?)
    }

    /// A durable wait for tasks of the goal: the run is suspended at this call, and resumes at it.
    pub(super) async fn wait_for_goal(
        &mut self,
        call: Call,
        allowed: Result<Decision, Denied>,
        ended: u32,
        duration: Result<Duration, GuestError>,
    ) -> Result<(), CallError> {
        let (made, fresh) = match self.advance(&call).await? {
            Next::Recorded(_, outcome) => return self.replay(&outcome),
            Next::Unfinished(position, step) => (Made { position, call, began_at: step.intended_at }, false),
            Next::Fresh(position) => (Made { position, call, began_at: determinism::now() }, true),
        };
        // Once for the call, not for each time that it resumes.
        if fresh || allowed.is_err() {
            self.decided(made.position, &made.call, &allowed).await?;
        }
        let counted = match allowed.map_err(GuestError::from).and(duration) {
            Err(refused) => Err(refused),
            Ok(duration) => match self.answer(Query::Goals(GoalQuery::Ended)).await? {
                Err(refused) => Err(refused.into()),
                Ok(counted) => Ok((duration, serde_json::from_value::<u32>(counted).map_err(unreadable)?)),
            },
        };
        let result = match counted {
            Err(refused) => Err(refused),
            Ok((duration, counted)) => {
                let wake_at = made.began_at + duration;
                if counted <= ended && determinism::now() < wake_at {
                    if fresh {
                        let Made { position, call, began_at: at } = made;
                        // Nothing stands on it before the run is suspended, and that stores it, too.
                        self.send(Message::Intend { position, call, at, approval: None, reply: None }).await?;
                    }
                    return Err(RunError::WaitingGoal { wake_at, ended }.into());
                }
                Ok(())
            }
        };
        let at = determinism::now();
        self.clock.move_to(at);
        let stored = to_journal(&result)?;
        self.weigh(journal::weight(&stored))?;
        self.send(made.done(stored, at, None, None)).await?;
        Ok(result?)
    }

    /// Asks the tables, outside of the journal: for what goes into a call's arguments or its decision. A run that is made
    /// again asks again, so nothing that the guest is given may depend on it but through a journalled result.
    pub(super) async fn answer(&mut self, query: Query) -> Result<Result<Value, Refused>, RunError> {
        let (reply, answer) = oneshot::channel();
        self.send(Message::Look { query: Box::new(query), reply }).await?;
        received(answer.await)
    }
}

pub(super) fn received<T>(answer: Result<Result<T, NotDurable>, oneshot::error::RecvError>) -> Result<T, RunError> {
    match answer {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(NotDurable::LeaseLost)) | Err(_) => Err(RunError::LeaseLost),
        Ok(Err(error @ (NotDurable::Storage(_) | NotDurable::NotApproved))) => Err(RunError::Host(error.to_string())),
    }
}

fn read<T: DeserializeOwned>(value: Value) -> Result<T, CallError> {
    Ok(serde_json::from_value(value).map_err(unreadable)?)
}

#[expect(clippy::needless_pass_by_value, reason = "given to map_err")]
fn unreadable(error: serde_json::Error) -> RunError {
    RunError::Host(format!("an answer of the tables can not be read: {error}"))
}
