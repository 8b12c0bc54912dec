//! The audit log: what is recorded, and how each way of changing it afterwards is found.

use std::sync::Arc;
use std::time::{Duration, Instant};

use juggernaut::audit::{Event, EventKind};
use juggernaut::db::DbError;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::engine::execute;
use crate::support::{AUDIT_KEY, CliOutput, Database, Host, LIMIT, Options, code_task, juggernaut};

pub(crate) fn quick() -> Options {
    Options::default().env("JUGGERNAUT_AUDIT_CHECKPOINT_SECONDS", "1")
}

pub(crate) async fn audit(database: &Database, key: Option<&str>, arguments: &[&str]) -> CliOutput {
    let mut env = vec![("DATABASE_URL", database.url())];
    env.extend(key.map(|key| ("JUGGERNAUT_AUDIT_KEY", key)));
    let arguments: Vec<_> = ["audit"].iter().chain(arguments).copied().collect();
    juggernaut(&std::env::temp_dir(), &arguments, &env).await
}

async fn verify(database: &Database) -> CliOutput {
    audit(database, Some(AUDIT_KEY), &["verify"]).await
}

pub(crate) async fn is_true(database: &Database) -> CliOutput {
    let output = verify(database).await;
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(output.stdout.starts_with("audit log: ") && output.stdout.contains(" verified, "), "{output:?}");
    output
}

/// It is true, and every task stands where it was last recorded.
pub(crate) async fn agrees(database: &Database) {
    let output = audit(database, Some(AUDIT_KEY), &["verify", "--tasks"]).await;
    assert_eq!(output.code, Some(0), "{output:?}");
}

/// It is false, and says so of this row.
pub(crate) async fn is_false(database: &Database, arguments: &[&str], row: &str, problem: &str) {
    let arguments: Vec<_> = ["verify"].iter().chain(arguments).copied().collect();
    let output = audit(database, Some(AUDIT_KEY), &arguments).await;
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stdout.contains(row) && output.stdout.contains(problem), "{row}, {problem}: {output:?}");
}

/// As a superuser who does not care for triggers.
pub(crate) async fn tamper(pool: &PgPool, statement: &str) {
    let statement = format!("begin; set local session_replication_role = replica; {statement}; commit");
    execute(pool, statement).await;
}

pub(crate) async fn count(pool: &PgPool, what: &str) -> i64 {
    sqlx::query_scalar(sqlx::AssertSqlSafe(format!("select count(*) from {what}"))).fetch_one(pool).await.unwrap()
}

/// The chain of the one host, and its newest row.
async fn host_chain(pool: &PgPool) -> (String, i64) {
    let query = "select chain::text, (select max(seq) from audit_log b where b.chain = a.chain)
                 from audit_log a where kind = 'host_started' order by at limit 1";
    sqlx::query_as(query).fetch_one(pool).await.unwrap()
}

/// Waits for a checkpoint over all rows of the chain, and stops the host's signing by stopping the host.
pub(crate) async fn settled(host: &mut Host) -> (Arc<Database>, String, i64) {
    assert_eq!(host.terminate().await.code(), Some(0), "{}", host.stderr());
    let (chain, seq) = host_chain(&host.db()).await;
    (host.database(), chain, seq)
}

#[tokio::test]
async fn a_task_leaves_its_rows_in_order_and_they_verify() {
    let mut host = Host::start(quick()).await;
    let task = host.create_task(code_task("a.py")).await;
    host.wait_for(&task, "completed", LIMIT).await;
    let rows: Vec<(String, String, Value)> =
        sqlx::query_as("select kind, actor, details from audit_log where task_id = $1::uuid order by at, seq")
            .bind(&task)
            .fetch_all(&host.db())
            .await
            .unwrap();
    let kinds: Vec<&str> = rows.iter().map(|(kind, ..)| kind.as_str()).collect();
    assert_eq!(kinds[..3], ["task_created", "task_claimed", "policy_decision"], "{kinds:?}");
    assert_eq!(kinds.last(), Some(&"task_completed"), "{kinds:?}");
    assert_eq!(rows[0].1, "operator@example.org");
    assert_eq!((&rows[1].1[..], &rows[1].2["status"]), ("EXECUTOR", &json!("in_progress")));
    for function in ["create-branch", "put-file", "open-pull-request", "merge"] {
        let outcomes: Vec<_> = rows
            .iter()
            .filter(|(kind, _, details)| kind == "host_call" && details["function"] == function)
            .map(|(_, _, details)| details["outcome"].clone())
            .collect();
        assert_eq!(outcomes, ["intended", "ok"], "{function}");
    }
    let (database, ..) = settled(&mut host).await;
    let output = is_true(&database).await;
    assert!(!output.stdout.contains("verified, 0 checkpoints"), "{output:?}");
    let kinds: Vec<String> =
        sqlx::query_scalar("select distinct kind from audit_log where task_id is null order by kind")
            .fetch_all(database.pool())
            .await
            .unwrap();
    // What each role may claim is a decision, too.
    assert_eq!(kinds, ["host_started", "host_stopped", "policy_decision", "token_created"]);
}

