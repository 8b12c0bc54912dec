//! A call that changes the world: decided, its intent recorded, done, its end recorded.
//!
//! Invariant: a call of which nobody knows what became of it is never simply made again. Its effect is looked for; or it
//! is sent again under the same key, to a place that does nothing twice under one key; or the task fails, and a person
//! finds out.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use time::OffsetDateTime;

use super::approval::Shown;
use super::calls::{CallError, GuestError, Made};
use super::determinism;
use super::errors::ActError;
use super::run::RunError;
use super::state::RunState;
use crate::crash::{self, Point};
use crate::journal::{Alert, Call, Next, Severity, Verdict};
use crate::policy::{Granted, Ruling};
use crate::text::visible;

/// Looks for what became of a mutation whose answer was lost, or times that it is sent under the same key, in one run;
/// and the pause before the second, which doubles.
const TRIES: u32 = 4;
const PAUSE: Duration = Duration::from_millis(500);
/// How long after its intent a call may be sent again: well within what servers remember keys for.
const AGAIN_FOR: time::Duration = time::Duration::minutes(15);

/// Names a step in the world, so that its effect can be found again: it stands in commit messages.
#[derive(Debug, Clone)]
pub(super) struct StepName {
    pub(super) task: crate::task::TaskId,
    pub(super) attempt: u32,
    pub(super) position: u32,
    /// Nothing of it was done before.
    pub(super) intended_at: OffsetDateTime,
}

impl StepName {
    /// Among the names of other programs: what a server is given to tell this call from any other.
    pub(super) fn key(&self) -> String {
        format!("juggernaut-{self}")
    }
}

impl fmt::Display for StepName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.task, self.attempt, self.position)
    }
}

/// What can be done where nobody knows what became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recovery {
    /// The world shows whether it happened.
    Find,
    /// The same call may be sent again: the world does nothing twice under one key.
    Again,
    /// Nothing. A person has to find out.
    Person,
}

/// A call that changes the world. Each effect says how it is decided, done, and found again after a crash.
pub(super) trait Mutation: Clone + Send + Sync + 'static {
    type Action: Send + Sync + 'static;
    type Output: Serialize + DeserializeOwned + Send + 'static;
    /// What it acts through.
    type Client: Clone + Send + 'static;
    type Error: Into<ActError> + fmt::Display + Send + 'static;

    /// What goes out besides the call's arguments; it is searched for secrets.
    fn content(&self) -> &[u8] {
        &[]
    }

    fn recovery(&self) -> Recovery {
        Recovery::Find
    }

    /// An error where this host has no such client.
    fn client(state: &RunState) -> Result<Self::Client, GuestError>;

    /// May read the world; changes nothing.
    fn decide(
        &self,
        state: &mut RunState,
        step: &StepName,
    ) -> impl Future<Output = Result<Ruling<Self::Action>, GuestError>> + Send;

    /// What a person who is asked to approve it gets to see. May read the world; the arguments alone where that is all
    /// there is to know.
    fn show(
        &self,
        _state: &mut RunState,
        call: &Call,
        _action: &Self::Action,
    ) -> impl Future<Output = Result<Shown, GuestError>> + Send {
        std::future::ready(Ok(Shown::of_arguments(call)))
    }

    fn act(
        client: Self::Client,
        grant: Granted<Self::Action>,
    ) -> impl Future<Output = Result<Self::Output, Self::Error>> + Send;

    /// Whether the world shows the effect of this very step. `None` is certain: it did not happen. Asked only of what
    /// recovers by [`Recovery::Find`].
    fn find(
        &self,
        client: Self::Client,
        step: StepName,
    ) -> impl Future<Output = Result<Option<Self::Output>, Self::Error>> + Send;

    /// Whether people have to look at what was done.
    fn alert(&self, _step: &StepName, _output: &Self::Output) -> Option<Alert> {
        None
    }
}

/// How a call that was done ended, for the guest; or why the run ends.
type Ended<T> = Result<Result<T, GuestError>, RunError>;

impl RunState {
    /// A call that changes the world.
    pub(super) async fn mutate<M: Mutation>(&mut self, call: Call, mutation: M) -> Result<M::Output, CallError> {
        let (call, leak) = self.screen(call, mutation.content());
        let (made, unfinished) = match self.advance(&call).await? {
            Next::Recorded(_, outcome) => return self.replay(&outcome),
            Next::Fresh(position) => (Made { position, call, began_at: determinism::now() }, false),
            Next::Unfinished(position, step) => (Made { position, call, began_at: step.intended_at }, true),
        };
        if let Some(leak) = leak {
            return self.refuse(made, *leak).await;
        }
        let step = self.name_of(&made);
        let client = match M::client(self) {
            Ok(client) => client,
            Err(error) if unfinished => return Err(unreconciled(&step, error.message()).into()),
            Err(error) => return self.finish(made, Err(error)).await,
        };
        if unfinished && let Some(output) = self.recover(&mutation, &client, &made, &step).await? {
            return self.ended(&mutation, made, &step, Ok(output)).await;
        }
        let Ruling { grant, needs, decision, risk } = match mutation.decide(self, &step).await {
            Ok(ruling) => ruling,
            // Not made again. What became of the first is as unknown as it was.
            Err(error) if unfinished && mutation.recovery() == Recovery::Again => {
                return Err(self.lost(&made, &step, error.message()).await.into());
            }
            Err(error) => return self.denied(made, error).await,
        };
        self.record_decision(made.position, &made.call, Verdict::of(&needs), decision.policies, risk.level).await?;
        self.keep_risk(risk).await?;
        crash::point(Point::BeforeIntent);
        match needs {
            None if unfinished => {}
            None => self.intend(&made).await?,
            Some(needed) => match mutation.show(self, &made.call, grant.action()).await {
                Ok(shown) => self.approved(&made, unfinished, needed, shown).await?,
                Err(error) => return self.finish(made, Err(error)).await,
            },
        }
        crash::point(Point::AfterIntent);
        let result = self.carry_out(&mutation, &client, &made, grant, unfinished).await?;
        crash::point(Point::BeforeResult);
        let finished = self.ended(&mutation, made, &step, result).await;
        crash::point(Point::AfterResult);
        finished
    }

