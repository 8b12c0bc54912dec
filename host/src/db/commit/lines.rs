//! The execution log's part of a group commit: the host's lines about calls, what the role said, and how the claim ended.

use std::borrow::Cow;

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{End, Write};
use crate::db::DbError;
use crate::db::journal::RunKey;
use crate::journal::LogLine;
use crate::task::LogLevel;

/// Lines, column by column.
#[derive(Default)]
struct Columns<'a> {
    tasks: Vec<Uuid>,
    workers: Vec<&'a str>,
    attempts: Vec<i32>,
    levels: Vec<LogLevel>,
    actions: Vec<&'a str>,
    messages: Vec<Cow<'a, str>>,
    errors: Vec<Option<String>>,
    /// None: the transaction's.
    times: Vec<Option<OffsetDateTime>>,
}

impl<'a> Columns<'a> {
    fn said(&mut self, key: &'a RunKey, line: &'a LogLine) {
        self.of(key);
        self.levels.push(line.level);
        self.actions.push(line.action);
        self.messages.push((&line.message).into());
        self.errors.push(None);
        self.times.push(Some(line.at));
    }

    fn ended(&mut self, key: &'a RunKey, End { ending, cause }: &'a End) {
        self.of(key);
        self.levels.push(ending.level());
        self.actions.push(ending.action());
        self.messages.push(ending.message());
        self.errors.push(ending.error_data(cause).map(|error| error.to_string()));
        self.times.push(None);
    }

    fn of(&mut self, key: &'a RunKey) {
        self.tasks.push(key.task.0);
        self.workers.push(&key.worker.0);
        self.attempts.push(key.attempt.0);
    }
}

pub(super) async fn write(connection: &mut PgConnection, writes: &[&Write]) -> Result<(), DbError> {
    let mut columns = Columns::default();
    for Write { key, batch, end } in writes {
        batch.calls.iter().chain(&batch.lines).for_each(|line| columns.said(key, line));
        if let Some(end) = end {
            columns.ended(key, end);
        }
    }
    if columns.tasks.is_empty() {
        return Ok(());
    }
    let Columns { tasks, workers, attempts, levels, actions, messages, errors, times } = columns;
    sqlx::query!(
        r#"insert into execution_logs (task_id, worker_id, attempt, level, action, message, error_data, created_at)
           select line.task_id, line.worker_id, line.attempt, line.level, line.action, line.message,
                  line.error_data::jsonb, coalesce(line.at, now())
           from unnest($1::uuid[], $2::text[], $3::integer[], $4::log_level[], $5::text[], $6::text[], $7::text[],
                       $8::timestamptz[])
               with ordinality as line (task_id, worker_id, attempt, level, action, message, error_data, at, number)
           order by line.number"#,
        &tasks,
        &workers as &[&str],
        &attempts,
        levels as Vec<LogLevel>,
        &actions as &[&str],
        &messages as &[Cow<'_, str>],
        &errors as &[Option<String>],
        &times as &[Option<OffsetDateTime>],
    )
    .execute(&mut *connection)
    .await?;
    count(connection, writes).await
}

/// How many lines of the role the log has: a resumed run does not say them again.
async fn count(connection: &mut PgConnection, writes: &[&Write]) -> Result<(), DbError> {
    let said: Vec<&&Write> = writes.iter().filter(|write| !write.batch.lines.is_empty()).collect();
    if said.is_empty() {
        return Ok(());
    }
    let tasks: Vec<Uuid> = said.iter().map(|write| write.key.task.0).collect();
    let attempts: Vec<i32> = said.iter().map(|write| write.key.attempt.0).collect();
    let counts: Vec<i32> =
        said.iter().map(|write| i32::try_from(write.batch.lines.len()).unwrap_or(i32::MAX)).collect();
    sqlx::query!(
        r#"update task_runs as r set log_lines = r.log_lines + said.lines
           from unnest($1::uuid[], $2::integer[], $3::integer[]) as said (task_id, attempt, lines)
           where r.task_id = said.task_id and r.attempt = said.attempt"#,
        &tasks,
        &attempts,
        &counts,
    )
    .execute(connection)
    .await?;
    Ok(())
}
