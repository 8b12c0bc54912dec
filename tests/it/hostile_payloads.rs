//! Tasks whose payloads take long to judge, given all at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use reqwest::Method;
use serde_json::json;

use crate::support::{Host, Options};

/// Answers to others while the payloads are judged.
const ANSWERS_MIN: usize = 20;

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
    let answered = Arc::new(AtomicUsize::new(0));
    let others = tokio::spawn({
        let (answered, url) = (Arc::clone(&answered), format!("{}/healthz", host.url()));
        async move {
            loop {
                assert!(client.get(&url).send().await.unwrap().status().is_success());
                answered.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    while let Some(posted) = tasks.join_next().await {
        let status = posted.unwrap().unwrap().status();
        assert!(status.is_client_error(), "it deletes without a condition: {status}");
    }
    others.abort();
    let answered = answered.load(Ordering::Relaxed);
    eprintln!("{answered} answers during {posts} payloads");
    assert!(answered >= ANSWERS_MIN, "{answered} answers during {posts} payloads");
}
