//! People are told of alerts: over a real host, and a webhook that answers as a test wants.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use juggernaut::journal::{Alert, Severity};
use reqwest::{Method, StatusCode};
use ring::hmac;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{CliOutput, Host, LIMIT, Options, RolesDir, background, juggernaut};

const SECRET: &str = "the-secret-of-the-webhook";
/// Longer than a host waits between two looks.
const QUIET: Duration = Duration::from_millis(2_500);

/// What the webhook was sent.
#[derive(Debug, Clone)]
struct Request {
    line: String,
    headers: BTreeMap<String, String>,
    text: String,
    body: Value,
}

impl Request {
    /// As a receiver does it, by docs/OPERATIONS.md.
    fn is_signed(&self, secret: &str) -> bool {
        let signature = &self.headers["juggernaut-signature"];
        let (time, given) = signature.strip_prefix("t=").and_then(|rest| rest.split_once(",v1=")).expect("a signature");
        let age = time::OffsetDateTime::now_utc().unix_timestamp() - time.parse::<i64>().expect("seconds");
        assert!((0..60).contains(&age), "{signature}");
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        hmac::verify(&key, format!("{time}.{}", self.text).as_bytes(), &hex::decode(given).expect("hex")).is_ok()
    }
}

/// What is answered: a status, or nothing at all.
type Answers = Arc<Mutex<VecDeque<Option<u16>>>>;

struct Webhook {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Webhook {
    /// Answers these in order, then 200.
    async fn start(answers: &[Option<u16>]) -> Self {
        let listener = background().spawn(TcpListener::bind("127.0.0.1:0")).await.unwrap().unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let answers: Answers = Arc::new(Mutex::new(answers.iter().copied().collect()));
        let log = Arc::clone(&seen);
        background().spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, Arc::clone(&log), Arc::clone(&answers)));
            }
        });
        Self { address, seen }
    }

    fn url(&self) -> String {
        format!("http://{}/services/hidden-part-of-the-address", self.address)
    }

    fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }

    async fn wait(&self, count: usize, host: &Host) -> Vec<Request> {
        let began = Instant::now();
        while self.seen().len() < count {
            assert!(began.elapsed() < LIMIT, "{:#?}\n{}", self.seen(), host.stderr());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.seen()
    }

    fn options(&self, format: &str) -> Options {
        Options::default()
            .roles(RolesDir::with_free_payload(&["prose"]))
            .env("JUGGERNAUT_EGRESS_LOOPBACK", "allow")
            .env("JUGGERNAUT_ALERT_WEBHOOK_URL", &self.url())
            .env("JUGGERNAUT_ALERT_WEBHOOK_FORMAT", format)
    }

    fn signed(&self) -> Options {
        self.options("json").env("JUGGERNAUT_ALERT_WEBHOOK_SECRET", SECRET)
    }
}

async fn serve(mut socket: TcpStream, log: Arc<Mutex<Vec<Request>>>, answers: Answers) {
    let request = read(&mut socket).await;
    log.lock().unwrap().push(request);
    let status = answers.lock().unwrap().pop_front().unwrap_or(Some(200));
    let Some(status) = status else { return std::future::pending().await };
    let answer = format!(
        "HTTP/1.1 {status} X\r\nlocation: /elsewhere\r\ncontent-length: 7\r\nconnection: close\r\n\r\nthanks\u{7}"
    );
    socket.write_all(answer.as_bytes()).await.unwrap_or_default();
}

async fn read(socket: &mut TcpStream) -> Request {
    let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let mut lines = head.lines();
            let line = lines.next().unwrap().to_owned();
            let headers = lines.filter_map(|line| line.split_once(": "));
            let headers: BTreeMap<_, _> =
                headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
            if body.len() >= headers["content-length"].parse().unwrap() {
                return Request { line, headers, text: body.to_owned(), body: serde_json::from_str(body).unwrap() };
            }
        }
        let size = socket.read(&mut chunk).await.unwrap();
        assert!(size > 0, "a request breaks off: {text}");
        bytes.extend_from_slice(&chunk[..size]);
    }
}

async fn raise(host: &Host, severity: Severity, title: &str) {
    let alert = Alert {
        severity,
        kind: "unsettled-mutation",
        fingerprint: format!("test:{title}"),
        title: title.to_owned(),
        details: json!({ "of": "a test" }),
        occurrences: 1,
    };
    host.database().db().raise_alert(&alert).await.unwrap();
}

