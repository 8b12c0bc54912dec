//! What leaves a run is searched for secrets: arguments of host calls before anything is recorded or sent, and the words
//! that a run ends with. `log` does the same for what a guest says.
//!
//! Invariant: a refused call is journalled with its secrets blacked out, so neither its arguments nor its digest tell
//! them. The same call is blacked out in the same way when the run is made again, so the journal still fits it.

use serde_json::{Value, json};

use super::calls::GuestError;
use super::run::{RunEnd, RunError};
use super::state::RunState;
use crate::journal::{Alert, Call, Severity};
use crate::secrets::{Hit, Owner, Scanner};
use crate::task::TaskId;

/// Longest account of a crash, in characters.
const CRASH_CHARS_MAX: usize = 1000;

/// A call that would have sent a secret out.
#[derive(Debug)]
pub(super) struct Leak {
    pub(super) error: GuestError,
    pub(super) alert: Alert,
}

fn severity(hit: Hit<'_>) -> Severity {
    match hit.owner {
        Owner::Host => Severity::Critical,
        Owner::Unknown => Severity::Warning,
    }
}

fn shown(hit: Hit<'_>) -> String {
    match hit.owner {
        Owner::Host => format!("{}, a secret of this host", hit.what),
        Owner::Unknown => format!("what looks like a {}", hit.what),
    }
}

/// One for each task, kind and secret, however often it is tried.
pub(super) fn alert(task: TaskId, kind: &'static str, hit: Hit<'_>, place: &str) -> Alert {
    Alert {
        severity: severity(hit),
        kind,
        fingerprint: format!("{kind}/{}/{task}", hit.what),
        title: match kind {
            "secret-in-arguments" => format!("A call was refused: its arguments hold {}", shown(hit)),
            _ => format!("A run told {}; it was blacked out", shown(hit)),
        },
        details: json!({ "secret": hit.what, "place": place }),
        occurrences: 1,
    }
}

impl RunState {
    /// The call as it may be journalled, and whether it may be made. `content` is what goes out besides the arguments.
    pub(super) fn screen(&self, call: Call, content: &[u8]) -> (Call, Option<Box<Leak>>) {
        let scanner = &self.services.secrets;
        let in_content = scanner.scan(content);
        let Some(hit) = in_content.or_else(|| scanner.scan_json(&call.arguments)) else {
            return (call, None);
        };
        let place = format!("{}.{}", call.interface, call.function);
        let error = GuestError::Denied(format!(
            "secret-in-arguments: {place} would send out {}; leave it out of the call",
            shown(hit)
        ));
        let alert = alert(self.task.id, "secret-in-arguments", hit, &place);
        let mut arguments = blacked_out(scanner, &call.arguments, hit);
        // Not even its digest: a short secret could be guessed from it.
        if in_content.is_some()
            && let Some(value) = arguments.get_mut("content")
        {
            *value = json!({ "bytes": content.len(), "redacted": hit.what });
        }
        (Call { arguments, ..call }, Some(Box::new(Leak { error, alert })))
    }

    /// What a run ends with, without secrets.
    pub(super) fn cleaned(&self, ended: Result<RunEnd, RunError>) -> Result<RunEnd, RunError> {
        let clean = |text: String| self.clean("error", &text);
        ended.map_err(|error| match error {
            RunError::Trapped(text) => RunError::Trapped(clean(text).chars().take(CRASH_CHARS_MAX).collect()),
            RunError::Host(text) => RunError::Host(clean(text)),
            RunError::Unreconciled { step, cause } => RunError::Unreconciled { step, cause: clean(cause) },
            RunError::Diverged(mut diverged) => {
                diverged.recorded = clean(diverged.recorded);
                diverged.made = clean(diverged.made);
                RunError::Diverged(diverged)
            }
            RunError::BeyondJournal { position, call } => RunError::BeyondJournal { position, call: clean(call) },
            other @ (RunError::Suspended { .. }
            | RunError::WaitingGoal { .. }
            | RunError::WaitingApproval { .. }
            | RunError::LeaseLost
            | RunError::OutOfTime { .. }
            | RunError::OutOfMemory { .. }
            | RunError::OutOfHostCalls { .. }
            | RunError::OutOfJournal { .. }
            | RunError::OutOfLog { .. }) => other,
        })
    }

    /// A text of the guest that will be kept, without secrets; `place` says in the alert where it stood.
    pub(super) fn clean(&self, place: &str, text: &str) -> String {
        let scanner = &self.services.secrets;
        let Some(hit) = scanner.scan(text.as_bytes()) else {
            return text.to_owned();
        };
        super::log::lock(&self.log).alert(alert(self.task.id, "secret-in-outcome", hit, place));
        scanner.redact(text).into_owned()
    }
}

/// A secret that lies across several values is not in any of them: then nothing of them is kept.
fn blacked_out(scanner: &Scanner, arguments: &Value, hit: Hit<'_>) -> Value {
    let redacted = scanner.redact_json(arguments);
    if scanner.scan_json(&redacted).is_some() { json!({ "redacted": hit.what }) } else { redacted }
}
