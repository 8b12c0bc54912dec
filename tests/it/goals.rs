//! Goals: the real ORCHESTRATOR carries a given plan out with the real executor, and a hostile planner gets nowhere.

use std::time::{Duration, Instant};

use juggernaut::db::tokens::TokenRole;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::audit::{agrees, count};
use crate::support::{Host, LIMIT, Options, RolesDir, juggernaut, show};

const GOALS: &str = "/api/v1/goals";

fn roles() -> RolesDir {
    RolesDir::with(&["orchestrator", "executor"])
}

fn hostile() -> RolesDir {
    RolesDir::with(&["planner"])
}

/// A task of a plan that writes one file.
fn code(key: &str, path: &str, depends_on: &[&str]) -> Value {
    json!({
        "key": key, "title": format!("Write {path}"), "task_type": "code", "depends_on": depends_on,
        "acceptance_criteria": [{ "type": "merged" }],
        "payload": { "repository": "demo/sample", "changes": [{ "path": path, "content": "\"\"\"A module.\"\"\"\n" }] },
    })
}

async fn post_as(host: &Host, token: &str, draft: &Value) -> (StatusCode, Value) {
    let (status, _, answer) = host.api(Method::POST, GOALS, Some(token), Some(draft)).await;
    (status, answer)
}

/// Creates a goal as an operator; returns it.
async fn create(host: &Host, draft: Value) -> Value {
    let (status, goal) = post_as(host, &host.token("operator").await, &draft).await;
    assert_eq!(status, StatusCode::CREATED, "{draft}: {goal}");
    goal
}

async fn goal(host: &Host, goal: &Value) -> Value {
    host.get(&format!("{GOALS}/{}", goal["id"].as_str().unwrap())).await
}

fn planner(goal: &Value) -> &str {
    goal["planned_by"].as_str().unwrap()
}

