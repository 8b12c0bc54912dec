//! Steering a task that has not ended: its priority, and whom it is meant for.

use serde_json::json;
use sqlx::PgConnection;

use super::DbError;
use crate::audit::{Event, EventKind};
use crate::task::{Priority, TaskId, TaskStatus};

/// Locks a task that has not ended; says where it stands.
async fn unfinished(tx: &mut PgConnection, id: TaskId, action: &'static str) -> Result<TaskStatus, DbError> {
    let from = sqlx::query_scalar!(
        r#"select status as "status: TaskStatus" from governance_tasks where id = $1 for no key update"#,
        id as TaskId
    )
    .fetch_optional(tx)
    .await?
    .ok_or(DbError::UnknownTask(id))?;
    if from.is_final() {
        return Err(DbError::WrongStatus { id, from, action });
    }
    Ok(from)
}

/// Gives a task another priority within the caller's transaction, and says what has to be recorded.
pub(super) async fn prioritise_in(
    tx: &mut PgConnection,
    id: TaskId,
    priority: Priority,
    by: &str,
) -> Result<Event, DbError> {
    let status = unfinished(tx, id, "given another priority").await?;
    sqlx::query!("update governance_tasks set priority = $2 where id = $1", id as TaskId, priority as Priority)
        .execute(tx)
        .await?;
    Ok(Event::moved(EventKind::TaskPrioritised, id, status, by, json!({ "priority": priority })))
}

/// Means a task for another worker, likewise. A run that is under way goes on; the worker counts once its claim has ended.
pub(super) async fn assign_in(
    tx: &mut PgConnection,
    id: TaskId,
    worker: Option<&str>,
    by: &str,
) -> Result<Event, DbError> {
    let status = unfinished(tx, id, "assigned").await?;
    sqlx::query!(
        "update governance_tasks set requested_worker = $2,
            assigned_worker = case when status = 'in_progress' then assigned_worker else $2 end
        where id = $1",
        id as TaskId,
        worker
    )
    .execute(tx)
    .await?;
    Ok(Event::moved(EventKind::TaskAssigned, id, status, by, json!({ "assigned_worker": worker })))
}
