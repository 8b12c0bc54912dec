//! The audit log's values: events, the hash chain, signed checkpoints, and the judge of them all.
//!
//! Every row follows from the row before it by SHA-256, the first one from the chain's beginning, and the beginning
//! from where the other chains stood. Checkpoints are signed with a key that the database never sees, and leave it with
//! the log stream. docs/AUDIT.md gives the bytes.
//!
//! Invariant: pure. No clock, no I/O; what is hashed and verified is given.

mod chain;
mod checkpoint;
mod event;
mod verify;
#[cfg(test)]
mod verify_tests;

pub use chain::{Anchor, ChainStart, Digest, Head, Row, micros, now_micros};
pub use checkpoint::{Checkpoint, KeyError, PublicKey, SigningKey};
pub use event::{DETAILS_BYTES_MAX, Event, EventKind, short};
pub use verify::{Finding, Report, Source, Verifier};
