//! Several hosts over one database: a task made through one starts on another at once, goes on there when it has slept,
//! and stops there when somebody cancels it.

use std::time::{Duration, Instant};

use forge::{CheckConclusion, CheckPolicy};
use reqwest::{Method, StatusCode};
use serde_json::json;
use sqlx::PgPool;

use crate::support::{Host, LIMIT, Options, RolesDir, code_task};

/// Long enough that nobody who starts within [`SOON`] has looked by itself.
const POLL_MS: &str = "60000";
const SOON: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(50);

/// The first process serves no code tasks and has the API; the second one serves them.
async fn two(poll_ms: &str, roles: RolesDir) -> Host {
    let options = Options::default().roles(RolesDir::with(&["noop"])).env("JUGGERNAUT_POLL_MS", poll_ms);
    let mut host = Host::start(options).await;
    roles.lock();
    host.set_env("JUGGERNAUT_ROLES", roles.path().to_str().unwrap());
    host.add_process().await;
    idle(&host.db(), 2).await;
    host
}

async fn idle(pool: &PgPool, wanted: i64) {
    let began = Instant::now();
    loop {
        let query = sqlx::query_scalar::<_, i64>("select count(*) from worker_registry where status = 'idle'");
        if query.fetch_one(pool).await.unwrap() == wanted {
            return;
        }
        assert!(began.elapsed() < LIMIT, "no {wanted} workers are idle");
        tokio::time::sleep(PAUSE).await;
    }
}

/// Backends that listen for wake-ups.
async fn listeners(pool: &PgPool) -> Vec<i32> {
    let query =
        "select pid from pg_stat_activity where datname = current_database() and query ilike 'listen %' order by pid";
    sqlx::query_scalar(query).fetch_all(pool).await.unwrap()
}

/// From its creation to the claim.
async fn starts_soon(host: &Host, path: &str) {
    let began = Instant::now();
    let task = host.create_task(code_task(path)).await;
    while host.row(&task).await["lease"] == 0 {
        assert!(began.elapsed() < SOON, "{path}: nobody has begun it\n{}", host.stderr());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    eprintln!("{path}: claimed after {:?}", began.elapsed());
    host.wait_for(&task, "completed", LIMIT).await;
}

#[tokio::test]
async fn a_task_made_through_one_host_starts_at_once_on_another() {
    let host = two(POLL_MS, RolesDir::with(&["executor"])).await;
    let pool = host.db();
    starts_soon(&host, "a.py").await;
    idle(&pool, 2).await;

    // Who hears nothing any more, because its connection is gone, listens again, and looks for what it missed.
    let before = listeners(&pool).await;
    assert_eq!(before.len(), 2, "one for each host");
    for pid in &before {
        sqlx::query("select pg_terminate_backend($1)").bind(pid).execute(&pool).await.unwrap();
    }
    starts_soon(&host, "b.py").await;
    let began = Instant::now();
    loop {
        let now = listeners(&pool).await;
        if now.len() == 2 && now.iter().all(|pid| !before.contains(pid)) {
            break;
        }
        assert!(began.elapsed() < SOON, "they do not listen again: {now:?}\n{}", host.stderr());
        tokio::time::sleep(PAUSE).await;
    }
    idle(&pool, 2).await;
    starts_soon(&host, "c.py").await;
}

/// The first host is alive and has no slot free: its first task sleeps until its check is green, and the second one is
/// held by the forge.
#[tokio::test]
async fn a_run_that_slept_goes_on_on_another_host() {
    let check = |branches: &str, after_ms| CheckPolicy {
        branches: branches.to_owned(),
        name: "ci".to_owned(),
        conclusion: CheckConclusion::Success,
        after_ms,
    };
    let options = Options::default().checks(vec![check("feature/*", 4_000)]).env("JUGGERNAUT_CONCURRENCY", "1");
    let mut host = Host::start(options).await;
    let forge = host.forge();
    let sleeper = host.create_task(code_task("a.py")).await;
    host.wait_for(&sleeper, "suspended", LIMIT).await;
    forge.hold("PUT", "/repos/demo/sample/contents/*", "before").await;
    let holder = host.create_task(code_task("b.py")).await;
    forge.held().await;
    host.add_process().await;
    let done = host.wait_for(&sleeper, "completed", LIMIT).await;
    let other = done["assigned_worker"].as_str().unwrap();
    assert!(done["attempt"] == 1 && other.starts_with("EXECUTOR-"), "{done}");
    let held = host.row(&holder).await;
    assert_eq!((&held["status"], &held["assigned_worker"]), (&json!("in_progress"), &json!("EXECUTOR")), "{held}");
    forge.release().await;
    host.wait_for(&holder, "completed", LIMIT).await;

    let logs = host.logs(&sleeper).await;
    let by = |action: &str| {
        let line = logs.iter().rev().find(|line| line["action"] == action).unwrap_or_else(|| panic!("no {action}"));
        line["worker_id"].clone()
    };
    assert_eq!((by("task_start"), by("task_resume")), (json!("EXECUTOR"), json!(other)));
    assert_eq!(forge.pull_requests().await.len(), 2, "one each");
}

/// Who is asked to cancel is not who runs it, so the run's host finds out when it looks, twice a second.
#[tokio::test]
async fn a_task_that_is_cancelled_through_one_host_stops_on_another() {
    let roles = RolesDir::with_free_payload(&["hostile"]);
    roles.edit("hostile", "wall_ms = 1_000", "wall_ms = 30_000");
    let host = two("50", roles).await;
    let token = host.token("operator").await;
    let mut times = Vec::new();
    while times.iter().all(|time| *time > Duration::from_secs(1)) {
        assert!(times.len() < 3, "it never stopped within a second: {times:?}");
        let task = host
            .create_task(json!({ "title": "loop", "task_type": "analysis", "assigned_worker": "hostile",
                "payload": { "harm": "loop", "repository": "demo/sample" } }))
            .await;
        host.wait_for(&task, "in_progress", LIMIT).await;
        let began = Instant::now();
        let path = format!("/api/v1/tasks/{task}/cancel");
        let (status, _, answer) = host.api(Method::POST, &path, Some(&token), None).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        let lost = |line: &str| line.contains("the claim is lost") && line.contains(&task);
        while !host.stderr().lines().any(lost) {
            assert!(began.elapsed() < SOON, "it goes on\n{}", host.stderr());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        times.push(began.elapsed());
    }
    eprintln!("stopped after {times:?}");
}
