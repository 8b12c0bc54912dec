//! Goals: a hostile planner gets only what it was granted, and a goal that nobody follows does not stay open.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::approvals::approver;
use crate::audit::{agrees, count};
use crate::goals::{GOALS, create, planner, wait_for};
use crate::support::{Host, LIMIT, Options, RolesDir};

fn hostile() -> RolesDir {
    RolesDir::with(&["planner"])
}

/// What the planner of the tests said of each call of its script.
async fn said(host: &Host, goal: &Value) -> Vec<String> {
    let logs = host.logs(planner(goal)).await;
    let said =
        logs.iter().filter(|line| line["action"] == "log").map(|line| line["message"].as_str().unwrap().to_owned());
    said.collect()
}

#[expect(clippy::needless_pass_by_value, reason = "callers write it where they call")]
fn script(calls: Value) -> Value {
    json!({ "title": "A script", "description": calls.to_string() })
}

/// Has the planner of the tests make these calls; returns the goal and what came of each.
async fn played(host: &Host, calls: Value) -> (Value, Vec<String>) {
    let created = create(host, script(calls)).await;
    host.wait_for(planner(&created), "failed", LIMIT).await;
    let said = said(host, &created).await;
    (created, said)
}

#[tokio::test]
async fn a_goal_whose_planner_ends_does_not_stay_open() {
    let host = Host::start(Options::default().roles(hostile())).await;
    let calls = json!([{ "call": "create", "tasks": [{ "key": "a" }] }]);
    let (created, _) = played(&host, calls).await;
    let failed = wait_for(&host, &created, "failed").await;
    assert!(failed["outcome"]["reason"].as_str().unwrap().contains("follows it no more"), "{failed:#}");
    assert_eq!(failed["children"][0]["status"], "cancelled");
    let by = "select actor from audit_log where kind = 'goal_failed'";
    assert_eq!(sqlx::query_scalar::<_, String>(by).fetch_one(&host.db()).await.unwrap(), "host");
    agrees(&host.database()).await;
}

