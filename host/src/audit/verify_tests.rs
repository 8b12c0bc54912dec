//! Tampering, one way after the other, against chains in memory.

use secrecy::SecretString;
use time::OffsetDateTime;
use uuid::Uuid;

use super::*;

#[derive(Clone)]
struct Stored {
    chain: Uuid,
    seq: i64,
    at: i64,
    actor: String,
    previous: Digest,
    hash: Digest,
}

#[derive(Clone)]
struct Log {
    starts: Vec<ChainStart>,
    rows: Vec<Stored>,
    checkpoints: Vec<Checkpoint>,
}

/// Later than all rows of [`log`].
const SIGNED_BEFORE: i64 = 100;

fn key(byte: &str) -> SigningKey {
    SigningKey::from_seed(&SecretString::from(byte.repeat(32))).unwrap()
}

fn row(actor: &str, at: i64) -> Row<'_> {
    Row { at, kind: "task_created", actor, task: None, details: "{}" }
}

/// Two chains of five rows; the second one is anchored at the end of the first.
fn log() -> Log {
    let mut log = Log { starts: Vec::new(), rows: Vec::new(), checkpoints: Vec::new() };
    let mut anchors = Vec::new();
    for number in 1..=2 {
        let start = ChainStart {
            id: Uuid::from_u128(number),
            host: Uuid::nil(),
            started_at: OffsetDateTime::UNIX_EPOCH,
            public_key: Some(key("0a").public().0),
            anchors: std::mem::take(&mut anchors),
        };
        let mut head = start.head();
        let mut previous = [0; 32];
        for at in 1..=5 {
            let next = head.after(&row("ann", at));
            let (chain, seq, hash) = (next.chain, next.seq, next.hash);
            log.rows.push(Stored { chain, seq, at, actor: "ann".to_owned(), previous: head.hash, hash });
            head = next;
            if seq % 2 == 0 {
                let checkpoint = Checkpoint::sign(&key("0a"), head, at, previous);
                previous = checkpoint.digest();
                log.checkpoints.push(checkpoint);
            }
        }
        anchors = vec![Anchor { chain: head.chain, seq: head.seq, hash: head.hash }];
        log.starts.push(start);
    }
    log
}

fn verify(log: &Log, outside: &[Checkpoint]) -> Report {
    let mut verifier = Verifier::new(vec![key("0a").public()], SIGNED_BEFORE);
    log.starts.iter().for_each(|start| verifier.chain(start));
    verifier.checkpoints(log.checkpoints.clone(), Source::Database);
    verifier.checkpoints(outside.to_vec(), Source::File);
    for Stored { chain, seq, at, actor, previous, hash } in &log.rows {
        verifier.row(*chain, *seq, &row(actor, *at), previous, hash);
    }
    verifier.finish()
}

fn one_finding(log: &Log, outside: &[Checkpoint]) -> (u128, Option<i64>, String) {
    let report = verify(log, outside);
    assert_eq!(report.findings.len(), 1, "{report:?}");
    let Finding { chain, seq, at: _, problem } = report.findings[0].clone();
    (chain.as_u128(), seq, problem)
}

/// What a superuser would do who knows the encoding.
fn rehash(log: &mut Log) {
    for start in log.starts.clone() {
        let mut head = start.head();
        for stored in log.rows.iter_mut().filter(|stored| stored.chain == start.id) {
            let next = head.after(&row(&stored.actor, stored.at));
            (stored.previous, stored.hash, stored.seq) = (head.hash, next.hash, next.seq);
            head = next;
        }
    }
}

#[test]
fn what_nobody_touched_is_verified() {
    let report = verify(&log(), &log().checkpoints);
    assert_eq!((report.rows, report.chains, report.checkpoints, report.chains_unsigned), (10, 2, 8, 0));
    assert_eq!(report.findings, []);
    // Each chain's last row was never signed; the first one's is anchored.
    let warned: Vec<_> = report.warnings.iter().map(|warning| (warning.chain.as_u128(), warning.seq)).collect();
    assert_eq!(warned, [(1, Some(5)), (2, Some(5))]);
    assert_eq!(verify(&Log { starts: vec![], rows: vec![], checkpoints: vec![] }, &[]), Report::default());
}

#[test]
fn a_chain_may_end_anywhere_after_what_names_it() {
    let mut killed = log();
    killed.rows.pop();
    assert_eq!(verify(&killed, &[]).findings, []);
    killed.rows.pop();
    let (chain, seq, problem) = one_finding(&killed, &[]);
    assert_eq!((chain, seq), (2, Some(4)));
    assert_eq!(problem, "the chain ends at row 3; a signed checkpoint names its row 4");
}

#[test]
fn a_changed_row_is_named() {
    let mut changed = log();
    changed.rows[2].actor = "bob".to_owned();
    let (chain, seq, problem) = one_finding(&changed, &[]);
    assert!((chain, seq) == (1, Some(3)) && problem.contains("changed after it was written"), "{problem}");
    changed = log();
    changed.rows[2].previous = [0; 32];
    assert_eq!(one_finding(&changed, &[]).1, Some(3));
    changed = log();
    changed.rows[7].hash = [0; 32];
    assert_eq!(one_finding(&changed, &[]).1, Some(3));
}

#[test]
fn a_removed_row_and_a_moved_one_are_named() {
    let mut removed = log();
    removed.rows.remove(1);
    assert_eq!(one_finding(&removed, &[]), (1, Some(3), "row 2 is missing".to_owned()));
    let mut first = log();
    first.rows.drain(0..2);
    assert_eq!(one_finding(&first, &[]).2, "rows 1 to 2 are missing");
    let mut swapped = log();
    let (left, right) = (swapped.rows[1].clone(), swapped.rows[2].clone());
    (swapped.rows[1].actor, swapped.rows[1].at) = (right.actor, right.at);
    (swapped.rows[2].actor, swapped.rows[2].at) = (left.actor, left.at);
    assert_eq!(one_finding(&swapped, &[]).1, Some(2));
}

