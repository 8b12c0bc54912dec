//! Tasks whose payloads take long to judge, given all at once.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;

use crate::support::{Host, Options};

/// How often the longest wait of others fits into the time that all payloads take.
const WAITS: u32 = 8;

#[tokio::test]
async fn others_are_served_while_payloads_are_judged() {
    let host = Host::start(Options::default()).await;
    let operator = host.token("operator").await;
    // More than the host has threads; each takes a good part of a second.
    let posts = 4 * std::thread::available_parallelism().unwrap().get();
    let client = reqwest::Client::new();
    let sql = "delete from a ".repeat(20_000) + "where x = 1";
    let draft = json!({
        "title": "t", "task_type": "analysis", "payload": { "sql": sql },
        "acceptance_criteria": [],
    });
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..posts {
        let request = client.request(Method::POST, format!("{}/api/v1/tasks", host.url()));
        tasks.spawn(request.bearer_auth(&operator).json(&draft).send());
    }
    let began = Instant::now();
    let longest = Arc::new(Mutex::new(Duration::ZERO));
    let others = tokio::spawn({
        let (longest, url) = (Arc::clone(&longest), format!("{}/healthz", host.url()));
        async move {
            loop {
                let asked = Instant::now();
                assert!(client.get(&url).send().await.unwrap().status().is_success());
                let mut longest = longest.lock().unwrap();
                *longest = longest.max(asked.elapsed());
            }
        }
    });
    while let Some(posted) = tasks.join_next().await {
        let status = posted.unwrap().unwrap().status();
        assert!(status.is_client_error(), "it deletes without a condition: {status}");
    }
    let whole = began.elapsed();
    // One that was asked before the end counts.
    tokio::time::sleep(Duration::from_millis(50)).await;
    others.abort();
    let longest = *longest.lock().unwrap();
    eprintln!("others waited {longest:?} at most during {posts} payloads, {whole:?}");
    assert!(longest * WAITS < whole, "{longest:?} of {whole:?}");
}
