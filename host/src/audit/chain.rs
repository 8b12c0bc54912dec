//! The hash chain: what each digest is made of.
//!
//! Invariant: every field is preceded by its length or has a fixed one, and each kind of digest begins with a text of its
//! own, so that no two different things are the same bytes.

use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use uuid::Uuid;

/// A SHA-256.
pub type Digest = [u8; 32];

const ROW_DOMAIN: &[u8] = b"juggernaut audit row v1\n";
const CHAIN_DOMAIN: &[u8] = b"juggernaut audit chain v1\n";

/// Microseconds since 1970, as the database keeps them.
pub fn micros(at: OffsetDateTime) -> i64 {
    i64::try_from(at.unix_timestamp_nanos().div_euclid(1000)).unwrap_or(i64::MAX)
}

/// A time without what the database would drop of it.
pub fn now_micros(now: OffsetDateTime) -> OffsetDateTime {
    now.replace_nanosecond(now.microsecond() * 1000).unwrap_or(now)
}

/// How far a chain has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub chain: Uuid,
    /// Of the newest row; 0 before the first.
    pub seq: i64,
    pub hash: Digest,
}

/// Where another chain stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    pub chain: Uuid,
    pub seq: i64,
    pub hash: Digest,
}

/// The beginning of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainStart {
    pub id: Uuid,
    pub host: Uuid,
    pub started_at: OffsetDateTime,
    /// Ed25519, of the key that signs its checkpoints.
    pub public_key: Option<[u8; 32]>,
    /// By the chains' ids.
    pub anchors: Vec<Anchor>,
}

impl ChainStart {
    /// What the chain's first row follows.
    pub fn head(&self) -> Head {
        Head { chain: self.id, seq: 0, hash: self.digest() }
    }

    fn digest(&self) -> Digest {
        let mut hasher = Sha256::new();
        hasher.update(CHAIN_DOMAIN);
        hasher.update(self.id.as_bytes());
        hasher.update(self.host.as_bytes());
        hasher.update(micros(self.started_at).to_be_bytes());
        match &self.public_key {
            None => hasher.update([0]),
            Some(key) => {
                hasher.update([1]);
                hasher.update(key);
            }
        }
        hasher.update(u64::try_from(self.anchors.len()).unwrap_or(u64::MAX).to_be_bytes());
        let mut anchors: Vec<_> = self.anchors.iter().collect();
        anchors.sort_unstable_by_key(|anchor| anchor.chain);
        for Anchor { chain, seq, hash } in anchors {
            hasher.update(chain.as_bytes());
            hasher.update(seq.to_be_bytes());
            hasher.update(hash);
        }
        hasher.finalize().into()
    }
}

/// A row's fields, as they are hashed.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// Microseconds since 1970.
    pub at: i64,
    pub kind: &'a str,
    pub actor: &'a str,
    pub task: Option<Uuid>,
    pub details: &'a str,
}

impl Head {
    /// The head after one more row.
    #[must_use]
    pub fn after(&self, row: &Row<'_>) -> Self {
        let seq = self.seq + 1;
        let mut hasher = Sha256::new();
        hasher.update(ROW_DOMAIN);
        hasher.update(self.hash);
        hasher.update(self.chain.as_bytes());
        hasher.update(seq.to_be_bytes());
        hasher.update(row.at.to_be_bytes());
        text(&mut hasher, row.kind);
        text(&mut hasher, row.actor);
        match row.task {
            None => hasher.update([0]),
            Some(task) => {
                hasher.update([1]);
                hasher.update(task.as_bytes());
            }
        }
        text(&mut hasher, row.details);
        Self { chain: self.chain, seq, hash: hasher.finalize().into() }
    }
}

fn text(hasher: &mut Sha256, text: &str) {
    hasher.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
    hasher.update(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> ChainStart {
        ChainStart {
            id: Uuid::from_u128(1),
            host: Uuid::from_u128(2),
            started_at: OffsetDateTime::UNIX_EPOCH,
            public_key: Some([7; 32]),
            anchors: vec![Anchor { chain: Uuid::from_u128(3), seq: 4, hash: [5; 32] }],
        }
    }

    fn row() -> Row<'static> {
        Row { at: 1_700_000_000_000_001, kind: "task_created", actor: "ann", task: Some(Uuid::nil()), details: "{}" }
    }

    /// The bytes are a promise to whoever verifies without us: a new encoding is a new version, not a change of this.
    #[test]
    fn the_encoding_does_not_change() {
        let head = start().head();
        let first = head.after(&row());
        assert_eq!(
            (hex::encode(head.hash), hex::encode(first.hash), first.seq),
            (
                "18fb6e5b2788ba8a108ce0d599a37c248b38cef8e0dbdf07bb8fa9fa0c1b0546".to_owned(),
                "66b4b7617754dba79577a379addc89293b99e8d8a18f67ad09c84b20da1bcba0".to_owned(),
                1
            )
        );
    }

    #[test]
    fn every_field_of_a_row_counts() {
        let head = start().head();
        let changed = [
            Row { at: 1, ..row() },
            Row { kind: "task_create", ..row() },
            Row { kind: "task_createda", actor: "nn", ..row() },
            Row { actor: "ann{", details: "}", ..row() },
            Row { task: None, ..row() },
            Row { details: "{ }", ..row() },
        ];
        let mut hashes: Vec<_> = changed.iter().map(|row| head.after(row).hash).collect();
        hashes.push(head.after(&row()).hash);
        hashes.push(Head { seq: 1, ..head }.after(&row()).hash);
        hashes.push(Head { chain: Uuid::nil(), ..head }.after(&row()).hash);
        hashes.push(Head { hash: [0; 32], ..head }.after(&row()).hash);
        hashes.sort_unstable();
        let count = hashes.len();
        hashes.dedup();
        assert_eq!(hashes.len(), count);
    }

    #[test]
    fn every_field_of_a_beginning_counts() {
        let anchor = start().anchors[0];
        let changed = [
            start(),
            ChainStart { id: Uuid::nil(), ..start() },
            ChainStart { host: Uuid::nil(), ..start() },
            ChainStart { started_at: OffsetDateTime::UNIX_EPOCH + time::Duration::microseconds(1), ..start() },
            ChainStart { public_key: None, ..start() },
            ChainStart { anchors: Vec::new(), ..start() },
            ChainStart { anchors: vec![Anchor { seq: 5, ..anchor }], ..start() },
            ChainStart { anchors: vec![Anchor { hash: [0; 32], ..anchor }], ..start() },
        ];
        let mut hashes: Vec<_> = changed.iter().map(|start| start.head().hash).collect();
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), changed.len());
    }

    #[test]
    fn times_are_cut_to_what_the_database_keeps() {
        let at = time::macros::datetime!(2026-11-22 22:00:00.123456789 UTC);
        assert_eq!(micros(now_micros(at)), micros(at));
        assert_eq!(now_micros(at).nanosecond(), 123_456_000);
        assert_eq!(micros(OffsetDateTime::UNIX_EPOCH - time::Duration::nanoseconds(1)), -1);
    }
}