/// What can not be recorded is not done.
#[tokio::test]
async fn with_a_broken_log_nothing_happens() {
    let host = Host::start(Options::default()).await;
    let pool = host.db();
    let (operator, admin) = (host.token("operator").await, host.token("admin").await);
    let failed = host.create_task(json!({ "title": "t", "task_type": "analysis" })).await;
    execute(
        &pool,
        "create function broken() returns trigger language plpgsql as $$ begin raise exception 'disk full'; end $$;
         create trigger broken before insert on audit_log for each row execute function broken()",
    )
    .await;
    let before = count(&pool, "governance_tasks").await;
    let cancel = format!("/api/v1/tasks/{failed}/cancel");
    let token = json!({ "principal": "eve", "role": "admin" });
    for (token, path, body) in [
        (&operator, "/api/v1/tasks", Some(code_task("a.py"))),
        (&operator, cancel.as_str(), None),
        (&admin, "/api/v1/tokens", Some(token)),
    ] {
        let (status, _, problem) = host.api(Method::POST, path, Some(token), body.as_ref()).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{path}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains("audit log can not be written, so nothing was done"));
    }
    execute(&pool, "insert into governance_tasks (title, task_type) values ('by hand', 'code')").await;
    let error = host.database().db().wake_due_tasks().await;
    assert!(error.is_ok(), "nothing to wake is nothing to record: {error:?}");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(count(&pool, "governance_tasks").await, before + 1);
    assert_eq!(count(&pool, "governance_tasks where status <> 'pending' or lease > 0").await, 0, "nothing was claimed");
    assert_eq!(count(&pool, "api_tokens where principal = 'eve'").await, 0);
    // Mended, everything goes on in the same chain.
    let chains = count(&pool, "audit_chains").await;
    execute(&pool, "drop trigger broken on audit_log").await;
    let task = host.create_task(code_task("a.py")).await;
    host.wait_for(&task, "completed", LIMIT).await;
    assert_eq!(count(&pool, "audit_chains").await, chains);
    is_true(&host.database()).await;
}

/// A transaction that the database refuses at its commit takes its rows with it, and the chain goes on.
#[tokio::test]
async fn a_refused_commit_leaves_no_gap() {
    let database = Database::create().await;
    let db = database.db();
    db.record(vec![Event::new(EventKind::Setting, "a", json!({}))]).await.unwrap();
    execute(
        database.pool(),
        "create function late() returns trigger language plpgsql as $$ begin raise exception 'late'; end $$;
         create constraint trigger late after insert on audit_log deferrable initially deferred
         for each row when (new.actor = 'late') execute function late()",
    )
    .await;
    let refused = db.record(vec![Event::new(EventKind::Setting, "late", json!({}))]).await;
    assert!(matches!(refused, Err(DbError::Internal(_))), "{refused:?}");
    db.record(vec![Event::new(EventKind::Setting, "b", json!({}))]).await.unwrap();
    let rows: Vec<(i64, String)> =
        sqlx::query_as("select seq, actor from audit_log order by seq").fetch_all(database.pool()).await.unwrap();
    assert_eq!(rows, [(1, "a".to_owned()), (2, "b".to_owned())]);
    assert_eq!(count(database.pool(), "audit_chains").await, 1);
    is_true(&database).await;
}

/// Broken off while it commits: nobody knows whether it is there, so the chain ends and another one begins.
#[tokio::test]
async fn a_commit_without_an_answer_ends_the_chain() {
    let database = Database::create().await;
    let db = database.db();
    db.record(vec![Event::new(EventKind::Setting, "a", json!({}))]).await.unwrap();
    execute(
        database.pool(),
        "create function slow() returns trigger language plpgsql as $$ begin perform pg_sleep(1); return null; end $$;
         create constraint trigger slow after insert on audit_log deferrable initially deferred
         for each row when (new.actor = 'slow') execute function slow()",
    )
    .await;
    let slow = db.record(vec![Event::new(EventKind::Setting, "slow", json!({}))]);
    tokio::time::timeout(Duration::from_millis(300), slow).await.expect_err("it is still under way");
    db.record(vec![Event::new(EventKind::Setting, "b", json!({}))]).await.unwrap();
    assert_eq!(count(database.pool(), "audit_chains").await, 2);
    assert_eq!(count(database.pool(), "audit_anchors").await, 1);
    is_true(&database).await;
}

