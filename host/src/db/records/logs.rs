//! The execution log, as runs see it.

use serde_json::{Value, json};
use sqlx::PgConnection;
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

pub(super) async fn look(db: &Db, query: &LogQuery) -> Result<Value, RecordError> {
    let mut tx = reading(db).await?;
    let rows = match (query.task, query.level) {
        (Some(task), _) => of_task(&mut tx, task.0, query).await,
        (None, LogLevel::Warn | LogLevel::Error) => grave(&mut tx, query).await,
        (None, LogLevel::Debug | LogLevel::Info) => any(&mut tx, query).await,
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

async fn of_task(tx: &mut PgConnection, task: Uuid, query: &LogQuery) -> Result<Vec<Row>, sqlx::Error> {
    sqlx::query_as!(
        Row,
        r#"select task_id, worker_id, action, level as "level: LogLevel", left(message, $1) as "message!", created_at
           from execution_logs
           where task_id = $2 and level >= $3 and created_at >= now() - make_interval(secs => $4)
           order by created_at desc, id desc limit $5"#,
        MESSAGE_CHARS_MAX,
        task,
        query.level as LogLevel,
        seconds(query.window_seconds),
        i64::from(query.limit),
    )
    .fetch_all(tx)
    .await
}

/// Warnings and errors have an index of their own.
async fn grave(tx: &mut PgConnection, query: &LogQuery) -> Result<Vec<Row>, sqlx::Error> {
    sqlx::query_as!(
        Row,
        r#"select task_id, worker_id, action, level as "level: LogLevel", left(message, $1) as "message!", created_at
           from execution_logs
           where level in ('warn', 'error') and level >= $2 and created_at >= now() - make_interval(secs => $3)
           order by created_at desc, id desc limit $4"#,
        MESSAGE_CHARS_MAX,
        query.level as LogLevel,
        seconds(query.window_seconds),
        i64::from(query.limit),
    )
    .fetch_all(tx)
    .await
}

async fn any(tx: &mut PgConnection, query: &LogQuery) -> Result<Vec<Row>, sqlx::Error> {
    sqlx::query_as!(
        Row,
        r#"select task_id, worker_id, action, level as "level: LogLevel", left(message, $1) as "message!", created_at
           from execution_logs
           where level >= $2 and created_at >= now() - make_interval(secs => $3)
           order by created_at desc, id desc limit $4"#,
        MESSAGE_CHARS_MAX,
        query.level as LogLevel,
        seconds(query.window_seconds),
        i64::from(query.limit),
    )
    .fetch_all(tx)
    .await
}
