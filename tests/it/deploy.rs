//! `deploy` with a real guest and the real forge: a deployment always waits for a person, runs on the commit that was
//! approved, is dispatched once whatever happens to the answer or to the host, and is followed to its end.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::approvals::sql;
use crate::audit::{agrees, count, is_true};
use crate::crash_points::{killed_itself, restarted};
use crate::forge_faults::wakes;
use crate::once::together;
use crate::send::begun_earlier;
use crate::support::{Host, LIMIT, Options, RolesDir, TestForge};

const AT_ONCE: usize = 4;
const DISPATCHES: &str = "/repos/demo/sample/actions/workflows/deploy.yml/dispatches";
const PLAIN: &str = "name: Deploy\non:\n  workflow_dispatch:\n    inputs:\n      target:\n        type: string\n";
const NAMED: &str = "run-name: Deploy by ${{ inputs.juggernaut_step }}\non:\n  workflow_dispatch:\n    inputs:\n      \
                     juggernaut_step:\n        type: string\n";

async fn host(env: &[(&str, &str)], policy: Value) -> Host {
    let mut options = Options::default().roles(RolesDir::with(&["deployer"]));
    for (name, value) in env {
        options = options.env(name, value);
    }
    let host = Host::start(options).await;
    let forge = host.forge();
    forge.commit_to_main(".github/workflows/deploy.yml", PLAIN).await;
    forge.commit_to_main(".github/workflows/named.yml", NAMED).await;
    let path = "/_forge/repos/demo/sample/workflow-policies";
    let (status, answer) = forge.call(Method::PUT, path, Some(json!([policy]))).await;
    assert_eq!(status, StatusCode::NO_CONTENT, "{answer}");
    host
}

fn succeeds() -> Value {
    json!({ "workflow": "*", "conclusion": "success", "after_ms": 300 })
}

fn draft(dispatches: Value) -> Value {
    json!({
        "title": "deploy", "task_type": "verification", "assigned_worker": "deployer", "attempts_max": 2,
        "payload": { "dispatches": dispatches },
    })
}

fn deploy(workflow: &str) -> Value {
    json!({ "repository": "demo/sample", "workflow": workflow, "branch": "main", "follow": true })
}

fn with_target() -> Value {
    let mut dispatch = deploy("deploy.yml");
    dispatch["inputs"] = json!([["target", "prod\u{202e}"]]);
    draft(json!([dispatch]))
}

async fn runs(forge: &TestForge, workflow: &str) -> Vec<Value> {
    let path = format!("/repos/demo/sample/actions/workflows/{workflow}/runs?per_page=100");
    let (status, answer) = forge.call(Method::GET, &path, None).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer["workflow_runs"].as_array().unwrap().clone()
}

/// How often the forge was asked to dispatch.
async fn asked(host: &Host) -> usize {
    let is = |request: &&Value| request["path"].as_str().unwrap().ends_with("/dispatches");
    host.forge().requests().await.iter().filter(is).count()
}

async fn said(host: &Host, task: &str) -> Vec<String> {
    let logs = host.logs(task).await;
    let lines = logs.iter().filter(|line| line["action"] == "log");
    lines.map(|line| line["message"].as_str().unwrap().to_owned()).collect()
}

async fn approve(host: &Host, task: &str) -> Value {
    host.wait_for(task, "waiting_approval", LIMIT).await;
    let approval = host.approval(task, "requested").await;
    let path = format!("/api/v1/approvals/{}/approve", approval["id"].as_str().unwrap());
    host.api_or_crash(&path, &host.token("approver").await, &json!({ "note": "for a test" })).await;
    approval
}

