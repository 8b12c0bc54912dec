//! Writes down what a run sends: logs and reads in batches, intents and results of mutations at once.
//!
//! Invariant: a reply is sent only after everything up to its message is committed under the run's lease.

use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use crate::approval::{Asked, Request, Use};
use crate::audit::{Event, EventKind};
use crate::db::Db;
use crate::db::journal::{Batch, RunKey, StepRow};
use crate::journal::{self, Alert, Call, Decided, LogLine, Message, NotDurable, Outcome, Reply, Step};
use crate::task::{LogLevel, Risk};

/// How long a log line may wait before it shows.
const FLUSH_AFTER: Duration = Duration::from_millis(200);
/// Rows that are written together.
const BATCH_ROWS_MAX: usize = 256;
/// Bytes that wait to be written together, about.
const BATCH_BYTES_MAX: usize = 4 << 20;
/// Longest string in the stored arguments; a longer one is given by its length, its beginning and its digest.
const ARGUMENT_CHARS_MAX: usize = 500;
/// How often a batch is tried while the database does not answer.
const STORE_TRIES: u32 = 6;
/// How long one try may take.
const STORE_LIMIT: Duration = Duration::from_secs(10);
const STORE_PAUSE: Duration = Duration::from_millis(250);

/// The recorder of one run.
#[derive(Debug)]
pub(super) struct Recorder {
    db: Db,
    key: RunKey,
    batch: Batch,
    batch_bytes: usize,
    /// From medium risk on, every host call stands in the execution log.
    log_calls: bool,
}

impl Recorder {
    pub(super) fn new(db: Db, key: RunKey, risk: Risk) -> Self {
        Self { db, key, batch: Batch::default(), batch_bytes: 0, log_calls: is_logged(risk) }
    }

    /// Records until the run is over. Returns what is left to be written with the end of the run.
    pub(super) async fn record(mut self, mut messages: mpsc::Receiver<Message>) -> Result<Batch, NotDurable> {
        loop {
            let next = if self.batch.is_empty() {
                messages.recv().await
            } else {
                match tokio::time::timeout(FLUSH_AFTER, messages.recv()).await {
                    Ok(next) => next,
                    Err(_) => {
                        self.flush().await?;
                        continue;
                    }
                }
            };
            let Some(message) = next else { return Ok(self.batch) };
            self.accept(message).await?;
        }
    }

    async fn accept(&mut self, message: Message) -> Result<(), NotDurable> {
        let reply = match message {
            Message::Log(line) => {
                self.batch_bytes += line.message.len();
                self.batch.lines.push(line);
                None
            }
            Message::Alert(alert) => {
                Alert::gather(&mut self.batch.alerts, *alert);
                None
            }
            Message::Decided(decided) => {
                self.batch.audit.push(decision(&self.key, &decided));
                None
            }
            Message::Raise(raised) => {
                self.log_calls |= is_logged(raised.level);
                self.batch.raised = Some(raised);
                None
            }
            Message::Intend { position, call, at, approval: None, reply } => {
                self.batch.steps.push(row(position, &call, at, None));
                Some(reply)
            }
            Message::Intend { position, call, at, approval: Some(used), reply } => {
                return self.consume(Some(row(position, &call, at, None)), (position, used), reply).await;
            }
            Message::Consume { position, approval, reply } => {
                return self.consume(None, (position, approval), reply).await;
            }
            Message::Ask { mut request, reply } => {
                request.arguments = shorten(&request.arguments);
                let asked = self.ask(&request).await;
                drop(reply.send(asked.clone()));
                return asked.map(|_| ());
            }
            Message::Done { position, call, began_at, result, at, alert, reply } => {
                self.batch_bytes += journal::weight(&result);
                let row = row(position, &call, began_at, Some(Outcome { result, at }));
                if self.log_calls {
                    self.batch.calls.extend(call_line(&row));
                }
                self.batch.steps.push(row);
                if let Some(alert) = alert {
                    Alert::gather(&mut self.batch.alerts, *alert);
                }
                reply
            }
        };
        let rows = self.batch.lines.len() + self.batch.steps.len();
        if reply.is_none() && rows < BATCH_ROWS_MAX && self.batch_bytes < BATCH_BYTES_MAX {
            return Ok(());
        }
        let stored = self.flush().await;
        if let Some(reply) = reply {
            // A run that was stopped meanwhile does not listen any more.
            drop(reply.send(stored.clone()));
        }
        stored
    }

