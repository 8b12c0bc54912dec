//! The WATCHDOG over the real host: each thing that can be wrong is made so with SQL, raised once, counted, and resolved when
//! it is over.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::monitoring::sql;
use crate::support::{Host, LIMIT, Options, RolesDir, juggernaut};

pub(crate) async fn watchdog() -> Host {
    Host::start(Options::default().roles(RolesDir::with(&["watchdog"]))).await
}

/// One look of the watchdog.
async fn watch(host: &Host) -> Value {
    let id = host.create_task(json!({ "title": "Watch", "task_type": "monitoring" })).await;
    host.wait_for(&id, "completed", LIMIT).await
}

/// State and occurrences of the alerts of a kind, oldest first.
async fn alerts(host: &Host, kind: &str) -> Vec<(String, i64)> {
    sqlx::query_as("select state::text, occurrences from alerts where kind = $1 order by first_seen_at")
        .bind(kind)
        .fetch_all(&host.db())
        .await
        .unwrap()
}

/// Raised, counted, resolved, and raised anew.
async fn comes_and_goes(kind: &str, begins: &str, ends: &str) {
    let host = watchdog().await;
    watch(&host).await;
    assert_eq!(alerts(&host, kind).await, [], "{kind}: nothing is wrong yet");
    sql(&host, begins).await;
    watch(&host).await;
    assert_eq!(alerts(&host, kind).await, [("open".to_owned(), 1)], "{kind}");
    let task = watch(&host).await;
    assert_eq!(alerts(&host, kind).await, [("open".to_owned(), 2)], "{kind}: the same is one alert");
    let evidence = &task["evidence"];
    assert_eq!(evidence["kind"], "alerts_evaluated", "{evidence}");
    let id: uuid::Uuid =
        sqlx::query_scalar("select id from alerts where kind = $1").bind(kind).fetch_one(&host.db()).await.unwrap();
    assert!(evidence.to_string().contains(&id.to_string()), "{evidence}");
    sql(&host, ends).await;
    watch(&host).await;
    assert_eq!(alerts(&host, kind).await, [("resolved".to_owned(), 2)], "{kind}: it is over");
    let resolved: Vec<(Option<String>, Option<String>)> =
        sqlx::query_as("select resolved_by, raised_by from alerts where kind = $1")
            .bind(kind)
            .fetch_all(&host.db())
            .await
            .unwrap();
    let worker = Some("WATCHDOG".to_owned());
    assert_eq!(resolved, [(worker.clone(), worker)]);
    sql(&host, begins).await;
    watch(&host).await;
    let again = [("resolved".to_owned(), 2), ("open".to_owned(), 1)];
    assert_eq!(alerts(&host, kind).await, again, "{kind}: what comes again is a new alert");
}

#[tokio::test]
async fn a_worker_that_is_silent() {
    comes_and_goes(
        "stale-worker",
        "insert into worker_registry (worker_id, worker_type, last_heartbeat)
         values ('gone', 'executor', now() - interval '6 minutes')
         on conflict (worker_id) do update set last_heartbeat = excluded.last_heartbeat, status = 'active'",
        "update worker_registry set last_heartbeat = now() where worker_id = 'gone'",
    )
    .await;
}

#[tokio::test]
async fn a_task_that_runs_for_hours() {
    comes_and_goes(
        "long-running-task",
        "insert into governance_tasks (id, title, task_type, status, started_at, assigned_worker, lease_expires_at)
         values ('00000000-0000-0000-0000-000000000001', 't', 'code', 'in_progress', now() - interval '3 hours', 'w',
             now() + interval '1 day')
         on conflict (id) do update set started_at = excluded.started_at",
        "update governance_tasks set started_at = now() where title = 't'",
    )
    .await;
}

