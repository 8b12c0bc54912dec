//! Writes down what a run sends: logs and reads in batches, intents and results of mutations at once.
//!
//! Invariant: a reply is sent only after everything up to its message is committed under the run's lease.

use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use crate::db::Db;
use crate::db::journal::{Batch, RunKey, StepRow};
use crate::journal::{self, Alert, Call, Message, NotDurable, Outcome, Step};

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
}

impl Recorder {
    pub(super) fn new(db: Db, key: RunKey) -> Self {
        Self { db, key, batch: Batch::default(), batch_bytes: 0 }
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
            Message::Intend { position, call, at, reply } => {
                self.batch.steps.push(row(position, &call, at, None));
                Some(reply)
            }
            Message::Done { position, call, began_at, result, at, alert, reply } => {
                self.batch_bytes += journal::weight(&result);
                self.batch.steps.push(row(position, &call, began_at, Some(Outcome { result, at })));
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

    /// A database that is away for a moment is waited for; the lease decides in the end.
    async fn flush(&mut self) -> Result<(), NotDurable> {
        let mut pause = STORE_PAUSE;
        for attempt in 1.. {
            let stored = tokio::time::timeout(STORE_LIMIT, self.db.store_batch(&self.key, &self.batch)).await;
            match stored.unwrap_or_else(|_| Err(NotDurable::Storage(format!("no answer within {STORE_LIMIT:?}")))) {
                Ok(()) => break,
                Err(NotDurable::Storage(cause)) if attempt < STORE_TRIES => {
                    tracing::warn!(task.id = %self.key.task, cause, "the journal could not be written; trying again");
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                Err(error) => return Err(error),
            }
        }
        self.batch = Batch::default();
        self.batch_bytes = 0;
        Ok(())
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
