//! `http-send` with a real guest against a server of this test that counts: what is granted arrives once; what is not
//! granted never leaves; what may have arrived is never sent again blindly.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::audit::{agrees, count, is_true};
use crate::once::together;
use crate::send_web::Web;
use crate::support::{Host, LIMIT, Options};

pub(crate) const AT_ONCE: usize = 4;

pub(crate) fn task(payload: &Value) -> Value {
    json!({ "title": "send", "task_type": "analysis", "payload": payload, "attempts_max": 3, "assigned_worker": "sender" })
}

pub(crate) fn post(url: impl Into<String>) -> Value {
    json!({ "url": url.into(), "body": "hello" })
}

pub(crate) fn options(web: &Web) -> Options {
    Options::default().roles(web.sender()).env("JUGGERNAUT_EGRESS_LOOPBACK", "allow")
}

pub(crate) async fn open(web: &Web) -> Host {
    Host::start(options(web)).await
}

pub(crate) async fn said(host: &Host, task: &str) -> Vec<String> {
    let logs = host.logs(task).await;
    let lines = logs.iter().filter(|line| line["action"] == "log");
    lines.map(|line| line["message"].as_str().unwrap().to_owned()).collect()
}

/// Sends all of these in one task; what the guest said of each.
async fn send(host: &Host, sends: &[Value]) -> (String, Vec<String>) {
    let id = host.create_task(task(&json!({ "sends": sends }))).await;
    host.wait_for(&id, "failed", LIMIT).await;
    let said = said(host, &id).await;
    assert_eq!(said.len(), sends.len(), "{:#?}", host.row(&id).await);
    (id, said)
}

async fn journal(host: &Host, task: &str) -> Vec<Value> {
    let query = "select json_build_object('call', interface || '.' || function, 'effect', effect, 'state', state,
                                          'arguments', arguments, 'result', result)
                 from task_steps where task_id = $1::uuid order by attempt, position";
    sqlx::query_scalar(query).bind(task).fetch_all(&host.db()).await.unwrap()
}

/// Nobody could say what became of the call, so a person has to look.
pub(crate) async fn is_for_a_person(host: &Host, task: &str, at: &str) {
    let row = host.wait_for(task, "failed", LIMIT).await;
    let error = row["error_message"].as_str().unwrap();
    assert!(error.contains("nobody knows whether step") && error.contains("http-send.send"), "{at}: {error}");
    assert_eq!(row["attempt"], 1, "{at}: it is not tried again by itself");
    let alerts = format!("alerts where kind = 'unknown-outcome' and fingerprint = 'unknown-outcome/{task}/1/0'");
    assert_eq!(count(&host.db(), &alerts).await, 1, "{at}: {error}");
    let step = &journal(host, task).await[0];
    assert!(
        step["result"]["lost"].is_array() && step["result"]["ok"].is_null(),
        "{at}: the journal does not pretend to know"
    );
    let told = format!("audit_log where task_id = '{task}' and kind = 'host_call' and details ->> 'outcome' = 'lost'");
    assert_eq!(count(&host.db(), &told).await, 1, "{at}");
    is_true(&host.database()).await;
    agrees(&host.database()).await;
}