    /// Everything before it is stored by itself, so that an approval which is not good any more takes nothing else
    /// with it: the run asks again.
    async fn consume(
        &mut self,
        intent: Option<StepRow>,
        (position, used): (u32, Use),
        reply: Reply,
    ) -> Result<(), NotDurable> {
        let mut stored = self.flush().await;
        if stored.is_ok() {
            self.batch.steps.extend(intent);
            self.batch.uses.push((position, used));
            stored = self.flush().await;
        }
        drop(reply.send(stored.clone()));
        match stored {
            Err(NotDurable::NotApproved) => {
                self.batch = Batch::default();
                Ok(())
            }
            stored => stored,
        }
    }

    /// What the run did so far is durable before anybody is asked about what it does next.
    async fn ask(&mut self, request: &Request) -> Result<Asked, NotDurable> {
        self.flush().await?;
        persist(&self.key, || self.db.ask_approval(&self.key, request)).await
    }

    async fn flush(&mut self) -> Result<(), NotDurable> {
        if !self.batch.is_empty() {
            persist(&self.key, || self.db.store_batch(&self.key, &self.batch)).await?;
        }
        self.batch = Batch::default();
        self.batch_bytes = 0;
        Ok(())
    }
}

/// What the audit log says of a decision.
fn decision(key: &RunKey, decided: &Decided) -> Event {
    let Decided { position, call, verdict, policies, risk } = decided;
    let details = json!({
        "call": call, "verdict": verdict, "policies": policies, "risk": risk, "attempt": key.attempt,
        "position": position,
    });
    Event::new(EventKind::PolicyDecision, &key.worker.0, details).of(key.task)
}

/// "Execute with logging" of the specification.
fn is_logged(risk: Risk) -> bool {
    risk >= Risk::Medium
}

/// What was called, with the arguments as the journal shows them, and how it ended.
fn call_line(row: &StepRow) -> Option<LogLine> {
    let StepRow { step, arguments } = row;
    let outcome = step.outcome.as_ref()?;
    let ended = match outcome.result.get("err") {
        None => "ok".to_owned(),
        Some(error) => shorten(error).to_string(),
    };
    let message = format!("{}. {}.{} {arguments}: {ended}", step.position, step.interface, step.function);
    Some(LogLine {
        level: LogLevel::Info,
        action: "host_call",
        message: message.replace('\0', "\u{2400}"),
        at: outcome.at,
    })
}

/// A database that is away for a moment is waited for; the lease decides in the end.
async fn persist<T, F>(key: &RunKey, store: impl Fn() -> F) -> Result<T, NotDurable>
where
    F: Future<Output = Result<T, NotDurable>>,
{
    let mut pause = STORE_PAUSE;
    let mut attempt = 1;
    loop {
        let stored = tokio::time::timeout(STORE_LIMIT, store()).await;
        match stored.unwrap_or_else(|_| Err(NotDurable::Storage(format!("no answer within {STORE_LIMIT:?}")))) {
            Err(NotDurable::Storage(cause)) if attempt < STORE_TRIES => {
                tracing::warn!(task.id = %key.task, cause, "the journal could not be written; trying again");
                tokio::time::sleep(pause).await;
                pause *= 2;
                attempt += 1;
            }
            ended => return ended,
        }
    }
}

fn row(position: u32, call: &Call, intended_at: time::OffsetDateTime, outcome: Option<Outcome>) -> StepRow {
    let step = Step {
        position,
        interface: call.interface.to_owned(),
        function: call.function.to_owned(),
        effect: call.effect,
        digest: call.digest(),
        arguments: Value::Null,
        intended_at,
        outcome,
    };
    StepRow { step, arguments: shorten(&call.arguments) }
}

/// Arguments as people read them; the digest of the step is of the whole.
fn shorten(value: &Value) -> Value {
    match value {
        Value::String(text) if text.chars().count() > ARGUMENT_CHARS_MAX => json!({
            "bytes": text.len(),
            "sha256": hex::encode(Sha256::digest(text.as_bytes())),
            "begins": text.chars().take(ARGUMENT_CHARS_MAX).collect::<String>(),
        }),
        Value::Array(items) => items.iter().map(shorten).collect(),
        Value::Object(fields) => fields.iter().map(|(key, value)| (key.clone(), shorten(value))).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}
