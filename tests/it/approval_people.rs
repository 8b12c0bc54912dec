//! Two people are two people: whoever had a token made may have its secret, and does not agree with themselves.

use juggernaut::db::Db;
use juggernaut::db::tokens::{Maker, Principal, TokenRole};
use reqwest::{Method, StatusCode};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::approvals::{merges, risky, waiting};
use crate::support::{Host, LIMIT, Options};

/// Somebody with a token of their own that lets them approve.
pub(crate) async fn person(db: &Db, name: &str) -> Principal {
    let (_, secret) = db.create_token(name, TokenRole::Approver, None, Maker::Database("tests")).await.unwrap();
    db.authenticate(secret.expose_secret()).await.unwrap().unwrap()
}

/// A token that the bearer of another one makes.
async fn made(host: &Host, maker: &str, principal: &str, role: &str) -> String {
    let draft = json!({ "principal": principal, "role": role });
    let (status, _, token) = host.api(Method::POST, "/api/v1/tokens", Some(maker), Some(&draft)).await;
    assert_eq!(status, StatusCode::CREATED, "{token}");
    token["secret"].as_str().unwrap().to_owned()
}

async fn created(host: &Host, token: &str, path: &str, risk: &str) -> String {
    let (status, _, task) = host.api(Method::POST, "/api/v1/tasks", Some(token), Some(&risky(path, risk))).await;
    assert_eq!(status, StatusCode::CREATED, "{task}");
    task["id"].as_str().unwrap().to_owned()
}

async fn refused(host: &Host, approval: &Value, token: &str, why: &str) {
    let (status, answer) = host.decide(approval, "approve", token).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{why}: {answer}");
    assert!(answer["detail"].as_str().unwrap().contains(why), "{why}: {answer}");
}

#[tokio::test]
async fn nobody_approves_their_own_task_with_a_token_that_they_made() {
    let host = Host::start(Options::default()).await;
    let admin = host.token_of("admin", TokenRole::Admin).await;
    let bob = made(&host, &admin, "bob", "approver").await;
    let carol = made(&host, &admin, "carol", "admin").await;
    let dave = made(&host, &carol, "dave", "approver").await;
    let task = created(&host, &admin, "a.py", "high").await;
    let approval = host.approval(&task, "requested").await;
    for (token, why) in [
        (&bob, "admin, who created this task, had the token of bob made"),
        (&carol, "had the token of carol made"),
        (&dave, "admin, who created this task, had the token of dave made"),
    ] {
        refused(&host, &approval, token, why).await;
    }
    // The same the other way round.
    let eve = made(&host, &carol, "Eve", "operator").await;
    let other = created(&host, &eve, "b.py", "high").await;
    let asked = host.approval(&other, "requested").await;
    for (token, why) in
        [(&carol, "carol had a token made for Eve, who created this task"), (&admin, "admin had a token made for Eve")]
    {
        refused(&host, &asked, token, why).await;
    }
    assert_eq!(merges(&host), 0);
    // Who is tied to neither may.
    assert_eq!(host.decide(&asked, "approve", &bob).await.0, StatusCode::OK);
    let ann = host.token_of("ann", TokenRole::Approver).await;
    assert_eq!(host.decide(&approval, "approve", &ann).await.0, StatusCode::OK);
    for task in [&task, &other] {
        host.wait_for(task, "completed", LIMIT).await;
    }
    let (_, _, page) = host.api(Method::GET, "/api/v1/tokens", Some(&admin), None).await;
    let by = |principal: &str| {
        let found = page["items"].as_array().unwrap().iter().find(|token| token["principal"] == principal);
        found.unwrap()["created_by"].clone()
    };
    assert_eq!([by("dave"), by("ann")], [json!("carol"), json!("database")]);
}

#[tokio::test]
async fn a_critical_task_takes_two_persons_of_whom_neither_made_the_others_token() {
    let host = Host::start(Options::default()).await;
    let admin = host.token_of("admin", TokenRole::Admin).await;
    let ann = made(&host, &admin, "ann", "approver").await;
    for (path, first, second, why) in [
        (
            "a.py",
            &admin,
            &ann,
            "admin, who approved task.start of this critical task already, had the token of ann made",
        ),
        (
            "b.py",
            &ann,
            &admin,
            "ann, who approved task.start of this critical task already, has a token that admin had made",
        ),
    ] {
        let task = host.create_task(risky(path, "critical")).await;
        let start = host.approval(&task, "requested").await;
        assert_eq!(host.decide(&start, "approve", first).await.0, StatusCode::OK);
        let merge = host.approval(&task, "requested").await;
        assert_eq!(merge["kind"], "call");
        refused(&host, &merge, second, why).await;
        let other = host.token_of("second@example.org", TokenRole::Approver).await;
        assert_eq!(host.decide(&merge, "approve", &other).await.0, StatusCode::OK);
        host.wait_for(&task, "completed", LIMIT).await;
    }
}

#[tokio::test]
async fn a_chain_of_tokens_that_is_too_long_to_follow_approves_nothing() {
    let (host, _, approval) = waiting(Options::default()).await;
    let mut admin = host.token_of("first", TokenRole::Admin).await;
    for number in 0..32 {
        admin = made(&host, &admin, &format!("link-{number}"), "admin").await;
    }
    refused(&host, &approval, &admin, "32 times over").await;
}
