//! What an attempt began with and how it ended, for a replay. Nothing here writes.

use time::OffsetDateTime;

use super::queue::criteria_as_stored;
use super::{Db, DbError};
use crate::task::{Attempt, EvidenceKind, GoalId, Priority, Risk, Task, TaskId, TaskStatus};

/// An attempt as the tables have it.
#[derive(Debug, Clone)]
pub struct RecordedAttempt {
    /// As the role was given it.
    pub task: Task,
    pub role: String,
    pub component_sha256: [u8; 32],
    pub started_at: OffsetDateTime,
    /// None where it has not ended.
    pub end: Option<RecordedEnd>,
}

/// How an attempt ended.
#[derive(Debug, Clone)]
pub struct RecordedEnd {
    pub cause: String,
    pub reason: String,
}

impl Db {
    /// An attempt of a task, the newest if none is named; none where the task has not begun it.
    pub async fn recorded_attempt(
        &self,
        id: TaskId,
        attempt: Option<Attempt>,
    ) -> Result<Option<RecordedAttempt>, DbError> {
        let row = sqlx::query!(
            r#"select t.title, t.description, t.task_type, t.priority as "priority: Priority", t.risk as "risk: Risk",
                   t.risk_reasons, t.payload, t.acceptance_criteria, t.goal_id, t.attempts_max, t.attempt as newest,
                   t.status as "status: TaskStatus", k.evidence as "evidence_kind: EvidenceKind",
                   r.attempt, r.role, r.component_sha256, r.started_at, r.end_cause, r.end_reason
               from governance_tasks as t
               join task_types as k on k.name = t.task_type
               join task_runs as r on r.task_id = t.id
               where t.id = $1 and ($2::integer is null or r.attempt = $2)
               order by r.attempt desc limit 1"#,
            id as TaskId,
            attempt.map(|attempt| attempt.0),
        )
        .fetch_optional(self.pool())
        .await?;
        let Some(row) = row else { return Ok(None) };
        let ended = row.attempt < row.newest
            || matches!(
                row.status,
                TaskStatus::Completed | TaskStatus::Failed | TaskStatus::DeadLetter | TaskStatus::Cancelled
            );
        let reason = row.end_reason.unwrap_or_default();
        let end = match row.end_cause {
            _ if !ended => None,
            _ if row.status == TaskStatus::Completed && row.attempt == row.newest => {
                Some(RecordedEnd { cause: "Completed".to_owned(), reason: String::new() })
            }
            Some(cause) => Some(RecordedEnd { cause, reason }),
            // Before ends stood with the attempts, the log alone told them.
            None => Some(self.logged_end(id, row.attempt).await?),
        };
        let last_error = if row.attempt > 1 { self.error_before(id, row.attempt).await? } else { None };
        let task = Task {
            id,
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
            last_error,
            goal: row.goal_id.map(GoalId),
        };
        let component_sha256 = row.component_sha256.try_into().map_err(|_| DbError::corrupt("component_sha256"))?;
        Ok(Some(RecordedAttempt { task, role: row.role, component_sha256, started_at: row.started_at, end }))
    }

    async fn logged_end(&self, id: TaskId, attempt: i32) -> Result<RecordedEnd, DbError> {
        let line = sqlx::query!(
            r#"select error_data ->> 'error_type' as cause, error_data ->> 'details' as reason
               from execution_logs
               where task_id = $1 and attempt = $2 and action = 'task_error' and error_data ? 'error_type'
               order by id desc limit 1"#,
            id as TaskId,
            attempt,
        )
        .fetch_optional(self.pool())
        .await?;
        // Cancelled, given up by the sweeper, or its log is past its retention.
        let (cause, reason) = line.map(|line| (line.cause, line.reason)).unwrap_or_default();
        Ok(RecordedEnd { cause: cause.unwrap_or_else(|| "Stopped".to_owned()), reason: reason.unwrap_or_default() })
    }

    /// What the attempt was told of the one before.
    async fn error_before(&self, id: TaskId, attempt: i32) -> Result<Option<String>, DbError> {
        let reason = sqlx::query_scalar!(
            r#"select coalesce(
                   (select end_reason from task_runs
                    where task_id = $1 and attempt < $2 and end_reason is not null order by attempt desc limit 1),
                   (select error_data ->> 'details' from execution_logs
                    where task_id = $1 and attempt < $2 and action = 'task_error' order by id desc limit 1))"#,
            id as TaskId,
            attempt,
        )
        .fetch_one(self.pool())
        .await?;
        Ok(reason)
    }
}