#[tokio::test]
async fn two_hosts_have_two_chains_and_a_killed_one_leaves_a_true_log() {
    let mut host = Host::start(quick().hosts(2)).await;
    let forge = host.forge();
    forge.hold("PUT", "/repos/demo/sample/contents/*", "before").await;
    let task = host.create_task(code_task("a.py")).await;
    forge.held().await;
    let hosts = "audit_log where kind = 'host_started'";
    assert_eq!(count(&host.db(), hosts).await, 2);
    host.kill9();
    host.processes()[1].kill9();
    forge.release().await;
    is_true(&host.database()).await;
    host.restart().await;
    host.wait_for(&task, "completed", LIMIT).await;
    is_true(&host.database()).await;
    let database = host.database();
    // The third host's chain holds where the two before it had come to.
    let anchored = "(select distinct anchored from audit_anchors) a where exists (
                    select from audit_log l where l.chain = a.anchored and l.seq = 1 and l.kind = 'host_started')";
    assert_eq!(count(database.pool(), anchored).await, 2);
    let chain: String =
        sqlx::query_scalar("select chain::text from audit_log where kind = 'host_started' order by at limit 1")
            .fetch_one(database.pool())
            .await
            .unwrap();
    let delete = "delete from audit_log where chain = 'C'; delete from audit_chains where id = 'C';
                  delete from audit_checkpoints where chain = 'C'; delete from audit_anchors where chain = 'C'";
    tamper(database.pool(), &delete.replace('C', &chain)).await;
    is_false(&database, &[], &format!("chain {chain}"), "the whole chain is missing").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_leave_no_gap() {
    let host = Arc::new(Host::start(quick()).await);
    let creators = (0..8).map(|creator| {
        let host = Arc::clone(&host);
        tokio::spawn(async move {
            let mut tasks = Vec::new();
            for number in 0..4 {
                tasks.push(host.create_task(code_task(&format!("m{creator}_{number}.py"))).await);
            }
            tasks
        })
    });
    let mut tasks = Vec::new();
    for creator in creators.collect::<Vec<_>>() {
        tasks.extend(creator.await.unwrap());
    }
    for task in &tasks {
        host.wait_for(task, "completed", LIMIT * 2).await;
    }
    let gaps = "audit_log a where seq > 1 and not exists
                (select from audit_log b where b.chain = a.chain and b.seq = a.seq - 1 and b.hash = a.prev_hash)";
    assert_eq!(count(&host.db(), gaps).await, 0);
    assert_eq!(count(&host.db(), "audit_log where kind = 'task_completed'").await, 32);
    is_true(&host.database()).await;
}

#[tokio::test]
async fn a_role_that_changed_between_two_hosts_is_recorded() {
    let roles = crate::support::RolesDir::with(&["executor"]);
    let manifest = roles.manifest("executor");
    let mut host = Host::start(Options::default().roles(roles).env("JUGGERNAUT_AUDIT_KEY", "ephemeral")).await;
    assert_eq!(count(&host.db(), "audit_log where kind = 'role_changed'").await, 0);
    host.terminate().await;
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, format!("{text}\n# a word more\n")).unwrap();
    host.restart().await;
    let changed: Vec<Value> = sqlx::query_scalar("select details from audit_log where kind = 'role_changed'")
        .fetch_all(&host.db())
        .await
        .unwrap();
    assert_eq!(changed.len(), 1, "{changed:?}");
    assert_eq!(changed[0]["what"], "role executor manifest");
    assert_ne!(changed[0]["before"], changed[0]["now"]);
    assert_eq!(count(&host.db(), "audit_log where kind = 'setting' and details ->> 'value' = 'ephemeral'").await, 2);
}