#[tokio::test]
async fn what_is_granted_arrives_once_and_is_journalled() {
    let web = Web::start().await;
    let host = open(&web).await;
    let (id, said) = send(
        &host,
        &[
            json!({"url": web.url("/open/a?q=1#part"), "body": "hello", "headers": [["Content-Type", "text/plain"], ["accept", "*/*"]]}),
            json!({"url": web.url("/exact"), "method": "PUT", "body_hex": "00ff", "headers": [["if-match", "\"x\""]]}),
            json!({"url": web.url("/patch/a"), "method": "PATCH", "body": ""}),
            post(web.url("/open/moved")),
            post(web.url("/open/broken")),
        ],
    )
    .await;
    let taken = "201 [(\"content-type\", \"text/plain\"), (\"etag\", \"\\\"e\\\"\")] \"taken\"";
    assert_eq!(said[..3], [taken, taken, taken]);
    assert_eq!(said[3], "307 [(\"location\", \"/open/elsewhere\")] \"\"");
    assert_eq!(said[4], "503 [(\"retry-after\", \"7\")] \"later\"");
    let lines = ["POST /open/a?q=1", "PUT /exact", "PATCH /patch/a", "POST /open/moved", "POST /open/broken"];
    assert_eq!(web.lines(), lines.map(|line| format!("{line} HTTP/1.1")));
    assert_eq!(web.keys(), [0, 1, 2, 3, 4].map(|step| format!("juggernaut-{id}/1/{step}")));
    let arrived = web.arrived();
    assert_eq!(
        (&arrived[0].body[..], &arrived[1].body[..], &arrived[2].body[..]),
        (&b"hello"[..], &[0, 0xff][..], &b""[..])
    );
    assert_eq!(arrived[0].header("content-type"), Some("text/plain"));
    assert_eq!((arrived[0].header("accept"), arrived[0].header("accept-encoding")), (Some("*/*"), Some("identity")));
    assert_eq!(arrived[1].header("if-match"), Some("\"x\""));
    for name in ["authorization", "cookie", "referer", "origin"] {
        assert!(arrived.iter().all(|it| it.header(name).is_none()), "{arrived:?}");
    }
    let steps = journal(&host, &id).await;
    assert_eq!((steps.len(), &steps[0]["call"], &steps[0]["effect"]), (5, &json!("http-send.send"), &json!("write")));
    let hello = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    assert_eq!(steps[0]["arguments"]["body"], json!({"bytes": 5, "sha256": hello}));
    assert_eq!(steps[0]["arguments"]["url"], web.url("/open/a?q=1"));
    let ok = &steps[0]["result"]["ok"];
    assert_eq!((&ok["status"], &ok["bytes"], &ok["base64"]), (&json!(201), &json!(5), &json!("dGFrZW4=")));
    agrees(&host.database()).await;
}

#[tokio::test]
async fn what_is_not_granted_never_leaves() {
    let web = Web::start().await;
    let host = open(&web).await;
    let url = |path: &str| web.url(path);
    let other = Web::start().await;
    let with = |name: &str, value: &str| json!({"url": url("/open/a"), "headers": [[name, value]]});
    let cases = [
        (post("https://hooks.example.org/x"), "denied", "add [[grants.http-send.targets]] with host"),
        (post(other.url("/open/a")), "denied", "add [[grants.http-send.targets]] with host"),
        (post(url("/")), "denied", "to paths of the http-send target"),
        (post(url("/open")), "denied", "to paths of the http-send target"),
        (post(url("/exacts")), "denied", "to paths of the http-send target"),
        (post(url("/patch/a")), "denied", "to paths of the http-send target"),
        (json!({"url": url("/keyed/a"), "method": "PUT"}), "denied", "to paths of the http-send target"),
        (post(url("/open/graphql")), "denied", "prohibited.modify-rbac.over-http"),
        (post(url("/open/Payouts")), "denied", "prohibited.financial-transactions"),
        (post(url("/open/a?_method=DELETE")), "denied", "[scope.method-override]"),
        (post(url("/open/../exact")), "invalid", "'..'"),
        (post(url("/open/%2e%2e/x")), "invalid", "'..'"),
        (post(url("//open/a")), "invalid", "'//'"),
        (post(format!("http://u:p@{}/open/a", web.address)), "invalid", "user name"),
        (post(format!("http://hooks.example.org@{}/open/a", web.address)), "invalid", "user name"),
        (post("http://hooks.example.org/open/a"), "invalid", "not https"),
        (post("file:///etc/passwd"), "invalid", ""),
        (with("Idempotency-Key", "mine"), "denied", "[request-headers]"),
        (with("authorization", "Bearer x"), "denied", "[request-headers]"),
        (with("host", "hooks.example.org"), "denied", "[request-headers]"),
        (with("X-HTTP-Method-Override", "DELETE"), "denied", "[request-headers]"),
        (with("content-length", "1"), "denied", "[request-headers]"),
        (with("transfer-encoding", "chunked"), "denied", "[request-headers]"),
        (with("accept\r\nx", "a"), "invalid", "no name of a header"),
        (with("accept", "a\r\nidempotency-key: mine"), "invalid", "visible ASCII"),
        (post("https://169.254.169.254/latest/"), "denied", "[egress-guard]"),
        (post("https://2852039166/latest/"), "denied", "[egress-guard]"),
        (post("https://10.0.0.1/"), "denied", "[egress-guard]"),
        (json!({"url": url("/open/a"), "body_bytes": 64 * 1024 + 1}), "invalid", "http-send.request_kib_max"),
    ];
    let sends: Vec<_> = cases.iter().map(|(send, ..)| send.clone()).collect();
    let (id, said) = send(&host, &sends).await;
    for ((send, kind, part), said) in cases.iter().zip(&said) {
        assert!(said.starts_with(kind) && said.contains(part), "{send}: {said}");
    }
    assert!(web.arrived().is_empty() && other.arrived().is_empty(), "{:?}", web.lines());
    let denied =
        format!("audit_log where task_id = '{id}' and kind = 'policy_decision' and details ->> 'verdict' = 'denied'");
    let wanted = cases.iter().filter(|(_, kind, _)| *kind == "denied").count();
    assert_eq!(count(&host.db(), &denied).await, i64::try_from(wanted).unwrap());
    agrees(&host.database()).await;
}

