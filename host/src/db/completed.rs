//! Completed tasks and their evidence, for looking at it again.

use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use super::queue::criteria_as_stored;
use super::{Db, DbError, rows};
use crate::task::{Criterion, TaskId};

/// A task that is completed, and what for.
#[derive(Debug, Clone)]
pub struct Completed {
    pub id: TaskId,
    pub title: String,
    pub task_type: String,
    pub completed_at: OffsetDateTime,
    pub payload: Value,
    pub criteria: Vec<Criterion>,
    pub evidence: Value,
}

/// Where a page goes on.
#[derive(Debug, Clone, Copy)]
pub struct CompletedCursor {
    pub completed_at: OffsetDateTime,
    pub id: TaskId,
}

impl Db {
    /// Tasks completed since then, oldest first; or the named one, whenever it was.
    pub async fn completed_tasks(
        &self,
        since: OffsetDateTime,
        task: Option<TaskId>,
        after: Option<CompletedCursor>,
        limit: u32,
    ) -> Result<Vec<Completed>, DbError> {
        let (after_time, after_id) = after.map(|cursor| (cursor.completed_at, cursor.id.0)).unzip();
        let completed = sqlx::query!(
            r#"select id as "id: TaskId", title, task_type, completed_at as "completed_at!", payload,
                acceptance_criteria, evidence as "evidence!"
            from governance_tasks
            where status = 'completed' and completed_at is not null and evidence is not null
                and (id = $2 or ($2::uuid is null and completed_at >= $1))
                and ($3::timestamptz is null or (completed_at, id) > ($3, $4::uuid))
            order by completed_at, id limit $5"#,
            since,
            task.map(|task| task.0) as Option<Uuid>,
            after_time as Option<OffsetDateTime>,
            after_id as Option<Uuid>,
            rows(limit)
        )
        .fetch_all(self.pool())
        .await?;
        let completed = completed.into_iter().map(|row| Completed {
            id: row.id,
            title: row.title,
            task_type: row.task_type,
            completed_at: row.completed_at,
            payload: row.payload,
            criteria: criteria_as_stored(&row.acceptance_criteria),
            evidence: row.evidence,
        });
        Ok(completed.collect())
    }

    /// SHA-256 of the files that calls of a task wrote, in any attempt, in hexadecimal.
    pub async fn files_of_task(&self, task: TaskId) -> Result<Vec<String>, DbError> {
        let digests = sqlx::query_scalar!(
            r#"select arguments -> 'content' ->> 'sha256' as "sha256!" from task_steps
               where task_id = $1 and interface = 'github-write' and function = 'put-file'
                   and arguments -> 'content' ->> 'sha256' is not null"#,
            task.0,
        )
        .fetch_all(self.pool())
        .await?;
        Ok(digests)
    }
}
