//! A host's life around its tasks: draining, cancelling, registering, and what it does not run.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Host, LIMIT, Options, PrivateServer, RolesDir, code_task};

const CHECKS: &str = "/repos/demo/sample/commits/*/check-runs";
const POLL: Duration = Duration::from_millis(50);

async fn workers(host: &Host) -> Vec<Value> {
    let token = host.token("viewer").await;
    let (status, _, answer) = host.api(Method::GET, "/api/v1/workers", Some(&token), None).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer["items"].as_array().expect("a list").clone()
}

/// Waits until the only worker has the status.
pub(crate) async fn worker_is(host: &Host, wanted: &str) -> Value {
    let began = Instant::now();
    loop {
        let found = workers(host).await;
        if found.len() == 1 && found[0]["status"] == wanted {
            return found[0].clone();
        }
        assert!(began.elapsed() < LIMIT, "no worker is {wanted}: {found:?}");
        tokio::time::sleep(POLL).await;
    }
}

#[tokio::test]
async fn a_terminated_host_gives_its_tasks_back() {
    let mut host = Host::start(Options::default().env("JUGGERNAUT_GRACE_SECONDS", "1")).await;
    let forge = host.forge();
    forge.hold("GET", CHECKS, "before").await;
    let task = host.create_task(code_task("a.py")).await;
    forge.held().await;
    assert_eq!(host.terminate().await.code(), Some(0), "{}", host.stderr());
    let row = host.row(&task).await;
    assert_eq!((&row["status"], &row["assigned_worker"]), (&json!("pending"), &Value::Null), "{row}");
    forge.release().await;
    host.restart().await;
    let done = host.wait_for(&task, "completed", LIMIT).await;
    assert_eq!(done["attempt"], 1);
    assert!(host.logs(&task).await.iter().any(|line| line["action"] == "task_released"));
}

/// Nothing can be said any more, so nothing is waited for: neither each run by itself nor one after the other.
#[tokio::test]
async fn a_terminated_host_ends_without_its_database() {
    const TASKS: usize = 6;
    /// Once for all writes that wait, not for each of them, is 8 s here.
    const END_MAX: Duration = Duration::from_secs(30);
    let mut server = PrivateServer::start().await;
    let roles = RolesDir::with_free_payload(&["hostile"]);
    roles.edit("hostile", "wall_ms = 1_000", "wall_ms = 300_000");
    let options = Options::default().roles(roles).database(Arc::new(server.database().await));
    let mut host =
        Host::start(options.env("JUGGERNAUT_GRACE_SECONDS", "1").env("JUGGERNAUT_LEASE_SECONDS", "600")).await;
    let draft = json!({ "title": "sleep", "task_type": "analysis", "assigned_worker": "hostile",
        "payload": { "harm": "sleep", "repository": "demo/sample" } });
    let mut tasks = Vec::new();
    for _ in 0..TASKS {
        tasks.push(host.create_task(draft.clone()).await);
    }
    for task in &tasks {
        host.wait_for(task, "in_progress", LIMIT).await;
    }
    server.crash();
    let began = Instant::now();
    let ended = host.terminate().await;
    eprintln!("ended after {:?}", began.elapsed());
    assert_eq!(ended.code(), Some(0), "{}", host.stderr());
    assert!(began.elapsed() < END_MAX, "after {:?}: {}", began.elapsed(), host.stderr());
    assert!(host.stderr().contains("its lease runs out"), "{}", host.stderr());
}

#[tokio::test]
async fn a_cancelled_task_does_nothing_more() {
    let host = Host::start(Options::default()).await;
    let forge = host.forge();
    forge.hold("GET", CHECKS, "before").await;
    let task = host.create_task(code_task("a.py")).await;
    forge.held().await;
    let token = host.token("operator").await;
    let path = format!("/api/v1/tasks/{task}/cancel");
    let (status, _, answer) = host.api(Method::POST, &path, Some(&token), None).await;
    assert_eq!((status, &answer["status"]), (StatusCode::OK, &json!("cancelled")), "{answer}");
    worker_is(&host, "idle").await;
    forge.release().await;
    // Another task through the same worker: by its end the cancelled one had every chance to go on.
    let other = host.create_task(code_task("b.py")).await;
    host.wait_for(&other, "completed", LIMIT).await;
    let row = host.row(&task).await;
    assert_eq!(row["status"], "cancelled", "{row}");
    let merges = forge
        .requests()
        .await
        .iter()
        .filter(|request| {
            request["method"] == "PUT" && request["path"].as_str().is_some_and(|path| path.ends_with("/merge"))
        })
        .count();
    assert_eq!(merges, 1, "only the other task merged");
}

