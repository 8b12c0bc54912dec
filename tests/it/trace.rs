//! `task trace`: what a run called, how long each call took, and what passed between them.

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Host, LIMIT, Options, code_task, juggernaut};

#[tokio::test]
async fn a_trace_has_the_calls_in_order_with_their_times() {
    let host = Host::start(Options::default()).await;
    let forge = host.forge();
    forge.hold("PUT", "/repos/demo/sample/contents/*", "before").await;
    let task = host.create_task(code_task("a.py")).await;
    forge.held().await;
    let (folder, token) = (TempDir::new().unwrap(), host.token("viewer").await);
    let env = [("JUGGERNAUT_URL", host.url()), ("JUGGERNAUT_TOKEN", token.as_str())];
    let early = juggernaut(folder.path(), &["task", "trace", &task], &env).await;
    assert!(early.stdout.contains("no result yet"), "{early:?}");
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    forge.release().await;
    host.wait_for(&task, "completed", LIMIT).await;

    let shown = juggernaut(folder.path(), &["task", "trace", &task], &env).await;
    assert_eq!(shown.code, Some(0), "{shown:?}");
    assert!(shown.stdout.starts_with("attempt 1 by EXECUTOR as executor, component "), "{shown:?}");
    let json = juggernaut(folder.path(), &["--json", "task", "trace", &task, "--attempt", "1"], &env).await;
    let traced: Vec<Value> = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(traced.len(), host.steps(&task).await.len());
    let calls: Vec<&str> = traced.iter().map(|it| it["call"].as_str().unwrap()).collect();
    let at = |call: &str| calls.iter().position(|it| *it == call).unwrap_or_else(|| panic!("no {call} in {calls:?}"));
    assert!(at("github-write.create-branch") < at("github-write.put-file"), "{calls:?}");
    assert!(at("github-write.open-pull-request") < at("github-merge.merge"), "{calls:?}");
    for call in &traced {
        // The file is new.
        let outcome = if call["call"] == "github-read.get-file" { "err" } else { "ok" };
        assert!(call["outcome"] == outcome && call["gap_ms"].as_f64().unwrap() >= 0.0, "{call}");
    }
    let took = traced[at("github-write.put-file")]["took_ms"].as_f64().unwrap();
    assert!(took >= 300.0, "the forge held it for that long: {took}");

    let none = juggernaut(folder.path(), &["task", "trace", &task, "--attempt", "7"], &env).await;
    assert_eq!(none.stdout.lines().count(), 2, "an attempt that never was has no calls: {none:?}");
}