#[tokio::test]
async fn a_planner_gets_only_what_it_was_granted() {
    let host = Host::start(Options::default().roles(hostile())).await;
    let foreign = create(&host, json!({ "title": "Foreign", "description": "[]" })).await;
    host.wait_for(planner(&foreign), "failed", LIMIT).await;
    let mut free = crate::support::code_task("x.py");
    free["assigned_worker"] = json!("nobody");
    let free = host.create_task(free).await;
    let drop_table = json!({ "queries": ["drop table users"] });
    let calls = json!([
        { "call": "create", "tasks": [{ "key": "a" }, { "key": "b", "depends_on": ["a"] }] },
        { "call": "create", "tasks": [{ "key": "x", "task_type": "decomposition" }] },
        { "call": "create", "tasks": [{ "key": "x", "task_type": "no-such" }] },
        { "call": "create-many", "count": 10_000 },
        { "call": "create", "tasks": [{ "key": "x", "depends_on": ["{own}"] }] },
        { "call": "create", "tasks": [{ "key": "x", "depends_on": [free] }] },
        { "call": "create", "tasks": [{ "key": "x", "depends_on": [planner(&foreign)] }] },
        { "call": "create", "tasks": [{ "key": "x", "depends_on": ["y"] }, { "key": "y", "depends_on": ["x"] }] },
        { "call": "create", "tasks": [{ "key": "x", "title": "two\nlines" }] },
        { "call": "create", "tasks": [{ "key": "x", "payload": drop_table }] },
        { "call": "create", "tasks": [] },
        { "call": "cancel", "id": free },
        { "call": "cancel", "id": planner(&foreign) },
        { "call": "cancel", "id": "{own}" },
        { "call": "retry", "id": planner(&foreign) },
        { "call": "priority", "id": free },
        { "call": "assign", "id": free, "worker": "planner" },
        { "call": "assign", "id": "{a}", "worker": "\n" },
        { "call": "retry", "id": "{a}" },
        { "call": "get", "id": free },
        { "call": "list", "goal": foreign["id"] },
        { "call": "list" },
        { "call": "complete" },
        { "call": "complete", "replaced": ["{a}", "{b}"] },
        { "call": "complete", "replaced": [free] },
        { "call": "priority", "id": "{a}" },
        { "call": "cancel", "id": "{a}" },
        { "call": "complete", "replaced": ["{a}"] },
        { "call": "priority", "id": "{a}" },
        { "call": "wait", "milliseconds": 2_678_400_000_u64 },
        { "call": "create-often", "count": 300 },
        { "call": "retry", "id": "{a}" },
    ]);
    let (created, said) = played(&host, calls).await;
    for (number, wanted) in [
        (0, "create: ok 2"),
        (1, "Denied"),
        (2, "Denied"),
        (3, "10000 tasks are more than tasks_max = 20"),
        (4, "task \\\"x\\\": it depends on"),
        (5, "which is no other task of the same goal"),
        (6, "which is no other task of the same goal"),
        (7, "in a cycle: x → y → x"),
        (8, "title must not contain control characters"),
        (9, "prohibited.delete-production-data"),
        (10, "has no tasks"),
        (11, "NotFound"),
        (12, "NotFound"),
        (13, "NotFound"),
        (14, "NotFound"),
        (15, "NotFound"),
        (16, "NotFound"),
        (17, "Invalid"),
        (18, "Conflict"),
        (19, "NotFound"),
        (20, "list: ok 0"),
        (21, "list: ok 3"),
        (22, "2 tasks of goal"),
        (23, "only what failed, was cancelled or is a dead letter is replaced"),
        (24, "NotFound"),
        (25, "priority: ok"),
        (26, "cancel: ok"),
        (27, "1 tasks of goal"),
        (28, "Conflict"),
        (29, "longer than 30 days"),
        (30, "create-often: ok 18"),
        (31, "it was cancelled; only a person lets it go on"),
    ] {
        assert!(
            said[number].starts_with(&format!("{number} ")) && said[number].contains(wanted),
            "{wanted}: {}",
            said[number]
        );
    }
    assert_eq!(said.len(), 32, "{said:#?}");
    let pool = host.db();
    let mine = format!("governance_tasks where goal_id = '{}'", created["id"].as_str().unwrap());
    assert_eq!(count(&pool, &mine).await, 21, "its own, and the 20 of one attempt");
    assert_eq!(host.row(&free).await["status"], "pending");
    // What was refused stands in the audit log: by policy, or as a call that came to nothing.
    let decided = "audit_log where kind = 'policy_decision' and details ->> 'verdict' = 'denied' \
                   and details ->> 'call' = 'tasks-write.create'";
    assert_eq!(count(&pool, decided).await, 4);
    let made = "audit_log where kind = 'host_call' and details ->> 'outcome' = 'err'";
    for (call, least) in [("create", 10), ("cancel", 3), ("assign", 2), ("retry", 3), ("set-priority", 2)] {
        let of = format!("{made} and details ->> 'interface' = 'tasks-write' and details ->> 'function' = '{call}'");
        assert!(count(&pool, &of).await >= least, "{call}");
    }
    assert_eq!(count(&pool, &format!("{made} and details ->> 'interface' = 'goals'")).await, 4);
    agrees(&host.database()).await;
}

#[tokio::test]
async fn a_planner_does_not_undo_what_a_person_stopped() {
    let host = Host::start(Options::default().roles(RolesDir::with(&["planner", "executor"]))).await;
    let risky =
        json!({ "repository": "demo/sample", "changes": [{ "path": "Dockerfile", "content": "FROM scratch\n" }] });
    let calls = json!([
        { "call": "create", "tasks": [{ "key": "a", "task_type": "code", "payload": risky, "worker": null }] },
        { "call": "follow" },
        { "call": "retry", "id": "{a}" },
    ]);
    let created = create(&host, script(calls)).await;
    host.wait_for(planner(&created), "suspended", LIMIT).await;
    let child = "select id::text from governance_tasks where task_type = 'code'";
    let child: String = sqlx::query_scalar(child).fetch_one(&host.db()).await.unwrap();
    let merge = host.approval(&child, "requested").await;
    assert_eq!(host.decide(&merge, "deny", &approver(&host).await).await.0, StatusCode::OK);
    host.wait_for(planner(&created), "failed", LIMIT).await;
    let said = said(&host, &created).await;
    assert!(said[2].contains("a person has denied what it was about to do"), "{said:#?}");
    assert_eq!(count(&host.db(), "approvals").await, 1, "nobody is asked again");
    agrees(&host.database()).await;
}

