//! A task that is created while a worker of the host is idle is that worker's at once, and is otherwise as if the worker had
//! claimed it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use juggernaut::audit::{Event, EventKind};
use juggernaut::db::bulk::Admitted;
use juggernaut::db::journal::Batch;
use juggernaut::db::outcomes::Ending;
use juggernaut::db::queue::{Claim, HandedOver, IdleWorkers};
use juggernaut::db::request_keys::RequestKey;
use juggernaut::db::{Db, DbError};
use juggernaut::task::{Risk, TaskStatus, Treatment};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::audit::{agrees, count};
use crate::engine::{admitted, claim, claimant, end, execute, host_db, key, row};
use crate::support::{Database, Host, LIMIT, Options, code_task};

/// With a payload and a deadline that the database stores otherwise than they came.
fn code(changes: &Value) -> Admitted {
    let mut draft = json!({
        "title": "t", "task_type": "code", "deadline_at": "2999-01-01T00:00:00.123456789Z",
        "payload": { "repository": "demo/sample", "instructions": "do it", "base": "main" },
    });
    draft.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    admitted(draft)
}

async fn create(db: &Db, task: &Admitted, idle: &IdleWorkers) -> TaskStatus {
    db.create_task(task, "tests", None, idle).await.unwrap().status
}

/// Everything of a task that is in the database, but for ids and times.
async fn traces(pool: &PgPool, claim: &Claim) -> Value {
    let query = "select jsonb_build_object(
            'task', (select to_jsonb(t) - '{id,created_at,claim_order,started_at,lease_expires_at}'::text[]
                from governance_tasks t where id = $1),
            'runs', (select jsonb_agg(to_jsonb(r) - '{task_id,started_at}'::text[]) from task_runs r where task_id = $1),
            'log', (select jsonb_agg(to_jsonb(l) - '{id,task_id,created_at}'::text[] order by id)
                from execution_logs l where task_id = $1),
            'audit', (select jsonb_agg(jsonb_build_object('kind', kind, 'actor', actor, 'details', details) order by seq)
                from audit_log where task_id = $1))";
    let stored: Value = sqlx::query_scalar(query).bind(claim.task.id.0).fetch_one(pool).await.unwrap();
    // And as the run sees it.
    json!({ "stored": stored, "payload": claim.task.payload.to_string(), "run": format!("{:?}", claim.task.criteria) })
}

#[tokio::test]
async fn it_is_as_if_the_worker_had_claimed_it() {
    let database = Database::create().await;
    let (pool, db) = (database.pool(), database.db());
    let criteria = json!([{ "type": "free-text", "text": "it works" }]);
    for meant_for in [Value::Null, json!("executor"), json!("EXECUTOR")] {
        let changes = json!({ "assigned_worker": meant_for, "acceptance_criteria": criteria });
        assert_eq!(create(&db, &code(&changes), &IdleWorkers::default()).await, TaskStatus::Pending);
        let (claimed, claimed_key) = claim(&db, "EXECUTOR").await;
        let idle = IdleWorkers::default();
        let mut given = idle.wait(&Arc::new(claimant("EXECUTOR", &["code"])));
        let asked = Instant::now();
        assert_eq!(create(&db, &code(&changes), &idle).await, TaskStatus::InProgress);
        let HandedOver { claim: handed, asked_at } = given.try_recv().unwrap();
        assert!(asked_at >= asked, "the lease counts from the statement");
        assert_eq!(traces(pool, &handed).await, traces(pool, &claimed).await, "meant for {meant_for}");
        agrees(&database).await;
        // Without an outcome both go back to whom they were meant for, and go on there.
        for key in [claimed_key, key(&handed, "EXECUTOR")] {
            let ending = Ending::Released { reason: "put back".into() };
            end(&db, &key, &Batch::default(), &ending).await.unwrap();
            let row = row(pool, key.task).await;
            assert_eq!((&row["status"], &row["assigned_worker"]), (&json!("pending"), &meant_for));
            let (again, key) = claim(&db, "EXECUTOR").await;
            assert!(again.task.id == key.task && again.run.resumed);
            end(&db, &key, &Batch::default(), &Ending::Failed { reason: "over".into() }).await.unwrap();
        }
        agrees(&database).await;
    }
}

