//! The host is killed with -9 at a request of the workflow and started again: one branch, one pull request, one merge,
//! one completion.

use crate::support::{Host, LIMIT, Options, RolesDir, code_task};

/// Kills while the forge holds the request. A held request that has arrived takes effect when it is released, after
/// its sender's death: the host that comes after must find that out.
async fn killed_at(method: &str, path: &str, when: &str) {
    let mut host = Host::start(Options::default()).await;
    let forge = host.forge();
    forge.hold(method, path, when).await;
    let task = host.create_task(code_task("a.py")).await;
    forge.held().await;
    host.kill9();
    forge.release().await;
    host.restart().await;
    let done = host.wait_for(&task, "completed", LIMIT).await;

    let at = format!("{when} {method} {path}");
    assert_eq!(done["attempt"], 1, "{at}: a crash is not a failed attempt");
    assert_eq!(forge.pull_requests().await.len(), 1, "{at}");
    assert_eq!(forge.git(&["log", "--format=%s", "main"]).lines().count(), 2, "{at}: one merge");
    let branches = forge.git(&["branch", "--list", "--format=%(refname:short)", "feature/*"]);
    assert_eq!(branches.trim(), format!("feature/{task}"), "{at}");
    let logs = host.logs(&task).await;
    assert_eq!(logs.iter().filter(|line| line["action"] == "task_completed").count(), 1, "{at}");
    assert!(logs.iter().any(|line| line["action"] == "lease_expired"), "{at}: it was taken back");
    // What the role said before the crash is not said twice.
    let said: Vec<_> = logs.iter().filter(|line| line["action"] == "log").map(|line| &line["message"]).collect();
    let mut once = said.clone();
    once.sort_by_key(ToString::to_string);
    once.dedup();
    assert_eq!(said.len(), once.len(), "{at}: {said:?}");
}

/// The wall time runs out while a mutation is under way: the attempt goes on and finds out what became of it.
#[tokio::test]
async fn out_of_time_during_a_mutation() {
    let roles = RolesDir::with(&["executor"]);
    roles.edit("executor", "wall_ms = 600_000", "wall_ms = 2_000");
    let host = Host::start(Options::default().roles(roles)).await;
    let forge = host.forge();
    forge.hold("PUT", "/repos/demo/sample/contents/*", "before").await;
    let task = host.create_task(code_task("a.py")).await;
    forge.held().await;
    host.wait_for(&task, "suspended", LIMIT).await;
    forge.release().await;
    let done = host.wait_for(&task, "completed", LIMIT).await;
    assert_eq!(done["attempt"], 1);
    assert_eq!(forge.git(&["log", "--format=%s", &format!("main..feature/{task}")]).lines().count(), 1);
}

#[tokio::test]
async fn before_the_branch() {
    killed_at("POST", "/repos/demo/sample/git/refs", "before").await;
}

#[tokio::test]
async fn after_the_branch() {
    killed_at("POST", "/repos/demo/sample/git/refs", "after").await;
}

#[tokio::test]
async fn after_the_commit() {
    killed_at("PUT", "/repos/demo/sample/contents/*", "after").await;
}

#[tokio::test]
async fn after_the_pull_request() {
    killed_at("POST", "/repos/demo/sample/pulls", "after").await;
}

#[tokio::test]
async fn between_opening_the_pull_request_and_merging_it() {
    killed_at("GET", "/repos/demo/sample/commits/*/check-runs", "before").await;
}

#[tokio::test]
async fn before_the_merge() {
    killed_at("PUT", "/repos/demo/sample/pulls/*/merge", "before").await;
}

#[tokio::test]
async fn after_the_merge() {
    killed_at("PUT", "/repos/demo/sample/pulls/*/merge", "after").await;
}
