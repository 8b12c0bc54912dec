//! One question to a language model: decided, its intent durable, each request reserved before it is sent and settled after it
//! is answered; tried again, put to the next model, and asked once more where the answer does not fit.
//!
//! Invariants: no request leaves without its own grant and its own reservation. A question that a crash cut off is asked anew under
//! new reservations when the run is made again; what was reserved before goes on counting, since it may have been paid.

use std::time::{Duration, Instant};

use rand::RngExt as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::crash::{self, Point};
use crate::journal::{Call, Message, Next, Verdict};
use crate::llm::{Answer, AskError, Conversation, Estimate, Exchanged, Models, Request, Usage};
use crate::policy::action::AskModel;
use crate::policy::{Beyond, Denied, Granted, Ruling};
use crate::records::{Reservation, Settlement, TaskBudget};
use crate::sandbox::approval::Shown;
use crate::sandbox::calls::{CallError, GuestError, Made, acknowledged};
use crate::sandbox::determinism;
use crate::sandbox::mutations::StepName;
use crate::sandbox::records::received;
use crate::sandbox::run::RunError;
use crate::sandbox::state::RunState;

/// How often one model is tried with the same request.
const TRIES_MAX: u32 = 3;
/// Pause before the second try; it doubles.
const PAUSE_FIRST: Duration = Duration::from_millis(500);
/// A pause that the service asks for is kept up to this; beyond, the next model is asked.
const PAUSE_MAX: Duration = Duration::from_secs(20);
/// What a role is told to wait where the service says nothing.
const LIMITED_FOR: Duration = Duration::from_secs(30);

/// An answer as the journal holds it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Journalled {
    pub(super) model: String,
    pub(super) said: Answer,
    /// Of all requests that it took, unsettled ones left out.
    pub(super) usage: Usage,
}

/// A question under way.
struct Asking {
    step: StepName,
    models: Models,
    /// Not asked yet; the first is being asked.
    names: Vec<String>,
    /// Whose decisions stand in the audit log already.
    decided: Vec<String>,
    conversation: Conversation,
    until: Instant,
}

fn no_key() -> GuestError {
    GuestError::Unavailable("this host has no key for language models; the operator sets OPENROUTER_API_KEY".to_owned())
}

fn no_time(time_max: Duration) -> GuestError {
    GuestError::Unavailable(format!("no model answered within {} ms (llm.timeout_ms_max)", time_max.as_millis()))
}

impl RunState {
    pub(super) async fn ask_model(&mut self, call: Call, request: Request) -> Result<Journalled, CallError> {
        let (call, leak) = self.screen(call, &[]);
        let (made, unfinished) = match self.advance(&call).await? {
            Next::Recorded(_, outcome) => return self.replay(&outcome),
            Next::Fresh(position) => (Made { position, call, began_at: determinism::now() }, false),
            Next::Unfinished(position, step) => (Made { position, call, began_at: step.intended_at }, true),
        };
        if let Some(leak) = leak {
            return self.refuse(made, *leak).await;
        }
        let mut asking = match self.begin(&made, request).await? {
            Ok(asking) => asking,
            Err(error) => return self.finish(made, Err(error)).await,
        };
        let Ruling { grant: _, needs, decision, risk } = match self.judge_request(&asking).await {
            Ok((ruling, _)) => ruling,
            Err(denied) => {
                self.denied_by.clone_from(&denied.policies);
                return self.denied(made, denied.into()).await;
            }
        };
        self.record_decision(made.position, &made.call, Verdict::of(&needs), decision.policies, risk.level).await?;
        self.keep_risk(risk).await?;
        crash::point(Point::BeforeIntent);
        match needs {
            None if unfinished => {}
            None => self.intend(&made).await?,
            // The whole question, with the models that may answer it.
            Some(needed) => self.approved(&made, unfinished, needed, Shown::of_arguments(&made.call)).await?,
        }
        crash::point(Point::AfterIntent);
        let result = self.converse(&mut asking, &made).await?;
        crash::point(Point::BeforeResult);
        let finished = self.finish(made, result).await;
        crash::point(Point::AfterResult);
        finished
    }

    pub(super) fn task_budget(&self) -> TaskBudget {
        let grant = self.manifest.grants.llm.as_ref().map(AsRef::as_ref);
        TaskBudget {
            tokens_max: grant.map_or(0, |grant| grant.tokens_per_task_max),
            microdollars_max: grant.map_or(0, |grant| grant.cost_microdollars_per_task_max),
        }
    }

