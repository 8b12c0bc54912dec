//! The EXECUTOR's code task: the good way, and each way in which it can go wrong. Never a second pull request.

use forge::{CheckConclusion, CheckPolicy};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Host, LIMIT, Options, RolesDir, code_task};

fn check(conclusion: CheckConclusion) -> Vec<CheckPolicy> {
    vec![CheckPolicy { branches: "feature/*".to_owned(), name: "ci".to_owned(), conclusion, after_ms: 300 }]
}

async fn retry(host: &Host, task: &str) {
    let token = host.token("operator").await;
    let (status, _, answer) = host.api(Method::POST, &format!("/api/v1/tasks/{task}/retry"), Some(&token), None).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
}

async fn patch_pull_request(host: &Host, number: u64, body: Value) {
    let path = format!("/repos/demo/sample/pulls/{number}");
    let (status, answer) = host.forge().call(Method::PATCH, &path, Some(body)).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
}

#[tokio::test]
async fn the_six_steps_end_in_one_squash_commit() {
    let host = Host::start(Options::default().checks(check(CheckConclusion::Success))).await;
    let mut draft = code_task("core/memory.py");
    draft["description"] = json!("Keeps memories.");
    draft["acceptance_criteria"] = json!([
        {"type": "merged"},
        {"type": "file-contains", "path": "core/memory.py", "text": "A module"},
        {"type": "check-green", "name": "ci"},
        "reads well",
    ]);
    let task = host.create_task(draft).await;
    let done = host.wait_for(&task, "completed", LIMIT).await;

    let steps: Vec<String> =
        host.steps(&task).await.iter().filter_map(|step| step["function"].as_str().map(str::to_owned)).collect();
    let workflow = ["get-branch", "create-branch", "put-file", "open-pull-request", "list-check-runs", "merge"];
    let mut rest = steps.iter();
    assert!(workflow.iter().all(|wanted| rest.any(|step| step == wanted)), "{steps:?}");

    let forge = host.forge();
    let log = forge.git(&["log", "--format=%P|%s", "main"]);
    let newest = log.lines().next().unwrap();
    let (parents, subject) = newest.split_once('|').unwrap();
    assert_eq!(parents.split(' ').count(), 1, "a squash commit has one parent: {log}");
    assert_eq!(subject, format!("{task}: Write core/memory.py (#1)"));
    assert_eq!(forge.git(&["show", "main:core/memory.py"]), "\"\"\"A module.\"\"\"\n");
    let pull_requests = forge.pull_requests().await;
    assert_eq!(pull_requests.len(), 1);
    assert_eq!(pull_requests[0]["head"]["ref"], format!("feature/{task}"));
    assert!(pull_requests[0]["body"].as_str().unwrap().contains("## Changes\n- `core/memory.py`"));

    let evidence = &done["evidence"];
    assert_eq!(evidence["verdict"], "verified");
    assert_eq!(evidence["merged_by_this_run"], true);
    let answered: Vec<_> = evidence["criteria"].as_array().unwrap().iter().map(|c| c["answered"].clone()).collect();
    assert_eq!(answered, ["verified", "verified", "verified", "attested"]);
    assert!(done["completion_evidence"].as_str().unwrap().contains("attested by the role, not verified] reads well"));
    // It waited for the check without holding the task.
    assert!(host.logs(&task).await.iter().any(|line| line["action"] == "task_suspended"));
}

#[tokio::test]
async fn a_red_check_ends_the_task_unmerged() {
    let host = Host::start(Options::default().checks(check(CheckConclusion::Failure))).await;
    let task = host.create_task(code_task("a.py")).await;
    let failed = host.wait_for(&task, "failed", LIMIT).await;
    let reason = failed["error_message"].as_str().unwrap();
    assert!(reason.contains("check \"ci\" is failure"), "{reason}");
    let pull_requests = host.forge().pull_requests().await;
    assert_eq!(pull_requests.len(), 1);
    assert_eq!(pull_requests[0]["state"], "open");
    assert_eq!(host.forge().git(&["log", "--format=%s", "main"]).lines().count(), 1);
}

#[tokio::test]
async fn a_merge_conflict_ends_the_task_with_its_pull_request_open() {
    let host = Host::start(Options::default()).await;
    let forge = host.forge();
    forge.hold("PUT", "/repos/demo/sample/pulls/*/merge", "before").await;
    let task = host.create_task(code_task("a.py")).await;
    forge.held().await;
    forge.commit_to_main("a.py", "something else\n").await;
    forge.release().await;
    let failed = host.wait_for(&task, "failed", LIMIT).await;
    let reason = failed["error_message"].as_str().unwrap();
    assert!(reason.contains("can not be merged"), "{reason}");
    assert_eq!(forge.pull_requests().await.len(), 1);
    assert_eq!(forge.git(&["show", "main:a.py"]), "something else\n");
}

