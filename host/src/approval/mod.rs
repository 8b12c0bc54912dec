//! What a person approves: exactly one action, told apart from every other by a digest.
//!
//! Invariant: pure, and below everything that asks for, stores or uses up an approval. Two actions that differ in one
//! byte of anything that is bound have different digests.

mod binding;
mod state;

pub use binding::{Binding, Versions, exact_digest};
pub use state::{ApprovalKind, ApprovalState};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::task::Risk;

/// Longest text that an approver is shown.
pub const SHOWN_BYTES_MAX: usize = 1 << 20;
/// Longest text of the role beside it.
pub const ROLE_SAYS_BYTES_MAX: usize = 16 * 1024;
/// Longest note of whoever decides.
pub const NOTE_BYTES_MAX: usize = 4096;

/// An approval. Version 7: sorts by the time it was asked for.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema,
)]
#[serde(transparent)]
#[sqlx(transparent)]
pub struct ApprovalId(pub Uuid);

impl ApprovalId {
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }
}

impl std::fmt::Display for ApprovalId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::str::FromStr for ApprovalId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::parse_str(text).map(Self)
    }
}

/// What a run asks for at a call.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// At a host call, or of what a role attests.
    pub kind: ApprovalKind,
    /// The call's place in the journal.
    pub position: u32,
    /// Whether the journal holds the call's intent already: the approval may be used up for this very step.
    pub unfinished: bool,
    pub action: String,
    pub risk: Risk,
    pub policies: Vec<String>,
    pub reasons: Vec<String>,
    pub digest: [u8; 32],
    pub versions: Versions,
    pub arguments: Value,
    /// Made by the host. Within [`SHOWN_BYTES_MAX`].
    pub shown: String,
    /// The role's words. Within [`ROLE_SAYS_BYTES_MAX`].
    pub role_says: Option<String>,
}

/// What the host has for a run that asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A person has to decide first.
    Waiting(ApprovalId),
    /// It can be used up now.
    Approved(ApprovalId),
    /// It was used up for this very step, by a host that died after that.
    Consumed,
}

/// An approval that a step uses up together with its intent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Use {
    pub approval: ApprovalId,
    pub digest: [u8; 32],
}

/// Text cut to a number of bytes, with a word about it.
pub fn cut(mut text: String, bytes_max: usize) -> String {
    const MARK: &str = "\n[cut off here by the host]";
    if text.len() > bytes_max {
        text.truncate(text.floor_char_boundary(bytes_max.saturating_sub(MARK.len())));
        text.push_str(MARK);
    }
    text
}
