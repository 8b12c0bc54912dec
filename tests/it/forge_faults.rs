//! What a server may do to a request, at each request of the workflow: one of everything comes of it all the same.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::once::{MUTATIONS, exactly_once, together};
use crate::support::{Host, LIMIT, Options, code_task, show};

const AT_ONCE: usize = 4;
const POLL: Duration = Duration::from_millis(100);
/// The client waits 30 s for an answer.
const HANG_LIMIT: Duration = Duration::from_mins(3);

/// The pause before a run looks again is not worth waiting for.
async fn wakes(host: &Host) {
    let query = "update governance_tasks set wake_at = now() where status = 'suspended' and wake_at > now()";
    sqlx::query(query).execute(&host.db()).await.unwrap();
}

async fn survives(method: &'static str, path: &'static str, fault: Value, limit: Duration) {
    let at = format!("{method} {path}: {fault}");
    let host = Host::start(Options::default()).await;
    host.forge().fault(method, path, fault).await;
    let task = host.create_task(code_task("a.py")).await;
    let began = Instant::now();
    loop {
        let row = host.row(&task).await;
        let status = row["status"].as_str().unwrap();
        if status == "completed" {
            break;
        }
        if !["pending", "in_progress", "suspended"].contains(&status) || began.elapsed() > limit {
            let shown = show(&host.db(), task.parse().unwrap()).await;
            panic!("{at}: it is {status} after {:?}\n{shown}{}", began.elapsed(), host.stderr());
        }
        wakes(&host).await;
        tokio::time::sleep(POLL).await;
    }
    let hit = host.forge().requests().await.iter().filter(|request| !request["fault"].is_null()).count();
    assert_eq!(hit, 1, "{at}: the fault was never met");
    exactly_once(&host, &[task], &at).await;
}

/// Faults of every mutation.
async fn each_mutation(fault: &Value) {
    let scenario = |(_, method, path)| survives(method, path, fault.clone(), LIMIT);
    together(AT_ONCE, MUTATIONS.map(scenario)).await;
}

#[tokio::test]
async fn an_error_of_the_server_before_the_effect() {
    each_mutation(&json!({ "kind": "status", "status": 500 })).await;
}

#[tokio::test]
async fn an_error_of_a_proxy_after_the_effect() {
    each_mutation(&json!({ "kind": "late-status", "status": 502 })).await;
}

#[tokio::test]
async fn a_request_that_is_dropped() {
    each_mutation(&json!({ "kind": "drop-request" })).await;
}

#[tokio::test]
async fn an_answer_that_is_reset_in_its_middle() {
    each_mutation(&json!({ "kind": "reset" })).await;
}

#[tokio::test]
async fn a_server_that_hangs() {
    let hang = |method, path, kind: &str| survives(method, path, json!({ "kind": kind }), HANG_LIMIT);
    let ([branch, file, open, merge], read) = (MUTATIONS, "/repos/demo/sample/commits/*/check-runs");
    let scenarios = [
        hang(branch.1, branch.2, "late-hang"),
        hang(file.1, file.2, "late-hang"),
        hang(open.1, open.2, "hang"),
        hang(merge.1, merge.2, "late-hang"),
        hang("GET", read, "hang"),
    ];
    // All at once: they only wait.
    together(scenarios.len(), scenarios).await;
}

/// Reads are tried again within the run.
#[tokio::test]
async fn reads_that_fail() {
    let read = |path, fault| survives("GET", path, fault, LIMIT);
    let scenarios = [
        read("/repos/demo/sample/commits/*/check-runs", json!({ "kind": "status", "status": 503 })),
        read("/repos/demo/sample/contents/*", json!({ "kind": "reset" })),
        read("/repos/demo/sample/pulls", json!({ "kind": "drop-request" })),
        read("/repos/demo/sample/git/ref/heads/main", json!({ "kind": "lose-response" })),
    ];
    together(AT_ONCE, scenarios).await;
}
