//! A call that changes the world: decided, its intent recorded, done, its end recorded.
//!
//! Invariant: a call of which nobody knows what became of it is never simply made again. Its effect is looked for; or it
//! is sent again under the same key, to a place that does nothing twice under one key; or the task fails, and a person
//! finds out.

use std::fmt;
use std::future::Future;

use serde::Serialize;
use serde::de::DeserializeOwned;
use time::OffsetDateTime;

use super::approval::Shown;
use super::calls::{CallError, GuestError, Made};
use super::determinism;
use super::errors::ActError;
use super::late::Late;
use super::reconcile::unreconciled;
use super::run::RunError;
use super::state::RunState;
use crate::crash::{self, Point};
use crate::journal::{Alert, Call, Next, Verdict};
use crate::policy::{Granted, Ruling};

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

    /// `late` is for what has to be made good, should the claim have been lost meanwhile.
    fn act(
        client: Self::Client,
        grant: Granted<Self::Action>,
        late: Late,
    ) -> impl Future<Output = Result<Self::Output, Self::Error>> + Send;

    /// What denied it, where that came to be seen only while it was done: the address that a name has.
    fn denied_by(_error: &Self::Error) -> &[String] {
        &[]
    }

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
pub(super) type Ended<T> = Result<Result<T, GuestError>, RunError>;

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

    pub(super) fn name_of(&self, made: &Made) -> StepName {
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

    pub(super) async fn act<M: Mutation>(
        &mut self,
        client: &M::Client,
        made: &Made,
        grant: Granted<M::Action>,
    ) -> Result<Result<M::Output, ActError>, RunError> {
        self.may_act()?;
        crash::point(Point::BeforeAct);
        let late = Late { task: self.task.id, act_until: self.act_until.clone(), alerts: self.services.alerts.clone() };
        let acted = self.outside(M::act(client.clone(), grant, late)).await?;
        crash::point(Point::AfterAct);
        let denied_by = acted.as_ref().err().map(M::denied_by).unwrap_or_default();
        if !denied_by.is_empty() {
            let (policies, level) = (denied_by.to_vec(), self.risk.level);
            self.record_decision(made.position, &made.call, Verdict::Denied, policies, level).await?;
        }
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
        match (self.act::<M>(client, made, grant).await?, mutation.recovery()) {
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
}
