//! Workflows: dispatched on a branch, listed, and gone as a test says.

use serde_json::{Value, json};

use crate::client::{Fixture, R};

const FILE: &str = "run-name: Deploy to ${{ inputs.target }}\non:\n  workflow_dispatch:\n    inputs:\n      target:\n";

fn dispatches(workflow: &str) -> String {
    format!("{R}/actions/workflows/{workflow}/dispatches")
}

async fn with_workflow() -> Fixture {
    let forge = Fixture::new().await;
    forge.write("main", ".github/workflows/deploy.yml", FILE).await;
    forge.write("main", ".github/workflows/ci.yml", "on: push\n").await;
    forge
}

async fn policies(forge: &Fixture, policies: Value) {
    forge.put("/_forge/repos/octo/hello/workflow-policies", policies).await.expect(204);
}

#[tokio::test]
async fn a_dispatch_makes_a_run_that_ends_as_its_policy_says() {
    let forge = with_workflow().await;
    policies(&forge, json!([{ "workflow": "deploy.*", "conclusion": "failure", "after_ms": 100 }])).await;
    let body = json!({ "ref": "main", "inputs": { "target": "prod" }, "return_run_details": true });
    let told = forge.post(&dispatches("deploy.yml"), body).await.expect(200);
    let id = told["workflow_run_id"].as_u64().unwrap();
    let run = forge.get(&format!("{R}/actions/runs/{id}")).await.expect(200);
    assert_eq!(
        (&run["status"], &run["conclusion"], &run["event"]),
        (&json!("queued"), &Value::Null, &json!("workflow_dispatch"))
    );
    assert_eq!((&run["head_sha"], &run["head_branch"]), (&json!(forge.tip("main").await), &json!("main")));
    assert_eq!((&run["display_title"], &run["actor"]["login"]), (&json!("Deploy to prod"), &json!("juggernaut")));
    tokio::time::sleep(std::time::Duration::from_millis(150)).await;
    let forge = forge.restarted().await;
    let run = forge.get(&format!("{R}/actions/runs/{id}")).await.expect(200);
    assert_eq!((&run["status"], &run["conclusion"]), (&json!("completed"), &json!("failure")));
    assert_eq!(forge.get("/user").await.expect(200)["login"], "juggernaut");
}

#[tokio::test]
async fn a_dispatch_is_answered_with_nothing_unless_it_asks() {
    let forge = with_workflow().await;
    let plain = forge.post(&dispatches("deploy.yml"), json!({ "ref": "main" })).await;
    assert_eq!((plain.status, plain.text.as_str()), (204, ""));
    policies(&forge, json!([{ "workflow": "*", "details": false }])).await;
    let body = json!({ "ref": "refs/heads/main", "return_run_details": true });
    forge.post(&dispatches("deploy.yml"), body).await.expect(204);
    let path = format!("{R}/actions/workflows/deploy.yml/runs");
    let ids = async |query: &str| {
        let page = forge.get(&format!("{path}?{query}")).await.expect(200);
        page["workflow_runs"].as_array().unwrap().iter().map(|run| run["id"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(ids("event=workflow_dispatch&branch=main&created=%3E%3D2020-01-01T00:00:00Z").await, [2, 1]);
    assert_eq!(ids("created=%3E%3D2999-01-01T00:00:00Z").await, [0; 0]);
    assert_eq!((ids("branch=other").await, ids("event=push").await, ids("actor=ann").await), (vec![], vec![], vec![]));
    let change = json!({ "status": "completed", "conclusion": "cancelled" });
    forge.patch("/_forge/repos/octo/hello/runs/1", change.clone()).await.expect(200);
    assert_eq!(ids("status=completed").await, [1]);
    forge.patch("/_forge/repos/octo/hello/runs/9", change).await.refused(404, "Not Found");
}

#[tokio::test]
async fn what_can_not_be_dispatched_is_refused_in_githubs_words() {
    let forge = with_workflow().await;
    let post = async |workflow: &str, body: Value| forge.post(&dispatches(workflow), body).await;
    post("missing.yml", json!({ "ref": "main" })).await.refused(404, "Not Found");
    post("deploy.yml", json!({ "ref": "none" })).await.refused(422, "No ref found for: none");
    post("ci.yml", json!({ "ref": "main" })).await.refused(422, "Workflow does not have 'workflow_dispatch' trigger");
    let unexpected = json!({ "ref": "main", "inputs": { "other": "x", "target": "y" } });
    post("deploy.yml", unexpected).await.refused(422, "Unexpected inputs provided: [\"other\"]");
    post("deploy.yml", json!({})).await.expect(422);
    forge.get(&format!("{R}/actions/workflows/missing.yml/runs")).await.refused(404, "Not Found");
    forge.get(&format!("{R}/actions/runs/1")).await.refused(404, "Not Found");
}
