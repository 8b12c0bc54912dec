//! `juggernaut replay`: runs a component against the journal of an attempt, and says whether it takes the same path.
//!
//! Invariant: nothing is done and nothing is written. The run ends before the first call that the journal does not
//! answer ([`RunMode::Replay`]), and it has no client of the outside.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use tokio::sync::{mpsc, watch};

use super::{offline, policies, roles};
use crate::db::Db;
use crate::db::replay::{RecordedAttempt, RecordedEnd};
use crate::manifest::{self, Manifest};
use crate::policy::Authority;
use crate::sandbox::{LoadedRole, RoleFiles, RunEnd, RunError, RunInput, RunMode, Sandbox, SandboxConfig};
use crate::task::{Attempt, TaskId};

/// Messages from the run that may wait.
const MESSAGES_MAX: usize = 64;
/// Nothing of a replay acts; a run wants to know until when it might.
const FOREVER: Duration = Duration::from_hours(24 * 365);

/// What to replay, and with what.
#[derive(Debug)]
pub struct Replay<'a> {
    pub task: TaskId,
    /// None: the newest.
    pub attempt: Option<Attempt>,
    pub roles_dir: &'a Path,
    /// Instead of the component that the attempt began with.
    pub component: Option<PathBuf>,
    /// Instead of the manifest beside the component.
    pub manifest: Option<PathBuf>,
    pub policies_dir: Option<&'a Path>,
}

/// Which way it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every recorded call was made, and the end is the recorded one.
    SamePath,
    /// The same as far as the journal goes; the attempt has not ended.
    WouldGoOn,
    Diverged,
}

/// What came of it.
#[derive(Debug, Clone, Serialize)]
pub struct Replayed {
    pub task: TaskId,
    pub attempt: Attempt,
    pub role: String,
    pub component_sha256: String,
    /// Whether it is the component that the attempt began with.
    pub same_component: bool,
    pub recorded_calls: usize,
    pub verdict: Verdict,
    /// In one sentence.
    pub what: String,
    /// What the role said on the way.
    pub log: Vec<String>,
}

/// Runs the component once, against the journal alone.
pub async fn replay(db: &Db, wanted: &Replay<'_>) -> Result<Replayed> {
    let recorded = db.recorded_attempt(wanted.task, wanted.attempt).await?.with_context(|| match wanted.attempt {
        Some(attempt) => format!("task {} has no attempt {} that began", wanted.task, attempt.number()),
        None => format!("task {} does not exist, or no attempt of it has begun", wanted.task),
    })?;
    let steps = db.load_steps(wanted.task, recorded.task.attempt).await?;
    let files = files(wanted, &recorded)?;
    let component_sha256 = files.component_sha256;
    let sandbox = Sandbox::new(&SandboxConfig { cache_dir: None, guests_max: 1, threads: 1 })?;
    let role = Arc::new(LoadedRole::load(&sandbox, files)?);
    let policies = Arc::new(policies::validated(wanted.policies_dir)?);
    let authority = Arc::new(Authority::new(policies, Arc::clone(&role.manifest))?);
    let services = offline::services("juggernaut-replay")?;
    let (sender, messages) = mpsc::channel(MESSAGES_MAX);
    let (_until, act_until) = watch::channel(Instant::now() + FOREVER);
    let recorded_calls = steps.len();
    let input = RunInput {
        task: Arc::new(recorded.task.clone()),
        authority,
        steps,
        log_lines: 0,
        started_at: recorded.started_at,
        own_commits: Vec::new(),
        recorder: sender,
        act_until,
        mode: RunMode::Replay,
    };
    let (end, log) = tokio::join!(sandbox.run(&role, &services, input), offline::listen(messages));
    let (verdict, what) = compare(&recorded, end);
    Ok(Replayed {
        task: wanted.task,
        attempt: recorded.task.attempt,
        role: recorded.role,
        component_sha256: hex::encode(component_sha256),
        same_component: component_sha256 == recorded.component_sha256,
        recorded_calls,
        verdict,
        what,
        log,
    })
}