#[tokio::test]
async fn only_the_planner_closes_a_goal_and_only_what_is_done() {
    let host = Host::start(Options::default().roles(RolesDir::with(&["planner", "executor"]))).await;
    let done =
        json!({ "repository": "demo/sample", "changes": [{ "path": "a.py", "content": "\"\"\"A module.\"\"\"\n" }] });
    let lost = json!({ "repository": "demo/missing", "changes": [{ "path": "a.py", "content": "x = 1\n" }] });
    let task =
        |key: &str, payload: &Value| json!({ "key": key, "task_type": "code", "payload": payload, "worker": null });
    let calls = json!([
        { "call": "given" },
        { "call": "complete" },
        { "call": "create", "tasks": [task("a", &done), task("b", &lost)] },
        { "call": "follow" },
        { "call": "complete" },
        { "call": "complete", "replaced": ["{a}"] },
        { "call": "replan", "replaced": ["{b}"] },
        { "call": "complete" },
        { "call": "create", "tasks": [{ "key": "c", "task_type": "code", "payload": lost, "worker": null }] },
        { "call": "follow" },
        { "call": "replan", "replaced": [] },
        { "call": "replan", "replaced": [] },
        { "call": "given" },
        { "call": "complete", "replaced": ["{c}"] },
    ]);
    let created = create(&host, script(calls)).await;
    host.wait_for(planner(&created), "failed", LIMIT).await;
    let said = said(&host, &created).await;
    for (number, wanted) in [
        (0, "\"replans_left\":2"),
        (1, "has no task that completed"),
        (2, "create: ok 2"),
        (3, "follow: ok"),
        (4, "1 tasks of goal"),
        (5, "is completed; only what failed"),
        (6, "replan: ok"),
        (7, "the new plan has no task"),
        (8, "create: ok 1"),
        (9, "follow: ok"),
        (10, "replan: ok"),
        (11, "Denied"),
        (12, "\"replans_left\":0"),
        (13, "the new plan has no task"),
    ] {
        assert!(said[number].contains(wanted), "{wanted}: {}", said[number]);
    }
    let failed = wait_for(&host, &created, "failed").await;
    assert_eq!(failed["replans"], 2);
    assert_eq!(count(&host.db(), "audit_log where kind = 'goal_replanned'").await, 2);
    agrees(&host.database()).await;
}

#[tokio::test]
async fn a_goal_is_cancelled_with_all_that_works_for_it() {
    let host = Host::start(Options::default().roles(hostile())).await;
    let calls = json!([{ "call": "create", "tasks": [{ "key": "a" }, { "key": "b", "depends_on": ["a"] }] }, { "call": "follow" }]);
    let created = create(&host, script(calls)).await;
    host.wait_for(planner(&created), "suspended", LIMIT).await;
    let token = host.token("operator").await;
    let path = format!("{GOALS}/{}/cancel", created["id"].as_str().unwrap());
    let (status, _, cancelled) = host.api(Method::POST, &path, Some(&token), None).await;
    assert_eq!((status, &cancelled["state"]), (StatusCode::OK, &json!("cancelled")), "{cancelled}");
    assert!(
        cancelled["children"].as_array().unwrap().iter().all(|child| child["status"] == "cancelled"),
        "{cancelled:#}"
    );
    assert_eq!(host.row(planner(&created)).await["status"], "cancelled");
    let (status, _, answer) = host.api(Method::POST, &path, Some(&token), None).await;
    assert_eq!(status, StatusCode::CONFLICT, "{answer}");
    agrees(&host.database()).await;
}
