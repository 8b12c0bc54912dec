//! What can be typed of schedules, approvals, alerts, policies, evidence and the audit log.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use uuid::Uuid;

use crate::approval::{ApprovalId, ApprovalState};
use crate::audit::PublicKey;
use crate::db::alerts::AlertState;
use crate::journal::Severity;
use crate::schedule::{MissedPolicy, ScheduleState};
use crate::task::TaskId;

#[derive(Debug, Subcommand)]
pub(super) enum ApprovalCommand {
    /// List approvals, newest first; those that wait for a decision unless told otherwise.
    List(ApprovalListArguments),
    /// Show what would be done, as the host sees it, and what the role says about it.
    Show { id: ApprovalId },
    /// Approve exactly what was shown.
    Approve {
        id: ApprovalId,
        /// For the record.
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
    },
    /// Deny it: the task fails.
    Deny {
        id: ApprovalId,
        /// Why.
        #[arg(long, value_name = "TEXT")]
        note: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct ApprovalListArguments {
    /// Only those in this state; requested if unset.
    #[arg(long)]
    pub(super) state: Option<ApprovalState>,
    /// Those in any state.
    #[arg(long, conflicts_with = "state")]
    pub(super) all: bool,
    /// Only those of one task.
    #[arg(long, value_name = "ID")]
    pub(super) task: Option<TaskId>,
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=200), default_value_t = 50)]
    pub(super) limit: u32,
    /// Where the page before said that it goes on.
    #[arg(long)]
    pub(super) cursor: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum AlertCommand {
    /// List alerts, newest first.
    List {
        #[arg(long)]
        state: Option<AlertState>,
        #[arg(long)]
        severity: Option<Severity>,
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=200), default_value_t = 50)]
        limit: u32,
        /// Where the page before said that it goes on.
        #[arg(long)]
        cursor: Option<String>,
    },
    /// Send a test notification to the webhook (JUGGERNAUT_ALERT_WEBHOOK_URL) from here, and print the answer.
    Test,
    /// Say that you look after an alert.
    Ack { id: Uuid },
    /// Say that an alert is done with; if the same happens again, that is a new alert.
    Resolve { id: Uuid },
}

