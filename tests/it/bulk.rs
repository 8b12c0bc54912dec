//! Many tasks in one request: all of them, or none.

use std::collections::HashSet;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use crate::audit::agrees;
use crate::support::{Host, LIMIT, Options, RolesDir, juggernaut};

const BULK: &str = "/api/v1/tasks/bulk";

/// A task whose type no role claims.
fn draft(number: usize) -> Value {
    json!({ "title": format!("task {number}"), "task_type": "planning" })
}

fn drafts(count: usize) -> Vec<Value> {
    (0..count).map(draft).collect()
}

async fn send(host: &Host, role: &str, body: &Value) -> (StatusCode, Value) {
    let token = host.token(role).await;
    let (status, _, answer) = host.api(Method::POST, BULK, Some(&token), Some(body)).await;
    (status, answer)
}

fn ids(answer: &Value) -> Vec<String> {
    let ids = answer["ids"].as_array().unwrap_or_else(|| panic!("no ids: {answer}"));
    ids.iter().map(|id| id.as_str().unwrap().to_owned()).collect()
}

async fn count(host: &Host, query: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(format!("select count(*) from {query}"))).fetch_one(&host.db()).await.unwrap()
}

/// All that a refused request may not leave behind.
async fn rows(host: &Host) -> (i64, i64, i64) {
    (
        count(host, "governance_tasks").await,
        count(host, "execution_logs where task_id is not null").await,
        count(host, "audit_log where kind = 'task_created'").await,
    )
}

#[tokio::test]
async fn a_full_list_is_created_in_its_order() {
    let host = Host::start(Options::default()).await;
    let mut full = drafts(1000);
    full[7] = json!({
        "title": "of everything", "description": "d", "task_type": "planning", "priority": "high", "risk": "medium",
        "payload": {"a": [1, "\u{fc}"]}, "acceptance_criteria": ["reads well"], "assigned_worker": "nobody",
        "depends_on": [], "attempts_max": 5,
    });
    let (status, answer) = send(&host, "operator", &json!(full)).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    let ids = ids(&answer);
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 1000);
    let mut sorted = ids.clone();
    sorted.sort();
    assert_eq!(sorted, ids, "ids grow, so that the first is claimed first");
    for number in [0, 999] {
        let row = host.row(&ids[number]).await;
        assert_eq!((&row["title"], &row["status"]), (&json!(format!("task {number}")), &json!("pending")));
        assert_eq!((&row["created_by"], &row["attempts_max"]), (&json!("operator@example.org"), &json!(3)));
    }
    let row = host.row(&ids[7]).await;
    for (column, value) in [
        ("description", json!("d")),
        ("priority", json!("high")),
        ("risk", json!("medium")),
        ("payload", json!({"a": [1, "\u{fc}"]})),
        ("acceptance_criteria", json!(["reads well"])),
        ("assigned_worker", json!("nobody")),
        ("requested_worker", json!("nobody")),
        ("attempts_max", json!(5)),
    ] {
        assert_eq!(row[column], value, "{column}");
    }
    assert_eq!(rows(&host).await, (1000, 1000, 1000));
    let log = &host.logs(&ids[7]).await[0];
    assert_eq!(log["message"], "Task created by operator@example.org, pending");

    // As a single task is recorded, to the letter.
    let alone = host.create_task(full[7].clone()).await;
    let of = async |id: &str| -> Value {
        let query =
            "select details || jsonb_build_object('actor', actor) from (select details::jsonb, actor from audit_log
            where kind = 'task_created' and task_id = $1::uuid) as event";
        sqlx::query_scalar(query).bind(id).fetch_one(&host.db()).await.unwrap()
    };
    assert_eq!(of(&alone).await, of(&ids[7]).await);
    agrees(&host.database()).await;
}

#[tokio::test]
async fn a_list_is_run() {
    let host = Host::start(Options::default().roles(RolesDir::with(&["noop"])).env("GITHUB_TOKEN", "")).await;
    let drafts: Vec<_> =
        (0..20).map(|number| json!({ "title": format!("task {number}"), "task_type": "verification" })).collect();
    let (status, answer) = send(&host, "operator", &json!(drafts)).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    for id in ids(&answer) {
        let row = host.wait_for(&id, "completed", LIMIT).await;
        assert_eq!(row["evidence"]["verdict"], "verified");
    }
    let ten = host.create_task(json!({ "title": "t", "task_type": "verification", "payload": {"reads": 10} })).await;
    host.wait_for(&ten, "completed", LIMIT).await;
    assert_eq!(host.steps(&ten).await.len(), 10);
}

#[tokio::test]
async fn one_bad_entry_loses_all_and_is_named() {
    let host = Host::start(Options::default()).await;
    let other = host.create_task(draft(0)).await;
    let before = rows(&host).await;
    let with = |change: Value| {
        let mut list = drafts(4);
        list[2].as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        json!(list)
    };
    let no_type = json!([draft(0), { "title": "a" }]);
    for (body, field) in [
        (with(json!({"title": ""})), "[2].title"),
        (with(json!({"title": 3})), "[2].title"),
        (with(json!({"payload": []})), "[2].payload"),
        (with(json!({"bogus": 1})), "[2].bogus"),
        (with(json!({"priority": "urgent"})), "[2].priority"),
        (with(json!({"acceptance_criteria": [{"type": "no-such"}]})), "[2].acceptance_criteria"),
        (with(json!({"task_type": "no-such-type"})), "[2].task_type"),
        (with(json!({"task_type": "code"})), "[2].payload"),
        (with(json!({"payload": {"a": "\u{0}"}})), "[2].payload"),
        (with(json!({"attempts_max": 101})), "[2].attempts_max"),
        (with(json!({"depends_on": [other]})), "[2].depends_on"),
        (no_type, "[1].task_type"),
        (json!([draft(0), ["a", "", "planning"]]), "[1]"),
        (json!([draft(0), null]), "[1]"),
        (json!([]), "(body)"),
        (json!(drafts(1001)), "(body)"),
        (draft(0), "(body)"),
        (json!(null), "(body)"),
    ] {
        let (status, answer) = send(&host, "operator", &body).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{field}: {answer}");
        assert_eq!(answer["errors"][0]["field"], field, "{answer}");
    }
    assert_eq!(rows(&host).await, before);
}

