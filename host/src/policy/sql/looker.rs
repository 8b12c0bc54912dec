//! How much of a decision's SQL is read, and once.

use std::collections::HashMap;

use sha2::{Digest, Sha256};

use super::{Findings, in_code, look, program, words};

/// SQL of one decision that is read in every dialect: whoever sends more does not hold up the decisions of others.
const BYTES_MAX: usize = 2 << 20;

/// Looks into the files of one decision. What is asked for again is not read again.
#[derive(Debug)]
pub(in crate::policy) struct Looker {
    bytes_left: usize,
    known: HashMap<[u8; 32], Findings>,
}

impl Default for Looker {
    fn default() -> Self {
        Self { bytes_left: BYTES_MAX, known: HashMap::new() }
    }
}

impl Looker {
    /// Of SQL. Beyond the budget only its words are looked at, and it counts as unreadable.
    pub(in crate::policy) fn sql(&mut self, content: &[u8]) -> Findings {
        self.once(b's', content, |looker, text| {
            if let Some(left) = looker.bytes_left.checked_sub(text.len()) {
                looker.bytes_left = left;
                return look(text);
            }
            let mut found = Findings { unreadable: true, ..Findings::default() };
            words::in_text(text, &mut found);
            found
        })
    }

    /// Of a migration that is written in a programming language.
    pub(in crate::policy) fn code(&mut self, content: &[u8]) -> Findings {
        self.once(b'c', content, |_, text| in_code(text))
    }

    /// Of any other program: only what deletes data.
    pub(in crate::policy) fn program(&mut self, content: &[u8]) -> Findings {
        self.once(b'p', content, |_, text| Findings { destructive: program::deletions(text), ..Findings::default() })
    }

    fn once(&mut self, kind: u8, content: &[u8], look: impl FnOnce(&mut Self, &str) -> Findings) -> Findings {
        let digest: [u8; 32] = Sha256::new().chain_update([kind]).chain_update(content).finalize().into();
        if let Some(known) = self.known.get(&digest) {
            return known.clone();
        }
        let found = look(self, &String::from_utf8_lossy(content));
        self.known.insert(digest, found.clone());
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_reads_so_much_and_no_more() {
        let mut looker = Looker::default();
        let padding = "-- nothing\n".repeat(BYTES_MAX / 11 - 10);
        let file = |tail: &str| format!("{padding}{tail}").into_bytes();
        let first = file("select 1");
        assert_eq!(looker.sql(&first), Findings::default());
        assert_eq!(looker.sql(&first), Findings::default(), "it is known");
        assert!(looker.sql(&file("select 2")).unreadable);
        let beyond = looker.sql(&file("drop table users"));
        assert!(beyond.unreadable && beyond.destructive == ["DROP TABLE"], "{beyond:?}");
        assert_eq!(looker.sql(b"select 1"), Findings::default(), "what is left is used");
    }
}
