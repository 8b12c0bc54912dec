//! `deploy` with a real guest and the real forge: a deployment always waits for a person, runs on the commit that was
//! approved, is dispatched once whatever happens to the answer or to the host, and is followed to its end.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::audit::{agrees, count, is_true};
use crate::forge_faults::wakes;
use crate::support::{Host, LIMIT, Options, RolesDir, TestForge};

pub(crate) const DISPATCHES: &str = "/repos/demo/sample/actions/workflows/deploy.yml/dispatches";
const PLAIN: &str = "name: Deploy\non:\n  workflow_dispatch:\n    inputs:\n      target:\n        type: string\n";
const NAMED: &str = "run-name: Deploy by ${{ inputs.juggernaut_step }}\non:\n  workflow_dispatch:\n    inputs:\n      \
                     juggernaut_step:\n        type: string\n";

pub(crate) async fn host(env: &[(&str, &str)], policy: Value) -> Host {
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

pub(crate) fn succeeds() -> Value {
    json!({ "workflow": "*", "conclusion": "success", "after_ms": 300 })
}

#[expect(clippy::needless_pass_by_value, reason = "callers write it where they call")]
pub(crate) fn draft(dispatches: Value) -> Value {
    json!({
        "title": "deploy", "task_type": "verification", "assigned_worker": "deployer", "attempts_max": 2,
        "payload": { "dispatches": dispatches },
    })
}

pub(crate) fn deploy(workflow: &str) -> Value {
    json!({ "repository": "demo/sample", "workflow": workflow, "branch": "main", "follow": true })
}

fn with_target() -> Value {
    let mut dispatch = deploy("deploy.yml");
    dispatch["inputs"] = json!([["target", "prod\u{202e}"]]);
    draft(json!([dispatch]))
}

pub(crate) async fn runs(forge: &TestForge, workflow: &str) -> Vec<Value> {
    let path = format!("/repos/demo/sample/actions/workflows/{workflow}/runs?per_page=100");
    let (status, answer) = forge.call(Method::GET, &path, None).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer["workflow_runs"].as_array().unwrap().clone()
}

/// How often the forge was asked to dispatch.
pub(crate) async fn asked(host: &Host) -> usize {
    let is = |request: &&Value| request["path"].as_str().unwrap().ends_with("/dispatches");
    host.forge().requests().await.iter().filter(is).count()
}

async fn said(host: &Host, task: &str) -> Vec<String> {
    let logs = host.logs(task).await;
    let lines = logs.iter().filter(|line| line["action"] == "log");
    lines.map(|line| line["message"].as_str().unwrap().to_owned()).collect()
}

pub(crate) async fn approve(host: &Host, task: &str) -> Value {
    host.wait_for(task, "waiting_approval", LIMIT).await;
    let approval = host.approval(task, "requested").await;
    let path = format!("/api/v1/approvals/{}/approve", approval["id"].as_str().unwrap());
    host.api_or_crash(&path, &host.token("approver").await, &json!({ "note": "for a test" })).await;
    approval
}

/// Until the task is so far; pauses of its runs are not waited for.
pub(crate) async fn comes_to(host: &Host, task: &str, status: &str) -> Value {
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

pub(crate) async fn deployed_once(host: &Host, task: &str, workflow: &str, at: &str) {
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

pub(crate) async fn is_for_a_person(host: &Host, task: &str, because: &str) {
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
    assert_eq!(
        said,
        [format!("dispatch: 1 queued None {head}"), format!("followed: 1 completed Some(\"success\") {head}")]
    );
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
    let of = |repository: &str, workflow: &str, branch: &str| json!({ "repository": repository, "workflow": workflow, "branch": branch });
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
    task["payload"]["looks"] =
        json!([{ "repository": "demo/sample", "id": 1 }, { "repository": "demo/other", "id": 1 }]);
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
    let undeclared =
        json!({ "repository": "demo/sample", "workflow": "deploy.yml", "branch": "main", "inputs": [["other", "x"]] });
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
    let token = host.token("operator").await;
    let (status, _, answer) = host.api(Method::POST, &format!("/api/v1/tasks/{task}/retry"), Some(&token), None).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    host.wait_for(&task, "waiting_approval", LIMIT).await;
    let said = said(&host, &task).await;
    assert!(said.last().unwrap().starts_with("look: 1 "), "{said:?}");
}