#[tokio::test]
async fn a_body_too_large_and_one_that_is_no_json_are_refused() {
    let host = Host::start(Options::default()).await;
    let mut list = drafts(10);
    for draft in &mut list {
        draft["payload"] = json!({ "a": "x".repeat(900 * 1024) });
    }
    let (status, answer) = send(&host, "operator", &json!(list)).await;
    assert_eq!((status, answer["status"].as_u64()), (StatusCode::PAYLOAD_TOO_LARGE, Some(413)), "{answer}");
    assert!(answer["detail"].as_str().unwrap().contains(&(8 << 20).to_string()), "{answer}");
    // More than a single task may carry is fine for a list.
    list.truncate(8);
    let (status, answer) = send(&host, "operator", &json!(list)).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");

    let token = host.token("operator").await;
    let url = format!("{}{BULK}", host.url());
    let post = |kind: &str, body: &str| {
        let request = reqwest::Client::new().post(&url).bearer_auth(&token).header("content-type", kind);
        request.body(body.to_owned()).send()
    };
    assert_eq!(post("application/json", "[{]").await.unwrap().status(), StatusCode::BAD_REQUEST);
    assert_eq!(post("application/json", "[] []").await.unwrap().status(), StatusCode::BAD_REQUEST);
    assert_eq!(post("text/plain", "[]").await.unwrap().status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(count(&host, "governance_tasks").await, 8);
}

#[tokio::test]
async fn who_may_not_create_one_task_may_not_create_many() {
    let host = Host::start(Options::default()).await;
    for role in ["viewer", "approver"] {
        let (status, answer) = send(&host, role, &json!(drafts(2))).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{answer}");
    }
    let (status, _, _) = host.api(Method::POST, BULK, None, Some(&json!(drafts(2)))).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert_eq!(rows(&host).await, (0, 0, 0));
}

#[tokio::test]
async fn one_denied_by_policy_denies_all() {
    let host = Host::start(Options::default()).await;
    let mut list = drafts(5);
    list[3] = json!({
        "title": "tidy", "task_type": "code",
        "payload": {"repository": "demo/sample", "changes": [{"path": "m/1.sql", "content": "DROP TABLE notes;\n"}]},
    });
    let (status, answer) = send(&host, "operator", &json!(list)).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");
    assert_eq!(answer["type"], "urn:juggernaut:problem:denied-by-policy");
    let detail = answer["detail"].as_str().unwrap();
    assert!(detail.starts_with("[3]: ") && detail.contains("prohibited.delete-production-data"), "{detail}");
    assert_eq!(rows(&host).await, (0, 0, 0));
    let denials = "audit_log where kind = 'policy_decision' and details ->> 'verdict' = 'denied'
        and details ->> 'call' = 'task.create' and actor = 'operator@example.org'";
    assert_eq!(count(&host, denials).await, 1);
}

#[tokio::test]
async fn critical_tasks_of_a_list_wait_for_a_person() {
    let host = Host::start(Options::default()).await;
    let mut list = drafts(3);
    list[1]["risk"] = json!("critical");
    let (status, answer) = send(&host, "operator", &json!(list)).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    let ids = ids(&answer);
    let statuses = [host.row(&ids[0]).await, host.row(&ids[1]).await, host.row(&ids[2]).await];
    let statuses = statuses.map(|row| row["status"].clone());
    assert_eq!(statuses, [json!("pending"), json!("waiting_approval"), json!("pending")]);
    let approval = host.approval(&ids[1], "requested").await;
    assert_eq!(approval["kind"], "start");
    assert_eq!(count(&host, "audit_log where kind = 'approval_requested'").await, 1);
    let token = host.token("approver").await;
    let (status, _) = host.decide(&approval, "approve", &token).await;
    assert_eq!(status, StatusCode::OK);
    host.wait_for(&ids[1], "pending", LIMIT).await;
}

#[tokio::test]
async fn the_command_line_creates_a_list() {
    let host = Host::start(Options::default()).await;
    let folder = tempfile::TempDir::new().unwrap();
    std::fs::write(folder.path().join("tasks.json"), json!(drafts(3)).to_string()).unwrap();
    let token = host.token("operator").await;
    let create = ["task", "create", "--file", "tasks.json"];
    let env = [("JUGGERNAUT_URL", host.url()), ("JUGGERNAUT_TOKEN", token.as_str())];
    let waited = juggernaut(folder.path(), &[&create[..], &["--wait"]].concat(), &env).await;
    assert_eq!(waited.code, Some(1), "{waited:?}");
    assert!(waited.stderr.contains("leave --wait out"), "{waited:?}");
    let created = juggernaut(folder.path(), &create, &env).await;
    assert_eq!(created.code, Some(0), "{created:?}");
    assert_eq!(created.stdout.lines().filter(|line| line.starts_with("created ")).count(), 3, "{created:?}");
    assert_eq!(rows(&host).await, (3, 3, 3));
}