#[tokio::test]
async fn this_machine_is_refused_unless_the_operator_allows_it() {
    let web = Web::start().await;
    let host = Host::start(Options::default().roles(web.sender())).await;
    let port = web.address.port();
    let urls =
        [web.url("/open/a"), format!("http://2130706433:{port}/open/a"), format!("http://localhost:{port}/open/a")];
    let (_, said) = send(&host, &urls.map(post)).await;
    assert!(said.iter().all(|said| said.starts_with("denied ") && said.ends_with("[egress-guard]")), "{said:?}");
    assert!(web.arrived().is_empty());
}

#[tokio::test]
async fn no_secret_leaves_in_a_body() {
    let web = Web::start().await;
    let host = open(&web).await;
    let token = host.forge().token();
    let base64 = {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(format!("x{token}y"))
    };
    let sends = [
        json!({"url": web.url("/open/a"), "body": format!("token={token}")}),
        json!({"url": web.url("/open/a"), "body": base64}),
        json!({"url": web.url(&format!("/open/a?t={token}"))}),
        json!({"url": web.url("/open/a"), "headers": [["content-type", token]]}),
    ];
    // The payload would hold the secret, too, and is not for the guest to give away.
    let (id, said) = send(&host, &sends).await;
    assert!(said.iter().all(|said| said.starts_with("denied secret-in-arguments")), "{said:?}");
    assert!(web.arrived().is_empty(), "{:?}", web.lines());
    let steps = journal(&host, &id).await;
    assert_eq!(steps[0]["arguments"]["body"]["redacted"], "GITHUB_TOKEN", "{steps:#?}");
    assert!(steps.iter().all(|step| !step.to_string().contains(token)), "{steps:#?}");
    assert_eq!(count(&host.db(), "alerts where kind = 'secret-in-arguments'").await, 1);
}

#[tokio::test]
async fn answers_are_bounded_and_what_was_sent_is_said_to_be_sent() {
    let web = Web::start().await;
    let host = open(&web).await;
    let (_, said) = send(&host, &[post(web.url("/open/big")), post(web.url("/open/gzip"))]).await;
    assert_eq!(
        said[0],
        "invalid it was sent, and answered with 200, but the answer is over 64 KiB (http-send.response_kib_max)"
    );
    assert!(said[1].starts_with("invalid it was sent, and answered with 200, but the server encodes"), "{}", said[1]);
    assert_eq!(web.arrived().len(), 2);
}

#[tokio::test]
async fn where_nothing_was_sent_the_guest_may_try_again() {
    let web = Web::start().await;
    let roles = web.sender();
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    roles.edit("sender", "host = \"10.0.0.1\"", &format!("host = \"127.0.0.1:{closed}\""));
    let host = Host::start(Options::default().roles(roles).env("JUGGERNAUT_EGRESS_LOOPBACK", "allow")).await;
    let (_, said) = send(&host, &[post(format!("http://127.0.0.1:{closed}/x")), post(web.url("/open/a"))]).await;
    assert!(said[0].starts_with("unavailable ") && said[1].starts_with("201 "), "{said:?}");
    assert_eq!(web.arrived().len(), 1);
}