    async fn begin(&mut self, made: &Made, request: Request) -> Result<Result<Asking, GuestError>, RunError> {
        let Some(models) = self.services.models.clone() else { return Ok(Err(no_key())) };
        let (granted, timeout_ms) = match &self.manifest.grants.llm {
            Some(grant) => (grant.as_ref().models.clone(), grant.as_ref().timeout_ms_max),
            None => (Vec::new(), 0),
        };
        let wanted = request.model.clone();
        // Away from the guests' stacks and threads: schemas are compiled.
        let checked = match self.blocking(move || request.check()).await? {
            Ok(checked) => checked,
            Err(problem) => return Ok(Err(GuestError::Invalid(problem))),
        };
        let step = self.name_of(made);
        let first = wanted.or_else(|| granted.first().cloned()).unwrap_or_default();
        let after = granted.iter().skip_while(|name| **name != first).skip(1).cloned();
        let names = std::iter::once(first.clone()).chain(after).collect();
        let conversation = checked.begin(&step.to_string());
        let until = Instant::now() + Duration::from_millis(timeout_ms);
        Ok(Ok(Asking { step, models, names, decided: vec![first], conversation, until }))
    }

    /// Asks policy about the next request: what a manifest bounds, and what operators' policies say.
    async fn judge_request(&mut self, asking: &Asking) -> Result<(Ruling<AskModel>, Estimate), Denied> {
        let model = asking.names.first().cloned().unwrap_or_default();
        let body = asking.conversation.body(&model);
        let answer_tokens = asking.conversation.answer_tokens_max();
        let estimate = asking.models.estimate(&model, &body, answer_tokens);
        let mut beyond = Beyond::new();
        if let Some(grant) = &self.manifest.grants.llm {
            let grant = grant.as_ref();
            if !grant.models.contains(&model) {
                beyond.push(("models".to_owned(), format!("model {model:?} is not granted")));
            }
            if answer_tokens > grant.answer_tokens_max {
                let max = grant.answer_tokens_max;
                beyond.push((
                    "answer_tokens_max".to_owned(),
                    format!("an answer may have {max} tokens, not {answer_tokens}"),
                ));
            }
        }
        let action = AskModel { model, body, tokens: estimate.tokens };
        let ruling = self.judged(move |scope| scope.ask_model(action, beyond)).await?;
        Ok((ruling, estimate))
    }

    /// Until there is an answer that fits, or none is to be had.
    async fn converse(&mut self, asking: &mut Asking, made: &Made) -> Result<Result<Journalled, GuestError>, RunError> {
        let mut usage = Usage::default();
        let mut asked_again = false;
        loop {
            let Exchanged { answer, usage: took } = match self.get_answer(asking, made).await? {
                Ok(exchanged) => exchanged,
                Err(error) => return Ok(Err(error)),
            };
            usage = usage.plus(took);
            let conversation = asking.conversation.clone();
            let (judged, mut answer) = self
                .blocking(move || {
                    let mut answer = answer;
                    (conversation.judge(&mut answer), answer)
                })
                .await?;
            match judged {
                Ok(()) => {
                    let model = asking.names.first().cloned().unwrap_or_default();
                    self.redact(&mut answer);
                    return Ok(Ok(Journalled { model, said: answer, usage }));
                }
                Err(wrong) if !asked_again => {
                    asked_again = true;
                    asking.conversation.ask_again(&answer, &wrong);
                }
                Err(wrong) => {
                    let wrong = self.services.secrets.redact(&wrong).into_owned();
                    return Ok(Err(GuestError::Invalid(format!("the model's answer can not be used, twice: {wrong}"))));
                }
            }
        }
    }

    /// One answer, of the first model that gives one.
    async fn get_answer(
        &mut self,
        asking: &mut Asking,
        made: &Made,
    ) -> Result<Result<Exchanged, GuestError>, RunError> {
        let mut tries = 0;
        let mut pause = PAUSE_FIRST;
        loop {
            tries += 1;
            let error = match self.request(asking, made).await? {
                Err(refused) => return Ok(Err(refused)),
                Ok(Ok(exchanged)) => return Ok(Ok(exchanged)),
                Ok(Err(error)) => error,
            };
            let left = asking.until.saturating_duration_since(Instant::now());
            let again = match &error {
                AskError::Unusable(_) => return Ok(Err(self.told(&error))),
                AskError::Busy { after, .. } => Some(after.unwrap_or(pause)),
                AskError::Lost(_) => Some(pause),
                AskError::Late(_) | AskError::Unfit(_) => None,
            };
            match again.filter(|pause| tries < TRIES_MAX && *pause <= PAUSE_MAX && *pause < left) {
                Some(wanted) => {
                    let wanted = wanted.mul_f64(rand::rng().random_range(1.0..1.2));
                    self.outside(tokio::time::sleep(wanted)).await?;
                    pause *= 2;
                }
                None if asking.names.len() > 1 && !left.is_zero() => {
                    asking.names.remove(0);
                    (tries, pause) = (0, PAUSE_FIRST);
                }
                None => return Ok(Err(self.told(&error))),
            }
        }
    }

