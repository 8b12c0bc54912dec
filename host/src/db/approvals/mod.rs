//! Approvals: asked for by runs and for tasks, decided by people, used up once.
//!
//! Invariants: whoever changes an approval holds its task's row first, so that a decision, an expiry, a cancellation and
//! a run meet one after the other and the first one counts; every change is logged in its own transaction.

mod ask;
mod changed;
mod decide;
mod people;
mod recommended;
mod start;
mod sweep;
mod views;

pub use sweep::SweptApprovals;
pub use views::{ApprovalCursor, ApprovalDetail, ApprovalFilter, ApprovalSummary, OpenApproval};

pub(super) use ask::{consume, insert as ask};
pub(super) use changed::changed;
pub(super) use recommended::{ACTION as APPLY_RECOMMENDATION, Bound as BoundRecommendation};
pub(super) use start::ask_start;
pub(super) use views::open_of_task;

use serde_json::json;
use sqlx::PgConnection;

use super::DbError;
use super::logs::{LogEntry, append};
use crate::approval::{ApprovalId, ApprovalState};
use crate::task::{LogLevel, TaskId};

/// A change of an approval, as it is recorded.
#[derive(Debug)]
struct Change<'a> {
    id: ApprovalId,
    task: TaskId,
    attempt: i32,
    action: &'a str,
    becomes: ApprovalState,
    /// Who decided; none where the host did.
    by: Option<&'a str>,
    solo: bool,
    why: &'a str,
}

/// Every change that this module makes passes here, within its transaction, for the execution log. What triggers and the
/// claim change by themselves (an ended or changed task, a start that is used up) they log the same way. The audit log
/// has all of them from [`changed`].
async fn record(tx: &mut PgConnection, change: &Change<'_>) -> Result<(), DbError> {
    let Change { id, task, attempt, action, becomes, by, solo, why } = change;
    let by_whom = by.map(|by| format!(" by {by}")).unwrap_or_default();
    let because = if why.is_empty() { String::new() } else { format!(": {why}") };
    let level = match becomes {
        ApprovalState::Requested | ApprovalState::Approved | ApprovalState::Consumed => LogLevel::Info,
        ApprovalState::Denied | ApprovalState::Expired => LogLevel::Warn,
    };
    let entry = LogEntry {
        task_id: Some(*task),
        worker_id: None,
        action: format!("approval_{becomes}"),
        level,
        message: format!("Approval {id} of {action} {becomes}{by_whom}{because}"),
        metadata: json!({ "approval": id, "principal": by, "solo": solo }),
        error_data: None,
        attempt: Some(*attempt),
    };
    append(tx, &entry).await?;
    Ok(())
}
