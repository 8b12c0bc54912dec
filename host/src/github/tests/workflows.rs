//! Dispatching a workflow, and finding its run.

use serde_json::{Value, json};
use time::OffsetDateTime;

use super::server::{Reply, Server};
use super::{repository, sha};
use crate::github::{CheckStatus, GitHubError};
use crate::policy::Granted;
use crate::policy::action::DispatchWorkflow;
use crate::repo::Branch;

fn main_branch() -> Branch {
    Branch::parse("release/1").unwrap()
}

fn dispatch() -> Granted<DispatchWorkflow> {
    Granted::for_tests(DispatchWorkflow {
        repository: repository(),
        workflow: "deploy.yml".to_owned(),
        branch: main_branch(),
        head_sha: sha('a'),
        inputs: vec![("target".to_owned(), "staging".to_owned())],
    })
}

fn head(digit: char) -> Reply {
    Reply::json(200, &json!({ "ref": "refs/heads/release/1", "object": { "type": "commit", "sha": sha(digit) } }))
}

/// As GitHub answers, less what nobody reads.
fn run(id: u64, branch: &str, event: &str, created_at: &str) -> Value {
    json!({
        "id": id, "name": "Deploy", "head_branch": branch, "head_sha": sha('a'), "path": ".github/workflows/deploy.yml",
        "display_title": "Deploy", "event": event, "status": "waiting", "conclusion": null, "created_at": created_at,
        "html_url": format!("https://github.com/octo/hello/actions/runs/{id}"), "actor": { "login": "bot", "id": 1 },
    })
}

fn told() -> Reply {
    Reply::json(200, &json!({ "workflow_run_id": 5, "run_url": "x", "html_url": "x" }))
}

#[tokio::test]
async fn a_dispatch_is_for_the_judged_head_and_gives_its_run() {
    let shown = Reply::json(200, &run(5, "release/1", "workflow_dispatch", "2026-01-26T19:01:12Z"));
    let missing = Reply::json(404, &json!({ "message": "Not Found" }));
    let server = Server::start([head('a'), told(), missing, shown]).await;
    let run = server.client().dispatch_workflow(dispatch()).await.unwrap();
    assert_eq!((run.id, run.status, run.actor.as_deref()), (5, CheckStatus::Queued, Some("bot")));
    let seen = server.seen();
    assert_eq!(seen[0].line, "GET /repos/octo/hello/git/ref/heads/release/1");
    assert_eq!(seen[1].line, "POST /repos/octo/hello/actions/workflows/deploy.yml/dispatches");
    let sent = json!({ "ref": "release/1", "inputs": { "target": "staging" }, "return_run_details": true });
    assert_eq!(seen[1].json(), sent);
    assert_eq!(seen[3].line, "GET /repos/octo/hello/actions/runs/5");
}

#[tokio::test]
async fn a_head_that_moved_is_not_dispatched() {
    let server = Server::start([head('b')]).await;
    let error = server.client().dispatch_workflow(dispatch()).await.unwrap_err();
    assert!(matches!(error, GitHubError::Conflict(_)), "{error}");
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_dispatch_whose_run_is_not_told_or_whose_answer_is_lost_is_unknown() {
    for answer in [Reply::text(204, ""), Reply::text(500, "oops"), Reply::broken(200), Reply::text(200, "not json")] {
        let server = Server::start([head('a'), answer]).await;
        let error = server.client().dispatch_workflow(dispatch()).await.unwrap_err();
        assert!(matches!(error, GitHubError::Unknown(_)), "{error:?}");
        assert_eq!(server.seen().len(), 2, "it is sent once");
    }
    let refused = Reply::json(422, &json!({ "message": "No ref found for: release/1" }));
    let server = Server::start([head('a'), refused]).await;
    let error = server.client().dispatch_workflow(dispatch()).await.unwrap_err();
    assert!(matches!(error, GitHubError::Invalid(_)), "{error:?}");
}

#[tokio::test]
async fn only_dispatched_runs_of_the_branch_since_then_are_found() {
    let since = OffsetDateTime::from_unix_timestamp(1_769_454_072).unwrap() + time::Duration::milliseconds(700);
    let runs = json!([
        run(4, "release/1", "workflow_dispatch", "2026-01-26T19:01:12Z"),
        run(3, "release/1", "push", "2026-01-26T19:01:13Z"),
        run(2, "main", "workflow_dispatch", "2026-01-26T19:01:13Z"),
        run(1, "release/1", "workflow_dispatch", "2026-01-26T19:01:11Z"),
    ]);
    let server = Server::start([
        Reply::json(200, &json!({ "total_count": 4, "workflow_runs": runs })),
        Reply::json(200, &json!({ "total_count": 101, "workflow_runs": [] })),
    ])
    .await;
    let client = server.client();
    let found = client.dispatched_runs(&repository(), "deploy.yml", &main_branch(), since).await.unwrap();
    assert_eq!(found.iter().map(|run| run.id).collect::<Vec<_>>(), [4]);
    assert_eq!(
        server.seen()[0].line,
        "GET /repos/octo/hello/actions/workflows/deploy.yml/runs?event=workflow_dispatch&branch=release%2F1\
         &created=%3E%3D2026-01-26T19%3A01%3A12Z&per_page=100"
    );
    let error = client.dispatched_runs(&repository(), "deploy.yml", &main_branch(), since).await.unwrap_err();
    assert!(error.to_string().contains("more than 100 such runs"), "{error}");
}

#[tokio::test]
async fn the_owner_of_a_token_may_not_be_told() {
    let server = Server::start([
        Reply::json(200, &json!({ "login": "octocat", "id": 1 })),
        Reply::json(403, &json!({ "message": "Resource not accessible by integration" })),
    ])
    .await;
    assert_eq!(server.client().login().await, Ok(Some("octocat".to_owned())));
    assert_eq!(server.client().login().await, Ok(None));
    assert_eq!(server.seen()[0].line, "GET /user");
}
