//! `recommendations`.
//!
//! Invariant: what a recommendation says is told apart from every other by the digest of its changes, which are stored as
//! they were judged: a task to be made with its id, its draft and how the host treats it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::words::{self, storable};
use crate::task::{Priority, Risk, TaskDraft, TaskId, Treatment};

/// Changes of one recommendation.
pub const RECOMMENDED_MAX: usize = 50;
/// All of them as JSON: an approver is shown the whole.
const CHANGES_BYTES_MAX: usize = 256 * 1024;
/// Of the changes, before a number in them is given up.
const READINGS_MAX: usize = 8;
const TITLE_CHARS_MAX: usize = 200;
const RATIONALE_BYTES_MAX: usize = 16 * 1024;
const REASON_BYTES_MAX: usize = 1024;
const WORKER_BYTES_MAX: usize = 128;

/// One thing that should be changed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Recommended {
    SetPriority { task: TaskId, priority: Priority },
    Assign { task: TaskId, worker: Option<String> },
    Cancel { task: TaskId, reason: String },
    Create(Box<RecommendedTask>),
}

/// A task to be made, as policy judged it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecommendedTask {
    /// The id that it will have: it is made once at most.
    pub id: TaskId,
    /// As the call names it.
    pub key: String,
    pub draft: TaskDraft,
    pub treatment: Treatment,
}

impl Recommended {
    /// The task that it changes.
    pub fn changes(&self) -> Option<TaskId> {
        match self {
            Self::SetPriority { task, .. } | Self::Assign { task, .. } | Self::Cancel { task, .. } => Some(*task),
            Self::Create(_) => None,
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::SetPriority { .. } => "its priority",
            Self::Assign { .. } => "whom it is meant for",
            Self::Cancel { .. } => "its end",
            Self::Create(_) => "its creation",
        }
    }

    /// How much a person has to look at it.
    fn risk(&self) -> Risk {
        match self {
            Self::SetPriority { .. } | Self::Assign { .. } => Risk::Medium,
            Self::Cancel { .. } => Risk::High,
            Self::Create(task) => task.treatment.risk.max(Risk::Medium),
        }
    }
}

/// What a role recommends, on its way into the table.
#[derive(Clone, Debug)]
pub struct RecommendationDraft {
    pub title: String,
    pub rationale: String,
    /// Not empty; none contradicts another.
    pub changes: Vec<Recommended>,
}

impl RecommendationDraft {
    pub fn new(title: &str, rationale: &str, changes: Vec<Recommended>) -> Result<Self, String> {
        words::chars("title", title, 1..=TITLE_CHARS_MAX)?;
        // As they are stored: the symbol for U+0000 is longer than it.
        let (title, rationale) = (storable(title), storable(rationale));
        words::bytes("rationale", &rationale, 0..=RATIONALE_BYTES_MAX)?;
        words::within("changes", changes.len(), 1..=RECOMMENDED_MAX, "entries")?;
        let changes: Vec<Recommended> = changes.into_iter().map(checked).collect::<Result<_, _>>()?;
        agree(&changes)?;
        let changes = settled(changes)?;
        let draft = Self { title, rationale, changes };
        words::within("changes", draft.changes_json().to_string().len(), 0..=CHANGES_BYTES_MAX, "bytes of JSON")?;
        Ok(draft)
    }

    /// The changes as they are stored, and bound by the approval.
    pub fn changes_json(&self) -> Value {
        json!(self.changes)
    }

    /// At least medium; high where a task ends by it.
    pub fn risk(&self) -> Risk {
        self.changes.iter().map(Recommended::risk).max().unwrap_or(Risk::Medium)
    }
}

/// Reads what would be stored until it reads as it is written: not every number with many digits does at once, and the
/// digest is made again of what is read.
fn settled(mut changes: Vec<Recommended>) -> Result<Vec<Recommended>, String> {
    for _ in 0..READINGS_MAX {
        let text = json!(changes).to_string();
        changes = serde_json::from_str(&text).map_err(|error| format!("changes can not be stored: {error}"))?;
        let again = json!(changes).to_string();
        if again == text {
            return Ok(changes);
        }
    }
    Err("changes hold a number that can not be stored exactly; write it as a string".to_owned())
}

/// Of changes as they are stored.
pub fn changes_sha256(changes: &Value) -> [u8; 32] {
    Sha256::digest(changes.to_string().as_bytes()).into()
}

fn checked(change: Recommended) -> Result<Recommended, String> {
    match change {
        Recommended::Assign { task, worker: Some(worker) } => {
            words::bytes("a worker's type or id", &worker, 1..=WORKER_BYTES_MAX)?;
            if worker.chars().any(char::is_control) {
                return Err("a worker's type or id has no control characters".to_owned());
            }
            Ok(Recommended::Assign { task, worker: Some(worker) })
        }
        Recommended::Cancel { task, reason } => {
            words::bytes("a reason to cancel", &reason, 1..=REASON_BYTES_MAX)?;
            Ok(Recommended::Cancel { task, reason: storable(&reason) })
        }
        change @ (Recommended::SetPriority { .. } | Recommended::Assign { .. } | Recommended::Create(_)) => Ok(change),
    }
}