#[tokio::test]
async fn critical_tasks_wait_for_a_person() {
    let host = Host::start(Options::default()).await;
    let mut draft = code_task("a.py");
    draft["risk"] = json!("critical");
    let task = host.create_task(draft).await;
    // A task that is behind it in the queue is done first.
    let other = host.create_task(code_task("b.py")).await;
    host.wait_for(&other, "completed", LIMIT).await;
    let row = host.row(&task).await;
    assert_eq!((&row["status"], &row["requires_approval"]), (&json!("waiting_approval"), &json!(true)), "{row}");
    assert!(row["approval_reason"].as_str().unwrap().contains("critical"), "{row}");
    // Written past the API, too, and even where somebody makes it pending by hand.
    let pool = host.db();
    let id: sqlx::types::Uuid = sqlx::query_scalar(
        "insert into governance_tasks (title, task_type, risk) values ('by hand', 'code', 'critical') returning id",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    sqlx::query("update governance_tasks set status = 'pending' where id = $1").bind(id).execute(&pool).await.unwrap();
    let other = host.create_task(code_task("last.py")).await;
    host.wait_for(&other, "completed", LIMIT).await;
    host.wait_for(&id.to_string(), "waiting_approval", LIMIT).await;
    assert_eq!(host.row(&id.to_string()).await["lease"], 0, "nobody ever claimed it");
}

/// The specification's "Request Approval", then cancel and retry: the approval that was asked for stays asked for.
#[tokio::test]
async fn cancelling_and_retrying_does_not_drop_an_approval() {
    let host = Host::start(Options::default()).await;
    host.forge().hold("GET", CHECKS, "before").await;
    let task = host.create_task(code_task("a.py")).await;
    host.forge().held().await;
    let asked = "update governance_tasks set status = 'waiting_approval', requires_approval = true,
        approval_reason = 'High-risk operation: production deployment' where id = $1::uuid";
    sqlx::query(asked).bind(&task).execute(&host.db()).await.unwrap();
    host.forge().release().await;
    let token = host.token("operator").await;
    for (verb, status) in [("cancel", "cancelled"), ("retry", "waiting_approval")] {
        let path = format!("/api/v1/tasks/{task}/{verb}");
        let (code, _, answer) = host.api(Method::POST, &path, Some(&token), None).await;
        assert_eq!((code, &answer["status"]), (StatusCode::OK, &json!(status)), "{answer}");
    }
    // Pending by hand is not approved either.
    sqlx::query("update governance_tasks set status = 'pending' where id = $1::uuid")
        .bind(&task)
        .execute(&host.db())
        .await
        .unwrap();
    let other = host.create_task(code_task("b.py")).await;
    host.wait_for(&other, "completed", LIMIT).await;
    host.wait_for(&task, "waiting_approval", LIMIT).await;
}

#[tokio::test]
async fn a_worker_registers_works_and_signs_off() {
    let mut host = Host::start(Options::default()).await;
    let idle = worker_is(&host, "idle").await;
    assert_eq!((&idle["worker_id"], &idle["worker_type"]), (&json!("EXECUTOR"), &json!("executor")), "{idle}");
    assert_eq!(idle["capabilities"], json!(["code", "test", "verification", "documentation"]));
    let forge = host.forge();
    forge.hold("GET", CHECKS, "before").await;
    let task = host.create_task(code_task("a.py")).await;
    forge.held().await;
    let busy = worker_is(&host, "busy").await;
    assert_eq!(busy["current_task_id"], json!(task));
    forge.release().await;
    host.wait_for(&task, "completed", LIMIT).await;
    host.terminate().await;
    let status: String =
        sqlx::query_scalar("select status::text from worker_registry").fetch_one(&host.db()).await.unwrap();
    assert_eq!(status, "offline");
}

#[tokio::test]
async fn two_hosts_share_the_queue_under_two_names() {
    let host = Host::start(Options::default().hosts(2)).await;
    let mut tasks = Vec::new();
    for number in 0..6 {
        tasks.push(host.create_task(code_task(&format!("{number}.py"))).await);
    }
    for task in &tasks {
        host.wait_for(task, "completed", LIMIT).await;
    }
    let names: Vec<_> = workers(&host).await.iter().map(|worker| worker["worker_id"].clone()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(names.contains(&json!("EXECUTOR")), "{names:?}");
    assert_eq!(host.forge().pull_requests().await.len(), tasks.len());
}

#[tokio::test]
async fn worker_type_restricts_a_process_to_one_role() {
    let roles = RolesDir::with(&["executor", "prose"]);
    let host =
        Host::start(Options::default().roles(roles).env("WORKER_TYPE", "executor").env("WORKER_ID", "E-1")).await;
    let only = worker_is(&host, "idle").await;
    assert_eq!(only["worker_id"], "E-1");
}
