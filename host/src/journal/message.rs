//! What a run sends to its recorder, over a bounded channel.

use serde_json::Value;
use time::OffsetDateTime;
use tokio::sync::oneshot;

use super::{Alert, Call};
use crate::approval::{Asked, Request, Use};
use crate::records::{Change, Changed, Query, Refused, Reservation, Settlement};
use crate::task::{LogLevel, Risk};

/// A line for the execution log.
#[derive(Clone, Debug)]
pub struct LogLine {
    pub level: LogLevel,
    /// `log` for what the role said, `stdout`, `stderr`, or the name of a host call.
    pub action: &'static str,
    pub message: String,
    pub at: OffsetDateTime,
}

/// The step could not be stored: the claim is gone, or the database is. Nothing may be done on its strength.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NotDurable {
    #[error("another worker holds the task now")]
    LeaseLost,
    #[error("the journal can not be written: {0}")]
    Storage(String),
    /// The approval that the step was to use up expired, or its task ended, in this moment: ask again.
    #[error("the approval is not good any more")]
    NotApproved,
}

/// One message to the recorder. Order is preserved; a reply means that this message and all before it are committed.
/// Boxed in its channel, which keeps room for dozens of them as long as a run lives.
#[derive(Debug)]
pub enum Message {
    /// A mutation or a wait is about to begin.
    Intend {
        position: u32,
        call: Call,
        at: OffsetDateTime,
        /// Used up in the transaction that stores the intent.
        approval: Option<Use>,
        /// None for a wait: it is stored with the suspension, at the latest.
        reply: Option<Reply>,
    },
    /// A call needs an approval. Stored, or found, before it is answered.
    Ask {
        request: Box<Request>,
        reply: oneshot::Sender<Result<Asked, NotDurable>>,
    },
    /// An approval is used up for a step whose intent the journal holds already.
    Consume {
        position: u32,
        approval: Use,
        reply: Reply,
    },
    /// A call ended. Without a reply (reads, refusals) it is stored before the next intent or the end of the run.
    Done {
        position: u32,
        call: Call,
        began_at: OffsetDateTime,
        result: Value,
        at: OffsetDateTime,
        /// What the call has people look at; stored with the step.
        alert: Option<Box<Alert>>,
        reply: Option<Reply>,
    },
    /// A look at the host's own tables; its step follows as `Done`.
    Look {
        query: Box<Query>,
        reply: oneshot::Sender<Result<Result<Value, Refused>, NotDurable>>,
    },
    /// A change of the host's own tables. It is made in the transaction that stores its step, with its result.
    Change {
        position: u32,
        call: Call,
        began_at: OffsetDateTime,
        change: Box<Change>,
        reply: oneshot::Sender<Result<Changed, NotDurable>>,
    },
    /// A request to a language model is about to be sent: it counts from here on. Refused where a budget is used up.
    Reserve {
        reservation: Box<Reservation>,
        reply: oneshot::Sender<Result<Result<(), Refused>, NotDurable>>,
    },
    /// What a reserved request took.
    Settle {
        settlement: Box<Settlement>,
        reply: Reply,
    },
    Log(LogLine),
    /// What something other than a call has people look at; stored with what comes next.
    Alert(Box<Alert>),
    /// The task's risk is higher from here on.
    Raise(Raised),
    /// What policy said of a call; stored with its step.
    Decided(Decided),
}

/// A decision of policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    pub position: u32,
    /// `interface.function`.
    pub call: String,
    pub verdict: Verdict,
    /// What it stands on.
    pub policies: Vec<String>,
    /// Of this very call.
    pub risk: Risk,
}

/// Which way policy decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Allowed,
    Denied,
    NeedsApproval,
}

impl Verdict {
    /// Of something permitted, which may still need a person.
    pub fn of<T>(needs: &Option<T>) -> Self {
        if needs.is_some() { Self::NeedsApproval } else { Self::Allowed }
    }
}

/// A task's risk after a run raised it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raised {
    pub level: Risk,
    pub reasons: Vec<String>,
}

/// Where the durable acknowledgement goes.
pub type Reply = oneshot::Sender<Result<(), NotDurable>>;