#[tokio::test]
async fn failures_of_a_type() {
    comes_and_goes(
        "failure-rate",
        "insert into governance_tasks (title, task_type, status, completed_at)
         select 't', 'code', (case when n <= 4 then 'dead_letter' else 'failed' end)::task_status, now()
         from generate_series(1, 10) as n",
        "update governance_tasks set completed_at = now() - interval '2 hours' where title = 't'",
    )
    .await;
}

#[tokio::test]
async fn an_error_that_repeats_with_other_numbers() {
    comes_and_goes(
        "repeated-error",
        "insert into execution_logs (action, level, message)
         select 'task_error', 'error', format('no answer from 10.0.0.%s for \"job %s\" (%s)', n, n, gen_random_uuid())
         from generate_series(1, 5) as n",
        "update execution_logs set created_at = now() - interval '2 hours' where action = 'task_error'",
    )
    .await;
}

#[tokio::test]
async fn a_queue_that_stands_still() {
    comes_and_goes(
        "queue-growth",
        "insert into governance_tasks (title, task_type, created_at) values ('t', 'code', now() - interval '2 hours')",
        "update governance_tasks set status = 'cancelled', completed_at = now() where title = 't'",
    )
    .await;
}

#[tokio::test]
async fn a_budget_that_burns() {
    comes_and_goes(
        "budget-burn",
        "insert into llm_days (day, tokens) values ((now() at time zone 'utc')::date, 1000000000000)
         on conflict (day) do update set tokens = excluded.tokens",
        "update llm_days set tokens = 0",
    )
    .await;
}

#[tokio::test]
async fn a_person_acknowledges_and_sees_whose_words_they_are() {
    let host = watchdog().await;
    sql(
        &host,
        "insert into worker_registry (worker_id, worker_type, last_heartbeat)
         values (E'gone\\u202E\\u001B[31m', 'executor', now() - interval '6 minutes')",
    )
    .await;
    watch(&host).await;
    let token = host.token("operator").await;
    let folder = TempDir::new().unwrap();
    let env = [("JUGGERNAUT_URL", host.url()), ("JUGGERNAUT_TOKEN", token.as_str())];
    let shown = juggernaut(folder.path(), &["alert", "list"], &env).await;
    assert!(shown.stdout.contains("RAISED BY") && shown.stdout.contains("WATCHDOG"), "{shown:?}");
    assert!(shown.stdout.contains("<U+202E>") && !shown.stdout.contains(['\u{202e}', '\u{1b}']), "{shown:?}");
    let id: uuid::Uuid = sqlx::query_scalar("select id from alerts").fetch_one(&host.db()).await.unwrap();
    let acknowledged = juggernaut(folder.path(), &["alert", "ack", &id.to_string()], &env).await;
    assert_eq!(acknowledged.code, Some(0), "{acknowledged:?}");
    watch(&host).await;
    assert_eq!(alerts(&host, "stale-worker").await, [("acknowledged".to_owned(), 2)]);
}

#[tokio::test]
async fn thresholds_come_from_the_payload_and_a_misspelt_one_is_refused() {
    let host = watchdog().await;
    sql(
        &host,
        "insert into worker_registry (worker_id, worker_type, last_heartbeat)
         values ('quiet', 'executor', now() - interval '1 minute')",
    )
    .await;
    watch(&host).await;
    assert_eq!(alerts(&host, "stale-worker").await, []);
    let draft = |payload| json!({ "title": "Watch", "task_type": "monitoring", "payload": payload, "attempts_max": 1 });
    let task = host.create_task(draft(json!({ "heartbeat_seconds": 30 }))).await;
    host.wait_for(&task, "completed", LIMIT).await;
    assert_eq!(alerts(&host, "stale-worker").await, [("open".to_owned(), 1)]);
    let task = host.create_task(draft(json!({ "heartbeat_second": 30 }))).await;
    let failed = host.wait_for(&task, "failed", LIMIT).await;
    assert!(failed["error_message"].as_str().unwrap().contains("heartbeat_second"), "{failed}");
}