    fn name_of(&self, made: &Made) -> StepName {
        StepName {
            task: self.task.id,
            attempt: self.task.attempt.number(),
            position: made.position,
            intended_at: made.began_at,
        }
    }

    async fn ended<M: Mutation>(
        &mut self,
        mutation: &M,
        made: Made,
        step: &StepName,
        result: Result<M::Output, GuestError>,
    ) -> Result<M::Output, CallError> {
        let alert = result.as_ref().ok().and_then(|output| mutation.alert(step, output)).map(Box::new);
        self.finish_with(made, result, alert).await
    }

    /// What became of a call that another run began. None where it may be made, or made again.
    async fn recover<M: Mutation>(
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

    async fn act<M: Mutation>(
        &mut self,
        client: &M::Client,
        grant: Granted<M::Action>,
    ) -> Result<Result<M::Output, ActError>, RunError> {
        self.may_act()?;
        crash::point(Point::BeforeAct);
        let acted = self.outside(M::act(client.clone(), grant)).await?;
        crash::point(Point::AfterAct);
        Ok(acted.map_err(Into::into))
    }

    /// Does it, and finds out what became of it.
    async fn carry_out<M: Mutation>(
        &mut self,
        mutation: &M,
        client: &M::Client,
        made: &Made,
        grant: Granted<M::Action>,
        unfinished: bool,
    ) -> Ended<M::Output> {
        let step = self.name_of(made);
        match (self.act::<M>(client, grant).await?, mutation.recovery()) {
            (Ok(output), _) => Ok(Ok(output)),
            (Err(ActError::Unknown(cause)), Recovery::Find) => {
                match self.reconcile(mutation, client, made, &step).await? {
                    Some(output) => Ok(Ok(output)),
                    // It may still arrive. The run waits, and looks again before it does anything.
                    None => Err(unreconciled(&step, &cause)),
                }
            }
            (Err(ActError::Unknown(cause)), Recovery::Again) => self.again(mutation, client, made, cause).await,
            // What was sent before may have arrived all the same.
            (Err(ActError::NotDone(error)), Recovery::Again) if unfinished => {
                self.again(mutation, client, made, error.message().to_owned()).await
            }
            (Err(ActError::Unknown(cause)), Recovery::Person) | (Err(ActError::Lost(cause)), _) => {
                Err(self.lost(made, &step, &cause).await)
            }
            // Perhaps with an effect of this very step, that arrived after it was looked for.
            (Err(ActError::Refused(error)), Recovery::Find) if unfinished => {
                Ok(self.reconcile(mutation, client, made, &step).await?.ok_or(error))
            }
            (Err(ActError::NotDone(error) | ActError::Refused(error)), _) => Ok(Err(error)),
        }
    }

    /// Makes a call again, under the same key, until there is an answer to it.
    async fn again<M: Mutation>(
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
            cause = match self.act::<M>(client, grant).await? {
                Ok(output) => return Ok(Ok(output)),
                Err(ActError::Refused(error)) => return Ok(Err(error)),
                Err(ActError::NotDone(error)) => error.message().to_owned(),
                Err(ActError::Unknown(cause) | ActError::Lost(cause)) => cause,
            };
        }
        Err(self.lost(made, &step, &cause).await)
    }

    async fn reconcile<M: Mutation>(
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

    /// Ends the run, and has a person look: nobody else can say what became of the call.
    async fn lost(&mut self, made: &Made, step: &StepName, cause: &str) -> RunError {
        let name = format!("{}.{}", made.call.interface, made.call.function);
        let alert = Alert {
            severity: Severity::Critical,
            kind: "unknown-outcome",
            fingerprint: format!("unknown-outcome/{step}"),
            title: format!("Nobody knows whether a call took effect: {name}"),
            details: json!({ "call": name, "attempt": step.attempt, "position": step.position }),
            occurrences: 1,
        };
        if let Err(stop) = self.send(crate::journal::Message::Alert(Box::new(alert))).await {
            return stop;
        }
        RunError::Lost {
            step: step.to_string(),
            call: visible(&made.call.describe()).into_owned(),
            cause: cause.to_owned(),
        }
    }
}

/// What it means, and how it reads.
fn told(error: impl Into<ActError> + fmt::Display) -> (ActError, String) {
    let text = error.to_string();
    (error.into(), text)
}

fn unreconciled(step: &StepName, cause: &str) -> RunError {
    RunError::Unreconciled { step: step.to_string(), cause: cause.to_owned() }
}