/// Until the task is so far; pauses of its runs are not waited for.
async fn comes_to(host: &Host, task: &str, status: &str) -> Value {
    let began = std::time::Instant::now();
    loop {
        let row = host.row(task).await;
        if row["status"] == status {
            return row;
        }
        let ended = ["completed", "failed", "dead_letter"].contains(&row["status"].as_str().unwrap());
        assert!(!ended && began.elapsed() < LIMIT, "{row:#}\n{}", host.stderr());
        wakes(host).await;
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

async fn deployed_once(host: &Host, task: &str, workflow: &str, at: &str) {
    let row = comes_to(host, task, "completed").await;
    assert_eq!((&row["attempt"], &row["evidence"]["verdict"]), (&json!(1), &json!("verified")), "{at}");
    assert_eq!(runs(&host.forge(), workflow).await.len(), 1, "{at}: one run");
    let steps = format!("task_steps where task_id = '{task}' and function = 'dispatch' and state = 'done'");
    assert_eq!(count(&host.db(), &steps).await, 1, "{at}");
    let used = format!("approvals where task_id = '{task}' and state = 'consumed'");
    assert_eq!(count(&host.db(), &used).await, 1, "{at}: one approval, used up");
    is_true(&host.database()).await;
    agrees(&host.database()).await;
}

async fn is_for_a_person(host: &Host, task: &str, because: &str) {
    let row = comes_to(host, task, "failed").await;
    let error = row["error_message"].as_str().unwrap();
    assert!(error.contains("nobody knows whether step") && error.contains("deploy.dispatch"), "{error}");
    assert!(error.contains(because), "{because}: {error}");
    assert_eq!(row["attempt"], 1, "it is not tried again by itself");
    assert_eq!(count(&host.db(), "alerts where kind = 'unknown-outcome' and severity = 'critical'").await, 1);
    is_true(&host.database()).await;
    agrees(&host.database()).await;
}

#[tokio::test]
async fn a_deployment_waits_whatever_the_risk_and_is_followed_to_its_end() {
    let host = host(&[], succeeds()).await;
    let task = host.create_task(with_target()).await;
    assert_eq!(host.row(&task).await["risk"], "low");
    let approval = approve(&host, &task).await;
    let head = host.forge().git(&["rev-parse", "main"]);
    let shown = approval["shown"].as_str().unwrap();
    for part in [
        "repository demo/sample\n",
        "workflow   .github/workflows/deploy.yml\n",
        "branch     main\n",
        &format!("head       {head}"),
        "input      target = \"prod<U+202E>\"\n",
        "|   workflow_dispatch:\n",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert_eq!((&approval["action"], &approval["risk"]), (&json!("deploy.dispatch"), &json!("high")), "{approval}");
    deployed_once(&host, &task, "deploy.yml", "as it should be").await;
    assert_eq!(asked(&host).await, 1);
    assert_eq!(host.row(&task).await["risk"], "high", "what it did is what the task is");
    let said = said(&host, &task).await;
    let head = head.trim();
    assert_eq!(said, [format!("dispatch: 1 queued None {head}"), format!("followed: 1 completed Some(\"success\") {head}")]);
    let run = &runs(&host.forge(), "deploy.yml").await[0];
    assert_eq!(run["_forge_inputs"], json!({ "target": "prod\u{202e}" }), "and no input that it does not declare");
}

#[tokio::test]
async fn nothing_is_dispatched_before_it_is_approved_or_once_it_is_denied() {
    let host = host(&[], succeeds()).await;
    let task = host.create_task(with_target()).await;
    host.wait_for(&task, "waiting_approval", LIMIT).await;
    assert_eq!(asked(&host).await, 0);
    let approval = host.approval(&task, "requested").await;
    // Whoever created the task does not approve it.
    let creator = host.token_of("operator@example.org", juggernaut::db::tokens::TokenRole::Approver).await;
    let (status, answer) = host.decide(&approval, "approve", &creator).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{answer}");
    let (status, answer) = host.decide(&approval, "deny", &host.token("approver").await).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    host.wait_for(&task, "failed", LIMIT).await;
    assert_eq!((asked(&host).await, runs(&host.forge(), "deploy.yml").await.len()), (0, 0));
    agrees(&host.database()).await;
}

#[tokio::test]
async fn an_approval_is_for_one_commit() {
    let host = host(&[], succeeds()).await;
    let task = host.create_task(draft(json!([deploy("deploy.yml")]))).await;
    host.wait_for(&task, "waiting_approval", LIMIT).await;
    let first = host.approval(&task, "requested").await;
    host.forge().commit_to_main("README.md", "moved on").await;
    host.decide(&first, "approve", &host.token("approver").await).await;
    let second = loop {
        let approval = host.approval(&task, "requested").await;
        if approval["id"] != first["id"] {
            break approval;
        }
    };
    assert_eq!(asked(&host).await, 0, "what was approved is not what would be done");
    let head = host.forge().git(&["rev-parse", "main"]);
    assert!(second["shown"].as_str().unwrap().contains(&format!("head       {head}")));
    approve(&host, &task).await;
    deployed_once(&host, &task, "deploy.yml", "after it moved on").await;
    assert_eq!(runs(&host.forge(), "deploy.yml").await[0]["head_sha"], head.trim());
}

#[tokio::test]
async fn what_is_not_granted_is_denied_before_anybody_looks() {
    let host = host(&[], succeeds()).await;
    let forge = host.forge();
    let body = json!({ "ref": "main", "inputs": {} });
    let (status, _) = forge.call(Method::POST, DISPATCHES, Some(body)).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    forge.call(Method::DELETE, "/_forge/requests", None).await;
    let of = |repository: &str, workflow: &str, branch: &str| {
        json!({ "repository": repository, "workflow": workflow, "branch": branch })
    };
    let with = |inputs: Value| json!({ "repository": "demo/sample", "workflow": "deploy.yml", "branch": "main", "inputs": inputs });
    let cases = [
        (of("demo/other", "deploy.yml", "main"), "denied", "add [[grants.deploy.targets]] with repository"),
        (of("demo/sample", "other.yml", "main"), "denied", "workflow \"other.yml\" of demo/sample is not granted"),
        (of("demo/sample", "Deploy.yml", "main"), "denied", "is not granted"),
        (of("demo/sample", "deploy.yml", "feature/x"), "denied", "branch feature/x is not granted to workflow"),
        (of("demo/sample", "named.yml", "release/1"), "denied", "branch release/1 is not granted to workflow"),
        (of("demo/sample", "../deploy.yml", "main"), "invalid", "no file name"),
        (of("demo/sample", "a/deploy.yml", "main"), "invalid", "no file name"),
        (of("demo/sample", "deploy.yml", "main..x"), "invalid", ""),
        (of("demo/sample/..", "deploy.yml", "main"), "invalid", ""),
        (with(json!([["juggernaut_step", "x"]])), "invalid", "the host's own"),
        (with(json!([["a", "1"], ["A", "2"]])), "invalid", "given twice"),
        (with(json!([["a", "x".repeat(1025)]])), "invalid", "over 1024 bytes"),
        (with(json!([["a", forge.token()]])), "denied", "secret-in-arguments"),
        (with(Value::Array(vec![json!(["a", "1"]); 11])), "invalid", "at most 10 inputs"),
    ];
    let dispatches: Vec<_> = cases.iter().map(|(dispatch, ..)| dispatch.clone()).collect();
    let mut task = draft(json!(dispatches));
    task["payload"]["looks"] = json!([{ "repository": "demo/sample", "id": 1 }, { "repository": "demo/other", "id": 1 }]);
    let task = host.create_task(task).await;
    host.wait_for(&task, "failed", LIMIT).await;
    let said = said(&host, &task).await;
    for ((dispatch, kind, part), said) in cases.iter().zip(&said[2..]) {
        assert!(said.starts_with(&format!("dispatch: {kind}")) && said.contains(part), "{dispatch}: {said}");
    }
    for look in &said[..2] {
        assert!(look.starts_with("look: denied run 1 of demo/") && look.contains("not dispatched by a call"), "{look}");
    }
    let requests = forge.requests().await;
    let of_host: Vec<_> = requests.iter().filter(|it| it["path"].as_str().unwrap().contains("/repos/")).collect();
    assert!(of_host.is_empty(), "{of_host:#?}");
    agrees(&host.database()).await;
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let host = host(&[], succeeds()).await;
    let branch = json!({ "repository": "demo/sample", "workflow": "deploy.yml", "branch": "release/none" });
    let undeclared = json!({ "repository": "demo/sample", "workflow": "deploy.yml", "branch": "main", "inputs": [["other", "x"]] });
    let task = host.create_task(draft(json!([deploy("missing.yml"), branch, undeclared]))).await;
    approve(&host, &task).await;
    host.wait_for(&task, "failed", LIMIT).await;
    let said = said(&host, &task).await;
    assert!(said[0].starts_with("dispatch: not found") && said[1].starts_with("dispatch: not found"), "{said:?}");
    assert!(said[2].contains("Unexpected inputs provided"), "{said:?}");
    assert!(runs(&host.forge(), "deploy.yml").await.is_empty());
}

/// A run goes as the forge says, in its own time.
#[tokio::test]
async fn a_run_that_fails_is_seen_to_fail() {
    let host = host(&[], json!({ "workflow": "*" })).await;
    let task = host.create_task(draft(json!([deploy("deploy.yml")]))).await;
    approve(&host, &task).await;
    let forge = host.forge();
    host.wait_for(&task, "suspended", LIMIT).await;
    let change = async |status: &str, conclusion: Value| {
        let body = json!({ "status": status, "conclusion": conclusion });
        let (status, answer) = forge.call(Method::PATCH, "/_forge/repos/demo/sample/runs/1", Some(body)).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
    };
    change("in_progress", Value::Null).await;
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    change("completed", json!("timed_out")).await;
    let row = host.wait_for(&task, "completed", LIMIT).await;
    assert_eq!(row["evidence"]["checks"][0]["passed"], false, "{row:#}");
    assert!(said(&host, &task).await[1].contains("completed Some(\"timed-out\")"));
}

/// Whatever becomes of the answer, there is one run, and it is found.
async fn survives(workflow: &'static str, fault: Value, details: bool) {
    let at = format!("{workflow} {fault} {details}");
    let policy = json!({ "workflow": "*", "conclusion": "success", "after_ms": 0, "details": details });
    let host = host(&[], policy).await;
    let path = format!("/repos/demo/sample/actions/workflows/{workflow}/dispatches");
    if !fault.is_null() {
        host.forge().fault("POST", &path, fault).await;
    }
    let task = host.create_task(draft(json!([deploy(workflow)]))).await;
    approve(&host, &task).await;
    deployed_once(&host, &task, workflow, &at).await;
    assert_eq!(asked(&host).await, 1, "{at}");
}

#[tokio::test]
async fn an_answer_that_is_lost_after_the_effect_leaves_one_run() {
    let kinds = ["reset", "lose-response", "late-status"];
    let fault = |kind: &str| if kind == "late-status" { json!({ "kind": kind, "status": 502 }) } else { json!({ "kind": kind }) };
    let scenarios = kinds.map(|kind| survives("deploy.yml", fault(kind), true));
    together(AT_ONCE, scenarios).await;
    let others = [survives("named.yml", fault("reset"), true), survives("deploy.yml", Value::Null, false)];
    together(AT_ONCE, others).await;
}

/// Nobody can say that a dispatch which GitHub did not answer will not appear: it is not made again.
#[tokio::test]
async fn a_dispatch_of_which_nothing_is_seen_is_for_a_person() {
    let host = host(&[], succeeds()).await;
    host.forge().fault("POST", DISPATCHES, json!({ "kind": "status", "status": 500 })).await;
    let task = host.create_task(draft(json!([deploy("deploy.yml")]))).await;
    approve(&host, &task).await;
    host.wait_for(&task, "suspended", LIMIT).await;
    begun_earlier(&host, "3 minutes").await;
    is_for_a_person(&host, &task, "has appeared since").await;
    assert_eq!((asked(&host).await, runs(&host.forge(), "deploy.yml").await.len()), (1, 0));
}

/// Two runs that could each be its own are not told apart by guessing, but by their names.
async fn among_others(workflow: &'static str) {
    let host = host(&[], succeeds()).await;
    let forge = host.forge();
    let path = format!("/repos/demo/sample/actions/workflows/{workflow}/dispatches");
    forge.fault("POST", &path, json!({ "kind": "lose-response" })).await;
    forge.hold("POST", &path, "after").await;
    let task = host.create_task(draft(json!([deploy(workflow)]))).await;
    approve(&host, &task).await;
    forge.held().await;
    let body = json!({ "ref": "main", "inputs": {} });
    let (status, answer) = forge.call(Method::POST, &path, Some(body)).await;
    assert_eq!(status, StatusCode::NO_CONTENT, "{answer}");
    forge.release().await;
    if workflow == "named.yml" {
        let row = comes_to(&host, &task, "completed").await;
        assert_eq!(row["evidence"]["checks"][0]["name"], "run 1", "{row:#}");
    } else {
        is_for_a_person(&host, &task, "could each be its own").await;
    }
    assert_eq!(runs(&forge, workflow).await.len(), 2, "its own, and the stranger's");
}

#[tokio::test]
async fn runs_of_others_are_not_taken_for_its_own() {
    together(AT_ONCE, ["deploy.yml", "named.yml"].map(among_others)).await;
}

async fn crashed(at: &'static str, dispatched: bool) {
    let mut host = host(&[("JUGGERNAUT_CRASH_AT", at)], succeeds()).await;
    let task = host.create_only_task(&draft(json!([deploy("deploy.yml")]))).await;
    approve(&host, &task).await;
    killed_itself(&mut host, at).await;
    if !dispatched {
        begun_earlier(&host, "3 minutes").await;
    }
    restarted(&mut host).await;
    if dispatched {
        deployed_once(&host, &task, "deploy.yml", at).await;
        assert_eq!(asked(&host).await, 1, "{at}");
    } else {
        is_for_a_person(&host, &task, "has appeared since").await;
        assert_eq!(asked(&host).await, 0, "{at}");
        assert_eq!(count(&host.db(), "approvals where state = 'consumed'").await, 1, "{at}");
    }
}

#[tokio::test]
async fn a_killed_host_dispatches_nothing_again() {
    let points = [
        ("after-approval-use", false),
        ("after-intent", false),
        ("before-act", false),
        ("after-act", true),
        ("before-result", true),
        ("after-result", true),
    ];
    together(AT_ONCE, points.map(|(at, dispatched)| crashed(at, dispatched))).await;
}

/// What is pushed between the last look and the dispatch runs. Somebody gets to know.
#[tokio::test]
async fn a_commit_that_slips_in_is_told_of() {
    let host = host(&[], succeeds()).await;
    let forge = host.forge();
    forge.hold("POST", DISPATCHES, "before").await;
    let task = host.create_task(draft(json!([deploy("deploy.yml")]))).await;
    approve(&host, &task).await;
    forge.held().await;
    forge.commit_to_main("README.md", "slipped in").await;
    forge.release().await;
    host.wait_for(&task, "completed", LIMIT).await;
    assert_eq!(count(&host.db(), "alerts where kind = 'deployed-other-commit' and severity = 'critical'").await, 1);
    agrees(&host.database()).await;
}

/// A later attempt may look at what an earlier one started.
#[tokio::test]
async fn runs_of_earlier_attempts_are_the_tasks_own() {
    let host = host(&[], succeeds()).await;
    let mut draft = draft(json!([{ "repository": "demo/sample", "workflow": "deploy.yml", "branch": "main" }]));
    draft["payload"]["looks"] = json!([{ "repository": "demo/sample", "id": 1 }]);
    let task = host.create_task(draft).await;
    approve(&host, &task).await;
    host.wait_for(&task, "failed", LIMIT).await;
    assert!(said(&host, &task).await[0].starts_with("look: denied"));
    sql(&host, "delete from alerts").await;
    let token = host.token("operator").await;
    let (status, _, answer) = host.api(Method::POST, &format!("/api/v1/tasks/{task}/retry"), Some(&token), None).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    host.wait_for(&task, "waiting_approval", LIMIT).await;
    let said = said(&host, &task).await;
    assert!(said.last().unwrap().starts_with("look: 1 "), "{said:?}");
}
