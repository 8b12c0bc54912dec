//! Reads when something is wrong: retries, redirects, pages and where the token goes.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;

use super::server::{Reply, Server, client, client_with, hanging_up};
use super::{branch, ref_json, repository, sha};
use crate::github::GitHubError;

async fn read(server: &Server) -> Result<crate::repo::Sha, GitHubError> {
    server.client().branch_sha(&repository(), &branch()).await
}

#[tokio::test]
async fn a_read_is_tried_three_times() {
    let (bad, good) = (Reply::text(502, "bad gateway"), Reply::json(200, &ref_json()));
    for (script, requests, succeeds) in [
        (vec![bad.clone(), good.clone()], 2, true),
        (vec![Reply::broken(200), Reply::text(500, ""), good.clone()], 3, true),
        (vec![bad.clone(), bad.clone(), bad.clone(), good.clone()], 3, false),
    ] {
        let server = Server::start(script).await;
        let found = read(&server).await;
        assert_eq!(server.seen().len(), requests);
        match found {
            Ok(found) => assert!(succeeds && found == sha('a')),
            Err(error) => assert!(!succeeds && matches!(error, GitHubError::Unavailable(_)), "{error}"),
        }
    }
    let (origin, count) = hanging_up().await;
    let error = client(&origin).branch_sha(&repository(), &branch()).await.unwrap_err();
    assert!(matches!(error, GitHubError::Unavailable(_)), "{error}");
    assert_eq!(count.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn a_read_times_out_and_is_tried_again() {
    let slow = Reply::text(200, "").after(Duration::from_secs(30));
    let server = Server::start(vec![slow; 3]).await;
    let client = client_with(&server.origin, Duration::from_millis(200));
    let error = client.branch_sha(&repository(), &branch()).await.unwrap_err();
    assert!(matches!(&error, GitHubError::Unavailable(text) if text.contains("timed out")), "{error}");
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test]
async fn what_would_fail_again_is_not_tried_again() {
    for (status, body, expected) in [
        (404, r#"{"message":"Not Found"}"#, "NotFound"),
        (410, r#"{"message":"Issues are disabled"}"#, "NotFound"),
        (401, r#"{"message":"Bad credentials"}"#, "Denied"),
        (403, r#"{"message":"Resource not accessible by integration"}"#, "Denied"),
        (451, r#"{"message":"Repository access blocked"}"#, "Denied"),
        (409, r#"{"message":"Git Repository is empty."}"#, "Conflict"),
        (422, r#"{"message":"No commit found for SHA: x"}"#, "Invalid"),
        (403, r#"{"message":"This API returns blobs up to 1 MB","errors":[{"code":"too_large"}]}"#, "Invalid"),
        (200, "<html>", "Unavailable"),
        (200, r#"{"object":{"sha":"short"}}"#, "Unavailable"),
    ] {
        let server = Server::start([Reply::text(status, body)]).await;
        let error = read(&server).await.unwrap_err();
        assert!(format!("{error:?}").starts_with(expected), "{status} {body}: {error:?}");
        assert_eq!(server.seen().len(), 1, "{status} {body}");
    }
}

#[tokio::test]
async fn a_renamed_repository_is_followed_within_the_api() {
    for status in [301, 302, 307, 308] {
        let moved = Reply::json(status, &json!({"message": "Moved Permanently"}))
            .header("location", "{origin}/repositories/1/git/ref/heads/x?a=b");
        let server = Server::start([moved, Reply::json(200, &ref_json())]).await;
        assert_eq!(read(&server).await, Ok(sha('a')), "{status}");
        assert_eq!(server.lines()[1], "GET /repositories/1/git/ref/heads/x?a=b");
        assert!(server.seen()[1].header("authorization").is_some());
    }
    let server = Server::start(vec![Reply::text(301, "").header("location", "/again"); 9]).await;
    let error = read(&server).await.unwrap_err();
    assert!(error.to_string().contains("more than 3 times"), "{error}");
    assert_eq!(server.seen().len(), 4);
}

#[tokio::test]
async fn a_redirect_elsewhere_is_not_followed() {
    let elsewhere = Server::start([]).await;
    let on_another_port = format!("{}/repositories/1", elsewhere.origin);
    let with_user = elsewhere.origin.replace("http://", "http://127.0.0.1@");
    for target in [on_another_port.as_str(), &with_user, "https://evil.example/x", "//evil.example/x", "mailto:x", ""] {
        let mut reply = Reply::text(302, "");
        if !target.is_empty() {
            reply = reply.header("location", target);
        }
        let server = Server::start([reply]).await;
        let error = read(&server).await.unwrap_err();
        assert!(error.to_string().contains("outside the configured API"), "{target}: {error}");
        assert_eq!(server.seen().len(), 1);
    }
    assert!(elsewhere.seen().is_empty());
}

#[tokio::test]
async fn pages_elsewhere_are_not_followed() {
    let elsewhere = Server::start([]).await;
    let body = json!({"total_count": 1, "check_runs": []});
    for target in [format!("{}/api/v3/x", elsewhere.origin), "{origin}/api/v30/x".to_owned(), "/x".to_owned()] {
        let link = format!("<{target}>; rel=\"next\"");
        let server = Server::start([Reply::json(200, &body).header("link", link)]).await;
        let client = client(&format!("{}/api/v3/", server.origin));
        let error = client.check_runs(&repository(), &sha('b')).await.unwrap_err();
        assert!(error.to_string().contains("outside the configured API"), "{target}: {error}");
        assert!(server.lines()[0].starts_with("GET /api/v3/repos/octo/hello/commits/"));
        assert_eq!(server.seen().len(), 1);
    }
    assert!(elsewhere.seen().is_empty());
}

#[tokio::test]
async fn short_rate_limits_are_waited_out() {
    let limited = |seconds: &str| Reply::text(429, r#"{"message":"slow down"}"#).header("retry-after", seconds);
    let server = Server::start([limited("0"), limited("1"), Reply::json(200, &ref_json())]).await;
    let start = std::time::Instant::now();
    assert_eq!(read(&server).await, Ok(sha('a')));
    assert!(start.elapsed() >= Duration::from_secs(1));
    let server = Server::start(vec![limited("0"); 9]).await;
    assert!(matches!(read(&server).await, Err(GitHubError::RateLimited { .. })));
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test]
async fn long_rate_limits_are_reported() {
    let epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let reset = |seconds: u64| (epoch + seconds).to_string();
    let exhausted = |status, seconds| {
        Reply::text(status, r#"{"message":"API rate limit exceeded for user ID 1."}"#)
            .header("x-ratelimit-remaining", "0")
            .header("x-ratelimit-reset", reset(seconds))
    };
    let secondary = r#"{"message":"You have exceeded a secondary rate limit. Please wait a few minutes."}"#;
    let cases = [
        (Reply::text(429, ""), 60, 60),
        (Reply::text(429, "").header("retry-after", "3"), 3, 3),
        (Reply::text(403, "").header("retry-after", "90"), 90, 90),
        (Reply::text(403, "").header("retry-after", "1000000"), 3600, 3600),
        (Reply::text(403, "").header("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT"), 60, 60),
        (exhausted(403, 600), 500, 600),
        (exhausted(429, 600), 500, 600),
        (exhausted(403, 100_000), 3600, 3600),
        (Reply::text(403, secondary), 60, 60),
        (Reply::text(403, secondary).header("x-ratelimit-remaining", "4000").header("x-ratelimit-reset", "1"), 60, 60),
    ];
    for (reply, least, most) in cases {
        let shown = format!("{reply:?}");
        let server = Server::start([reply]).await;
        let GitHubError::RateLimited { message, after } = read(&server).await.unwrap_err() else { panic!("{shown}") };
        assert!((least..=most).contains(&after.as_secs()), "{shown}: {after:?}");
        assert!(message.contains("rate limit"), "{message}");
        assert_eq!(server.seen().len(), 1, "{shown}");
    }
}