#[tokio::test]
async fn only_what_the_worker_would_have_claimed() {
    let database = Database::create().await;
    let (pool, db) = (database.pool(), database.db());
    let other = code(&json!({}));
    assert_eq!(create(&db, &other, &IdleWorkers::default()).await, TaskStatus::Pending);
    let idle = IdleWorkers::default();
    let mut given = idle.wait(&Arc::new(claimant("EXECUTOR", &["code"])));
    let start = |risk, reason: Option<&str>| {
        let task = code(&json!({}));
        let start_reason = reason.map(str::to_owned);
        Admitted { treatment: Treatment { risk, start_reason, ..task.treatment }, ..task }
    };
    let large = "x".repeat(20_000);
    for (task, status) in [
        (code(&json!({ "assigned_worker": "EXECUTOR-2" })), TaskStatus::Pending),
        (code(&json!({ "task_type": "research", "payload": {} })), TaskStatus::Pending),
        (code(&json!({ "depends_on": [other.id] })), TaskStatus::Suspended),
        (code(&json!({ "description": large })), TaskStatus::Pending),
        (start(Risk::Low, Some("somebody looks")), TaskStatus::WaitingApproval),
        // Whatever policy says.
        (start(Risk::Critical, None), TaskStatus::WaitingApproval),
    ] {
        assert_eq!(create(&db, &task, &idle).await, status);
        assert!(given.try_recv().is_err(), "it is not this worker's");
    }
    assert_eq!(count(pool, "task_runs").await, 0);
    assert!(idle.leave(&claimant("EXECUTOR", &[]).worker_id), "it still waits");
    assert_eq!(create(&db, &code(&json!({})), &idle).await, TaskStatus::Pending, "nobody waits");
}

/// Nor does a row that somebody writes by hand begin unapproved.
#[tokio::test]
async fn the_database_lets_nothing_begin_unapproved() {
    let database = Database::create().await;
    for column in [
        "risk) values ('t', 'code', 'in_progress', 'critical')",
        "requires_approval) values ('t', 'code', 'in_progress', true)",
    ] {
        let insert = format!("insert into governance_tasks (title, task_type, status, {column}");
        let refused = sqlx::query(AssertSqlSafe(insert)).execute(database.pool()).await.unwrap_err();
        let constraint = refused.as_database_error().and_then(|error| error.constraint()).map(str::to_owned);
        assert_eq!(constraint.as_deref(), Some("governance_tasks_unapproved"), "{refused}");
    }
}

/// One that is too late by the time it is created is not begun, and does not break the chain.
#[tokio::test]
async fn what_is_late_is_not_begun() {
    let database = Database::create().await;
    let db = database.db();
    assert_eq!(create(&db, &code(&json!({})), &IdleWorkers::default()).await, TaskStatus::Pending);
    let soon = (OffsetDateTime::now_utc() + Duration::from_millis(200)).format(&Rfc3339).unwrap();
    let late = code(&json!({ "deadline_at": soon }));
    tokio::time::sleep(Duration::from_millis(400)).await;
    let idle = IdleWorkers::default();
    let given = idle.wait(&Arc::new(claimant("EXECUTOR", &["code"])));
    assert_eq!(create(&db, &late, &idle).await, TaskStatus::Pending);
    given.await.unwrap_err();
    assert_eq!(count(database.pool(), "task_runs").await, 0);
    assert_eq!(count(database.pool(), "audit_chains").await, 1);
    agrees(&database).await;
}

/// Whoever has a lock that the creation needs may wait for the chain that the creation has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_holds_up_nobody_else() {
    let database = Database::create().await;
    let db = host_db(&database).await;
    assert_eq!(create(&db, &code(&json!({})), &IdleWorkers::default()).await, TaskStatus::Pending);
    let mut locker = database.pool().begin().await.unwrap();
    sqlx::query("lock table execution_logs in access exclusive mode").execute(&mut *locker).await.unwrap();
    let idle = IdleWorkers::default();
    let given = idle.wait(&Arc::new(claimant("EXECUTOR", &["code"])));
    let creating = tokio::spawn({
        let (db, idle) = (db.clone(), idle.clone());
        async move { create(&db, &code(&json!({})), &idle).await }
    });
    // It gives the chain back.
    given.await.unwrap_err();
    let event = Event::new(EventKind::TokenRevoked, "tests", json!({}));
    tokio::time::timeout(LIMIT, db.record(vec![event])).await.expect("the chain is free").unwrap();
    assert!(!creating.is_finished(), "it waits as every creation does");
    locker.commit().await.unwrap();
    assert_eq!(creating.await.unwrap(), TaskStatus::Pending);
    assert_eq!(count(database.pool(), "audit_chains").await, 1, "the chain went on");
    agrees(&database).await;
}

#[tokio::test]
async fn where_nothing_is_created_the_worker_hears_of_it() {
    let database = Database::create().await;
    let db = database.db();
    let idle = IdleWorkers::default();
    let executor = Arc::new(claimant("EXECUTOR", &["code"]));
    let request = RequestKey { key: "once".to_owned(), request_sha256: [7; 32] };
    let mut given = idle.wait(&executor);
    db.create_task(&code(&json!({})), "tests", Some(&request), &idle).await.unwrap();
    assert!(given.try_recv().is_ok());
    let given = idle.wait(&executor);
    let repeated = db.create_task(&code(&json!({})), "tests", Some(&request), &idle).await;
    assert!(matches!(repeated, Err(DbError::RequestRepeated)), "{repeated:?}");
    given.await.unwrap_err();
    assert!(!idle.leave(&executor.worker_id));
    // What the database refuses of a claim goes the longer way, which makes none.
    let given = idle.wait(&executor);
    execute(database.pool(), "alter table execution_logs add check (action <> 'task_start') not valid").await;
    assert_eq!(create(&db, &code(&json!({})), &idle).await, TaskStatus::Pending);
    given.await.unwrap_err();
    assert_eq!(count(database.pool(), "governance_tasks").await, 2);
}

