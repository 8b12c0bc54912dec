//! Judges whole chains: each row follows from the one before it, and each anchor and checkpoint finds the row that it
//! names.
//!
//! Invariant: a chain may end anywhere (its host was killed), but not before a row that an anchor or a checkpoint names.
//! The first thing that is wrong with a chain is told; what comes after it follows from it.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::chain::{ChainStart, Digest, Head, Row};
use super::checkpoint::{Checkpoint, PublicKey};

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    pub chain: Uuid,
    pub seq: Option<i64>,
    /// When the row says that it was written, microseconds since 1970.
    pub at: Option<i64>,
    pub problem: String,
}

/// What was looked at, and what was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    pub rows: u64,
    pub chains: u64,
    /// That were given, with a good signature.
    pub checkpoints: u64,
    /// Chains without a checkpoint: only anchors hold those.
    pub chains_unsigned: u64,
    pub findings: Vec<Finding>,
    /// What proves nothing, and what somebody who writes rows of his own would leave behind.
    pub warnings: Vec<Finding>,
}

/// Where a checkpoint was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Whoever can write there could have removed it.
    Database,
    /// Kept outside, where the database's owner does not reach.
    File,
}

/// A hash that a row must have.
#[derive(Debug)]
struct Named {
    seq: i64,
    hash: Digest,
    by: String,
}

#[derive(Debug)]
struct Chain {
    /// None where others name a chain that is not there.
    start: Option<Head>,
    end: i64,
    /// By the rows that they name.
    named: Vec<Named>,
    /// The last row that a checkpoint names.
    signed: i64,
    /// Whether its host had a key to sign with.
    keyed: bool,
    /// Rows behind the last checkpoint that one should name by now: how many, and when the first was written.
    overdue: Option<(i64, i64)>,
    broken: bool,
}

/// Takes chains and checkpoints first, then all rows by chain and number, then gives its report.
#[derive(Debug)]
pub struct Verifier {
    trusted: Vec<PublicKey>,
    chains: BTreeMap<Uuid, Chain>,
    report: Report,
    /// Rows from before this time have a checkpoint behind them, microseconds since 1970.
    signed_before: i64,
    /// The chain whose rows come now.
    now: Option<(Head, Chain, usize)>,
}

impl Verifier {
    /// `signed_before` is so far back that a host which works has signed what it wrote until then.
    pub fn new(trusted: Vec<PublicKey>, signed_before: i64) -> Self {
        Self { trusted, chains: BTreeMap::new(), report: Report::default(), signed_before, now: None }
    }

    pub fn chain(&mut self, start: &ChainStart) {
        self.report.chains += 1;
        let chain = self.entry(start.id);
        chain.start = Some(start.head());
        chain.keyed = start.public_key.is_some();
        if start.public_key.is_some_and(|key| !self.trusted.contains(&PublicKey(key))) {
            self.warn(start.id, None, None, "its host signed with a key that is not among the trusted ones".to_owned());
        }
        for anchor in &start.anchors {
            let by = format!("the beginning of chain {}", start.id);
            self.entry(anchor.chain).named.push(Named { seq: anchor.seq, hash: anchor.hash, by });
        }
    }

    /// Checkpoints of one source. Those of the database are complete, so each must name the one before it.
    pub fn checkpoints(&mut self, mut checkpoints: Vec<Checkpoint>, source: Source) {
        checkpoints.sort_by_key(|checkpoint| (checkpoint.chain, checkpoint.seq));
        let mut before: Option<(Uuid, Digest)> = None;
        for checkpoint in checkpoints {
            let expected = before.filter(|(chain, _)| *chain == checkpoint.chain).map_or([0; 32], |(_, digest)| digest);
            before = Some((checkpoint.chain, checkpoint.digest()));
            if !checkpoint.is_signed_by_one_of(&self.trusted) {
                let key = hex::encode(checkpoint.key_id);
                let problem = format!(
                    "a checkpoint is not signed by a trusted key (it names key {key}): it is forged, or --public-key \
                     is missing for a key that was used before"
                );
                self.found(checkpoint.chain, Some(checkpoint.seq), Some(checkpoint.at), problem);
            } else if source == Source::Database && checkpoint.previous != expected {
                let problem = "the signed checkpoint before this one was removed or replaced".to_owned();
                self.found(checkpoint.chain, Some(checkpoint.seq), Some(checkpoint.at), problem);
            } else {
                self.report.checkpoints += 1;
                let chain = self.entry(checkpoint.chain);
                chain.signed = chain.signed.max(checkpoint.seq);
                let by = "a signed checkpoint".to_owned();
                chain.named.push(Named { seq: checkpoint.seq, hash: checkpoint.hash, by });
            }
        }
    }

