//! What to do next for a goal, as its tasks stand. Pure.

use std::collections::BTreeSet;

use juggernaut_guest::goals::{Child, Status};

/// What an error says where the same may succeed by itself later.
const PASSING: &[&str] = &[
    "connection",
    "did not answer",
    "does not answer",
    "rate limit",
    "temporar",
    "timed out",
    "timeout",
    "unavailable",
];
/// Of an error in a reason.
const ERROR_CHARS_MAX: usize = 300;

#[derive(Debug)]
pub enum Next<'a> {
    /// Every task that counts is completed.
    Close,
    /// Something goes on.
    Wait,
    /// What may succeed by itself.
    Retry(Vec<String>),
    /// `lost` ended without success; `stranded` waits for it in vain.
    Replan { lost: Vec<&'a Child>, stranded: Vec<String> },
}

/// `again`: an attempt before this one may have ended in the midst of things, and the tasks with it; whatever failed gets
/// one more try.
pub fn next<'a>(children: &'a [Child], retried: &BTreeSet<String>, again: bool) -> Next<'a> {
    let lost: Vec<&Child> = children.iter().filter(|child| !child.replaced && is_lost(child)).collect();
    if lost.is_empty() {
        let counts = |child: &&Child| !(child.replaced && is_lost(child));
        let mut counting = children.iter().filter(counts).peekable();
        let some = counting.peek().is_some();
        let done = some && counting.all(|child| matches!(child.status, Status::Completed));
        return if done { Next::Close } else { Next::Wait };
    }
    let once_more = |child: &&&Child| !retried.contains(&child.id) && (again || may_pass(child));
    let retry: Vec<String> = lost.iter().filter(once_more).map(|child| child.id.clone()).collect();
    if !retry.is_empty() {
        return Next::Retry(retry);
    }
    let stranded = stranded(children, &lost);
    Next::Replan { lost, stranded }
}

fn is_lost(child: &Child) -> bool {
    match child.status {
        Status::Failed | Status::Cancelled | Status::DeadLetter => true,
        Status::Pending | Status::InProgress | Status::WaitingApproval | Status::Suspended | Status::Completed => false,
    }
}

/// A dead letter failed for reasons that the role itself held to be passing. What a person cancelled, he meant.
fn may_pass(child: &Child) -> bool {
    match child.status {
        Status::DeadLetter => true,
        Status::Failed => {
            let error = child.error_message.as_deref().unwrap_or_default().to_lowercase();
            PASSING.iter().any(|word| error.contains(word))
        }
        Status::Cancelled
        | Status::Pending
        | Status::InProgress
        | Status::WaitingApproval
        | Status::Suspended
        | Status::Completed => false,
    }
}

/// Tasks that have not ended and wait for a lost one, directly or not, in the order of the goal.
fn stranded(children: &[Child], lost: &[&Child]) -> Vec<String> {
    let mut gone: BTreeSet<&str> = lost.iter().map(|child| child.id.as_str()).collect();
    loop {
        let before = gone.len();
        let waiting = children.iter().filter(|child| !is_lost(child) && !matches!(child.status, Status::Completed));
        for child in waiting {
            if child.depends_on.iter().any(|on| gone.contains(on.as_str())) {
                gone.insert(&child.id);
            }
        }
        if gone.len() == before {
            break;
        }
    }
    let open = |child: &&Child| gone.contains(child.id.as_str()) && !is_lost(child);
    children.iter().filter(open).map(|child| child.id.clone()).collect()
}

/// What was lost, for a reason.
pub fn describe(lost: &[&Child], named_max: usize) -> String {
    let named = lost.iter().take(named_max).map(|child| {
        let error: String =
            child.error_message.as_deref().unwrap_or("no reason given").chars().take(ERROR_CHARS_MAX).collect();
        format!("task {} ({:?}) is {}: {error}", child.id, child.title, status(child.status))
    });
    let mut text = named.collect::<Vec<_>>().join("; ");
    if lost.len() > named_max {
        text.push_str(&format!("; and {} more", lost.len() - named_max));
    }
    text
}

