//! What the audit log says of approvals.

use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::approval::{ApprovalId, ApprovalKind, ApprovalState};
use crate::audit::{Event, EventKind, short};
use crate::db::DbError;
use crate::task::{Risk, TaskId};

/// The approvals of these tasks that this very transaction made or changed, by whatever statement: triggers and the
/// claim change them, too.
pub(in crate::db) async fn changed(tx: &mut PgConnection, tasks: &[Uuid]) -> Result<Vec<Event>, DbError> {
    let rows = sqlx::query!(
        r#"select id as "id: ApprovalId", task_id as "task: TaskId", attempt, position, kind as "kind: ApprovalKind", action,
               risk as "risk: Risk", digest, state as "state: ApprovalState", decided_by, note, solo
           from approvals
           where task_id = any ($1::uuid[]) and xmin = pg_current_xact_id()::xid
           order by id"#,
        tasks,
    )
    .fetch_all(tx)
    .await?;
    let events = rows.into_iter().map(|row| {
        let (kind, actor) = match row.state {
            ApprovalState::Requested => (EventKind::ApprovalRequested, None),
            ApprovalState::Approved => (EventKind::ApprovalApproved, row.decided_by.clone()),
            ApprovalState::Denied => (EventKind::ApprovalDenied, row.decided_by.clone()),
            ApprovalState::Expired => (EventKind::ApprovalExpired, None),
            ApprovalState::Consumed => (EventKind::ApprovalConsumed, None),
        };
        let details = json!({
            "approval": row.id, "kind": row.kind, "action": row.action, "risk": row.risk,
            "digest": hex::encode(&row.digest), "attempt": row.attempt, "position": row.position,
            "decided_by": row.decided_by, "note": row.note.as_deref().map(short), "solo": row.solo,
        });
        Event::new(kind, actor.as_deref().unwrap_or(Event::HOST), details).of(row.task)
    });
    Ok(events.collect())
}