#[derive(Debug, Subcommand)]
pub(super) enum ScheduleCommand {
    /// Create a schedule; its tasks are created in your name.
    Create {
        /// Lower-case letters, digits, '.', '_' or '-'.
        #[arg(long)]
        name: String,
        /// Five fields, in UTC: minute, hour, day of the month, month, day of the week.
        #[arg(long, value_name = "EXPRESSION")]
        cron: String,
        /// The task as JSON, from a file or - for stdin; as for `task create --file`.
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
        /// What is done about firings that no host was there for; once if unset.
        #[arg(long)]
        missed: Option<MissedPolicy>,
        /// Fire even while the task before has not ended.
        #[arg(long)]
        overlap: bool,
    },
    /// List schedules, newest first.
    List {
        #[arg(long)]
        state: Option<ScheduleState>,
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=200), default_value_t = 50)]
        limit: u32,
        /// Where the page before said that it goes on.
        #[arg(long)]
        cursor: Option<String>,
    },
    /// Show a schedule with its task.
    Show {
        #[arg(value_name = "NAME|ID")]
        schedule: String,
    },
    /// Keep a schedule from firing until it is resumed.
    Pause {
        #[arg(value_name = "NAME|ID")]
        schedule: String,
    },
    /// Have a paused schedule fire again, from the next time on.
    Resume {
        #[arg(value_name = "NAME|ID")]
        schedule: String,
    },
    /// Remove a schedule; its tasks stay.
    Delete {
        #[arg(value_name = "NAME|ID")]
        schedule: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum PolicyCommand {
    /// Validate the policies, and list them.
    Check {
        /// Folder of policies of your own; JUGGERNAUT_POLICIES if unset, or else the shipped ones alone.
        #[arg(value_name = "DIR")]
        folder: Option<PathBuf>,
    },
    /// Say what would be decided on one call of a role, and by which policies.
    Explain(ExplainArguments),
    /// Decide a table of cases; the exit status is 1 if one is decided otherwise than it expects.
    Test {
        /// Folder with cases: *.toml.
        #[arg(value_name = "DIR")]
        cases: PathBuf,
        /// Folder of policies of your own; JUGGERNAUT_POLICIES if unset, or else the shipped ones alone.
        #[arg(long, value_name = "DIR")]
        policies: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub(super) struct ExplainArguments {
    /// Folder of the role, with its capabilities.toml.
    #[arg(long, value_name = "DIR")]
    pub(super) role: PathBuf,
    /// The call: a name, for example github-read.get-file, or JSON with call, arguments and facts.
    #[arg(long, value_name = "NAME|JSON")]
    pub(super) call: String,
    /// The task, as JSON, from a file or - for stdin.
    #[arg(long, value_name = "FILE")]
    pub(super) task: PathBuf,
    /// Folder of policies of your own; JUGGERNAUT_POLICIES if unset, or else the shipped ones alone.
    #[arg(long, value_name = "DIR")]
    pub(super) policies: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(super) enum EvidenceCommand {
    /// Ask the world again. The exit status is 0 only if the evidence of each task was seen to hold.
    Verify {
        /// Tasks completed within this time: a number and d, h or m.
        #[arg(long, value_name = "TIME", default_value = "7d", value_parser = span)]
        since: time::Duration,
        /// This task alone, whenever it was completed.
        #[arg(long, value_name = "ID", conflicts_with = "since")]
        task: Option<TaskId>,
    },
}

/// Days, hours or minutes, at most a hundred years.
fn span(text: &str) -> Result<time::Duration, String> {
    const DAYS_MAX: i64 = 36_500;
    let usage = || "it is not a number and d, h or m, for example 7d".to_owned();
    let unit = text.chars().next_back().ok_or_else(usage)?;
    let minutes = match unit {
        'd' => 24 * 60,
        'h' => 60,
        'm' => 1,
        _ => return Err(usage()),
    };
    let count: u32 = text[..text.len() - unit.len_utf8()].parse().map_err(|_| usage())?;
    let span = time::Duration::minutes(i64::from(count) * minutes);
    if count == 0 || span.whole_days() > DAYS_MAX {
        Err(format!("it is not within 1m and {DAYS_MAX}d"))
    } else {
        Ok(span)
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// Verify every chain; the exit status is 0 only if nothing was changed.
    Verify(VerifyArguments),
    /// Print the log as JSON lines: chains, rows and checkpoints.
    Export {
        /// Only rows since a time, for example 2026-11-22T00:00:00Z, or so long ago, for example 7d, 12h or 30m.
        #[arg(long, value_name = "DURATION|TIME")]
        since: Option<String>,
        /// Only this chain.
        #[arg(long, value_name = "ID")]
        chain: Option<Uuid>,
    },
    /// Make a key for JUGGERNAUT_AUDIT_KEY; prints it and its public part, and stores nothing.
    Keygen,
}

#[derive(Debug, Args)]
pub(super) struct VerifyArguments {
    /// A file with checkpoints that were kept outside the database: lines of the host's log, or an export; can be given
    /// more than once.
    #[arg(long = "checkpoints", value_name = "FILE")]
    pub(super) checkpoints: Vec<PathBuf>,
    /// A key that may have signed, in hexadecimal; can be given more than once. The one of JUGGERNAUT_AUDIT_KEY if unset.
    #[arg(long = "public-key", value_name = "HEX")]
    pub(super) public_keys: Vec<PublicKey>,
    /// Fail too where a task's status is not the one that was last recorded.
    #[arg(long)]
    pub(super) tasks: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_a_unit() {
        assert_eq!(span("7d"), Ok(time::Duration::days(7)));
        assert_eq!(span("90m"), Ok(time::Duration::minutes(90)));
        for wrong in ["", "7", "d", "-1d", "0h", "7w", "7ö", "4294967295d", "1.5h"] {
            assert!(span(wrong).is_err(), "{wrong}");
        }
    }
}