/// Waits until the goal is in that state; returns it.
async fn wait_for(host: &Host, created: &Value, state: &str) -> Value {
    let began = Instant::now();
    loop {
        let now = goal(host, created).await;
        if now["state"] == state {
            return now;
        }
        if now["state"] != "open" || began.elapsed() > LIMIT {
            let shown = show(&host.db(), planner(created).parse().unwrap()).await;
            panic!("the goal is {}, not {state}: {now:#}\n{shown}\n{}", now["state"], host.stderr());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn child<'a>(goal: &'a Value, title: &str) -> &'a Value {
    let children = goal["children"].as_array().unwrap();
    children.iter().find(|child| child["title"] == title).unwrap_or_else(|| panic!("no {title}: {goal:#}"))
}

/// What the planner of the tests said of each call of its script.
async fn said(host: &Host, goal: &Value) -> Vec<String> {
    let logs = host.logs(planner(goal)).await;
    let said =
        logs.iter().filter(|line| line["action"] == "log").map(|line| line["message"].as_str().unwrap().to_owned());
    said.collect()
}

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
async fn a_given_plan_is_carried_out_in_order_and_closed_with_evidence() {
    let host = Host::start(Options::default().roles(roles())).await;
    let created = create(
        &host,
        json!({
            "title": "Three modules", "description": "Write them.", "acceptance_criteria": [{ "type": "merged" }, "reads well"],
            "priority": "high",
            "plan": { "tasks": [
                code("last", "c.py", &["first", "second"]), code("first", "a.py", &[]), code("second", "b.py", &["first"]),
            ] },
        }),
    )
    .await;
    assert_eq!((&created["state"], &created["tasks"]), (&json!("open"), &json!(0)));
    let done = wait_for(&host, &created, "completed").await;
    let log = host.forge().git(&["log", "--reverse", "--format=%s", "main"]);
    let order: Vec<&str> = log.lines().filter_map(|line| line.split("Write ").nth(1)).collect();
    assert_eq!(order, ["a.py (#1)", "b.py (#2)", "c.py (#3)"]);

    let task = host.wait_for(planner(&created), "completed", LIMIT).await;
    let named = &task["evidence"]["children"];
    let children: Vec<&Value> = done["children"].as_array().unwrap().iter().map(|child| &child["id"]).collect();
    assert_eq!(named.as_array().unwrap().iter().collect::<Vec<_>>(), children);
    assert_eq!((&task["evidence"]["goal"], &task["evidence"]["kind"]), (&created["id"], &json!("tasks_created")));
    assert!(child(&done, "Write c.py")["completion_evidence"].as_str().unwrap().contains("#3"), "{done:#}");
    let shown = done["outcome"]["children"].as_array().unwrap();
    assert!(shown.len() == 3 && shown.iter().all(|child| child["evidence"] == "merged_pull_request"), "{done:#}");
    let answered: Vec<_> = done["outcome"]["criteria"].as_array().unwrap().iter().map(|it| &it["answered"]).collect();
    assert_eq!(answered, ["verified", "attested"]);
    // Whoever wanted the goal wanted its tasks; the worker made them in his name.
    let row = host.row(children[0].as_str().unwrap()).await;
    assert_eq!((&row["created_by"], &row["goal_id"]), (&json!("operator@example.org"), &created["id"]));
    let pool = host.db();
    assert_eq!(count(&pool, "audit_log where kind = 'task_created' and details ->> 'goal' is not null").await, 4);
    for kind in ["goal_created", "goal_completed"] {
        assert_eq!(count(&pool, &format!("audit_log where kind = '{kind}'")).await, 1, "{kind}");
    }
    // It was woken by each end, and slept in between.
    assert!(count(&pool, "audit_log where kind = 'task_woken' and details ->> 'goal' is not null").await >= 1);
    let page = host.get(&format!("/api/v1/tasks?goal={}", created["id"].as_str().unwrap())).await;
    assert_eq!(page["items"].as_array().unwrap().len(), 4);
    agrees(&host.database()).await;
}

#[tokio::test]
async fn a_plan_that_can_not_be_carried_out_is_refused_at_once() {
    let host = Host::start(Options::default().roles(roles())).await;
    let token = host.token("operator").await;
    let many: Vec<Value> = (0..501).map(|number| code(&format!("k{number}"), "a.py", &[])).collect();
    let typo = json!({ "key": "x", "title": "X", "task_type": "cdoe" });
    for (tasks, wanted) in [
        (json!([code("a", "a.py", &["b"]), code("b", "b.py", &["a"])]), "in a cycle: a → b → a"),
        (json!([typo]), "task \"x\": there is no task type \"cdoe\""),
        (json!(many), "the plan has 501 tasks; the limit is 500"),
        (json!([code("a", "a.py", &["nobody"])]), "depends on \"nobody\", which is no key"),
        (json!([code("a", "a.py", &[]), code("a", "b.py", &[])]), "two tasks have this key"),
        (json!([{ "key": "a", "title": "A", "task_type": "code", "payload": {} }]), "task \"a\": payload"),
    ] {
        let (status, answer) = post_as(&host, &token, &json!({ "title": "T", "plan": { "tasks": tasks } })).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");
        assert!(answer["detail"].as_str().unwrap().contains(wanted), "{wanted}: {answer}");
        assert_eq!(answer["errors"][0]["field"], "plan");
    }
    assert_eq!(count(&host.db(), "goals").await + count(&host.db(), "governance_tasks").await, 0);
    let viewer = host.token("viewer").await;
    assert_eq!(post_as(&host, &viewer, &json!({ "title": "T" })).await.0, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_goal_without_a_plan_and_a_model_fails_and_says_why() {
    let host = Host::start(Options::default().roles(roles())).await;
    let created = create(&host, json!({ "title": "Anything" })).await;
    let failed = wait_for(&host, &created, "failed").await;
    assert!(failed["outcome"]["reason"].as_str().unwrap().contains("no model answers"), "{failed:#}");
    host.wait_for(planner(&created), "failed", LIMIT).await;
}

#[tokio::test]
async fn a_lost_task_ends_the_goal_and_a_retry_opens_it_again() {
    let host = Host::start(Options::default().roles(roles())).await;
    let mut missing = code("lost", "a.py", &[]);
    missing["payload"]["repository"] = json!("demo/missing");
    let plan = json!([missing, code("waits", "b.py", &["lost"]), code("other", "c.py", &[])]);
    let created = create(&host, json!({ "title": "T", "plan": { "tasks": plan } })).await;
    let failed = wait_for(&host, &created, "failed").await;
    let reason = failed["outcome"]["reason"].as_str().unwrap();
    assert!(reason.contains("demo/missing") && reason.contains("there is no new plan"), "{reason}");
    assert_eq!(child(&failed, "Write b.py")["status"], "cancelled");
    // Nobody works for a goal that has ended.
    let token = host.token("operator").await;
    let lost = child(&failed, "Write a.py")["id"].as_str().unwrap().to_owned();
    host.wait_for(planner(&created), "failed", LIMIT).await;
    let (status, _, answer) = host.api(Method::POST, &format!("/api/v1/tasks/{lost}/retry"), Some(&token), None).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(answer["detail"].as_str().unwrap().contains("retry its planning task"), "{answer}");

    // A person has repaired the cause, and has the planner go on: what failed and was cancelled is tried again.
    let repaired = format!(
        "update governance_tasks set payload = jsonb_set(payload, '{{repository}}', '\"demo/sample\"') where id = '{lost}'"
    );
    crate::queue::execute(&host.db(), repaired).await;
    let retry = format!("/api/v1/tasks/{}/retry", planner(&created));
    let (status, _, answer) = host.api(Method::POST, &retry, Some(&token), None).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let done = wait_for(&host, &created, "completed").await;
    assert_eq!(done["tasks_completed"], 3);
    assert_eq!(count(&host.db(), "audit_log where kind = 'goal_reopened'").await, 1);
    agrees(&host.database()).await;
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
    ] {
        assert!(
            said[number].starts_with(&format!("{number} ")) && said[number].contains(wanted),
            "{wanted}: {}",
            said[number]
        );
    }
    assert_eq!(said.len(), 31, "{said:#?}");
    let pool = host.db();
    let mine = format!("governance_tasks where goal_id = '{}'", created["id"].as_str().unwrap());
    assert_eq!(count(&pool, &mine).await, 21, "its own, and the 20 of one attempt");
    assert_eq!(host.row(&free).await["status"], "pending");
    // What was refused stands in the audit log: by policy, or as a call that came to nothing.
    let decided = "audit_log where kind = 'policy_decision' and details ->> 'verdict' = 'denied' \
                   and details ->> 'call' = 'tasks-write.create'";
    assert_eq!(count(&pool, decided).await, 4);
    let made = "audit_log where kind = 'host_call' and details ->> 'outcome' = 'err'";
    for (call, least) in [("create", 10), ("cancel", 3), ("assign", 2), ("retry", 2), ("set-priority", 2)] {
        let of = format!("{made} and details ->> 'interface' = 'tasks-write' and details ->> 'function' = '{call}'");
        assert!(count(&pool, &of).await >= least, "{call}");
    }
    assert_eq!(count(&pool, &format!("{made} and details ->> 'interface' = 'goals'")).await, 4);
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

/// Killed while the planner sleeps and a task of it merges.
#[tokio::test]
async fn a_host_that_is_killed_while_it_follows_makes_nothing_twice() {
    let mut host = Host::start(Options::default().roles(roles())).await;
    let forge = host.forge();
    forge.hold("PUT", "/repos/demo/sample/pulls/*/merge", "before").await;
    let plan = json!([code("a", "a.py", &[]), code("b", "b.py", &["a"])]);
    let created = create(&host, json!({ "title": "T", "plan": { "tasks": plan } })).await;
    forge.held().await;
    host.wait_for(planner(&created), "suspended", LIMIT).await;
    host.kill9();
    forge.release().await;
    host.restart().await;
    let done = wait_for(&host, &created, "completed").await;
    assert_eq!((&done["tasks"], &done["tasks_completed"]), (&json!(2), &json!(2)));
    assert_eq!(host.wait_for(planner(&created), "completed", LIMIT).await["attempt"], 1);
    assert_eq!(forge.git(&["log", "--format=%s", "main"]).lines().count(), 3);
    agrees(&host.database()).await;
}

/// Killed around the calls themselves: what was committed is found, what was not is made once.
#[tokio::test]
async fn a_host_that_is_killed_around_the_planners_end_closes_the_goal_once() {
    for point in
        ["claimed:2", "ending-uncommitted:1", "before-suspension:1", "after-suspension:1", "before-completion:2"]
    {
        let mut host = Host::start(Options::default().roles(roles()).env("JUGGERNAUT_CRASH_AT", point)).await;
        let token = host.token("operator").await;
        let draft = json!({ "title": "T", "plan": { "tasks": [code("a", "a.py", &[])] } });
        host.api_or_crash(GOALS, &token, &draft).await;
        host.processes()[0].ended().await;
        host.restart_with(&[("JUGGERNAUT_CRASH_AT", "")]).await;
        let page = host.get(GOALS).await;
        let created = page["items"][0].clone();
        let done = wait_for(&host, &created, "completed").await;
        assert_eq!((&done["tasks"], done["children"].as_array().unwrap().len()), (&json!(1), 1), "{point}");
        host.wait_for(planner(&created), "completed", LIMIT).await;
        assert_eq!(count(&host.db(), "audit_log where kind = 'goal_completed'").await, 1, "{point}");
        assert_eq!(host.forge().git(&["log", "--format=%s", "main"]).lines().count(), 2, "{point}");
        agrees(&host.database()).await;
    }
}

#[tokio::test]
async fn two_hosts_share_goals() {
    let host = Host::start(Options::default().roles(roles()).hosts(2)).await;
    let mut goals = Vec::new();
    for number in 0..4 {
        let plan = json!([code("a", &format!("a{number}.py"), &[]), code("b", &format!("b{number}.py"), &["a"])]);
        goals.push(create(&host, json!({ "title": format!("T{number}"), "plan": { "tasks": plan } })).await);
    }
    for created in &goals {
        let done = wait_for(&host, created, "completed").await;
        assert_eq!(done["tasks_completed"], 2);
        host.wait_for(planner(created), "completed", LIMIT).await;
    }
    assert_eq!(host.forge().git(&["log", "--format=%s", "main"]).lines().count(), 9);
    agrees(&host.database()).await;
}

#[tokio::test]
async fn who_wants_a_goal_approves_nothing_of_it() {
    let host = Host::start(Options::default().roles(roles())).await;
    // About passwords: critical, and so a person approves before it begins.
    let plan = json!([code("a", "core/password.py", &[])]);
    let created = create(&host, json!({ "title": "T", "plan": { "tasks": plan } })).await;
    let began = Instant::now();
    let task = loop {
        let now = goal(&host, &created).await;
        if let Some(child) = now["children"].get(0) {
            break child["id"].as_str().unwrap().to_owned();
        }
        assert!(began.elapsed() < LIMIT, "{now:#}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let start = host.approval(&task, "requested").await;
    assert_eq!(start["kind"], "start");
    let requested = "audit_log where kind = 'approval_requested'";
    assert_eq!(count(&host.db(), requested).await, 1, "asked for in the transaction that creates the task");
    let creator = host.token_of("operator@example.org", TokenRole::Approver).await;
    let (status, answer) = host.decide(&start, "approve", &creator).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{answer}");
    let approver = host.token("approver").await;
    assert_eq!(host.decide(&start, "approve", &approver).await.0, StatusCode::OK);
    let merge = host.approval(&task, "requested").await;
    assert_eq!(host.decide(&merge, "approve", &creator).await.0, StatusCode::FORBIDDEN);
    let second = host.token_of("second@example.org", TokenRole::Approver).await;
    assert_eq!(host.decide(&merge, "approve", &second).await.0, StatusCode::OK);
    wait_for(&host, &created, "completed").await;
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

#[tokio::test]
async fn a_repeated_request_creates_one_goal() {
    let host = Host::start(Options::default().roles(roles())).await;
    let token = host.token("operator").await;
    let draft = json!({ "title": "T", "plan": { "tasks": [code("a", "a.py", &[])] } });
    let send = async |draft: &Value| {
        let request = reqwest::Client::new().post(format!("{}{GOALS}", host.url())).bearer_auth(&token);
        let answer = request.header("idempotency-key", "k1").json(draft).send().await.unwrap();
        (answer.status(), answer.json::<Value>().await.unwrap())
    };
    let (first, again) = (send(&draft).await, send(&draft).await);
    assert_eq!((first.0, again.0), (StatusCode::CREATED, StatusCode::OK));
    assert_eq!(first.1["id"], again.1["id"]);
    assert_eq!(send(&json!({ "title": "other" })).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(count(&host.db(), "goals").await, 1);
    wait_for(&host, &first.1, "completed").await;
}

#[tokio::test]
async fn the_command_line_creates_follows_and_shows_a_goal() {
    let host = Host::start(Options::default().roles(roles())).await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("plan.json"), json!([code("a", "a.py", &[])]).to_string()).unwrap();
    let token = host.token("operator").await;
    let env = [("JUGGERNAUT_URL", host.url()), ("JUGGERNAUT_TOKEN", token.as_str())];
    let create = ["goal", "create", "--title", "One module", "--plan", "plan.json", "--criterion", "nice", "--wait"];
    let output = juggernaut(folder.path(), &create, &env).await;
    assert_eq!(output.code, Some(0), "{output:?}");
    for part in ["state          completed", "Write a.py", "nice: attested by -", "| Merged PR #1"] {
        assert!(output.stdout.contains(part), "{part}: {}", output.stdout);
    }
    let list = juggernaut(folder.path(), &["goal", "list", "--state", "completed"], &env).await;
    assert!(list.code == Some(0) && list.stdout.contains("One module") && list.stdout.contains("1/1"), "{list:?}");
    let id = list
        .stdout
        .lines()
        .find(|line| line.contains("One module"))
        .unwrap()
        .split_whitespace()
        .next()
        .unwrap()
        .to_owned();
    let tasks = juggernaut(folder.path(), &["task", "list", "--goal", &id], &env).await;
    assert!(tasks.stdout.contains("Plan: One module") && tasks.stdout.contains("Write a.py"), "{tasks:?}");
    let cancel = juggernaut(folder.path(), &["goal", "cancel", &id], &env).await;
    assert!(cancel.code == Some(1) && cancel.stderr.contains("is completed"), "{cancel:?}");
}
