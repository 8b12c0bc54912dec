//! `audit verify | export | keygen`, in the database itself: whoever doubts a host does not ask it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use secrecy::ExposeSecret as _;
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use super::args::{AuditCommand, VerifyArguments};
use super::database::connect;
use super::output::{Output, note, time, visible};
use crate::app::new_audit_seed;
use crate::audit::{ChainStart, Checkpoint, Finding, PublicKey, Report, SigningKey, micros};
use crate::config::{self, AuditKey, CheckpointSchedule, Env};
use crate::db::Db;
use crate::db::audit_read::{ExportedRow, UnauditedChange};

/// Findings that are printed; the first is what matters.
const FINDINGS_SHOWN_MAX: usize = 50;
/// Largest file of checkpoints; it is read whole.
const FILE_BYTES_MAX: u64 = 1 << 30;

pub(super) async fn audit(command: AuditCommand, output: Output) -> anyhow::Result<ExitCode> {
    match command {
        AuditCommand::Verify(arguments) => verify(arguments, output).await,
        AuditCommand::Export { since, chain } => {
            let since = since.as_deref().map(|text| parse_since(text, OffsetDateTime::now_utc())).transpose()?;
            export(&connect().await?, since, chain, output).await
        }
        AuditCommand::Keygen => keygen(output),
    }
}

