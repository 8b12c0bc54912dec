//! The SQL of the specification, statement by statement as it is written there, with its placeholders filled in.

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool, Row as _};
use uuid::Uuid;

use crate::support::Database;

const REGISTRATION: &str = r#"
INSERT INTO worker_registry (worker_id, worker_type, status, capabilities, last_heartbeat)
VALUES ('EXECUTOR', 'executor', 'active', '["code", "test", "verification"]', NOW())
ON CONFLICT (worker_id) DO UPDATE SET 
  status = 'active',
  last_heartbeat = NOW();
"#;

const HEARTBEAT: &str = "
UPDATE worker_registry 
SET last_heartbeat = NOW(), 
    status = 'active',
    current_task_id = 'TASK_ID_OR_NULL'
WHERE worker_id = 'WORKER_ID';
";

const FIND: &str = "
SELECT id, title, description, task_type, priority, acceptance_criteria
FROM governance_tasks 
WHERE status = 'pending'
  AND (assigned_worker IS NULL OR assigned_worker = 'WORKER_TYPE')
  AND task_type = ANY(WORKER_CAPABILITIES)
ORDER BY 
  CASE priority 
    WHEN 'critical' THEN 1 
    WHEN 'high' THEN 2 
    WHEN 'medium' THEN 3 
    WHEN 'low' THEN 4 
  END,
  created_at
LIMIT 1
FOR UPDATE SKIP LOCKED;
";

const CLAIM: &str = "
UPDATE governance_tasks 
SET status = 'in_progress',
    assigned_worker = 'WORKER_ID',
    started_at = NOW()
WHERE id = 'TASK_ID'
  AND status = 'pending'
RETURNING id;
";

const LOG: &str = r#"
INSERT INTO execution_logs (task_id, worker_id, action, level, message, metadata)
VALUES (
  'TASK_ID',
  'WORKER_ID', 
  'task_start',
  'info',
  'Starting task: TASK_TITLE',
  '{"task_type": "code", "priority": "high"}'
);
"#;

const LOG_ERROR: &str = r#"
INSERT INTO execution_logs (task_id, worker_id, action, level, message, error_data)
VALUES (
  'TASK_ID',
  'WORKER_ID',
  'task_error',
  'error',
  'Error description',
  '{"error_type": "GitHubAuthError", "details": "..."}'
);
"#;

const COMPLETE: &str = "
UPDATE governance_tasks 
SET status = 'completed',
    completed_at = NOW(),
    completion_evidence = 'Detailed evidence here...'
WHERE id = 'TASK_ID';
";

const FAIL: &str = "
UPDATE governance_tasks 
SET status = 'failed',
    completed_at = NOW(),
    error_message = 'Specific error description'
WHERE id = 'TASK_ID';
";

const REQUEST_APPROVAL: &str = "
UPDATE governance_tasks 
SET status = 'waiting_approval',
    requires_approval = true,
    approval_reason = 'High-risk operation: production deployment'
WHERE id = 'TASK_ID';
";

const LEARN: &str = r#"
INSERT INTO learnings (
  task_id, worker_id, category, title, description, 
  impact_score, tags, created_at
) VALUES (
  'TASK_ID',
  'WORKER_ID',
  'technique',
  'Learning title',
  'What was learned and how it can be applied',
  0.8,
  '["github", "automation"]',
  NOW()
);
"#;

/// The statement with its placeholders filled in.
fn about(statement: &str, task: Uuid) -> AssertSqlSafe<String> {
    let filled = statement
        .replace("TASK_ID_OR_NULL", &task.to_string())
        .replace("TASK_ID", &task.to_string())
        .replace("WORKER_ID", "EXECUTOR")
        .replace("WORKER_TYPE", "executor")
        .replace("WORKER_CAPABILITIES", "ARRAY['code', 'test', 'verification']")
        .replace("TASK_TITLE", "a title");
    AssertSqlSafe(filled)
}

async fn execute(pool: &PgPool, statement: &str, task: Uuid) -> u64 {
    sqlx::raw_sql(about(statement, task)).execute(pool).await.unwrap().rows_affected()
}