#[tokio::test]
async fn a_closed_pull_request_is_not_replaced_by_a_second_one() {
    let host = Host::start(Options::default()).await;
    let forge = host.forge();
    forge.hold("GET", "/repos/demo/sample/commits/*/check-runs", "before").await;
    let task = host.create_task(code_task("a.py")).await;
    forge.held().await;
    patch_pull_request(&host, 1, json!({ "state": "closed" })).await;
    forge.release().await;
    let failed = host.wait_for(&task, "failed", LIMIT).await;
    assert!(failed["error_message"].as_str().unwrap().contains("closed"), "{failed}");

    retry(&host, &task).await;
    let failed = host.wait_for(&task, "failed", LIMIT).await;
    let reason = failed["error_message"].as_str().unwrap();
    assert!(reason.contains("closed without a merge") && reason.contains("reopen it"), "{reason}");
    assert_eq!(forge.pull_requests().await.len(), 1);

    patch_pull_request(&host, 1, json!({ "state": "open" })).await;
    retry(&host, &task).await;
    host.wait_for(&task, "completed", LIMIT).await;
    assert_eq!(forge.pull_requests().await.len(), 1);
}

#[tokio::test]
async fn a_person_who_merges_first_completes_the_task() {
    let host = Host::start(Options::default()).await;
    let forge = host.forge();
    forge.hold("GET", "/repos/demo/sample/commits/*/check-runs", "before").await;
    let task = host.create_task(code_task("a.py")).await;
    forge.held().await;
    let merge = json!({ "merge_method": "squash" });
    let (status, answer) = forge.call(Method::PUT, "/repos/demo/sample/pulls/1/merge", Some(merge)).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    forge.release().await;
    let done = host.wait_for(&task, "completed", LIMIT).await;
    assert_eq!(done["evidence"]["merged_by_this_run"], false);
    assert_eq!(forge.git(&["log", "--format=%s", "main"]).lines().count(), 2);
}

#[tokio::test]
async fn somebody_elses_commit_on_the_branch_is_not_merged() {
    let host = Host::start(Options::default()).await;
    let forge = host.forge();
    forge.hold("GET", "/repos/demo/sample/commits/*/check-runs", "before").await;
    let task = host.create_task(code_task("a.py")).await;
    forge.held().await;
    let path = "/repos/demo/sample/contents/evil.py";
    let body = json!({ "message": "m", "branch": format!("feature/{task}"), "content": "eA==" });
    let (status, answer) = forge.call(Method::PUT, path, Some(body)).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    forge.release().await;
    host.wait_for(&task, "failed", LIMIT).await;
    // Also where the role takes the foreign head for its own: the next attempt finds the branch as it is.
    retry(&host, &task).await;
    let failed = host.wait_for(&task, "failed", LIMIT).await;
    assert!(failed["error_message"].as_str().unwrap().contains("scope.merge-own-commits"), "{failed}");
    assert_eq!(forge.git(&["log", "--format=%s", "main"]).lines().count(), 1);
}

/// git's merge follows renames: a change to `ci/build.yml` would land in the workflow that it became on the base.
#[tokio::test]
async fn a_merge_does_not_follow_a_rename_into_a_workflow() {
    let host = Host::start(Options::default()).await;
    let forge = host.forge();
    let long = "a line of the build\n".repeat(40);
    forge.commit_to_main("ci/build.yml", &long).await;
    forge.hold("GET", "/repos/demo/sample/commits/*/check-runs", "before").await;
    let mut draft = code_task("ci/build.yml");
    draft["payload"]["changes"][0]["content"] = json!(format!("{long}evil\n"));
    let task = host.create_task(draft).await;
    forge.held().await;
    forge.rename_on_main("ci/build.yml", ".github/workflows/build.yml");
    forge.release().await;
    let failed = host.wait_for(&task, "failed", LIMIT).await;
    assert!(failed["error_message"].as_str().unwrap().contains("prohibited.modify-rbac"), "{failed}");
    assert_eq!(forge.git(&["show", "main:.github/workflows/build.yml"]), long);
}

#[tokio::test]
async fn a_base_that_moved_harmlessly_is_merged_into() {
    let host = Host::start(Options::default()).await;
    let forge = host.forge();
    forge.hold("GET", "/repos/demo/sample/commits/*/check-runs", "before").await;
    let task = host.create_task(code_task("a.py")).await;
    forge.held().await;
    forge.commit_to_main("b.py", "x\n").await;
    forge.release().await;
    host.wait_for(&task, "completed", LIMIT).await;
}

