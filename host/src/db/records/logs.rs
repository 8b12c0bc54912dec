//! The execution log, as runs see it.

use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

use super::RecordError;
use super::bounds::{looked, reading};
use super::metrics::{milliseconds, seconds};
use crate::db::Db;
use crate::records::{LogQuery, SeenLine};
use crate::task::LogLevel;

/// Of each message.
const MESSAGE_CHARS_MAX: i32 = 2000;

struct Row {
    task_id: Option<Uuid>,
    worker_id: Option<String>,
    action: String,
    level: LogLevel,
    message: String,
    created_at: OffsetDateTime,
}

/// The newest lines among those: a statement for each way in, so that each finds its index.
macro_rules! newest {
    ($query:expr, $among:literal $(, $argument:expr)?) => {
        sqlx::query_as!(
            Row,
            r#"select task_id, worker_id, action, level as "level: LogLevel", left(message, $1) as "message!", created_at
               from execution_logs
               where level >= $2 and created_at >= now() - make_interval(secs => $3) and "# + $among + "
               order by created_at desc, id desc limit $4",
            MESSAGE_CHARS_MAX,
            $query.level as LogLevel,
            seconds($query.window_seconds),
            i64::from($query.limit),
            $($argument)?
        )
    };
}

pub(super) async fn look(db: &Db, query: &LogQuery) -> Result<Value, RecordError> {
    let mut tx = reading(db).await?;
    let rows = match (query.task, query.level) {
        (Some(task), _) => newest!(query, "task_id = $5", task.0).fetch_all(&mut *tx).await,
        (None, LogLevel::Warn | LogLevel::Error) => {
            newest!(query, "level in ('warn', 'error')").fetch_all(&mut *tx).await
        }
        (None, LogLevel::Debug | LogLevel::Info) => newest!(query, "true").fetch_all(&mut *tx).await,
    };
    let seen = rows.map_err(looked)?.into_iter().map(|row| SeenLine {
        task: row.task_id.map(|id| id.to_string()),
        worker: row.worker_id,
        action: row.action,
        level: row.level,
        message: row.message,
        at_ms: milliseconds(row.created_at),
    });
    Ok(json!(seen.collect::<Vec<_>>()))
}
