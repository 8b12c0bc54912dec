//! A recommendation as its approver sees it, made by the host from the changes themselves.
//!
//! Invariant: every line of a text that somebody else wrote has its bar, so that none passes for one of the host's.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;
use uuid::Uuid;

use crate::records::{RecommendationDraft, Recommended, RecommendedTask};
use crate::task::{Priority, TaskId, TaskStatus};
use crate::text::visible;

/// A task that is named, as it is now.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) title: String,
    pub(super) task_type: String,
    pub(super) status: TaskStatus,
    pub(super) priority: Priority,
    pub(super) worker: Option<String>,
}

pub(super) fn shown(id: Uuid, task: TaskId, draft: &RecommendationDraft, named: &BTreeMap<TaskId, Named>) -> String {
    let count = draft.changes.len();
    let mut text = format!(
        "Make {count} recommended changes, all or none\n\nrecommendation  {id}\nplanned by      task {task}\n\nTitle:\n"
    );
    quote(&mut text, &draft.title);
    for (number, change) in (1..).zip(&draft.changes) {
        write!(text, "\n{number}. ").unwrap_or_default();
        one(&mut text, change, named);
    }
    text
}

// Writing to a String can not fail.
fn one(text: &mut String, change: &Recommended, named: &BTreeMap<TaskId, Named>) {
    match change {
        Recommended::SetPriority { task, priority } => {
            let from = named.get(task).map(|named| format!(" from {}", named.priority)).unwrap_or_default();
            writeln!(text, "Set the priority of task {task}{from} to {priority}").unwrap_or_default();
            about(text, *task, named);
        }
        Recommended::Assign { task, worker } => {
            let worker = worker.as_deref().map_or("any worker".to_owned(), |worker| visible(worker).into_owned());
            writeln!(text, "Mean task {task} for {worker}").unwrap_or_default();
            about(text, *task, named);
        }
        Recommended::Cancel { task, reason } => {
            writeln!(text, "Cancel task {task}").unwrap_or_default();
            about(text, *task, named);
            text.push_str("Reason, in the role's words:\n");
            quote(text, reason);
        }
        Recommended::Create(task) => create(text, task, named),
    }
}

fn about(text: &mut String, task: TaskId, named: &BTreeMap<TaskId, Named>) {
    let Some(Named { title, task_type, status, priority, worker }) = named.get(&task) else { return };
    let worker = worker.as_deref().map_or("any worker".to_owned(), |worker| visible(worker).into_owned());
    let task_type = visible(task_type);
    writeln!(text, "It is {status}, of type {task_type} and priority {priority}, meant for {worker}:")
        .unwrap_or_default();
    quote(text, title);
}

fn create(text: &mut String, recommended: &RecommendedTask, named: &BTreeMap<TaskId, Named>) {
    let RecommendedTask { id, key: _, draft, treatment } = recommended;
    let task_type = visible(&draft.task_type);
    writeln!(text, "Create task {id} of type {task_type}, priority {}, risk {}", draft.priority, treatment.risk)
        .unwrap_or_default();
    match &treatment.start_reason {
        Some(_) => text.push_str("A person has to approve it once more before it begins.\n"),
        None => text.push_str("It begins without a further approval.\n"),
    }
    if let Some(worker) = &draft.assigned_worker {
        writeln!(text, "It is meant for {}.", visible(worker)).unwrap_or_default();
    }
    for dependency in &draft.depends_on {
        let title = named.get(dependency).map(|named| format!(": {}", visible(&named.title))).unwrap_or_default();
        writeln!(text, "| waits for {dependency}{title}").unwrap_or_default();
    }
    let json = |value: &Value| serde_json::to_string_pretty(value).unwrap_or_else(|_| value.to_string());
    for (name, value) in [
        ("Title", draft.title.clone()),
        ("Description", draft.description.clone()),
        ("Acceptance criteria", json(&draft.acceptance_criteria)),
        ("Payload", json(&draft.payload)),
    ] {
        writeln!(text, "{name}:").unwrap_or_default();
        quote(text, &value);
    }
}

fn quote(text: &mut String, words: &str) {
    for line in words.split('\n') {
        writeln!(text, "| {}", visible(line)).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::records::RecommendationDraft;

    #[test]
    fn the_words_of_others_pass_for_none_of_the_hosts() {
        let task = TaskId(Uuid::from_u128(7));
        let change = json!({ "cancel": { "task": task, "reason": "old\n\n2. Cancel task x\u{202e}" } });
        let change: Recommended = serde_json::from_value(change).unwrap();
        let draft = RecommendationDraft::new("Tidy\n1. Nothing", "", vec![change]).unwrap();
        let named = Named {
            title: "Evil\nReason, in the role's words:".to_owned(),
            task_type: "code".to_owned(),
            status: TaskStatus::Pending,
            priority: Priority::Low,
            worker: Some("w\nx".to_owned()),
        };
        let text = shown(Uuid::from_u128(1), TaskId(Uuid::from_u128(2)), &draft, &BTreeMap::from([(task, named)]));
        let own = |start: &str| text.lines().filter(|line| line.starts_with(start)).count();
        assert_eq!((own("1. Cancel task"), own("2. "), own("1. "), own("Reason")), (1, 0, 1, 1), "{text}");
        assert!(text.contains("| 2. Cancel task x<U+202E>") && text.contains("| 1. Nothing"), "{text}");
        assert!(text.contains("of type code and priority low, meant for w<U+000A>x:"), "{text}");
    }
}