    /// The next row, with the hashes that stand beside it.
    pub fn row(&mut self, chain: Uuid, seq: i64, row: &Row<'_>, previous: &[u8], hash: &[u8]) {
        self.report.rows += 1;
        if self.now.as_ref().is_none_or(|(head, ..)| head.chain != chain) {
            self.turn_to(chain);
        }
        let Some((head, state, next)) = &mut self.now else { return };
        if state.broken {
            return;
        }
        let after = head.after(row);
        let problem = if seq != after.seq {
            Some(if after.seq == seq - 1 {
                format!("row {} is missing", after.seq)
            } else {
                format!("rows {} to {} are missing", after.seq, seq - 1)
            })
        } else if previous != head.hash {
            Some("it does not follow from the row before it: one of the two was changed, removed or added".to_owned())
        } else if hash != after.hash {
            Some("its content does not have its hash: it was changed after it was written".to_owned())
        } else {
            *head = after;
            state.end = after.seq;
            if state.keyed && after.seq > state.signed && row.at < self.signed_before {
                let (rows, first) = state.overdue.unwrap_or((0, row.at));
                state.overdue = Some((rows + 1, first));
            }
            check_named(&state.named, next, &after)
        };
        if let Some(problem) = problem {
            state.broken = true;
            self.report.findings.push(Finding { chain, seq: Some(seq), at: Some(row.at), problem });
        }
    }

    pub fn finish(mut self) -> Report {
        self.put_back();
        let mut report = self.report;
        for (id, chain) in self.chains {
            if chain.start.is_some() && chain.signed == 0 {
                report.chains_unsigned += 1;
            }
            report.warnings.extend(chain.warning(id));
            let last = chain.named.iter().max_by_key(|named| named.seq);
            let Some(last) = last.filter(|last| !chain.broken && last.seq > chain.end) else { continue };
            let problem = match chain.start {
                None => format!("the whole chain is missing; {} names its row {}", last.by, last.seq),
                Some(_) => format!("the chain ends at row {}; {} names its row {}", chain.end, last.by, last.seq),
            };
            report.findings.push(Finding { chain: id, seq: Some(chain.end + 1), at: None, problem });
        }
        report
    }

    fn entry(&mut self, chain: Uuid) -> &mut Chain {
        self.chains.entry(chain).or_insert(Chain {
            start: None,
            end: 0,
            named: Vec::new(),
            signed: 0,
            keyed: false,
            overdue: None,
            broken: false,
        })
    }

    fn turn_to(&mut self, id: Uuid) {
        self.put_back();
        self.entry(id);
        let Some(mut chain) = self.chains.remove(&id) else { return };
        chain.named.sort_by_key(|named| named.seq);
        let head = chain.start.unwrap_or_else(|| {
            chain.broken = true;
            Head { chain: id, seq: 0, hash: [0; 32] }
        });
        if chain.start.is_none() {
            self.report.findings.push(Finding {
                chain: id,
                seq: Some(1),
                at: None,
                problem: "there are rows of a chain whose beginning is missing".to_owned(),
            });
        }
        self.now = Some((head, chain, 0));
    }

    fn put_back(&mut self) {
        if let Some((head, chain, _)) = self.now.take() {
            self.chains.insert(head.chain, chain);
        }
    }

    fn warn(&mut self, chain: Uuid, seq: Option<i64>, at: Option<i64>, problem: String) {
        self.report.warnings.push(Finding { chain, seq, at, problem });
    }

    fn found(&mut self, chain: Uuid, seq: Option<i64>, at: Option<i64>, problem: String) {
        self.report.findings.push(Finding { chain, seq, at, problem });
    }
}

impl Chain {
    /// What holds up, and may have been added by whoever can write there.
    fn warning(&self, id: Uuid) -> Option<Finding> {
        if self.broken || self.start.is_none() {
            return None;
        }
        if !self.keyed {
            let problem = format!("its process had no key, so no checkpoint holds its {} rows", self.end);
            return Some(Finding { chain: id, seq: None, at: None, problem });
        }
        let (rows, first) = self.overdue?;
        let anchored = self.named.iter().map(|named| named.seq).max().unwrap_or(0) >= self.end;
        let held = if anchored { "only the beginning of a later chain does" } else { "nothing does" };
        let problem = format!(
            "no checkpoint holds this row and {} after it, and {held}: the host died before it signed them, or somebody \
             added them",
            rows - 1
        );
        Some(Finding { chain: id, seq: Some(self.signed + 1), at: Some(first), problem })
    }
}

/// Holds the head against all that name its row.
fn check_named(named: &[Named], next: &mut usize, head: &Head) -> Option<String> {
    let mut problem = None;
    while let Some(name) = named.get(*next).filter(|name| name.seq <= head.seq) {
        if name.seq == head.seq && name.hash != head.hash && problem.is_none() {
            problem = Some(format!("{} has another hash for it: rows were rewritten, and their hashes too", name.by));
        }
        *next += 1;
    }
    problem
}