fn keygen(output: Output) -> anyhow::Result<ExitCode> {
    let seed = new_audit_seed()?;
    let public = SigningKey::from_seed(&seed)?.public();
    if output.json {
        let keys = json!({ "key": seed.expose_secret(), "public_key": public.to_string() });
        output.line(&keys.to_string())?;
    } else {
        note("the key, for JUGGERNAUT_AUDIT_KEY; keep it where the database's owner does not reach:");
        output.line(seed.expose_secret())?;
        note("the public key, for `juggernaut audit verify --public-key`; give it to whoever verifies:");
        output.line(&public.to_string())?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn verify(arguments: VerifyArguments, output: Output) -> anyhow::Result<ExitCode> {
    let VerifyArguments { checkpoints: files, public_keys, tasks } = arguments;
    let trusted = trusted_keys(public_keys)?;
    let outside = read_checkpoints(&files)?;
    let db = connect().await?;
    if trusted.is_none() {
        note(
            "warning: neither --public-key nor JUGGERNAUT_AUDIT_KEY is set; the keys are those that the database names, \
             and whoever can rewrite the log can rewrite them too",
        );
    }
    let report = db.verify_audit(trusted, outside, unsigned_max()?).await?;
    let changes = db.unaudited_changes().await?;
    let passed = report.findings.is_empty() && (changes.is_empty() || !tasks);
    if output.json {
        output.line(&json!({ "verified": passed, "report": report, "changed_outside": changes }).to_string())?;
    } else {
        print_report(&report, output)?;
        changes.iter().for_each(print_change);
    }
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A host that works has signed what is older than two of its intervals.
fn unsigned_max() -> anyhow::Result<Duration> {
    Ok(CheckpointSchedule::from_env(Env(&config::process))?.every * 2)
}

fn place(finding: &Finding) -> String {
    let Finding { chain, seq, at, problem: _ } = finding;
    let row = seq.map_or_else(String::new, |seq| format!(" row {seq}"));
    let at = at.and_then(from_micros).map_or_else(String::new, |at| format!(" ({})", time(at)));
    format!("chain {chain}{row}{at}")
}

fn print_report(report: &Report, output: Output) -> anyhow::Result<()> {
    let Report { rows, chains, checkpoints, chains_unsigned, findings, warnings } = report;
    for warning in warnings.iter().take(FINDINGS_SHOWN_MAX) {
        note(&format!("warning: {}: {}", place(warning), warning.problem));
    }
    if let Some(more) = warnings.len().checked_sub(FINDINGS_SHOWN_MAX).filter(|more| *more > 0) {
        note(&format!("warning: and {more} more; --json has all"));
    }
    if findings.is_empty() {
        output.line(&format!("audit log: {rows} rows in {chains} chains verified, {checkpoints} checkpoints"))?;
        if *chains_unsigned > 0 {
            note(&format!(
                "{chains_unsigned} chains have no checkpoint; only the chains that began after them hold them"
            ));
        }
        return Ok(());
    }
    output.line(&format!("audit log: TAMPERED WITH; {} chains are not as they were written", findings.len()))?;
    for finding in findings.iter().take(FINDINGS_SHOWN_MAX) {
        output.line(&format!("{}: {}", place(finding), finding.problem))?;
    }
    Ok(())
}

fn print_change(change: &UnauditedChange) {
    let UnauditedChange { task, status, recorded, recorded_at } = change;
    note(&format!(
        "task {task} is {status}; the audit log last saw {} at {}: it was changed outside the host",
        visible(recorded),
        time(*recorded_at)
    ));
}

/// None: neither given nor configured.
fn trusted_keys(given: Vec<PublicKey>) -> anyhow::Result<Option<Vec<PublicKey>>> {
    if !given.is_empty() {
        return Ok(Some(given));
    }
    match AuditKey::if_set(Env(&config::process))? {
        Some(AuditKey::Seed(seed)) => Ok(Some(vec![SigningKey::from_seed(&seed)?.public()])),
        Some(AuditKey::Ephemeral) | None => Ok(None),
    }
}

fn read_checkpoints(files: &[PathBuf]) -> anyhow::Result<Vec<Checkpoint>> {
    let mut all = Vec::new();
    for file in files {
        let found = read_file(file).with_context(|| format!("{} can not be read", file.display()))?;
        anyhow::ensure!(!found.is_empty(), "{} holds no checkpoint; give lines of the host's log", file.display());
        all.extend(found);
    }
    Ok(all)
}

fn read_file(file: &Path) -> anyhow::Result<Vec<Checkpoint>> {
    let bytes = std::fs::metadata(file)?.len();
    anyhow::ensure!(
        bytes <= FILE_BYTES_MAX,
        "it has more than {FILE_BYTES_MAX} bytes; give the checkpoints' lines alone"
    );
    let text = String::from_utf8_lossy(&std::fs::read(file)?).into_owned();
    let damaged = |text: String| anyhow::anyhow!("this is no whole checkpoint: {}", visible(&text));
    Checkpoint::find_all(&text).into_iter().map(|found| found.map_err(damaged)).collect()
}

async fn export(
    db: &Db,
    since: Option<OffsetDateTime>,
    only: Option<Uuid>,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let wanted = |chain: Uuid| only.is_none_or(|only| only == chain);
    for chain in db.audit_chains().await?.iter().filter(|chain| wanted(chain.id)) {
        output.line(&chain_line(chain)?)?;
    }
    let since = since.unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let mut after = (Uuid::nil(), 0);
    loop {
        let rows = db.export_audit(only, since, after).await?;
        let Some(last) = rows.last() else { break };
        after = (last.chain, last.seq);
        for row in &rows {
            output.line(&row_line(row)?)?;
        }
    }
    for checkpoint in db.audit_checkpoints().await?.iter().filter(|checkpoint| wanted(checkpoint.chain)) {
        if checkpoint.at < micros(since) {
            continue;
        }
        let Checkpoint { chain, seq, .. } = checkpoint;
        let text = checkpoint.to_string();
        output.line(&json!({ "type": "checkpoint", "chain": chain, "seq": seq, "checkpoint": text }).to_string())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn chain_line(start: &ChainStart) -> anyhow::Result<String> {
    let ChainStart { id, host, started_at, public_key, anchors } = start;
    let anchors: Vec<_> = anchors
        .iter()
        .map(|anchor| json!({ "chain": anchor.chain, "seq": anchor.seq, "hash": hex::encode(anchor.hash) }))
        .collect();
    Ok(json!({
        "type": "chain", "chain": id, "host": host, "started_at": started_at.format(&Rfc3339)?,
        "public_key": public_key.map(hex::encode), "anchors": anchors,
    })
    .to_string())
}

/// `details` is the text that was hashed, as a string.
fn row_line(row: &ExportedRow) -> anyhow::Result<String> {
    let ExportedRow { chain, seq, at, kind, actor, task_id, details, prev_hash, hash } = row;
    Ok(json!({
        "type": "row", "chain": chain, "seq": seq, "at": at.format(&Rfc3339)?, "kind": kind, "actor": actor,
        "task_id": task_id, "details": details, "prev_hash": hex::encode(prev_hash), "hash": hex::encode(hash),
    })
    .to_string())
}

fn from_micros(at: i64) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(at) * 1000).ok()
}

fn parse_since(text: &str, now: OffsetDateTime) -> anyhow::Result<OffsetDateTime> {
    if let Ok(at) = OffsetDateTime::parse(text, &Rfc3339) {
        return Ok(at);
    }
    let seconds_of = |unit: char| match unit {
        'd' => Some(86_400),
        'h' => Some(3_600),
        'm' => Some(60),
        's' => Some(1),
        _ => None,
    };
    let span = text.char_indices().next_back().and_then(|(at, unit)| {
        let count: i64 = text[..at].parse().ok()?;
        now.checked_sub(time::Duration::seconds(u32::try_from(count).ok()?.into()).checked_mul(seconds_of(unit)?)?)
    });
    span.with_context(|| {
        format!("--since {text:?} is neither a time like 2026-11-22T00:00:00Z nor a span like 7d, 12h or 30m")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_a_time_or_a_span() {
        let now = time::macros::datetime!(2026-11-22 12:00 UTC);
        let since = |text| parse_since(text, now).ok();
        assert_eq!(since("7d"), Some(time::macros::datetime!(2026-11-15 12:00 UTC)));
        assert_eq!(since("90m"), Some(time::macros::datetime!(2026-11-22 10:30 UTC)));
        assert_eq!(since("2026-11-01T00:00:00Z"), Some(time::macros::datetime!(2026-11-01 0:00 UTC)));
        for wrong in ["", "7", "d", "-7d", "7w", "7é", "4294967295d", "99999999999999999999d"] {
            assert_eq!(since(wrong), None, "{wrong}");
        }
    }
}