/// No task is changed twice in the same way, or changed and ended, or waited for and ended.
fn agree(changes: &[Recommended]) -> Result<(), String> {
    let cancelled: BTreeSet<TaskId> = changes
        .iter()
        .filter_map(|change| match change {
            Recommended::Cancel { task, .. } => Some(*task),
            Recommended::SetPriority { .. } | Recommended::Assign { .. } | Recommended::Create(_) => None,
        })
        .collect();
    let mut seen: BTreeMap<TaskId, BTreeSet<&str>> = BTreeMap::new();
    for change in changes {
        if let Recommended::Create(task) = change
            && let Some(ended) = task.draft.depends_on.iter().find(|id| cancelled.contains(id))
        {
            return Err(format!("task {:?} depends on {ended}, which the same recommendation cancels", task.key));
        }
        let Some(task) = change.changes() else { continue };
        if !seen.entry(task).or_default().insert(change.kind()) {
            return Err(format!("task {task}: {} is changed twice; recommend one change", change.kind()));
        }
    }
    match seen.iter().find(|(task, kinds)| cancelled.contains(task) && kinds.len() > 1) {
        Some((task, _)) => Err(format!("task {task} is cancelled and changed; recommend one of the two")),
        None => Ok(()),
    }
}

/// A recommendation that a run files, and what its approval binds.
#[derive(Clone, Debug)]
pub struct Filing {
    pub draft: RecommendationDraft,
    /// What one attempt may file.
    pub recommendations_max: u32,
    /// What ran: digests of component, manifest and policies.
    pub component: [u8; 32],
    pub manifest: [u8; 32],
    pub policy: [u8; 32],
}

/// A change of recommendations.
#[derive(Clone, Debug)]
pub enum RecommendationChange {
    /// Files it, and asks for the approval; its id.
    File(Box<Filing>),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(number: u128) -> TaskId {
        TaskId(uuid::Uuid::from_u128(number))
    }

    fn cancel(number: u128) -> Recommended {
        Recommended::Cancel { task: task(number), reason: "old".to_owned() }
    }

    fn raise(number: u128) -> Recommended {
        Recommended::SetPriority { task: task(number), priority: Priority::High }
    }

    fn create(depends_on: TaskId, risk: Risk) -> Recommended {
        let draft =
            json!({ "title": "New", "task_type": "analysis", "payload": { "x": 1.5 }, "depends_on": [depends_on] });
        let treatment = Treatment { risk, risk_reasons: vec![], start_reason: None, policies: vec![] };
        let draft = serde_json::from_value(draft).unwrap();
        Recommended::Create(Box::new(RecommendedTask { id: task(99), key: "new".to_owned(), draft, treatment }))
    }

    fn draft(changes: Vec<Recommended>) -> Result<RecommendationDraft, String> {
        RecommendationDraft::new("Title", "Because", changes)
    }

    #[test]
    fn changes_that_contradict_each_other_are_refused() {
        let assign = || Recommended::Assign { task: task(1), worker: None };
        assert!(draft(vec![raise(1), assign(), raise(2), cancel(3), create(task(1), Risk::Low)]).is_ok());
        for (changes, why) in [
            (vec![], "changes has 0 entries"),
            (vec![raise(1); 51], "changes has 51 entries"),
            (vec![raise(1), raise(1)], "changed twice"),
            (vec![raise(1), cancel(1)], "cancelled and changed"),
            (vec![cancel(1), assign()], "cancelled and changed"),
            (vec![cancel(1), create(task(1), Risk::Low)], "which the same recommendation cancels"),
            (vec![Recommended::Cancel { task: task(1), reason: String::new() }], "a reason to cancel"),
            (vec![Recommended::Assign { task: task(1), worker: Some("a\nb".to_owned()) }], "control characters"),
        ] {
            let refused = draft(changes).unwrap_err();
            assert!(refused.contains(why), "{why}: {refused}");
        }
    }

    #[test]
    fn texts_keep_within_what_the_tables_take() {
        let of = |title: &str, rationale: &str| RecommendationDraft::new(title, rationale, vec![raise(1)]);
        let stored = of("a\0b", "c\0").unwrap();
        assert_eq!((stored.title.as_str(), stored.rationale.as_str()), ("a␀b", "c␀"));
        assert!(of("", "").is_err() && of(&"t".repeat(201), "").is_err());
        assert!(of("t", &"r".repeat(RATIONALE_BYTES_MAX)).is_ok());
        assert!(of("t", &"\0".repeat(RATIONALE_BYTES_MAX)).is_err(), "as it is stored it is too long");
    }

    #[test]
    fn who_ends_a_task_or_makes_a_risky_one_is_looked_at_more() {
        assert_eq!(draft(vec![raise(1)]).unwrap().risk(), Risk::Medium);
        assert_eq!(draft(vec![create(task(1), Risk::Low)]).unwrap().risk(), Risk::Medium);
        assert_eq!(draft(vec![raise(1), cancel(2)]).unwrap().risk(), Risk::High);
        assert_eq!(draft(vec![create(task(1), Risk::Critical)]).unwrap().risk(), Risk::Critical);
    }

    #[test]
    fn what_is_stored_is_read_back_with_the_same_digest() {
        let changes = draft(vec![raise(1), cancel(2), create(task(3), Risk::High)]).unwrap().changes_json();
        let text = changes.to_string();
        let again: Vec<Recommended> = serde_json::from_str(&text).unwrap();
        assert_eq!(changes_sha256(&json!(again)), changes_sha256(&changes));
        let other = draft(vec![raise(1), cancel(2)]).unwrap().changes_json();
        assert_ne!(changes_sha256(&other), changes_sha256(&changes));
    }
}
