//! Approval of a task before it begins. What it binds is `task_start_digest` in the database, which the claim compares.

use std::fmt::Write as _;

use serde_json::{Value, json};
use sqlx::PgConnection;

use super::{Change, record};
use crate::approval::{ApprovalId, ApprovalState, SHOWN_BYTES_MAX, cut};
use crate::db::DbError;
use crate::task::{Risk, TaskId};
use crate::text::visible;

const ACTION: &str = "task.start";

/// What a start approval is about.
struct Content {
    title: String,
    description: String,
    task_type: String,
    risk: Risk,
    payload: Value,
    acceptance_criteria: Value,
    created_by: String,
    attempt: i32,
    approval_reason: Option<String>,
    digest: Vec<u8>,
}

/// Makes the approval that a waiting task needs, unless it is there; the caller holds the task's row. Says whether it
/// made one.
pub(in crate::db) async fn ask_start(
    tx: &mut PgConnection,
    task: TaskId,
    lifetime: std::time::Duration,
) -> Result<bool, DbError> {
    let content = sqlx::query_as!(
        Content,
        r#"select title, description, task_type, risk as "risk: Risk", payload, acceptance_criteria, created_by, attempt,
               approval_reason, task_start_digest(t) as "digest!"
           from governance_tasks as t where id = $1"#,
        task.0,
    )
    .fetch_one(&mut *tx)
    .await?;
    void_others(tx, task, &content).await?;
    let there = sqlx::query_scalar!(
        r#"select exists (
               select from approvals where task_id = $1 and kind = 'start' and state = 'requested'
           ) as "there!""#,
        task.0,
    )
    .fetch_one(&mut *tx)
    .await?;
    if there {
        return Ok(false);
    }
    insert(tx, task, &content, lifetime).await?;
    Ok(true)
}

/// An approval for other content, or one that somebody asked past: the task waits again, so it does not count.
async fn void_others(tx: &mut PgConnection, task: TaskId, content: &Content) -> Result<(), DbError> {
    let void = sqlx::query_scalar!(
        r#"update approvals set state = 'expired'
           where task_id = $1 and kind = 'start' and state in ('requested', 'approved')
               and (state = 'approved' or digest <> $2 or expires_at <= now())
           returning id as "id: ApprovalId""#,
        task.0,
        content.digest,
    )
    .fetch_all(&mut *tx)
    .await?;
    for id in void {
        let change = Change {
            id,
            task,
            attempt: content.attempt,
            action: ACTION,
            becomes: ApprovalState::Expired,
            by: None,
            solo: false,
            why: "the task waits for approval anew",
        };
        record(tx, &change).await?;
    }
    Ok(())
}

async fn insert(
    tx: &mut PgConnection,
    task: TaskId,
    content: &Content,
    lifetime: std::time::Duration,
) -> Result<(), DbError> {
    let id = ApprovalId::generate();
    let reason = content.approval_reason.clone().unwrap_or_else(|| format!("its risk is {}", content.risk));
    let reason = cut(visible(&reason).into_owned(), 4096);
    let policies: &[String] = &["approve-start".to_owned()];
    sqlx::query!(
        r#"insert into approvals (id, task_id, attempt, kind, action, risk, policies, reasons, digest, arguments, shown,
               expires_at)
           values ($1, $2, $3, 'start', $4, $5, $6, $7, $8, $9, $10, now() + make_interval(secs => $11))"#,
        id.0,
        task.0,
        content.attempt,
        ACTION,
        content.risk as Risk,
        policies,
        std::slice::from_ref(&reason),
        content.digest,
        json!({ "task": task }),
        shown(task, content),
        lifetime.as_secs_f64(),
    )
    .execute(&mut *tx)
    .await?;
    let change = Change {
        id,
        task,
        attempt: content.attempt,
        action: ACTION,
        becomes: ApprovalState::Requested,
        by: None,
        solo: false,
        why: &reason,
    };
    record(tx, &change).await
}

/// The task as a worker would get it. All of it is its creator's words, so each line has its bar.
fn shown(task: TaskId, content: &Content) -> String {
    let Content { title, description, task_type, risk, payload, acceptance_criteria, created_by, .. } = content;
    let json = |value: &Value| serde_json::to_string_pretty(value).unwrap_or_else(|_| value.to_string());
    let mut text = format!("Begin a task\n\ntask          {task}\nrisk          {risk}\n");
    let parts = [
        ("Type", task_type.clone()),
        ("Created by", created_by.clone()),
        ("Title", title.clone()),
        ("Description", description.clone()),
        ("Acceptance criteria", json(acceptance_criteria)),
        ("Payload", json(payload)),
    ];
    for (name, value) in parts {
        // Writing to a String can not fail.
        write!(text, "\n{name}:\n").unwrap_or_default();
        for line in value.split('\n') {
            writeln!(text, "| {}", visible(line)).unwrap_or_default();
        }
    }
    cut(text, SHOWN_BYTES_MAX)
}