/// What it is answered with can not be read, as if it had been lost: the task is there once, and its lease runs out.
#[tokio::test]
async fn a_lost_answer_is_no_lost_task() {
    let database = Database::create().await;
    let (pool, db) = (database.pool(), database.db());
    assert_eq!(create(&db, &code(&json!({})), &IdleWorkers::default()).await, TaskStatus::Pending);
    execute(pool, "alter type evidence_kind add value 'of a newer release'").await;
    execute(pool, "update task_types set evidence = 'of a newer release' where name = 'code'").await;
    let idle = IdleWorkers::default();
    let given = idle.wait(&Arc::new(claimant("EXECUTOR", &["code"])));
    assert_eq!(create(&db, &code(&json!({})), &idle).await, TaskStatus::InProgress);
    given.await.unwrap_err();
    assert_eq!(count(pool, "governance_tasks").await, 2);
    db.record(vec![Event::new(EventKind::TokenRevoked, "tests", json!({}))]).await.unwrap();
    agrees(&database).await;
}

#[tokio::test]
async fn one_worker_is_given_one_task_at_a_time() {
    const AT_ONCE: usize = 8;
    let database = Database::create().await;
    let db = database.db();
    let idle = IdleWorkers::default();
    let executor = Arc::new(claimant("EXECUTOR", &["code"]));
    // The first transaction of a process begins its chain in the audit log, and takes the longer way.
    let first = idle.wait(&executor);
    assert_eq!(create(&db, &code(&json!({})), &idle).await, TaskStatus::Pending);
    first.await.unwrap_err();
    let mut given = idle.wait(&executor);
    let creating = (0..AT_ONCE).map(|_| {
        let (db, idle) = (db.clone(), idle.clone());
        tokio::spawn(async move { create(&db, &code(&json!({})), &idle).await })
    });
    let mut statuses = Vec::new();
    for created in creating.collect::<Vec<_>>() {
        statuses.push(created.await.unwrap());
    }
    let of = |status| statuses.iter().filter(|it| **it == status).count();
    assert_eq!((of(TaskStatus::InProgress), of(TaskStatus::Pending)), (1, AT_ONCE - 1), "{statuses:?}");
    assert!(given.try_recv().is_ok());
    agrees(&database).await;
}

/// With the real binary: what it is answered with, and that it comes to its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_host_begins_at_once() {
    let host = Host::start(Options::default()).await;
    let token = host.token("operator").await;
    let began = Instant::now();
    for number in 0.. {
        assert!(began.elapsed() < LIMIT, "the worker is never idle");
        let draft = code_task(&format!("handed_{number}.py"));
        let (status, _, task) = host.api(Method::POST, "/api/v1/tasks", Some(&token), Some(&draft)).await;
        assert_eq!(status, StatusCode::CREATED, "{task}");
        let id = task["id"].as_str().unwrap();
        host.wait_for(id, "completed", LIMIT).await;
        if task["status"] == "in_progress" {
            assert_eq!(task["assigned_worker"], "EXECUTOR");
            break;
        }
        assert_eq!(task["status"], "pending", "the worker has not come to wait yet");
    }
    agrees(&host.database()).await;
}

/// The creation goes on without its caller, so that what was claimed for the worker reaches it, and the chain in the audit
/// log goes on, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_leaves_keeps_nobody_from_it() {
    const TRIES: u32 = 12;
    let host = Host::start(Options::default()).await;
    let (pool, token) = (host.db(), host.token("operator").await);
    let address = host.url().trim_start_matches("http://").trim_end_matches('/').to_owned();
    let chains = count(&pool, "audit_chains").await;
    for number in 0..TRIES {
        let body = code_task(&format!("left_{number}.py")).to_string();
        let request = format!(
            "POST /api/v1/tasks HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut caller = TcpStream::connect(&address).await.unwrap();
        caller.write_all(request.as_bytes()).await.unwrap();
        // From before its token is looked up until after the answer.
        tokio::time::sleep(Duration::from_micros(500) * number).await;
        drop(caller);
        // The next one finds the worker idle again.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let began = Instant::now();
        while count(&pool, "governance_tasks where status <> 'completed'").await > 0 {
            assert!(began.elapsed() < LIMIT, "{}", host.stderr());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    assert!(count(&pool, "governance_tasks").await > 0, "none was created");
    assert_eq!(count(&pool, "audit_log where kind = 'task_reclaimed'").await, 0, "a claim reached nobody");
    assert_eq!(count(&pool, "audit_chains").await, chains, "a creation was broken off");
    agrees(&host.database()).await;
}
