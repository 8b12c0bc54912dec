//! Claims and leases.
//!
//! Invariant: a claim is one short transaction; each write of a run names the lease that it was claimed with, and
//! zero rows mean that the lease is lost.

use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use super::{Db, DbError, approvals};
use crate::audit::{Event, EventKind};
use crate::task::{Attempt, Criterion, EvidenceKind, Lease, Priority, Risk, Task, TaskId, TaskStatus, WorkerId};

/// Who claims, and what.
#[derive(Debug, Clone)]
pub struct ClaimRequest<'a> {
    pub worker_id: &'a WorkerId,
    pub worker_type: &'a str,
    pub task_types: &'a [String],
    pub lease: Duration,
    /// Most tasks to claim at once.
    pub tasks_max: u32,
}

/// A task that is this worker's until the lease runs out.
#[derive(Debug, Clone)]
pub struct Claim {
    pub task: Task,
    pub lease: Lease,
}

impl Db {
    /// Claims pending tasks of the given types, by priority, then age. Never waits for another claimer.
    pub async fn claim_tasks(&self, request: &ClaimRequest<'_>) -> Result<Vec<Claim>, DbError> {
        let mut tx = self.begin_audited().await?;
        let rows = sqlx::query_file!(
            "src/db/claim.sql",
            request.task_types,
            &[request.worker_type.to_owned(), request.worker_id.0.clone()],
            i64::from(request.tasks_max),
            request.worker_id.0,
            request.lease.as_secs_f64(),
        )
        .fetch_all(&mut **tx)
        .await?;
        let claimed = rows.iter().map(|row| {
            let details = json!({ "attempt": row.attempt, "lease": row.lease });
            Event::moved(EventKind::TaskClaimed, TaskId(row.id), TaskStatus::InProgress, &request.worker_id.0, details)
        });
        let mut events: Vec<Event> = claimed.collect();
        let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
        // A claim uses up the approval of a start.
        events.extend(approvals::changed(&mut tx, &ids).await?);
        tx.commit(events).await?;
        Ok(rows
            .into_iter()
            .map(|row| Claim {
                lease: Lease(row.lease),
                task: Task {
                    id: TaskId(row.id),
                    title: row.title,
                    description: row.description,
                    task_type: row.task_type,
                    evidence_kind: row.evidence_kind,
                    priority: row.priority,
                    risk: row.risk,
                    risk_reasons: serde_json::from_value(row.risk_reasons).unwrap_or_default(),
                    payload: row.payload,
                    criteria: criteria_as_stored(&row.acceptance_criteria),
                    attempt: Attempt(row.attempt),
                    attempts_max: u32::try_from(row.attempts_max).unwrap_or(1),
                    last_error: row.error_message,
                },
            })
            .collect())
    }

    /// Extends the leases that are still held, all in one statement, and says which those are.
    pub async fn renew_leases(&self, held: &[(TaskId, Lease)], lease: Duration) -> Result<Vec<TaskId>, DbError> {
        let (ids, leases) = columns(held);
        let kept = sqlx::query_scalar!(
            r#"update governance_tasks as t set lease_expires_at = now() + make_interval(secs => $3)
               from unnest($1::uuid[], $2::bigint[]) as held (id, lease)
               where t.id = held.id and t.lease = held.lease and t.status = 'in_progress'
               returning t.id"#,
            &ids,
            &leases,
            lease.as_secs_f64(),
        )
        .fetch_all(self.pool())
        .await?;
        Ok(kept.into_iter().map(TaskId).collect())
    }

    /// Which of these claims still stand: a cancelled or reclaimed task is missing.
    pub async fn held_leases(&self, held: &[(TaskId, Lease)]) -> Result<Vec<TaskId>, DbError> {
        let (ids, leases) = columns(held);
        let kept = sqlx::query_scalar!(
            r#"select t.id from governance_tasks as t
               join unnest($1::uuid[], $2::bigint[]) as held (id, lease) on t.id = held.id and t.lease = held.lease
               where t.status = 'in_progress'"#,
            &ids,
            &leases,
        )
        .fetch_all(self.pool())
        .await?;
        Ok(kept.into_iter().map(TaskId).collect())
    }
}

fn columns(held: &[(TaskId, Lease)]) -> (Vec<Uuid>, Vec<i64>) {
    held.iter().map(|(task, lease)| (task.0, lease.0)).unzip()
}

/// Criteria of a row that somebody may have written by hand. What is not a criterion is kept as text: it then has to
/// be attested, which is more than being dropped.
fn criteria_as_stored(value: &Value) -> Vec<Criterion> {
    Criterion::parse_list(value).unwrap_or_else(|_| {
        let items = value.as_array().cloned().unwrap_or_default();
        items.into_iter().map(|item| Criterion::FreeText { text: item.to_string() }).collect()
    })
}