async fn pending(pool: &PgPool) -> Uuid {
    sqlx::query_scalar("insert into governance_tasks (title, task_type) values ('a title', 'code') returning id")
        .fetch_one(pool)
        .await
        .unwrap()
}

async fn claimed(pool: &PgPool) -> Uuid {
    let task = pending(pool).await;
    assert_eq!(execute(pool, CLAIM, task).await, 1);
    task
}

async fn column(pool: &PgPool, task: Uuid, column: &str) -> Value {
    let query = "select coalesce(to_jsonb(t) -> $2, 'null') from governance_tasks t where id = $1";
    sqlx::query_scalar(query).bind(task).bind(column).fetch_one(pool).await.unwrap()
}

/// One step in the journal of the task's first attempt.
async fn journal(pool: &PgPool, task: Uuid) {
    let statement = format!(
        "insert into task_runs (task_id, attempt, worker_id, role, component_sha256, manifest_sha256)
         values ('{task}', 1, 'EXECUTOR', 'executor', decode(repeat('00', 32), 'hex'), decode(repeat('00', 32), 'hex'));
         insert into task_steps (task_id, attempt, position, interface, function, effect, arguments_sha256, arguments,
                                 state, result, lease, intended_at, done_at)
         values ('{task}', 1, 0, 'github-merge', 'merge', 'write', decode(repeat('00', 32), 'hex'), '{{}}', 'done',
                 '{{\"ok\": null}}', 1, now(), now()),
                ('{task}', 1, 1, 'github-read', 'file', 'read', decode(repeat('00', 32), 'hex'), '{{}}', 'intended',
                 null, 1, now(), null)"
    );
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(pool).await.unwrap();
}

/// What the host stores.
fn store(task: Uuid, evidence: &Value) -> String {
    format!("update governance_tasks set evidence = '{evidence}' where id = '{task}'")
}

fn evidence(position: u32) -> Value {
    json!({ "verdict": "verified", "steps": [{ "attempt": 1, "position": position }] })
}

/// Both statements in one transaction; the constraint that refuses it, if one does.
async fn commit(pool: &PgPool, task: Uuid, statements: &[&str]) -> Result<(), Option<String>> {
    let mut transaction = pool.begin().await.unwrap();
    for statement in statements {
        sqlx::raw_sql(about(statement, task)).execute(&mut *transaction).await.map_err(constraint)?;
    }
    transaction.commit().await.map_err(constraint)
}

fn constraint(error: sqlx::Error) -> Option<String> {
    let error = error.into_database_error().expect("the database's own refusal");
    assert_eq!(error.code().as_deref(), Some("23514"), "{error}");
    error.constraint().map(str::to_owned)
}

const NO_EVIDENCE: &str = "governance_tasks_evidence";
const NO_TRANSITION: &str = "governance_tasks_status_transition";

fn refused(by: &str) -> Result<(), Option<String>> {
    Err(Some(by.to_owned()))
}

#[tokio::test]
async fn a_worker_registers_and_beats() {
    let database = Database::create().await;
    let pool = database.pool();
    let task = pending(pool).await;
    for _ in 0..2 {
        assert_eq!(execute(pool, REGISTRATION, task).await, 1);
    }
    sqlx::raw_sql("update worker_registry set last_heartbeat = now() - interval '1 hour', status = 'stale'")
        .execute(pool)
        .await
        .unwrap();
    assert_eq!(execute(pool, HEARTBEAT, task).await, 1);
    let query = "select status::text, capabilities, current_task_id, last_heartbeat > now() - interval '1 minute' \
                 from worker_registry where worker_id = 'EXECUTOR'";
    let worker = sqlx::query(query).fetch_one(pool).await.unwrap();
    assert_eq!(worker.get::<String, _>(0), "active");
    assert_eq!(worker.get::<Value, _>(1), json!(["code", "test", "verification"]));
    assert_eq!(worker.get::<Option<Uuid>, _>(2), Some(task));
    assert!(worker.get::<bool, _>(3));

    // The other reading of the placeholder.
    let idle = HEARTBEAT.replace("'TASK_ID_OR_NULL'", "NULL");
    assert_eq!(execute(pool, &idle, task).await, 1);
    for status in ["active", "idle", "busy", "stale", "offline"] {
        let statement = HEARTBEAT.replace("'active'", &format!("'{status}'"));
        assert_eq!(execute(pool, &statement, task).await, 1, "{status}");
    }
}