#[tokio::test]
async fn an_attempt_goes_on_from_the_branch_of_the_one_before() {
    let host = Host::start(Options::default()).await;
    let forge = host.forge();
    forge.fault("POST", "/repos/demo/sample/pulls", json!({ "kind": "rate-limit" })).await;
    let task = host.create_task(code_task("a.py")).await;
    let done = host.wait_for(&task, "completed", LIMIT).await;
    assert_eq!(done["attempt"], 2);
    assert_eq!(forge.pull_requests().await.len(), 1);
    let commits = forge.git(&["log", "--format=%s", &format!("main..feature/{task}")]);
    assert_eq!(commits.lines().count(), 1, "the file was committed once: {commits}");
}

/// The effect happened and its answer was lost: it is found again, in the same attempt.
#[tokio::test]
async fn a_lost_answer_does_nothing_twice() {
    for (method, path) in [
        ("POST", "/repos/demo/sample/git/refs"),
        ("PUT", "/repos/demo/sample/contents/*"),
        ("POST", "/repos/demo/sample/pulls"),
        ("PUT", "/repos/demo/sample/pulls/*/merge"),
    ] {
        let host = Host::start(Options::default()).await;
        let forge = host.forge();
        forge.fault(method, path, json!({ "kind": "lose-response" })).await;
        let task = host.create_task(code_task("a.py")).await;
        let done = host.wait_for(&task, "completed", LIMIT).await;
        assert_eq!(done["attempt"], 1, "{method} {path}");
        assert_eq!(forge.pull_requests().await.len(), 1, "{method} {path}");
        assert_eq!(forge.git(&["log", "--format=%s", "main"]).lines().count(), 2, "{method} {path}");
        assert_eq!(forge.git(&["log", "--format=%s", &format!("main..feature/{task}")]).lines().count(), 1);
    }
}

#[tokio::test]
async fn prose_completes_nothing() {
    let host = Host::start(Options::default().roles(RolesDir::with(&["prose"]))).await;
    let mut draft = code_task("a.py");
    draft["attempts_max"] = json!(2);
    let task = host.create_task(draft).await;
    let failed = host.wait_for(&task, "failed", LIMIT).await;
    let reason = failed["error_message"].as_str().unwrap();
    assert!(reason.contains("\"Completed the task\" is prose"), "{reason}");
    assert_eq!((&failed["evidence"], &failed["completion_evidence"]), (&Value::Null, &Value::Null));
    let logs = host.logs(&task).await;
    let told = |line: &Value| line["message"].as_str().is_some_and(|text| text.starts_with("told: evidence refused"));
    assert!(logs.iter().any(told), "the second attempt is told what was missing: {logs:?}");
    let refused = logs.iter().filter(|line| line["error_data"]["error_type"] == "EvidenceRefused").count();
    assert_eq!(refused, 2);
}

#[tokio::test]
async fn what_the_executor_can_not_do_fails_with_a_reason() {
    let host = Host::start(Options::default()).await;
    for (payload, wanted) in [
        (json!({ "repository": "other/repo", "changes": [{ "path": "a", "content": "b" }] }), "is not granted"),
        (json!({ "repository": "demo/missing", "changes": [{ "path": "a", "content": "b" }] }), "demo/missing"),
        (
            json!({ "repository": "demo/sample", "base": "release", "changes": [{ "path": "a", "content": "b" }] }),
            "has no branch release",
        ),
        (
            json!({ "repository": "demo/sample", "changes": [{ "path": ".github/workflows/x.yml", "content": "b" }] }),
            "prohibited.modify-rbac",
        ),
        (json!({ "repository": "demo/sample", "changes": [{ "path": "../x", "content": "b" }] }), "path"),
    ] {
        let draft = json!({ "title": "t", "task_type": "code", "payload": payload });
        let task = host.create_task(draft).await;
        let failed = host.wait_for(&task, "failed", LIMIT).await;
        let reason = failed["error_message"].as_str().unwrap();
        assert!(reason.contains(wanted), "{wanted}: {reason}");
    }
    // A key may come: it is tried again, and then a person has to see to it.
    let payload = json!({ "repository": "demo/sample", "instructions": "write a module" });
    let task = host.create_task(json!({ "title": "t", "task_type": "code", "payload": payload })).await;
    let dead = host.wait_for(&task, "dead_letter", LIMIT).await;
    assert!(dead["error_message"].as_str().unwrap().contains("OPENROUTER_API_KEY"), "{dead}");
    assert!(host.forge().pull_requests().await.is_empty());
}
