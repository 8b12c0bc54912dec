//! What people read, and that the token is nowhere in it.

use secrecy::SecretString;
use serde_json::json;
use url::Url;

use super::server::{Reply, Server, client, config, hanging_up};
use super::{TOKEN, branch, merge, path, pull_request_json, repository};
use crate::github::{GitHub, GitHubConfig, GitHubError};

#[test]
fn the_api_url_is_https_or_loopback_and_nothing_more() {
    for good in [
        "https://api.github.com",
        "https://ghe.example/api/v3/",
        "http://127.0.0.1:8080",
        "http://127.8.9.1",
        "http://[::1]:80",
        "http://localhost:3000/x",
    ] {
        assert_eq!(GitHubConfig::check_url(&Url::parse(good).unwrap()), Ok(()), "{good}");
    }
    for bad in [
        "http://api.github.com",
        "http://10.0.0.1",
        "http://localhost.evil.example",
        "http://127.0.0.1.evil.example",
        "http://[::2]",
        "ftp://127.0.0.1",
        "file:///etc",
        "https://user@api.github.com",
        "https://:hunter2@api.github.com",
        "https://api.github.com?x",
        "https://api.github.com#x",
    ] {
        let refusal = GitHubConfig::check_url(&Url::parse(bad).unwrap()).unwrap_err();
        assert!(!refusal.contains("hunter2"), "{refusal}");
        assert!(matches!(GitHub::new(config(bad)), Err(GitHubError::Invalid(_))), "{bad}");
    }
}

#[test]
fn a_token_that_no_header_can_carry_is_refused() {
    let token = Some(SecretString::from("ghp_line\nbreak"));
    let error = GitHub::new(GitHubConfig { token, ..config("https://api.github.com") }).unwrap_err();
    assert!(!error.to_string().contains("ghp_"), "{error}");
}

#[tokio::test]
async fn without_a_token_nothing_is_sent_for_it() {
    let server = Server::start([Reply::json(200, &pull_request_json())]).await;
    // Besides, it installs the TLS provider, as `main` does.
    let _with_token = server.client();
    let client = GitHub::new(GitHubConfig { token: None, ..config(&server.origin) }).unwrap();
    client.pull_request(&repository(), 7).await.unwrap();
    assert_eq!(server.seen()[0].header("authorization"), None);
}

#[tokio::test]
async fn the_token_is_in_no_error_and_no_debug() {
    let mut echoing = pull_request_json();
    echoing["head"]["repo"]["full_name"] = json!(format!("no repository {TOKEN}"));
    let script = [
        Reply::json(403, &json!({"message": format!("Bad token {TOKEN}"), "errors": [{"code": TOKEN}]})),
        Reply::text(404, format!("you sent Authorization: Bearer {TOKEN}")),
        Reply::text(429, TOKEN).header("retry-after", "90"),
        Reply::text(302, "").header("location", format!("https://evil.example/?{TOKEN}")),
        Reply::json(200, &json!({"number": TOKEN})),
        Reply::json(200, &echoing),
    ];
    let count = script.len();
    let server = Server::start(script).await;
    let mut texts = Vec::new();
    for _ in 0..count {
        let error = server.client().pull_request(&repository(), 7).await.unwrap_err();
        texts.push(format!("{error} {error:?} {}", serde_json::to_string(&error).unwrap()));
    }
    assert!(texts[0].contains("Bad token [secret]"), "{}", texts[0]);
    let (origin, _) = hanging_up().await;
    texts.push(client(&origin).merge(merge()).await.unwrap_err().to_string());
    texts.push(server.client().file(&repository(), &path(TOKEN), &format!("{TOKEN}^")).await.unwrap_err().to_string());
    texts.push(format!("{:?} {:?}", server.client(), config(&server.origin)));
    for text in texts {
        assert!(!text.contains(TOKEN), "{text}");
    }
}

#[tokio::test]
async fn messages_are_bounded_and_show_what_is_invisible() {
    let hostile = format!("\u{1b}[2Jrm\u{202e}txt\r\n\u{200b}\"it's\" \u{fc}{}", "\u{7}".repeat(5_000));
    let server = Server::start([Reply::json(422, &json!({"message": hostile}))]).await;
    let error = server.client().branch_sha(&repository(), &branch()).await.unwrap_err();
    let text = error.to_string();
    let start = "GitHub, GET /repos/octo/hello/git/ref/heads/feature/0199-a: 422: ";
    let shown = text.strip_prefix(start).unwrap();
    assert!(shown.starts_with(r#"\u{1b}[2Jrm\u{202e}txt\r\n\u{200b}"it's" ü\u{7}"#), "{text}");
    assert!(text.strip_prefix("GitHub, GET ").unwrap().chars().count() <= 500 + 60, "{text}");
    assert!(text.ends_with('…'));
    assert_eq!(serde_json::from_value::<GitHubError>(serde_json::to_value(&error).unwrap()).unwrap(), error);
}