async fn lost(path: &'static str) {
    let web = Web::start().await;
    let host = open(&web).await;
    let task = host.create_task(task(&json!({ "sends": [post(web.url(path)), post(web.url("/open/next"))] }))).await;
    is_for_a_person(&host, &task, path).await;
    assert_eq!(web.lines(), [format!("POST {path} HTTP/1.1")], "{path}");
    assert!(said(&host, &task).await.is_empty(), "{path}");
    // A person looked, and has it begin anew: that is another call.
    if path == "/open/lost" {
        let retry = format!("/api/v1/tasks/{task}/retry");
        let token = host.token("operator").await;
        let (status, _, answer) = host.api(Method::POST, &retry, Some(&token), None).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        let began = Instant::now();
        while web.arrived().len() < 2 && began.elapsed() < LIMIT {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(web.keys(), [format!("juggernaut-{task}/1/0"), format!("juggernaut-{task}/2/0")]);
    }
}

#[tokio::test]
async fn a_lost_answer_is_for_a_person_and_nothing_is_sent_again() {
    together(AT_ONCE, ["/open/lost", "/open/cut", "/open/slow"].map(lost)).await;
}

#[tokio::test]
async fn where_it_is_harmless_it_is_sent_again_under_the_same_key() {
    let web = Web::start().await;
    let host = open(&web).await;
    let (id, said) = send(&host, &[post(web.url("/keyed/lost/2"))]).await;
    assert!(said[0].starts_with("201 "), "{said:?}");
    assert_eq!(web.keys(), vec![format!("juggernaut-{id}/1/0"); 3]);
    assert_eq!(journal(&host, &id).await[0]["result"]["ok"]["status"], 201);
    assert_eq!(count(&host.db(), "alerts").await, 0);
    agrees(&host.database()).await;
}

#[tokio::test]
async fn it_is_not_sent_again_for_ever() {
    let web = Web::start().await;
    let host = open(&web).await;
    let task = host.create_task(task(&json!({ "sends": [post(web.url("/keyed/lost/99"))] }))).await;
    is_for_a_person(&host, &task, "always lost").await;
    assert_eq!(web.keys(), vec![format!("juggernaut-{task}/1/0"); 4]);
}

#[tokio::test]
async fn ten_thousand_sendings_meet_the_limit_of_calls() {
    let web = Web::start().await;
    let host = open(&web).await;
    let mut draft = task(&json!({"sends": [{"url": web.url("/open/a"), "times": 10_000}]}));
    draft["attempts_max"] = json!(1);
    let id = host.create_task(draft).await;
    let row = host.wait_for(&id, "dead_letter", LIMIT).await;
    let error = row["error_message"].as_str().unwrap();
    assert!(error.contains("more than 50 host calls (limits.host_calls)"), "{error}");
    assert_eq!(web.arrived().len(), 50);
}

/// A run that goes on in another process is fed the recorded answer.
#[tokio::test]
async fn a_resumed_run_does_not_send_again() {
    let web = Web::start().await;
    let mut host = open(&web).await;
    let payload = json!({"sends": [post(web.url("/open/a")), post(web.url("/open/graphql"))], "sleep_ms": 1500});
    let id = host.create_task(task(&payload)).await;
    host.wait_for(&id, "suspended", LIMIT).await;
    host.kill9();
    host.restart().await;
    host.wait_for(&id, "failed", LIMIT).await;
    let said = said(&host, &id).await;
    assert!(said.len() == 3 && said[0].starts_with("201 ") && said[2] == "slept", "{said:?}");
    assert_eq!(web.arrived().len(), 1);
}

#[tokio::test]
async fn an_answer_is_evidence_and_a_lie_about_it_is_not() {
    let web = Web::start().await;
    let host = open(&web).await;
    let mut draft = task(&json!({
        "sends": [post(web.url("/open/a"))], "checks": [{ "step": 0, "contains": "taken" }],
    }));
    draft["task_type"] = json!("verification");
    draft["attempts_max"] = json!(1);
    let id = host.create_task(draft.clone()).await;
    let row = host.wait_for(&id, "completed", LIMIT).await;
    assert_eq!(row["evidence"]["verdict"], "verified");
    draft["payload"]["checks"][0]["contains"] = json!("not there");
    let id = host.create_task(draft).await;
    host.wait_for(&id, "failed", LIMIT).await;
}
