//! Each mutation: what it sends, and that it is sent once whatever comes back.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};

use super::server::{Reply, Server, client, client_with, hanging_up};
use super::{create_branch, merge, open_pull_request, pull_request_json, put_file, ref_json, sha};
use crate::github::{CommittedFile, GitHub, GitHubError, Merged, PullRequestState};
use crate::policy::Granted;

#[tokio::test]
async fn create_branch_sends_the_full_reference() {
    let server = Server::start([Reply::json(201, &ref_json())]).await;
    assert_eq!(server.client().create_branch(create_branch()).await, Ok(()));
    let seen = &server.seen()[0];
    assert_eq!(seen.line, "POST /repos/octo/hello/git/refs");
    assert_eq!(seen.header("content-type"), Some("application/json"));
    assert_eq!(seen.json(), json!({"ref": "refs/heads/feature/0199-a", "sha": sha('a')}));
}

#[tokio::test]
async fn put_file_sends_base64_and_the_blob_that_it_replaces() {
    let body = json!({
        "content": {"name": "ä b?.py", "path": "core/ä b?.py", "sha": sha('c'), "size": 9, "type": "file"},
        "commit": {"sha": sha('d'), "message": "Add core", "parents": [], "tree": {"sha": sha('f')}},
    });
    let server = Server::start([Reply::json(201, &body), Reply::json(200, &body)]).await;
    let expected = CommittedFile { commit: sha('d'), file: sha('c') };
    let mut action = put_file();
    assert_eq!(server.client().put_file(Granted::for_tests(action.clone())).await, Ok(expected.clone()));
    action.previous = Some(sha('b'));
    assert_eq!(server.client().put_file(Granted::for_tests(action)).await, Ok(expected));
    let mut sent = json!({"message": "Add core", "content": "cHJpbnQoMSkK", "branch": "feature/0199-a"});
    let seen = server.seen();
    assert_eq!(seen[0].line, "PUT /repos/octo/hello/contents/core/%C3%A4%20b%3F.py");
    assert_eq!(seen[0].json(), sent);
    sent["sha"] = json!(sha('b'));
    assert_eq!(seen[1].json(), sent);
}