    /// One request: judged, reserved, sent, settled. The outer error is the host's own, or policy's.
    async fn request(
        &mut self,
        asking: &mut Asking,
        made: &Made,
    ) -> Result<Result<Result<Exchanged, AskError>, GuestError>, RunError> {
        let model = asking.names.first().cloned().unwrap_or_default();
        let (Ruling { grant, decision, risk, needs: _ }, estimate) = match self.judge_request(asking).await {
            Ok(judged) => judged,
            Err(denied) => {
                let (policies, level) = (denied.policies.clone(), self.risk.level);
                self.record_decision(made.position, &made.call, Verdict::Denied, policies, level).await?;
                return Ok(Err(denied.into()));
            }
        };
        if !asking.decided.contains(&model) {
            self.record_decision(made.position, &made.call, Verdict::Allowed, decision.policies, risk.level).await?;
            asking.decided.push(model);
        }
        let left = asking.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let max = self.manifest.grants.llm.as_ref().map_or(0, |grant| grant.as_ref().timeout_ms_max);
            return Ok(Err(no_time(Duration::from_millis(max))));
        }
        // A model that does not answer leaves time for those that may be asked after it.
        let time_max = left / u32::try_from(asking.names.len()).unwrap_or(1).max(1);
        self.may_act()?;
        let id = match self.reserve(&asking.step, &grant, estimate).await? {
            Ok(id) => id,
            Err(refused) => return Ok(Err(refused)),
        };
        crash::point(Point::BeforeAct);
        let models = asking.models.clone();
        let result = self.outside(async move { models.exchange(grant, estimate, time_max).await }).await?;
        crash::point(Point::AfterAct);
        match &result {
            Ok(Exchanged { answer, usage }) => {
                let mut answer = answer.clone();
                self.redact(&mut answer);
                self.settle(id, json!(answer), *usage).await?;
            }
            Err(error) if error.is_free() => {
                let why = self.services.secrets.redact(&error.to_string()).into_owned();
                self.settle(id, json!({ "error": why }), Usage::default()).await?;
            }
            // It may have to be paid for: what was reserved goes on counting.
            Err(_) => {}
        }
        Ok(Ok(result))
    }

    async fn reserve(
        &mut self,
        step: &StepName,
        grant: &Granted<AskModel>,
        estimate: Estimate,
    ) -> Result<Result<Uuid, GuestError>, RunError> {
        let AskModel { model, body, tokens: _ } = grant.action();
        let Estimate { tokens, microdollars } = estimate;
        let id = Uuid::now_v7();
        let reservation = Reservation {
            id,
            position: step.position,
            model: model.clone(),
            request: body.clone(),
            tokens,
            microdollars,
            budget: self.task_budget(),
        };
        let (reply, reserved) = oneshot::channel();
        self.send(Message::Reserve { reservation: Box::new(reservation), reply }).await?;
        Ok(received(reserved.await)?.map(|()| id).map_err(GuestError::from))
    }

    async fn settle(&mut self, id: Uuid, answer: Value, usage: Usage) -> Result<(), RunError> {
        let Usage { prompt_tokens, answer_tokens, microdollars } = usage;
        let settlement = Settlement { id, answer, prompt_tokens, answer_tokens, microdollars };
        let (reply, settled) = oneshot::channel();
        self.send(Message::Settle { settlement: Box::new(settlement), reply }).await?;
        acknowledged(settled).await.map(drop)
    }

    /// A model knows no secret of the host; what it says is kept, so it is searched all the same.
    fn redact(&self, answer: &mut Answer) {
        let secrets = &self.services.secrets;
        let calls = answer.tool_calls.iter_mut().flat_map(|call| [&mut call.id, &mut call.name, &mut call.arguments]);
        for text in calls.chain([&mut answer.text]) {
            *text = secrets.redact(text).into_owned();
        }
    }

    /// What a role is told where no model answered.
    fn told(&self, error: &AskError) -> GuestError {
        // The service may repeat the key that it refuses.
        let message = self.services.secrets.redact(&format!("no model answered: {error}")).into_owned();
        match error {
            AskError::Busy { limited: true, after, .. } => {
                let after = after.unwrap_or(LIMITED_FOR).min(Duration::from_hours(1));
                GuestError::RateLimited { message, after_ms: u64::try_from(after.as_millis()).unwrap_or(u64::MAX) }
            }
            AskError::Busy { .. } | AskError::Lost(_) | AskError::Late(_) | AskError::Unusable(_) => {
                GuestError::Unavailable(message)
            }
            AskError::Unfit(_) => GuestError::Invalid(message),
        }
    }

    async fn blocking<T: Send + 'static>(&mut self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, RunError> {
        let done = self.outside.spawn_blocking(work).await;
        done.map_err(|error| RunError::Host(format!("a host call broke off: {error}")))
    }
}