#[tokio::test]
async fn tasks_are_found_and_claimed_once() {
    let database = Database::create().await;
    let pool = database.pool();
    let first = pending(pool).await;
    let mut by_priority = Vec::new();
    for priority in ["low", "critical", "medium", "high"] {
        let query = "insert into governance_tasks (title, task_type, priority, assigned_worker)
                     values ('a title', 'code', $1::task_priority, 'executor') returning id";
        let id: Uuid = sqlx::query_scalar(query).bind(priority).fetch_one(pool).await.unwrap();
        by_priority.push(id);
    }
    let statement = "insert into governance_tasks (title, task_type, priority, assigned_worker)
                     values ('for another', 'code', 'critical', 'watchdog'), ('another type', 'planning', 'critical', null)";
    sqlx::raw_sql(statement).execute(pool).await.unwrap();

    let [low, critical, medium, high] = by_priority[..] else { panic!("four") };
    // `first` has no priority of its own: it is medium, and older than the other one.
    for expected in [critical, high, first, medium, low] {
        // One finds and holds, another finds the next one; the claim then takes what was found.
        let mut transaction = pool.begin().await.unwrap();
        let found = sqlx::query(about(FIND, first)).fetch_one(&mut *transaction).await.unwrap();
        assert_eq!(found.get::<Uuid, _>("id"), expected);
        let other: Option<_> = sqlx::query(about(FIND, first)).fetch_optional(pool).await.unwrap();
        assert_ne!(other.map(|row| row.get::<Uuid, _>("id")), Some(expected));
        transaction.rollback().await.unwrap();

        let claimed: Uuid = sqlx::query_scalar(about(CLAIM, expected)).fetch_one(pool).await.unwrap();
        assert_eq!(claimed, expected);
        let again: Option<Uuid> = sqlx::query_scalar(about(CLAIM, expected)).fetch_optional(pool).await.unwrap();
        assert_eq!(again, None);
        assert_eq!(column(pool, expected, "assigned_worker").await, "EXECUTOR");
        assert_eq!(column(pool, expected, "lease").await, 1, "a claim by hand is fenced, too");
        assert!(column(pool, expected, "lease_expires_at").await.is_string());
    }
    assert!(sqlx::query(about(FIND, first)).fetch_optional(pool).await.unwrap().is_none());
}

#[tokio::test]
async fn starts_and_errors_are_logged() {
    let database = Database::create().await;
    let pool = database.pool();
    let task = claimed(pool).await;
    assert_eq!(execute(pool, LOG, task).await, 1);
    assert_eq!(execute(pool, LOG_ERROR, task).await, 1);
    let query = "select action, level::text, metadata ->> 'priority', error_data ->> 'error_type'
                 from execution_logs where task_id = $1 order by id";
    let lines: Vec<(String, String, Option<String>, Option<String>)> =
        sqlx::query_as(query).bind(task).fetch_all(pool).await.unwrap();
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(lines[0], ("task_start".into(), "info".into(), some("high"), None));
    assert_eq!(lines[1], ("task_error".into(), "error".into(), None, some("GitHubAuthError")));
}

