//! What became of a mutation whose answer was lost, or whose host was.
//!
//! Invariant: nothing is made again unless the world shows that it did not happen, or does nothing twice under its key.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::calls::{GuestError, Made, acknowledged};
use super::determinism;
use super::errors::ActError;
use super::mutations::{Ended, Mutation, Recovery, StepName};
use super::run::RunError;
use super::state::RunState;
use crate::journal::{Alert, Severity};
use crate::text::visible;

/// Looks for what became of a mutation whose answer was lost, or times that it is sent under the same key, in one run;
/// and the pause before the second, which doubles.
const TRIES: u32 = 4;
const PAUSE: Duration = Duration::from_millis(500);
/// How long after its intent a call may be sent again: well within what servers remember keys for.
const AGAIN_FOR: time::Duration = time::Duration::minutes(15);
/// Stands beside the error of a step of which nobody knows whether it took effect.
const LOST: &str = "lost";

impl RunState {
    /// What became of a call that another run began. None where it may be made, or made again.
    pub(super) async fn recover<M: Mutation>(
        &mut self,
        mutation: &M,
        client: &M::Client,
        made: &Made,
        step: &StepName,
    ) -> Result<Option<M::Output>, RunError> {
        let cause = match mutation.recovery() {
            Recovery::Find => return self.reconcile(mutation, client, made, step).await,
            Recovery::Again if determinism::now() - made.began_at < AGAIN_FOR => return Ok(None),
            Recovery::Again => format!("it began over {} minutes ago", AGAIN_FOR.whole_minutes()),
            Recovery::Person => "the run that made it broke off".to_owned(),
        };
        Err(self.lost(made, step, &cause).await)
    }

    /// Makes a call again, under the same key, until there is an answer to it.
    pub(super) async fn again<M: Mutation>(
        &mut self,
        mutation: &M,
        client: &M::Client,
        made: &Made,
        mut cause: String,
    ) -> Ended<M::Output> {
        let step = self.name_of(made);
        let mut pause = PAUSE;
        for _ in 1..TRIES {
            self.outside(tokio::time::sleep(pause)).await?;
            pause *= 2;
            // A grant is good for one time; what a person approved is this very call.
            let grant = match mutation.decide(self, &step).await {
                Ok(ruling) => ruling.grant,
                Err(error) => return Err(self.lost(made, &step, error.message()).await),
            };
            cause = match self.act::<M>(client, made, grant).await? {
                Ok(output) => return Ok(Ok(output)),
                Err(ActError::Refused(error)) => return Ok(Err(error)),
                Err(ActError::NotDone(error)) => error.message().to_owned(),
                Err(ActError::Unknown(cause) | ActError::Lost(cause)) => cause,
            };
        }
        Err(self.lost(made, &step, &cause).await)
    }

    pub(super) async fn reconcile<M: Mutation>(
        &mut self,
        mutation: &M,
        client: &M::Client,
        made: &Made,
        step: &StepName,
    ) -> Result<Option<M::Output>, RunError> {
        let (mutation, client, wanted) = (mutation.clone(), client.clone(), step.clone());
        let search = async move {
            let mut pause = PAUSE;
            let mut answer = mutation.find(client.clone(), wanted.clone()).await.map_err(told);
            for _ in 1..TRIES {
                if matches!(answer, Ok(_) | Err((ActError::Lost(_), _))) {
                    break;
                }
                tokio::time::sleep(pause).await;
                pause *= 2;
                answer = mutation.find(client.clone(), wanted.clone()).await.map_err(told);
            }
            answer
        };
        match self.outside(search).await? {
            Ok(found) => Ok(found),
            Err((ActError::Lost(cause), _)) => Err(self.lost(made, step, &cause).await),
            Err((ActError::NotDone(_) | ActError::Refused(_) | ActError::Unknown(_), cause)) => {
                Err(unreconciled(step, &cause))
            }
        }
    }

    /// Ends the run, and has a person look: nobody else can say what became of the call. The journal says so from then
    /// on, so that the step is settled, and another attempt, which a person lets begin, is another call.
    pub(super) async fn lost(&mut self, made: &Made, step: &StepName, cause: &str) -> RunError {
        let name = format!("{}.{}", made.call.interface, made.call.function);
        let alert = Alert {
            severity: Severity::Critical,
            kind: "unknown-outcome",
            fingerprint: format!("unknown-outcome/{step}"),
            title: format!("Nobody knows whether a call took effect: {name}"),
            details: json!({ "call": name, "attempt": step.attempt, "position": step.position }),
            occurrences: 1,
        };
        let (step, call) = (step.to_string(), visible(&made.call.describe()).into_owned());
        let parts = json!([step, call, cause]);
        let lost = RunError::Lost { step, call, cause: cause.to_owned() };
        let result = json!({ "err": GuestError::Unavailable(lost.to_string()), LOST: parts });
        let (reply, durable) = oneshot::channel();
        let done = made.clone().done(result, determinism::now(), Some(Box::new(alert)), Some(reply));
        if let Err(stop) = self.send(done).await {
            return stop;
        }
        acknowledged(durable).await.err().unwrap_or(lost)
    }
}

impl RunError {
    /// What a recorded step says of its end, where that is that nobody knows.
    pub(super) fn recorded(result: &Value) -> Option<Self> {
        let [step, call, cause]: [String; 3] = serde_json::from_value(result.get(LOST)?.clone()).ok()?;
        Some(Self::Lost { step, call, cause })
    }
}

/// What it means, and how it reads.
fn told(error: impl Into<ActError> + fmt::Display) -> (ActError, String) {
    let text = error.to_string();
    (error.into(), text)
}

pub(super) fn unreconciled(step: &StepName, cause: &str) -> RunError {
    RunError::Unreconciled { step: step.to_string(), cause: cause.to_owned() }
}
