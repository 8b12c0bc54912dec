//! Bodies, lists and pages end where they must.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use super::server::{Reply, Server};
use super::{branch, repository, sha};
use crate::github::GitHubError;

#[tokio::test]
async fn a_body_beyond_its_limit_is_cut_off() {
    // 64 KiB each: 2 MiB are 32 of them, 8 MiB are 128; the rest of the script is 640 MiB.
    let taken = Arc::new(AtomicUsize::new(0));
    let server = Server::start(vec![Reply::chunks(10_240, &taken); 2]).await;
    let client = server.client();
    let error = client.branch_sha(&repository(), &branch()).await.unwrap_err();
    assert!(matches!(&error, GitHubError::Invalid(text) if text.contains("larger than 2097152")), "{error}");
    let error = client.tree(&repository(), "main").await.unwrap_err();
    assert!(matches!(&error, GitHubError::Invalid(text) if text.contains("larger than 8388608")), "{error}");
    // What lies in the sockets' buffers besides is the system's choice.
    assert!(taken.load(Ordering::Relaxed) < 2_000, "{taken:?}");
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn a_refusal_of_any_length_is_still_a_refusal() {
    let server = Server::start([Reply::text(404, "x".repeat(9 << 20)), Reply::broken(404)]).await;
    for _ in 0..2 {
        let error = server.client().branch_sha(&repository(), &branch()).await.unwrap_err();
        assert!(matches!(error, GitHubError::NotFound(_)), "{error}");
        assert!(error.to_string().len() < 800, "{error}");
    }
}

#[tokio::test]
async fn a_tree_that_is_not_whole_is_refused() {
    let entry = json!({"path": "f", "mode": "100644", "type": "blob", "size": 1, "sha": sha('1')});
    let tree = |count: usize, truncated: bool| json!({"sha": sha('d'), "truncated": truncated, "tree": vec![entry.clone(); count]});
    for (body, whole) in [(tree(10_000, false), true), (tree(10_001, false), false), (tree(1, true), false)] {
        let server = Server::start([Reply::json(200, &body)]).await;
        match server.client().tree(&repository(), "main").await {
            Ok(entries) => assert!(whole && entries.len() == 10_000),
            Err(error) => assert!(!whole && matches!(error, GitHubError::Invalid(_)), "{error}"),
        }
    }
}

#[tokio::test]
async fn check_runs_that_are_not_whole_are_refused() {
    let page = |total: u64| json!({"total_count": total, "check_runs": []});
    let server = Server::start([Reply::json(200, &page(1001))]).await;
    let error = server.client().check_runs(&repository(), &sha('b')).await.unwrap_err();
    assert!(matches!(error, GitHubError::Invalid(_)), "{error}");

    let endless = Reply::json(200, &page(1)).header("link", "<{origin}/x>; rel=\"next\"");
    let server = Server::start(vec![endless; 20]).await;
    let error = server.client().check_runs(&repository(), &sha('b')).await.unwrap_err();
    assert!(matches!(error, GitHubError::Invalid(_)), "{error}");
    assert_eq!(server.seen().len(), 10);
}