/// The component that the attempt began with, or the one that was asked for.
fn files(wanted: &Replay<'_>, recorded: &RecordedAttempt) -> Result<RoleFiles> {
    if let Some(component) = &wanted.component {
        let beside = component.with_file_name(manifest::FILE_NAME);
        let manifest = match &wanted.manifest {
            Some(manifest) => Manifest::read(manifest)?,
            None if beside.is_file() => Manifest::read(&beside)?,
            None => of_role(wanted.roles_dir, &recorded.role)?,
        };
        return Ok(RoleFiles::of(manifest, component.clone())?);
    }
    let files = RoleFiles::beside(of_role(wanted.roles_dir, &recorded.role)?)?;
    if files.component_sha256 != recorded.component_sha256 {
        bail!(
            "the attempt began with component {}, and {} holds {}; name the old one, or a new one to compare, with --component",
            hex::encode(recorded.component_sha256),
            wanted.roles_dir.display(),
            hex::encode(files.component_sha256)
        );
    }
    Ok(files)
}

fn of_role(folder: &Path, role: &str) -> Result<Manifest> {
    let mut manifests = roles::manifests(folder)?;
    manifests.remove(role).with_context(|| {
        format!("{} holds no role `{role}`; name the folder with --roles, or a file with --component", folder.display())
    })
}

fn compare(recorded: &RecordedAttempt, end: Result<RunEnd, RunError>) -> (Verdict, String) {
    let ended = recorded.end.as_ref();
    match end {
        Err(RunError::Diverged(diverged)) => (
            Verdict::Diverged,
            format!("step {} was {} and is {} now", diverged.position, diverged.recorded, diverged.made),
        ),
        Err(RunError::BeyondJournal { position, call }) => match ended {
            Some(end) if by_the_role(end) => (
                Verdict::Diverged,
                format!("it makes a further call, step {position}, {call}, where the attempt ended ({})", end.cause),
            ),
            // Stopped from outside, perhaps within this very call.
            Some(end) => (
                Verdict::SamePath,
                format!("it comes to step {position}, {call}, where the attempt was ended ({})", end.cause),
            ),
            None => (Verdict::WouldGoOn, format!("it would go on with step {position}, {call}")),
        },
        Ok(RunEnd::Completed(_)) => of_end(ended, &CLAIMED, "it claims to have completed"),
        Ok(RunEnd::Failed(failure)) => match ended {
            Some(end) if end.cause == "RoleFailed" && end.reason != failure.reason => (
                Verdict::Diverged,
                format!("it fails because {:?}, and failed because {:?}", failure.reason, end.reason),
            ),
            _ => of_end(ended, &["RoleFailed"], &format!("it fails: {}", failure.reason)),
        },
        Err(error) => of_end(ended, &OTHER_CAUSES, &error.to_string()),
    }
}

/// Ends of runs that claimed to have completed, whatever others made of the claim.
const CLAIMED: [&str; 4] = ["Completed", "EvidenceRefused", "NeedsAcceptance", "Unverifiable"];
/// Ends that are no word of the role's, and that the same run comes to again.
const OTHER_CAUSES: [&str; 8] = [
    "Crashed",
    "OutOfTime",
    "OutOfMemory",
    "OutOfHostCalls",
    "OutOfJournal",
    "OutOfLog",
    "NotDeterministic",
    "HostFailed",
];

fn by_the_role(end: &RecordedEnd) -> bool {
    end.cause == "RoleFailed" || CLAIMED.contains(&end.cause.as_str())
}

/// Whether somebody else ended it: a person, the clock, a host that went away. Where the run would have gone from there is
/// not on record.
fn from_outside(end: &RecordedEnd) -> bool {
    !by_the_role(end) && !OTHER_CAUSES.contains(&end.cause.as_str())
}

fn of_end(ended: Option<&RecordedEnd>, causes: &[&str], what: &str) -> (Verdict, String) {
    match ended {
        Some(end) if causes.contains(&end.cause.as_str()) => {
            (Verdict::SamePath, format!("{what}, as the attempt did ({})", end.cause))
        }
        Some(end) if from_outside(end) => {
            (Verdict::SamePath, format!("{what}; the attempt was ended from outside before ({})", end.cause))
        }
        Some(end) => (Verdict::Diverged, format!("{what}; the attempt ended otherwise ({})", end.cause)),
        None => (Verdict::WouldGoOn, format!("{what}; the attempt has not ended yet")),
    }
}