#[test]
fn recomputed_hashes_do_not_fit_the_signed_ones() {
    let mut rewritten = log();
    rewritten.rows[6].actor = "bob".to_owned();
    rehash(&mut rewritten);
    let (chain, seq, problem) = one_finding(&rewritten, &[]);
    assert!((chain, seq) == (2, Some(2)) && problem.contains("signed checkpoint has another hash"), "{problem}");
    // Without the checkpoints of the database, those that were kept outside tell; without any, nothing does.
    let outside = std::mem::take(&mut rewritten.checkpoints);
    assert_eq!(one_finding(&rewritten, &outside).1, Some(2));
    assert_eq!(verify(&rewritten, &[]).findings, []);
    assert_eq!(verify(&rewritten, &[]).chains_unsigned, 2);
}

#[test]
fn the_anchor_holds_a_chain_without_checkpoints() {
    let mut rewritten = log();
    rewritten.checkpoints.clear();
    rewritten.rows[4].actor = "bob".to_owned();
    rehash(&mut rewritten);
    let (chain, seq, problem) = one_finding(&rewritten, &[]);
    assert!((chain, seq) == (1, Some(5)) && problem.contains("the beginning of chain"), "{problem}");
    let mut gone = log();
    gone.checkpoints.clear();
    gone.starts.remove(0);
    gone.rows.drain(0..5);
    assert!(one_finding(&gone, &[]).2.starts_with("the whole chain is missing"));
    // The anchor itself is part of what the second chain's rows follow from.
    gone.starts[0].anchors.clear();
    assert_eq!(one_finding(&gone, &[]).0, 2);
}

#[test]
fn a_chain_that_is_gone_is_named_by_a_checkpoint() {
    let mut gone = log();
    let outside = std::mem::take(&mut gone.checkpoints);
    gone.starts.pop();
    gone.rows.truncate(5);
    assert_eq!(verify(&gone, &[]).findings, [], "nothing in the database names the newest chain");
    let (chain, seq, problem) = one_finding(&gone, &outside);
    assert!((chain, seq) == (2, Some(1)) && problem.starts_with("the whole chain is missing"), "{problem}");
    let mut headless = log();
    headless.starts.pop();
    headless.checkpoints.retain(|checkpoint| checkpoint.chain.as_u128() == 1);
    assert!(one_finding(&headless, &[]).2.contains("whose beginning is missing"));
}

#[test]
fn checkpoints_that_were_forged_or_removed_are_found() {
    let mut forged = log();
    let head = Head { chain: forged.rows[9].chain, seq: 5, hash: forged.rows[9].hash };
    forged.checkpoints.push(Checkpoint::sign(&key("0b"), head, 9, forged.checkpoints[3].digest()));
    assert!(one_finding(&forged, &[]).2.contains("not signed by a trusted key"));
    let mut removed = log();
    removed.checkpoints.remove(2);
    assert!(one_finding(&removed, &[]).2.contains("was removed or replaced"));
}

/// Rows that follow from the ones before, by somebody who can write and not sign.
fn append(log: &mut Log, number: usize, count: i64, at: i64) {
    let id = log.starts[number].id;
    let head = log.rows.iter().filter(|stored| stored.chain == id).max_by_key(|stored| stored.seq);
    let mut head = head.map_or(log.starts[number].head(), |last| Head { chain: id, seq: last.seq, hash: last.hash });
    for _ in 0..count {
        let next = head.after(&row("eve", at));
        let (previous, hash, seq) = (head.hash, next.hash, next.seq);
        log.rows.push(Stored { chain: id, seq, at, actor: "eve".to_owned(), previous, hash });
        head = next;
    }
    log.rows.sort_by_key(|stored| (stored.chain, stored.seq));
}

#[test]
fn rows_that_no_checkpoint_ever_followed_are_told() {
    let mut finished = log();
    append(&mut finished, 1, 3, 50);
    let report = verify(&finished, &[]);
    assert_eq!(report.findings, []);
    let warning = report.warnings.iter().find(|warning| warning.chain.as_u128() == 2).unwrap();
    assert_eq!(warning.seq, Some(5));
    assert!(warning.problem.contains("this row and 3 after it, and nothing does"), "{}", warning.problem);

    // A chain of somebody's own: with a name for its key, with a foreign key, with none.
    for (public_key, says) in [
        (Some(key("0a").public().0), "this row and 1 after it, and nothing does"),
        (Some(key("0b").public().0), "a key that is not among the trusted ones"),
        (None, "had no key, so no checkpoint holds its 2 rows"),
    ] {
        let mut invented = log();
        let start = ChainStart {
            id: Uuid::from_u128(3),
            host: Uuid::nil(),
            started_at: OffsetDateTime::UNIX_EPOCH,
            public_key,
            anchors: Vec::new(),
        };
        invented.starts.push(start);
        append(&mut invented, 2, 2, 50);
        let report = verify(&invented, &[]);
        assert_eq!(report.findings, []);
        let told = |warning: &Finding| warning.chain.as_u128() == 3 && warning.problem.contains(says);
        assert!(report.warnings.iter().any(told), "{says}: {:?}", report.warnings);
    }

    // What a host wrote a moment ago is signed soon.
    let mut fresh = log();
    append(&mut fresh, 1, 1, SIGNED_BEFORE);
    let overdue = verify(&fresh, &[]).warnings;
    assert!(overdue.iter().any(|warning| warning.problem.contains("this row and 0 after it")), "{overdue:?}");
}