async fn alerts(host: &Host) -> Vec<Value> {
    let token = host.token("viewer").await;
    let (status, _, page) = host.api(Method::GET, "/api/v1/alerts?limit=200", Some(&token), None).await;
    assert_eq!(status, StatusCode::OK, "{page}");
    page["items"].as_array().unwrap().clone()
}

/// Waits until the only alert's newest notice is in this state.
async fn told(host: &Host, state: &str) -> Value {
    let began = Instant::now();
    loop {
        let alerts = alerts(host).await;
        assert_eq!(alerts.len(), 1, "{alerts:#?}");
        if alerts[0]["notice_state"] == state {
            return alerts[0].clone();
        }
        assert!(began.elapsed() < LIMIT, "{alerts:#?}\n{}", host.stderr());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn execute(host: &Host, statement: &'static str) {
    sqlx::query(statement).execute(&host.db()).await.unwrap();
}

async fn count(host: &Host, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(&host.db()).await.unwrap()
}

#[tokio::test]
async fn an_alert_is_told_once_when_it_opens_gets_worse_and_is_resolved() {
    let webhook = Webhook::start(&[]).await;
    let host = Host::start(webhook.signed()).await;
    raise(&host, Severity::Warning, "disk").await;
    let seen = webhook.wait(1, &host).await;
    assert!(seen[0].is_signed(SECRET) && !seen[0].is_signed("the-secret-of-another-hook"), "{:?}", seen[0]);
    assert_eq!(seen[0].line, "POST /services/hidden-part-of-the-address HTTP/1.1");
    assert_eq!(seen[0].headers["content-type"], "application/json");
    let alert = told(&host, "delivered").await;
    assert_eq!((&alert["notice_event"], &alert["notice_attempts"]), (&json!("opened"), &json!(1)), "{alert}");
    let body = &seen[0].body;
    for (field, expected) in [
        ("event", json!("opened")),
        ("id", alert["id"].clone()),
        ("severity", json!("warning")),
        ("kind", json!("unsettled-mutation")),
        ("title", json!("disk")),
        ("details", json!({ "of": "a test" })),
        ("task", Value::Null),
        ("worker", Value::Null),
        ("occurrences", json!(1)),
        ("state", json!("open")),
    ] {
        assert_eq!(body[field], expected, "{field}: {body}");
    }
    assert_eq!(body["host"].as_str().unwrap().len(), 36, "{body}");

    // Repeats are told to nobody, and neither is what is below the severity, nor an acknowledgement.
    raise(&host, Severity::Warning, "disk").await;
    raise(&host, Severity::Info, "a note").await;
    let operator = host.token("operator").await;
    let settle = async |verb: &str| {
        let path = format!("/api/v1/alerts/{}/{verb}", alert["id"].as_str().unwrap());
        let (status, _, answer) = host.api(Method::POST, &path, Some(&operator), None).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        answer
    };
    settle("acknowledge").await;
    tokio::time::sleep(QUIET).await;
    assert_eq!(webhook.seen().len(), 1, "{:#?}", webhook.seen());
    let note = alerts(&host).await.into_iter().find(|alert| alert["title"] == "a note").unwrap();
    assert_eq!(note["notice_state"], "skipped", "{note}");

    raise(&host, Severity::Critical, "disk").await;
    let seen = webhook.wait(2, &host).await;
    assert_eq!((&seen[1].body["event"], &seen[1].body["severity"]), (&json!("escalated"), &json!("critical")));
    assert_eq!(settle("resolve").await["notice_event"], "resolved");
    let seen = webhook.wait(3, &host).await;
    assert_eq!((&seen[2].body["event"], &seen[2].body["state"]), (&json!("resolved"), &json!("resolved")));
    assert_eq!(seen[2].body["resolved_by"], "operator@example.org");
    tokio::time::sleep(QUIET).await;
    assert_eq!(webhook.seen().len(), 3);
    assert_eq!(count(&host, "select count(*) from audit_log where kind = 'alert_notified'").await, 3);
    assert!(host.stderr().contains("people were told of an alert"));
    for hidden in [SECRET, "hidden-part-of-the-address"] {
        assert!(!host.stderr().contains(hidden), "{}", host.stderr());
    }
}

#[tokio::test]
async fn slack_is_given_text_that_can_not_act() {
    let webhook = Webhook::start(&[]).await;
    let host = Host::start(webhook.options("slack")).await;
    assert!(host.stderr().contains("JUGGERNAUT_ALERT_WEBHOOK_SECRET is not set: notifications are not signed"));
    raise(&host, Severity::Critical, "<!channel> *now* `x` & <http://evil.example|ok>").await;
    let seen = webhook.wait(1, &host).await;
    let (headers, body) = (&seen[0].headers, &seen[0].body);
    assert!(!headers.contains_key("juggernaut-signature"), "{headers:?}");
    let expected = "[critical] opened: `&lt;!channel&gt; *now* 'x' &amp; &lt;http://evil.example|ok&gt;`";
    assert_eq!(body["text"], expected);
    assert!(!seen[0].text.contains('<'), "{}", seen[0].text);
    assert_eq!(body["blocks"][0]["text"]["type"], "plain_text");
    let fields = body["blocks"][1]["fields"].as_array().unwrap();
    assert!(fields.iter().any(|field| field["text"] == "Kind: unsettled-mutation"), "{body}");
    assert!(fields.iter().all(|field| field["type"] == "plain_text"), "{body}");
}

#[tokio::test]
async fn what_was_not_taken_is_sent_again_and_no_redirect_is_followed() {
    let webhook = Webhook::start(&[Some(500), Some(302), Some(429)]).await;
    let host = Host::start(webhook.signed()).await;
    raise(&host, Severity::Warning, "disk").await;
    let seen = webhook.wait(4, &host).await;
    let alert = told(&host, "delivered").await;
    assert_eq!((&alert["notice_attempts"], &alert["notice_error"]), (&json!(4), &Value::Null), "{alert}");
    for request in &seen {
        assert_eq!(request.line, seen[0].line);
        assert_eq!(request.headers["juggernaut-delivery"], seen[0].headers["juggernaut-delivery"]);
        assert!(request.is_signed(SECRET));
    }
    let log = host.stderr();
    assert!(log.contains("the webhook answered 500, not a success"), "{log}");
    assert!(log.contains("the webhook answered 302, a redirect, which is not followed"), "{log}");
    assert!(log.contains("the webhook answered 429, not a success"), "{log}");
    tokio::time::sleep(QUIET).await;
    assert_eq!(webhook.seen().len(), 4);
}

#[tokio::test]
async fn a_webhook_that_always_fails_is_given_up_without_an_alert() {
    let webhook = Webhook::start(&[Some(500); 40]).await;
    let host = Host::start(webhook.signed()).await;
    raise(&host, Severity::Warning, "disk").await;
    webhook.wait(2, &host).await;
    execute(&host, "update alert_notices set attempts = 11, next_at = now()").await;
    let alert = told(&host, "failed").await;
    assert_eq!(alert["notice_attempts"], 12, "{alert}");
    assert_eq!(alert["notice_error"], "the webhook answered 500, not a success", "{alert}");
    assert!(alert["notice_ended_at"].is_string(), "{alert}");
    let tries = webhook.seen().len();
    tokio::time::sleep(QUIET).await;
    assert_eq!(webhook.seen().len(), tries, "given up");
    assert_eq!(alerts(&host).await.len(), 1, "no alert about an alert");
    assert!(host.stderr().contains("given up"), "{}", host.stderr());
    let recorded = "select count(*) from audit_log where kind = 'alert_notified' and details ->> 'state' = 'failed'";
    assert_eq!(count(&host, recorded).await, 1);
    let folder = TempDir::new().unwrap();
    let token = host.token("viewer").await;
    let env = [("JUGGERNAUT_URL", host.url()), ("JUGGERNAUT_TOKEN", &token)];
    let listed = juggernaut(folder.path(), &["alert", "list"], &env).await;
    assert!(listed.stdout.contains("TOLD") && listed.stdout.contains("failed"), "{listed:?}");
}

#[tokio::test]
async fn two_hosts_tell_of_each_alert_once() {
    let webhook = Webhook::start(&[]).await;
    let host = Host::start(webhook.signed().hosts(2)).await;
    for number in 0..30 {
        raise(&host, Severity::Warning, &format!("disk {number}")).await;
    }
    webhook.wait(30, &host).await;
    tokio::time::sleep(QUIET).await;
    let seen = webhook.seen();
    let mut titles: Vec<_> = seen.iter().map(|request| request.body["title"].as_str().unwrap()).collect();
    titles.sort_unstable();
    titles.dedup();
    assert_eq!((seen.len(), titles.len()), (30, 30), "{seen:#?}");
}

#[tokio::test]
async fn what_a_dead_host_was_sending_is_sent_by_the_next() {
    let webhook = Webhook::start(&[None]).await;
    let mut host = Host::start(webhook.signed()).await;
    raise(&host, Severity::Warning, "disk").await;
    webhook.wait(1, &host).await;
    host.kill9();
    host.restart().await;
    // Its lease: nobody sends it at the same time.
    tokio::time::sleep(QUIET).await;
    assert_eq!(webhook.seen().len(), 1);
    execute(&host, "update alert_notices set next_at = now()").await;
    webhook.wait(2, &host).await;
    let alert = told(&host, "delivered").await;
    assert_eq!(alert["notice_attempts"], 2, "{alert}");
}

#[tokio::test]
async fn what_nobody_could_be_told_in_time_is_not_told_late() {
    let webhook = Webhook::start(&[]).await;
    let mut host = Host::start(webhook.signed().env("JUGGERNAUT_ALERT_WEBHOOK_URL", "")).await;
    raise(&host, Severity::Warning, "disk").await;
    tokio::time::sleep(QUIET).await;
    assert_eq!(told(&host, "pending").await["notice_attempts"], 0);
    execute(&host, "update alert_notices set created_at = now() - interval '25 hours'").await;
    host.kill9();
    host.restart_with(&[("JUGGERNAUT_ALERT_WEBHOOK_URL", &webhook.url())]).await;
    told(&host, "expired").await;
    assert!(webhook.seen().is_empty());
}

/// A guest that knows the webhook's address or secret does not get it out.
#[tokio::test]
async fn address_and_secret_are_looked_for_in_what_runs_send_out() {
    let webhook = Webhook::start(&[]).await;
    let roles = RolesDir::with_free_payload(&["hostile"]);
    let host = Host::start(webhook.signed().roles(roles)).await;
    for (secret, name) in
        [(SECRET, "JUGGERNAUT_ALERT_WEBHOOK_SECRET"), ("hidden-part-of-the-address", "JUGGERNAUT_ALERT_WEBHOOK_URL")]
    {
        let payload = json!({ "harm": "leak-often", "texts": [secret], "times": 1 });
        let id = host
            .create_task(json!({
                "title": "leak", "task_type": "analysis", "attempts_max": 1, "assigned_worker": "hostile",
                "payload": payload,
            }))
            .await;
        host.wait_for(&id, "failed", LIMIT).await;
        let alert = alerts(&host).await.into_iter().find(|alert| alert["task_id"] == *id).expect("an alert");
        assert_eq!(alert["details"]["secret"], name, "{alert}");
    }
}

fn env(url: &str) -> [(&str, &str); 3] {
    [
        ("JUGGERNAUT_ALERT_WEBHOOK_URL", url),
        ("JUGGERNAUT_ALERT_WEBHOOK_SECRET", SECRET),
        ("JUGGERNAUT_EGRESS_LOOPBACK", "allow"),
    ]
}

async fn test_it(env: &[(&str, &str)]) -> CliOutput {
    let folder = TempDir::new().unwrap();
    juggernaut(folder.path(), &["alert", "test"], env).await
}

#[tokio::test]
async fn a_test_notification_shows_what_is_answered_or_refused() {
    let webhook = Webhook::start(&[Some(200), Some(403)]).await;
    let url = webhook.url();
    let sent = test_it(&env(&url)).await;
    assert_eq!((sent.code, sent.stdout.as_str()), (Some(0), "the webhook answered 200: thanks<U+0007>\n"), "{sent:?}");
    let seen = webhook.seen();
    assert_eq!(seen[0].body["event"], "test");
    assert!(seen[0].is_signed(SECRET));
    assert_eq!(test_it(&env(&url)).await.code, Some(1), "403");

    // This machine without the setting; private networks and clouds' metadata whatever is set.
    let closed = test_it(&env(&url)[..2]).await;
    assert!(closed.code == Some(1) && closed.stderr.contains("127.0.0.1 is not reached from here"), "{closed:?}");
    for address in ["10.0.0.1", "192.168.1.1", "169.254.169.254", "[fd00:ec2::254]", "metadata.google.internal"] {
        let refused = test_it(&env(&format!("https://{address}/services/hidden-part"))).await;
        assert_eq!(refused.code, Some(1), "{address}: {refused:?}");
        assert!(refused.stderr.contains("is not reached from here: it is"), "{address}: {refused:?}");
        assert!(!refused.stderr.contains("hidden-part"), "{refused:?}");
    }
    let unset = test_it(&[]).await;
    assert!(unset.stderr.contains("JUGGERNAUT_ALERT_WEBHOOK_URL is not set"), "{unset:?}");
    assert_eq!(webhook.seen().len(), 2);
}
