//! Writes down what a run sends: logs and reads in batches, intents and results of mutations at once.
//!
//! Invariant: a reply is sent only after everything up to its message is committed under the run's lease.

use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::writer::{Writer, not_durable, persist};
use crate::approval::{Asked, Request, Use};
use crate::audit::{Event, EventKind};
use crate::db::Db;
use crate::db::commit::Write;
use crate::db::journal::{Batch, RunKey, StepRow};
use crate::db::wakeups::Wake;
use crate::journal::{self, Alert, Call, Decided, LogLine, Message, NotDurable, Outcome, Reply, Step};
use crate::records::{self, Change, Changed};
use crate::task::{LogLevel, Risk};

/// How long a log line may wait before it shows.
const FLUSH_AFTER: Duration = Duration::from_millis(200);
/// Rows that are written together.
const BATCH_ROWS_MAX: usize = 256;
/// Bytes that wait to be written together, about.
const BATCH_BYTES_MAX: usize = 4 << 20;
/// Longest string in the stored arguments; a longer one is given by its length, its beginning and its digest.
const ARGUMENT_CHARS_MAX: usize = 500;
/// Of a call's line in the execution log, without how the call ended.
const CALL_LINE_BYTES_MAX: usize = 8 << 10;

/// What is left to be written with the end of a run.
#[derive(Debug)]
pub(super) struct Left {
    pub(super) batch: Batch,
    /// Whether the journal holds anything of the run already. If not, the batch is the whole of it.
    pub(super) stored: bool,
}

/// The recorder of one run.
#[derive(Debug)]
pub(super) struct Recorder {
    db: Db,
    writer: Writer,
    /// For changes that make tasks claimable.
    wake: Wake,
    key: RunKey,
    batch: Batch,
    batch_bytes: usize,
    /// Whether the journal holds anything of this run already.
    stored: bool,
    /// From medium risk on, every host call stands in the execution log.
    log_calls: bool,
}

impl Recorder {
    pub(super) fn new(db: Db, writer: Writer, wake: Wake, key: RunKey, risk: Risk) -> Self {
        let log_calls = is_logged(risk);
        Self { db, writer, wake, key, batch: Batch::default(), batch_bytes: 0, stored: false, log_calls }
    }

    /// Records until the run is over.
    pub(super) async fn record(mut self, mut messages: mpsc::Receiver<Box<Message>>) -> Result<Left, NotDurable> {
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
            let Some(message) = next else { return Ok(Left { batch: self.batch, stored: self.stored }) };
            self.accept(*message).await?;
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
                reply
            }
            Message::Intend { position, call, at, approval: Some(used), reply } => {
                return self.consume(Some(row(position, &call, at, None)), (position, used), reply).await;
            }
            Message::Consume { position, approval, reply } => {
                return self.consume(None, (position, approval), Some(reply)).await;
            }
            Message::Ask { mut request, reply } => {
                request.arguments = shorten(&request.arguments);
                let asked = self.ask(&request).await;
                drop(reply.send(asked.clone()));
                return asked.map(|_| ());
            }
            Message::Look { query, reply } => {
                let answer = persist("a look", || self.db.look(&self.key, &query)).await.map_err(not_durable);
                drop(reply.send(answer.clone()));
                return answer.map(drop);
            }
            Message::Reserve { reservation, reply } => {
                let reserve = || self.db.reserve_model(&self.key, &reservation);
                let reserved = persist("a reservation", reserve).await.map_err(not_durable);
                drop(reply.send(reserved.clone()));
                return reserved.map(drop);
            }
            Message::Settle { settlement, reply } => {
                let settle = || self.db.settle_model(&self.key, &settlement);
                let settled = persist("what a model took", settle).await.map_err(not_durable);
                drop(reply.send(settled.clone()));
                return settled;
            }
            Message::Change { position, call, began_at, change, reply } => {
                let changed = self.change(row(position, &call, began_at, None), &change).await;
                drop(reply.send(changed.clone()));
                return changed.map(drop);
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
        reply: Option<Reply>,
    ) -> Result<(), NotDurable> {
        let mut stored = self.flush().await;
        if stored.is_ok() {
            self.batch.steps.extend(intent);
            self.batch.uses.push((position, used));
            stored = self.flush().await;
        }
        drop(reply.map(|reply| reply.send(stored.clone())));
        match stored {
            Err(NotDurable::NotApproved) => Ok(()),
            stored => stored,
        }
    }

    /// What the run did so far is durable before anybody is asked about what it does next.
    async fn ask(&mut self, request: &Request) -> Result<Asked, NotDurable> {
        self.flush().await?;
        persist("a request for an approval", || self.db.ask_approval(&self.key, request)).await.map_err(not_durable)
    }

    /// What came before it is stored with it.
    async fn change(&mut self, row: StepRow, change: &Change) -> Result<Changed, NotDurable> {
        self.stored = true;
        self.batch_bytes = 0;
        let batch = std::mem::take(&mut self.batch);
        let ask = || self.db.change(&self.key, batch.clone(), row.clone(), change);
        let (changed, frees) = persist("a change", ask).await.map_err(not_durable)?;
        if frees {
            self.wake.everybody();
        }
        if self.log_calls {
            let result = records::stored(&changed.outcome);
            let step = Step { outcome: Some(Outcome { result, at: changed.at }), ..row.step };
            self.batch.calls.extend(call_line(&StepRow { step, arguments: row.arguments }));
        }
        Ok(changed)
    }

    async fn flush(&mut self) -> Result<(), NotDurable> {
        self.batch_bytes = 0;
        if self.batch.is_empty() {
            return Ok(());
        }
        self.stored = true;
        self.writer.commit(Write::new(self.key.clone(), std::mem::take(&mut self.batch))).await
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
    let mut message = format!("{}. {}.{} {arguments}", step.position, step.interface, step.function);
    if message.len() > CALL_LINE_BYTES_MAX {
        message.truncate(message.floor_char_boundary(CALL_LINE_BYTES_MAX));
        message.push('…');
    }
    let message = format!("{message}: {ended}");
    Some(LogLine {
        level: LogLevel::Info,
        action: "host_call",
        message: message.replace('\0', "\u{2400}"),
        at: outcome.at,
    })
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
