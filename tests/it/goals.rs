//! Goals: the real ORCHESTRATOR carries given plans out with the real executor, whatever happens to the host meanwhile.

use std::time::{Duration, Instant};

use juggernaut::db::tokens::TokenRole;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::audit::{agrees, count};
use crate::support::{Host, LIMIT, Options, RolesDir, juggernaut, show};

pub(crate) const GOALS: &str = "/api/v1/goals";

pub(crate) fn roles() -> RolesDir {
    RolesDir::with(&["orchestrator", "executor"])
}

/// A task of a plan that writes one file.
pub(crate) fn code(key: &str, path: &str, depends_on: &[&str]) -> Value {
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
pub(crate) async fn create(host: &Host, draft: Value) -> Value {
    let (status, goal) = post_as(host, &host.token("operator").await, &draft).await;
    assert_eq!(status, StatusCode::CREATED, "{draft}: {goal}");
    goal
}

pub(crate) async fn goal(host: &Host, goal: &Value) -> Value {
    host.get(&format!("{GOALS}/{}", goal["id"].as_str().unwrap())).await
}

pub(crate) fn planner(goal: &Value) -> &str {
    goal["planned_by"].as_str().unwrap()
}

/// Waits until the goal is in that state; returns it.
pub(crate) async fn wait_for(host: &Host, created: &Value, state: &str) -> Value {
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

pub(crate) fn child<'a>(goal: &'a Value, title: &str) -> &'a Value {
    let children = goal["children"].as_array().unwrap();
    children.iter().find(|child| child["title"] == title).unwrap_or_else(|| panic!("no {title}: {goal:#}"))
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
    crate::engine::execute(&host.db(), repaired).await;
    let retry = format!("/api/v1/tasks/{}/retry", planner(&created));
    let (status, _, answer) = host.api(Method::POST, &retry, Some(&token), None).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let done = wait_for(&host, &created, "completed").await;
    assert_eq!(done["tasks_completed"], 3);
    assert_eq!(count(&host.db(), "audit_log where kind = 'goal_reopened'").await, 1);
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