#[tokio::test]
async fn an_export_holds_all_that_is_needed_to_verify() {
    let mut host = Host::start(quick()).await;
    let task = host.create_task(code_task("a.py")).await;
    host.wait_for(&task, "completed", LIMIT).await;
    let (database, chain, seq) = settled(&mut host).await;
    let lines = |output: &CliOutput| -> Vec<Value> {
        output.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let output = audit(&database, None, &["export", "--chain", &chain]).await;
    assert_eq!(output.code, Some(0), "{output:?}");
    let all = lines(&output);
    let of = |kind: &str| all.iter().filter(|line| line["type"] == kind).count();
    assert_eq!((of("chain"), i64::try_from(of("row")).unwrap()), (1, seq));
    assert!(of("checkpoint") >= 1);
    assert!(all.iter().all(|line| line["chain"] == chain));
    let output = audit(&database, None, &["export", "--since", "0s"]).await;
    assert!(lines(&output).iter().all(|line| line["type"] == "chain"), "{output:?}");
    let output = audit(&database, None, &["export", "--since", "yesterday"]).await;
    assert!(output.code == Some(1) && output.stderr.contains("neither a time"), "{output:?}");
    // The export serves as the checkpoints' file.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("export.jsonl");
    let whole = audit(&database, None, &["export"]).await;
    std::fs::write(&file, &whole.stdout).unwrap();
    let arguments = ["verify", "--checkpoints", file.to_str().unwrap()];
    assert_eq!(audit(&database, Some(AUDIT_KEY), &arguments).await.code, Some(0));
}

#[tokio::test]
async fn the_api_lists_it_page_by_page_and_by_task() {
    let host = Host::start(Options::default()).await;
    let task = host.create_task(code_task("a.py")).await;
    host.wait_for(&task, "completed", LIMIT).await;
    let viewer = host.token("viewer").await;
    let get = async |path: String| host.api(Method::GET, &path, Some(&viewer), None).await;
    let (mut kinds, mut path) = (Vec::new(), format!("/api/v1/audit?task={task}&limit=3"));
    loop {
        let (status, _, page) = get(path).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        let items = page["items"].as_array().unwrap();
        assert!(items.iter().all(|item| item["task_id"] == task.as_str()) && items.len() <= 3, "{page}");
        kinds.extend(items.iter().map(|item| item["kind"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/api/v1/audit?task={task}&limit=3&cursor={next}");
    }
    assert_eq!((kinds.first().unwrap().as_str(), kinds.last().unwrap().as_str()), ("task_completed", "task_created"));
    let (_, _, all) = get("/api/v1/audit?limit=200".to_owned()).await;
    assert!(all["items"].as_array().unwrap().len() > kinds.len(), "{all}");
    for wrong in ["cursor=x", "cursor=.1", "task=x", "limit=0", "chain=x"] {
        assert_eq!(get(format!("/api/v1/audit?{wrong}")).await.0, StatusCode::BAD_REQUEST, "{wrong}");
    }
    let (status, ..) = host.api(Method::GET, "/api/v1/audit", None, None).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_new_key_signs_what_its_public_part_verifies() {
    let database = Database::create().await;
    let keys = audit(&database, None, &["keygen"]).await;
    let (key, public) = keys.stdout.trim_end().split_once('\n').unwrap();
    let env = [("DATABASE_URL", database.url()), ("JUGGERNAUT_AUDIT_KEY", key)];
    let create = ["token", "create", "--principal", "ann", "--role", "viewer"];
    assert_eq!(juggernaut(&std::env::temp_dir(), &create, &env).await.code, Some(0));
    let output = audit(&database, None, &["verify", "--public-key", public]).await;
    assert!(
        output.code == Some(0) && output.stdout.contains("1 rows in 1 chains verified, 1 checkpoints"),
        "{output:?}"
    );
    let other = juggernaut(&std::env::temp_dir(), &["--json", "audit", "keygen"], &[]).await.json();
    let other = other["public_key"].as_str().unwrap();
    let output = audit(&database, None, &["verify", "--public-key", other]).await;
    assert!(output.code == Some(1) && output.stdout.contains("not signed by a trusted key"), "{output:?}");
}

/// `cargo … -- --ignored a_million_rows`: how fast a log of that size is verified.
#[tokio::test]
#[ignore = "takes a minute; measures"]
async fn a_million_rows_are_verified_within_seconds() {
    const BATCH: usize = 5_000;
    const ROWS: usize = 1_000_000;
    let database = Database::create().await;
    let db = database.db();
    let began = Instant::now();
    for _ in 0..ROWS / BATCH {
        let details = json!({ "status": "in_progress", "attempt": 1, "lease": 1, "worker": "EXECUTOR" });
        let event = Event::new(EventKind::TaskClaimed, "EXECUTOR", details).of(juggernaut::task::TaskId::generate());
        db.record(vec![event; BATCH]).await.unwrap();
    }
    eprintln!("{ROWS} rows written in {:?}", began.elapsed());
    let began = Instant::now();
    let output = is_true(&database).await;
    let elapsed = began.elapsed();
    eprintln!("{} in {elapsed:?}: {:.0} rows/s", output.stdout.trim(), 1e6 / elapsed.as_secs_f64());
    assert!(elapsed < Duration::from_secs(30), "{elapsed:?}");
}
