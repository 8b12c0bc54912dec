//! `deploy` where answers are lost or the host dies: one run, or a person finds out.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::audit::count;
use crate::crash_points::{killed_itself, restarted};
use crate::deploy::{
    DISPATCHES, approve, asked, comes_to, deploy, deployed_once, draft, host, is_for_a_person, runs, succeeds,
};
use crate::once::together;
use crate::send_ends::begun_earlier;
use crate::support::LIMIT;

const AT_ONCE: usize = 4;

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
    let fault = |kind: &str| {
        if kind == "late-status" { json!({ "kind": kind, "status": 502 }) } else { json!({ "kind": kind }) }
    };
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
