//! The journal: one step for each host call of an attempt, in order.
//!
//! A run is a function of its journal: recorded results are returned without acting, a call that differs from the
//! recorded one ends the run, and an intent without a result is reconciled with the world before anything is done.
//!
//! Invariant: pure. The journal knows no database; what is to be stored leaves as a [`Message`].

mod alert;
mod cursor;
mod message;

pub use crate::records::Severity;
pub use alert::Alert;
pub use cursor::{Cursor, Diverged, Next};
pub use message::{Decided, LogLine, Message, NotDurable, Raised, Reply, Verdict};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

/// What a call does to the world: it only looks, changes something, or waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "step_effect", rename_all = "snake_case")]
pub enum Effect {
    Read,
    Write,
    Wait,
}

impl Effect {
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Wait => "wait",
        }
    }
}

/// A host call as it was made.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    pub interface: &'static str,
    pub function: &'static str,
    pub effect: Effect,
    /// All arguments, as an object by name. Bytes are given by their length and SHA-256.
    pub arguments: Value,
}

impl Call {
    /// For people: what is called, and the beginning of the arguments.
    pub fn describe(&self) -> String {
        cursor::describe(self.interface, self.function, &self.arguments)
    }

    /// Of interface, function and the canonical JSON of the arguments.
    pub fn digest(&self) -> [u8; 32] {
        let mut hasher = Sha256::new();
        for part in [self.interface, self.function] {
            hasher.update(part.as_bytes());
            hasher.update([0]);
        }
        hasher.update(self.arguments.to_string().as_bytes());
        hasher.finalize().into()
    }
}

/// About how many bytes a value takes: for limits, not for storage.
pub fn weight(value: &Value) -> usize {
    const NODE_BYTES: usize = 16;
    NODE_BYTES
        + match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
            Value::String(text) => text.len(),
            Value::Array(items) => items.iter().map(weight).sum(),
            Value::Object(fields) => fields.iter().map(|(key, value)| key.len() + weight(value)).sum(),
        }
}

/// How bytes stand in arguments: enough to tell them apart, too little to fill the journal.
pub fn bytes_argument(bytes: &[u8]) -> Value {
    serde_json::json!({ "bytes": bytes.len(), "sha256": hex::encode(Sha256::digest(bytes)) })
}

/// The id that git gives to a file with this content.
pub fn blob_sha(content: &[u8]) -> String {
    let mut hasher = Sha1::new();
    hasher.update(format!("blob {}\0", content.len()));
    hasher.update(content);
    hex::encode(hasher.finalize())
}

/// A step that the journal holds.
#[derive(Clone, Debug)]
pub struct Step {
    pub position: u32,
    pub interface: String,
    pub function: String,
    pub effect: Effect,
    pub digest: [u8; 32],
    pub arguments: Value,
    pub intended_at: OffsetDateTime,
    pub outcome: Option<Outcome>,
}

/// A mutation that began and whose end is not known. Only a run of the same attempt that comes to it again can find out.
#[derive(Clone, Debug)]
pub struct Unsettled {
    pub position: i32,
    pub interface: String,
    pub function: String,
    /// As people read them.
    pub arguments: Value,
}

impl std::fmt::Display for Unsettled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { position, interface, function, arguments } = self;
        write!(f, "step {position}, {}", cursor::describe(interface, function, arguments))
    }
}

/// How a step ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// `{"ok": …}` or `{"err": …}`: what the guest was given.
    pub result: Value,
    pub at: OffsetDateTime,
}

impl Outcome {
    /// The value, where the call succeeded.
    pub fn ok(&self) -> Option<&Value> {
        self.result.get("ok")
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_blob_has_the_id_that_git_gives_it() {
        // `printf 'hello\n' | git hash-object --stdin`
        assert_eq!(super::blob_sha(b"hello\n"), "ce013625030ba8dba906f756967f9e9ca394464a");
    }
}