#[tokio::test]
async fn put_file_refuses_what_could_not_be_read_back() {
    let server = Server::start([]).await;
    let mut action = put_file();
    action.content = vec![0; (1 << 20) + 1];
    let error = server.client().put_file(Granted::for_tests(action)).await.unwrap_err();
    assert!(matches!(error, GitHubError::Invalid(_)), "{error}");
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn open_pull_request_is_from_a_branch_of_the_same_repository() {
    let server = Server::start([Reply::json(201, &pull_request_json())]).await;
    let opened = server.client().open_pull_request(open_pull_request()).await.unwrap();
    assert_eq!((opened.number, opened.state), (7, PullRequestState::Open));
    let seen = &server.seen()[0];
    assert_eq!(seen.line, "POST /repos/octo/hello/pulls");
    let sent = json!({"title": "Add core", "head": "feature/0199-a", "base": "main", "body": "For task 0199"});
    assert_eq!(seen.json(), sent);
}

#[tokio::test]
async fn what_was_opened_is_closed_by_the_leave_to_open_it() {
    let server = Server::start([Reply::json(200, &pull_request_json())]).await;
    let closing = open_pull_request().taking_back().close(7);
    assert_eq!(server.client().close_pull_request(closing).await, Ok(()));
    let seen = &server.seen()[0];
    assert_eq!(seen.line, "PATCH /repos/octo/hello/pulls/7");
    assert_eq!(seen.json(), json!({"state": "closed"}));
}

#[tokio::test]
async fn merge_squashes_exactly_the_judged_head() {
    let merged = |merged| json!({"sha": sha('e'), "merged": merged, "message": "Pull Request successfully merged"});
    let server = Server::start([Reply::json(200, &merged(true)), Reply::json(200, &merged(false))]).await;
    assert_eq!(server.client().merge(merge()).await, Ok(Merged { sha: sha('e') }));
    let seen = &server.seen()[0];
    assert_eq!(seen.line, "PUT /repos/octo/hello/pulls/7/merge");
    assert_eq!(
        seen.json(),
        json!({
            "merge_method": "squash", "sha": sha('b'), "commit_title": "t: A title (#7)",
            "commit_message": "A body\n\nof two parts",
        })
    );
    let error = server.client().merge(merge()).await.unwrap_err();
    assert!(matches!(error, GitHubError::Conflict(_)), "{error}");
}

/// All four mutations, one after the other.
async fn all(client: &GitHub) -> Vec<GitHubError> {
    vec![
        client.create_branch(create_branch()).await.unwrap_err(),
        client.put_file(Granted::for_tests(put_file())).await.unwrap_err(),
        client.open_pull_request(open_pull_request()).await.unwrap_err(),
        client.merge(merge()).await.unwrap_err(),
    ]
}

fn assert_unknown(errors: &[GitHubError]) {
    for error in errors {
        assert!(matches!(error, GitHubError::Unknown(text) if text.contains("look before")), "{error:?}");
    }
}

#[tokio::test]
async fn a_doubtful_answer_is_unknown_and_nothing_is_sent_again() {
    let doubtful = [
        Reply::text(500, "oops"),
        Reply::text(502, "<html>Bad Gateway</html>"),
        Reply::text(503, "").header("retry-after", "1"),
        Reply::broken(200),
        Reply::text(201, "not json"),
        Reply::text(200, " ".repeat(3 << 20)),
    ];
    for reply in doubtful {
        let shown = format!("{reply:?}").chars().take(60).collect::<String>();
        let server = Server::start(vec![reply; 4]).await;
        let errors = all(&server.client()).await;
        assert_unknown(&errors);
        assert_eq!(server.seen().len(), 4, "{shown}");
    }
}

#[tokio::test]
async fn a_lost_answer_is_unknown() {
    let (origin, count) = hanging_up().await;
    assert_unknown(&all(&client(&origin)).await);
    assert_eq!(count.load(Ordering::Relaxed), 4);
}

#[tokio::test]
async fn a_timeout_after_sending_is_unknown() {
    let server = Server::start(vec![Reply::text(200, "").after(Duration::from_secs(30)); 4]).await;
    assert_unknown(&all(&client_with(&server.origin, Duration::from_millis(300))).await);
    assert_eq!(server.seen().len(), 4);
}

#[tokio::test]
async fn without_a_connection_nothing_was_done() {
    for error in all(&client("http://127.0.0.1:1")).await {
        assert!(matches!(error, GitHubError::Unavailable(_)), "{error:?}");
    }
}

#[tokio::test]
async fn refusals_are_definite_and_nothing_is_sent_again() {
    let problem = |message: &str, errors: Value| json!({"message": message, "errors": errors, "documentation_url": "https://docs.github.com/rest", "status": "422"});
    let existing = json!([{"resource": "PullRequest", "code": "custom",
        "message": "A pull request already exists for octo:feature/0199-a."}]);
    let no_commits = json!([{"resource": "PullRequest", "code": "custom",
        "message": "No commits between main and feature/0199-a"}]);
    let cases = [
        (422, problem("Reference already exists", json!([])), "conflict"),
        (422, problem("Validation Failed", existing), "conflict"),
        (422, problem("Invalid request.\n\n\"sha\" wasn't supplied.", json!([])), "conflict"),
        (409, problem("core/a.py does not match aaaa", json!([])), "conflict"),
        (409, problem("Head branch was modified. Review and try the merge again.", json!([])), "conflict"),
        (405, problem("Pull Request is not mergeable", json!([])), "conflict"),
        (422, problem("Validation Failed", no_commits), "invalid"),
        (422, problem("Object does not exist", json!(["one", {"field": "sha", "code": "invalid"}, 3])), "invalid"),
        (400, problem("Problems parsing JSON", json!([])), "invalid"),
        (413, problem("Too large", json!([])), "invalid"),
        (401, problem("Bad credentials", json!([])), "denied"),
        (403, problem("Resource not accessible by personal access token", json!([])), "denied"),
        (404, problem("Not Found", json!([])), "not found"),
    ];
    for (status, body, expected) in cases {
        let server = Server::start(vec![Reply::json(status, &body); 4]).await;
        for error in all(&server.client()).await {
            let found = match &error {
                GitHubError::Conflict(_) => "conflict",
                GitHubError::Invalid(_) => "invalid",
                GitHubError::Denied(_) => "denied",
                GitHubError::NotFound(_) => "not found",
                other => panic!("{status} {body}: {other:?}"),
            };
            assert_eq!(found, expected, "{status} {error}");
            assert!(error.to_string().contains("octo/hello"), "{error}");
        }
        assert_eq!(server.seen().len(), 4);
    }
}

#[tokio::test]
async fn a_moved_repository_is_not_written_to() {
    let server = Server::start(vec![Reply::text(307, "").header("location", "{origin}/repositories/1/x"); 4]).await;
    for error in all(&server.client()).await {
        assert!(matches!(&error, GitHubError::Invalid(text) if text.contains("has moved")), "{error:?}");
    }
    assert_eq!(server.seen().len(), 4);
}

#[tokio::test]
async fn a_rate_limited_mutation_is_not_waited_for() {
    let server = Server::start(vec![Reply::text(429, "").header("retry-after", "0"); 4]).await;
    for error in all(&server.client()).await {
        assert!(matches!(error, GitHubError::RateLimited { after: Duration::ZERO, .. }), "{error:?}");
    }
    assert_eq!(server.seen().len(), 4);
}