pub fn status(status: Status) -> &'static str {
    match status {
        Status::Pending => "pending",
        Status::InProgress => "in progress",
        Status::WaitingApproval => "waiting for approval",
        Status::Suspended => "suspended",
        Status::Completed => "completed",
        Status::Failed => "failed",
        Status::Cancelled => "cancelled",
        Status::DeadLetter => "a dead letter",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn child(id: &str, status: Status, error: Option<&str>, depends_on: &[&str]) -> Child {
        Child {
            id: id.to_owned(),
            title: id.to_uppercase(),
            task_type: "code".to_owned(),
            status,
            error_message: error.map(str::to_owned),
            depends_on: depends_on.iter().map(|id| (*id).to_owned()).collect(),
            replaced: false,
        }
    }

    fn shown(children: &[Child], retried: &[&str], again: bool) -> String {
        let retried = retried.iter().map(|id| (*id).to_owned()).collect();
        match next(children, &retried, again) {
            Next::Close => "close".to_owned(),
            Next::Wait => "wait".to_owned(),
            Next::Retry(ids) => format!("retry {}", ids.join(",")),
            Next::Replan { lost, stranded } => {
                let lost: Vec<&str> = lost.iter().map(|child| child.id.as_str()).collect();
                format!("replan {} {}", lost.join(","), stranded.join(","))
            }
        }
    }

    #[test]
    fn it_waits_until_all_are_completed() {
        assert_eq!(shown(&[], &[], false), "wait");
        let mut children =
            [child("a", Status::Completed, None, &[]), child("b", Status::WaitingApproval, None, &["a"])];
        assert_eq!(shown(&children, &[], false), "wait");
        children[1].status = Status::Completed;
        assert_eq!(shown(&children, &[], false), "close");
    }

    #[test]
    fn what_may_pass_is_tried_again_once() {
        let passing = [child("a", Status::Failed, Some("GitHub is Unavailable"), &[])];
        assert_eq!(shown(&passing, &[], false), "retry a");
        assert_eq!(shown(&passing, &["a"], false), "replan a ");
        assert_eq!(shown(&[child("a", Status::DeadLetter, None, &[])], &[], false), "retry a");
        for (status, error) in [(Status::Failed, "no such repository"), (Status::Cancelled, "unavailable")] {
            let lasting = [child("a", status, Some(error), &[])];
            assert_eq!(shown(&lasting, &[], false), "replan a ");
            assert_eq!(shown(&lasting, &[], true), "retry a", "an attempt after a failed one tries everything once");
            assert_eq!(shown(&lasting, &["a"], true), "replan a ");
        }
    }

    #[test]
    fn what_waits_for_a_lost_task_is_stranded() {
        let mut children = vec![
            child("a", Status::Completed, None, &[]),
            child("b", Status::Failed, Some("no"), &["a"]),
            child("d", Status::Suspended, None, &["c"]),
            child("c", Status::Suspended, None, &["b"]),
            child("e", Status::InProgress, None, &["a"]),
        ];
        assert_eq!(shown(&children, &[], false), "replan b d,c");
        // Replaced: what is left goes on.
        for lost in [1, 2, 3] {
            children[lost].status = if lost == 1 { Status::Failed } else { Status::Cancelled };
            children[lost].replaced = true;
        }
        assert_eq!(shown(&children, &[], false), "wait");
        children[4].status = Status::Completed;
        assert_eq!(shown(&children, &[], false), "close");
        // A person tried a replaced task again: it counts while it runs.
        children[1].status = Status::InProgress;
        assert_eq!(shown(&children, &[], false), "wait");
    }

    #[test]
    fn a_reason_names_what_was_lost() {
        let (a, b) = (child("a", Status::Failed, Some("broken"), &[]), child("b", Status::Cancelled, None, &[]));
        let text = describe(&[&a, &b], 1);
        assert_eq!(text, "task a (\"A\") is failed: broken; and 1 more");
    }
}
