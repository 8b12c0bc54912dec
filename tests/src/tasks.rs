//! Tasks to give, and what to show of one when a test fails.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

/// How long a test waits for what should happen in moments.
pub const LIMIT: Duration = Duration::from_mins(1);

/// A task that the executor carries to a merged pull request in `demo/sample`.
pub fn code_task(path: &str) -> Value {
    json!({
        "title": format!("Write {path}"),
        "task_type": "code",
        "acceptance_criteria": [{"type": "merged"}],
        "payload": {
            "repository": "demo/sample",
            "changes": [{"path": path, "content": "\"\"\"A module.\"\"\"\n"}],
        },
    })
}

/// A task with its logs and steps, for a panic's message.
pub async fn show(pool: &PgPool, task: Uuid) -> String {
    let mut shown = String::new();
    for (what, query) in [
        ("task", "select row_to_json(t)::text from governance_tasks t where id = $1"),
        (
            "log",
            "select concat_ws(' | ', created_at, attempt, worker_id, action, level, message, error_data)
             from execution_logs where task_id = $1 order by id",
        ),
        (
            "approval",
            "select concat_ws(' | ', id, kind, action, state, attempt, position, requested_at, expires_at, decided_by)
             from approvals where task_id = $1 order by id",
        ),
        (
            "step",
            "select concat_ws(' | ', attempt, position, interface, function, state, arguments, left(result::text, 300))
             from task_steps where task_id = $1 order by attempt, position",
        ),
    ] {
        match sqlx::query_scalar::<_, String>(query).bind(task).fetch_all(pool).await {
            Ok(rows) => rows.iter().for_each(|row| writeln!(shown, "{what}: {row}").expect("text")),
            Err(error) => writeln!(shown, "{what}: {error}").expect("text"),
        }
    }
    shown
}