#[tokio::test]
async fn nobody_completes_a_task_without_evidence() {
    let database = Database::create().await;
    let pool = database.pool();
    let task = claimed(pool).await;
    journal(pool, task).await;
    assert_eq!(commit(pool, task, &[COMPLETE]).await, refused(NO_EVIDENCE));
    for forged in [
        json!({}),
        json!({ "verdict": "verified" }),
        json!({ "verdict": "verified", "steps": [] }),
        json!({ "verdict": "verified", "steps": "all" }),
        json!({ "verdict": "claimed", "steps": [{ "attempt": 1, "position": 0 }] }),
        // No such step, one that was only intended, and another attempt's.
        evidence(7),
        evidence(1),
        json!({ "verdict": "verified", "steps": [{ "attempt": 2, "position": 0 }] }),
        json!({ "verdict": "verified", "steps": [{ "attempt": 1, "position": 0 }, { "attempt": 1, "position": 7 }] }),
        json!({ "verdict": "verified", "steps": [{ "attempt": 1 }] }),
        json!([]),
        json!("verified"),
        Value::Null,
    ] {
        assert_eq!(commit(pool, task, &[COMPLETE, &store(task, &forged)]).await, refused(NO_EVIDENCE), "{forged}");
    }
    // The journal of another task proves nothing either.
    let other = claimed(pool).await;
    assert_eq!(commit(pool, other, &[COMPLETE, &store(other, &evidence(0))]).await, refused(NO_EVIDENCE));
    let inserted = "insert into governance_tasks (title, task_type, status, completion_evidence)
                    values ('born done', 'code', 'completed', 'Done')";
    assert_eq!(commit(pool, task, &[inserted]).await, refused(NO_EVIDENCE));
    assert_eq!(column(pool, task, "status").await, "in_progress");
    assert_eq!(column(pool, other, "status").await, "in_progress");
}

#[tokio::test]
async fn with_evidence_a_task_is_completed_in_either_order_and_stays_so() {
    let database = Database::create().await;
    let pool = database.pool();
    for evidence_first in [true, false] {
        let task = claimed(pool).await;
        journal(pool, task).await;
        let stored = store(task, &evidence(0));
        let statements = if evidence_first { [stored.as_str(), COMPLETE] } else { [COMPLETE, stored.as_str()] };
        assert_eq!(commit(pool, task, &statements).await, Ok(()));
        assert_eq!(column(pool, task, "status").await, "completed");
        assert_eq!(column(pool, task, "lease_expires_at").await, Value::Null);

        let taken_away = format!("update governance_tasks set evidence = null where id = '{task}'");
        assert_eq!(commit(pool, task, &[&taken_away]).await, refused(NO_EVIDENCE));
        assert_eq!(commit(pool, task, &[FAIL]).await, refused(NO_TRANSITION));
    }
    // Not claimed, so never run.
    let task = pending(pool).await;
    assert_eq!(commit(pool, task, &[COMPLETE]).await, refused(NO_TRANSITION));
}

#[tokio::test]
async fn tasks_fail_and_wait_for_approval() {
    let database = Database::create().await;
    let pool = database.pool();
    let task = claimed(pool).await;
    assert_eq!(execute(pool, FAIL, task).await, 1);
    assert_eq!(column(pool, task, "status").await, "failed");
    assert_eq!(column(pool, task, "error_message").await, "Specific error description");
    for task in [pending(pool).await, claimed(pool).await] {
        assert_eq!(execute(pool, REQUEST_APPROVAL, task).await, 1);
        assert_eq!(column(pool, task, "status").await, "waiting_approval");
        assert_eq!(column(pool, task, "requires_approval").await, true);
        assert_eq!(column(pool, task, "assigned_worker").await, Value::Null, "what a claim set is cleared");
        // And there is something to approve.
        database.db().sweep_approvals().await.unwrap();
        let query = "select count(*) from approvals where task_id = $1 and kind = 'start' and state = 'requested'
                     and reasons = array['High-risk operation: production deployment']";
        let asked: i64 = sqlx::query_scalar(query).bind(task).fetch_one(pool).await.unwrap();
        assert_eq!(asked, 1);
    }
}

#[tokio::test]
async fn learnings_are_captured() {
    let database = Database::create().await;
    let pool = database.pool();
    let task = claimed(pool).await;
    assert_eq!(execute(pool, LEARN, task).await, 1);
    let query = "select category, impact_score::text, tags from learnings where task_id = $1";
    let learning: (String, String, Value) = sqlx::query_as(query).bind(task).fetch_one(pool).await.unwrap();
    assert_eq!(learning, ("technique".to_owned(), "0.8".to_owned(), json!(["github", "automation"])));
}
