//! The execution log: one line at a time in, pages by id out.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::PgConnection;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::{Db, DbError, rows};
use crate::task::{LogLevel, TaskId};

/// A line to write.
#[derive(Clone, Debug)]
pub struct LogEntry {
    pub task_id: Option<TaskId>,
    pub worker_id: Option<String>,
    pub action: String,
    pub level: LogLevel,
    pub message: String,
    pub metadata: Value,
    pub error_data: Option<Value>,
    pub attempt: Option<i32>,
}

/// A line as it was written.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct LogLine {
    /// Grows with each line; the cursor of a page and the event id of the stream.
    pub id: i64,
    pub worker_id: Option<String>,
    pub action: String,
    pub level: LogLevel,
    pub message: String,
    #[schema(value_type = Object)]
    pub metadata: Value,
    #[schema(value_type = Option<Object>)]
    pub error_data: Option<Value>,
    pub attempt: Option<i32>,
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
}

/// Writes a line within the caller's transaction.
pub async fn append(connection: &mut PgConnection, entry: &LogEntry) -> Result<i64, DbError> {
    let LogEntry { task_id, worker_id, action, level, message, metadata, error_data, attempt } = entry;
    let id = sqlx::query_scalar!(
        "insert into execution_logs (task_id, worker_id, action, level, message, metadata, error_data, attempt)
        values ($1, $2, $3, $4, $5, $6, $7, $8) returning id",
        *task_id as Option<TaskId>,
        worker_id.as_deref(),
        action,
        *level as LogLevel,
        message,
        metadata,
        error_data.as_ref(),
        *attempt
    )
    .fetch_one(connection)
    .await?;
    Ok(id)
}

impl Db {
    /// Lines of a task, oldest first, after the line with that id (0: from the start).
    pub async fn task_logs(&self, task: TaskId, after: i64, limit: u32) -> Result<Vec<LogLine>, DbError> {
        let lines = sqlx::query_as!(
            LogLine,
            r#"select id, worker_id, action, level as "level: LogLevel", message, metadata, error_data, attempt, created_at
            from execution_logs where task_id = $1 and id > $2 order by id limit $3"#,
            task as TaskId,
            after,
            rows(limit)
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(lines)
    }
}
