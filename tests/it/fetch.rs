//! `http-fetch` with a real guest against a server of this test: what is granted works and is journalled; what is not is
//! refused by the rule that forbids it, however it is spelled.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Host, LIMIT, Options, RolesDir, background};

/// SHA-256 of `hello`.
const HELLO: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

/// A server on this machine, and the first lines of what it was asked.
pub(crate) struct Web {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    page: Arc<Mutex<String>>,
}

impl Web {
    pub(crate) async fn start() -> Self {
        let listener = background().spawn(TcpListener::bind("127.0.0.1:0")).await.unwrap().unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let page = Arc::new(Mutex::new("a page".to_owned()));
        let (log, shown) = (Arc::clone(&asked), Arc::clone(&page));
        background().spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, Arc::clone(&log), Arc::clone(&shown)));
            }
        });
        Self { address, asked, page }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What `/open/page` says; nothing: that it is gone, `slow down`: that it has no time.
    pub(crate) fn set_page(&self, text: &str) {
        text.clone_into(&mut self.page.lock().unwrap());
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// The fetcher, granted this server.
    fn fetcher(&self) -> RolesDir {
        let roles = RolesDir::with_free_payload(&["fetcher"]);
        let port = self.address.port();
        roles.edit("fetcher", "127.0.0.1:1\"", &format!("127.0.0.1:{port}\""));
        roles.edit("fetcher", "localhost:1\"", &format!("localhost:{port}\""));
        roles
    }
}

async fn serve(mut socket: TcpStream, asked: Arc<Mutex<Vec<String>>>, page: Arc<Mutex<String>>) {
    let mut request = vec![0; 16 << 10];
    let size = socket.read(&mut request).await.unwrap_or_default();
    let request = String::from_utf8_lossy(&request[..size]).into_owned();
    let line = request.lines().next().unwrap_or_default().to_owned();
    asked.lock().unwrap().push(line.clone());
    let path = line.split(' ').nth(1).unwrap_or_default();
    if path == "/open/slow" {
        socket.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap_or_default();
        while socket.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        return;
    }
    if path == "/open/page" {
        let text = page.lock().unwrap().clone();
        let status = match text.as_str() {
            "" => "404 Not Found",
            "slow down" => "503 Service Unavailable",
            _ => "200 OK",
        };
        let length = text.len();
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{text}");
        return socket.write_all(answer.as_bytes()).await.unwrap_or_default();
    }
    socket.write_all(answer(path, &request).as_bytes()).await.unwrap_or_default();
}

fn answer(path: &str, request: &str) -> String {
    let whole = |status: &str, headers: &str, body: &str| {
        format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
    };
    if let Some(location) = path.strip_prefix("/open/to?") {
        return whole("302 Found", &format!("location: {location}\r\n"), "");
    }
    match path {
        "/open/big" => whole("200 OK", "", &"x".repeat(64 * 1024 + 1)),
        "/open/endless" => format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{}", "x".repeat(1 << 20)),
        "/open/gzip" => whole("200 OK", "content-encoding: gzip\r\n", "\u{1f}x"),
        "/open/missing" => whole("404 Not Found", "", "nothing here"),
        "/open/echo" => whole("200 OK", "", &request.lines().skip(1).collect::<Vec<_>>().join("|")),
        _ => {
            let headers = "content-type: text/plain\r\netag: \"e\"\r\nset-cookie: a=b\r\nx-secret: s\r\n";
            whole("200 OK", headers, "hello")
        }
    }
}

fn task(payload: &Value) -> Value {
    json!({ "title": "fetch", "task_type": "analysis", "payload": payload, "attempts_max": 1, "assigned_worker": "fetcher" })
}

fn get(url: impl Into<String>) -> Value {
    json!({ "url": url.into() })
}

/// Fetches all of these in one task; what the guest said of each.
async fn fetch(host: &Host, fetches: &[Value]) -> (String, Vec<String>) {
    let id = host.create_task(task(&json!({ "fetches": fetches }))).await;
    host.wait_for(&id, "failed", LIMIT).await;
    let logs = host.logs(&id).await;
    let said =
        logs.iter().filter(|line| line["action"] == "log").map(|line| line["message"].as_str().unwrap().to_owned());
    let said: Vec<_> = said.collect();
    assert_eq!(said.len(), fetches.len(), "{logs:#?}");
    (id, said)
}

async fn open(web: &Web) -> Host {
    Host::start(Options::default().roles(web.fetcher()).env("JUGGERNAUT_EGRESS_LOOPBACK", "allow")).await
}

#[tokio::test]
async fn a_granted_fetch_works_and_is_journalled_with_its_digest() {
    let web = Web::start().await;
    let host = open(&web).await;
    assert!(host.stderr().contains("JUGGERNAUT_EGRESS_LOOPBACK=allow: roles may fetch from this machine"));
    let (id, said) = fetch(
        &host,
        &[
            json!({"url": web.url("/open/a?q=1#part"), "headers": [["Accept", "text/plain"]]}),
            get(web.url("/open/missing")),
            get(web.url("/exact")),
            get(web.url("/open/to?/open/b")),
            json!({"url": web.url("/head/a"), "method": "HEAD"}),
        ],
    )
    .await;
    let hello =
        format!("[(\"content-type\", \"text/plain\"), (\"etag\", \"\\\"e\\\"\")] 5 bytes sha256:{HELLO} \"hello\"");
    assert_eq!(said[0], format!("200 {} {hello}", web.url("/open/a?q=1")));
    assert!(said[1].starts_with("404 ") && said[1].contains("12 bytes"), "{}", said[1]);
    assert_eq!(said[2], format!("200 {} {hello}", web.url("/exact")));
    assert_eq!(said[3], format!("200 {} {hello}", web.url("/open/b")));
    assert!(said[4].starts_with("200 ") && said[4].contains(" 0 bytes sha256:e3b0c442"), "{}", said[4]);
    assert_eq!(
        web.asked(),
        [
            "GET /open/a?q=1 HTTP/1.1",
            "GET /open/missing HTTP/1.1",
            "GET /exact HTTP/1.1",
            "GET /open/to?/open/b HTTP/1.1",
            "GET /open/b HTTP/1.1",
            "HEAD /head/a HTTP/1.1",
        ]
    );
    let query =
        "select json_build_object('call', interface || '.' || function, 'effect', effect, 'arguments', arguments,
                                          'result', result)
                 from task_steps where task_id = $1::uuid order by position";
    let steps: Vec<Value> = sqlx::query_scalar(query).bind(&id).fetch_all(&host.db()).await.unwrap();
    assert_eq!((steps.len(), &steps[0]["call"], &steps[0]["effect"]), (5, &json!("http-fetch.fetch"), &json!("read")));
    assert_eq!(steps[0]["arguments"]["url"], web.url("/open/a?q=1"));
    let ok = &steps[3]["result"]["ok"];
    assert_eq!(
        (&ok["status"], &ok["bytes"], &ok["sha256"], &ok["base64"]),
        (&json!(200), &json!(5), &json!(HELLO), &json!("aGVsbG8="))
    );
    assert_eq!(ok["url"], web.url("/open/b"));
    assert_eq!(ok["redirected_from"], json!([web.url("/open/to?/open/b")]));
}

#[tokio::test]
async fn what_the_manifest_does_not_name_is_denied_by_its_rule() {
    let web = Web::start().await;
    let host = open(&web).await;
    let url = |path: &str| web.url(path);
    let other = Web::start().await;
    let cases = [
        (get("https://docs.rs/open/"), "denied", "add [[grants.http-fetch.targets]] with host"),
        (get(other.url("/open/a")), "denied", "add [[grants.http-fetch.targets]] with host"),
        (get(format!("https://{}/open/a", web.address)), "unavailable", "invalid"),
        (json!({"url": url("/open/a"), "method": "HEAD"}), "denied", "to paths of the http-fetch target"),
        (get(url("/head/a")), "denied", "to paths of the http-fetch target"),
        (get(url("/")), "denied", "to paths of the http-fetch target"),
        (get(url("/open")), "denied", "to paths of the http-fetch target"),
        (get(url("/OPEN/a")), "denied", "to paths of the http-fetch target"),
        (get(url("/exacts")), "denied", "to paths of the http-fetch target"),
        (get(url("/graphql")), "denied", "prohibited.modify-rbac.over-http"),
        (get(url("/open%2f../graphql")), "invalid", "encoded '/'"),
        (get(url("/open/../graphql")), "invalid", "'..'"),
        (get(url("/open/%2e%2e/graphql")), "invalid", "'..'"),
        (get(url("/open/%252e%252e/graphql")), "invalid", "more than once"),
        (get(url("//open/a")), "invalid", "'//'"),
        (get(url("/open/\\..\\graphql")), "invalid", "backslash"),
        (get(format!("http://u:p@{}/open/a", web.address)), "invalid", "user name"),
        (get(format!("http://docs.rs@{}/open/a", web.address)), "invalid", "user name"),
        (get("http://docs.rs/open/a"), "invalid", "not https"),
        (get(url("/open/a?_method=DELETE")), "denied", "[scope.method-override]"),
        (
            json!({"url": url("/open/a"), "headers": [["X-HTTP-Method-Override", "DELETE"]]}),
            "denied",
            "[request-headers]",
        ),
        (json!({"url": url("/open/a"), "headers": [["authorization", "Bearer x"]]}), "denied", "[request-headers]"),
        (json!({"url": url("/open/a"), "headers": [["host", "docs.rs"]]}), "denied", "[request-headers]"),
        (json!({"url": url("/open/a"), "headers": [["accept\r\nx", "a"]]}), "invalid", "no name of a header"),
        (
            json!({"url": url("/open/a"), "headers": [["accept", "a\r\nx-http-method-override: DELETE"]]}),
            "invalid",
            "visible ASCII",
        ),
        (get("https://169.254.169.254/latest/meta-data/"), "denied", "[egress-guard]"),
        (get("https://2852039166/latest/meta-data/"), "denied", "[egress-guard]"),
    ];
    let fetches: Vec<_> = cases.iter().map(|(fetch, ..)| fetch.clone()).collect();
    let (id, said) = fetch(&host, &fetches).await;
    for ((fetch, kind, part), said) in cases.iter().zip(&said) {
        assert!(said.starts_with(kind) && (said.contains(part) || *kind == "unavailable"), "{fetch}: {said}");
    }
    assert!(said[0].contains("add [[grants.http-fetch.targets]] with host = \"docs.rs\" in "), "{}", said[0]);
    // The one that spoke TLS to a server without it; nothing else came out.
    assert!(web.asked().iter().all(|line| !line.contains("HTTP/1.1")), "{:?}", web.asked());
    assert!(other.asked().is_empty());
    // Denied calls stand in the journal, with the rule.
    let steps = host.steps(&id).await;
    assert!(steps.len() >= 13, "{steps:#?}");
}

#[tokio::test]
async fn redirects_lead_nowhere_that_is_not_granted() {
    let web = Web::start().await;
    let host = open(&web).await;
    let other = Web::start().await;
    let to = |location: &str| get(web.url(&format!("/open/to?{location}")));
    let cases = [
        (to(&other.url("/open/a")), "denied", "add [[grants.http-fetch.targets]] with host"),
        (to("https://docs.rs/"), "denied", "add [[grants.http-fetch.targets]] with host"),
        (to("/graphql"), "denied", "prohibited.modify-rbac.over-http"),
        (to("../graphql"), "denied", "prohibited.modify-rbac.over-http"),
        (to("/open/a?_method=DELETE"), "denied", "[scope.method-override]"),
        (to("https://169.254.169.254/latest/"), "denied", "[egress-guard]"),
        (to("https://10.0.0.1/"), "denied", "add [[grants.http-fetch.targets]] with host"),
        (to("http://docs.rs/"), "denied", "[redirect]"),
        (to("file:///etc/passwd"), "denied", "[redirect]"),
        (to("/\\docs.rs/"), "invalid", "backslash"),
        (to("/open/to?/open/to?/open/to?/open/to?/open/a"), "200", "hello"),
        (to("/open/to?/open/to?/open/to?/open/to?/open/to?/open/a"), "invalid", "more than 5 times"),
    ];
    let fetches: Vec<_> = cases.iter().map(|(fetch, ..)| fetch.clone()).collect();
    let (id, said) = fetch(&host, &fetches).await;
    for ((fetch, kind, part), said) in cases.iter().zip(&said) {
        assert!(said.starts_with(kind) && said.contains(part), "{fetch}: {said}");
    }
    // What was allowed as it was asked for, and denied where it led, is on record as both.
    let query = "select details ->> 'verdict' from audit_log where kind = 'policy_decision' and task_id = $1::uuid
                 and details ->> 'call' = 'http-fetch.fetch'";
    let verdicts: Vec<String> = sqlx::query_scalar(query).bind(&id).fetch_all(&host.db()).await.unwrap();
    let of = |verdict: &str| verdicts.iter().filter(|it| *it == verdict).count();
    let denied = cases.iter().filter(|(_, kind, _)| *kind == "denied").count();
    // Two name what is prohibited in their own query: they are not asked for at all.
    let asked = host.steps(&id).await.len() - 2;
    assert_eq!((of("allowed"), of("denied")), (asked, denied), "{verdicts:?}");
    assert!(other.asked().is_empty());
    assert!(web.asked().iter().all(|line| line.starts_with("GET /open/")), "{:?}", web.asked());
}

#[tokio::test]
async fn answers_are_bounded_in_size_time_and_encoding() {
    let web = Web::start().await;
    let host = open(&web).await;
    let (_, said) = fetch(
        &host,
        &[
            get(web.url("/open/big")),
            get(web.url("/open/endless")),
            get(web.url("/open/gzip")),
            get(web.url("/open/slow")),
            get(web.url("/open/echo")),
        ],
    )
    .await;
    for at in [0, 1] {
        assert_eq!(said[at], "invalid the answer is over 64 KiB (http-fetch.response_kib_max)");
    }
    assert!(said[2].starts_with("invalid the server encodes its answer as \"gzip\""), "{}", said[2]);
    assert_eq!(said[3], "unavailable no whole answer came within 2000 ms (http-fetch.timeout_ms_max)");
    assert!(said[4].starts_with("200 "), "{}", said[4]);
}

/// Without the setting this machine is out of reach, by whatever name.
#[tokio::test]
async fn this_machine_is_refused_unless_the_operator_allows_it() {
    let web = Web::start().await;
    let host = Host::start(Options::default().roles(web.fetcher())).await;
    let port = web.address.port();
    let urls = [
        web.url("/open/a"),
        format!("http://2130706433:{port}/open/a"),
        format!("http://0x7f.1:{port}/open/a"),
        format!("http://localhost:{port}/open/a"),
        format!("http://LOCALHOST:{port}/open/a"),
        format!("https://localhost:{port}/open/a"),
    ];
    let fetches: Vec<_> = urls.iter().map(get).collect();
    let (_, said) = fetch(&host, &fetches).await;
    for (url, said) in urls.iter().zip(&said) {
        assert!(said.starts_with("denied ") && said.ends_with("[egress-guard]"), "{url}: {said}");
    }
    assert!(web.asked().is_empty());
}

#[tokio::test]
async fn ten_thousand_fetches_meet_the_limit_of_calls() {
    let web = Web::start().await;
    let host = open(&web).await;
    let payload = json!({"fetches": [{"url": web.url("/open/a"), "times": 10_000}]});
    let id = host.create_task(task(&payload)).await;
    let row = host.wait_for(&id, "dead_letter", LIMIT).await;
    let error = row["error_message"].as_str().unwrap();
    assert!(error.contains("more than 50 host calls (limits.host_calls)"), "{error}");
    assert_eq!(web.asked().len(), 50);
}

/// A run that goes on in another process is fed the recorded answer.
#[tokio::test]
async fn a_resumed_run_does_not_fetch_again() {
    let web = Web::start().await;
    let mut host = open(&web).await;
    let payload = json!({"fetches": [{"url": web.url("/open/a")}, {"url": web.url("/graphql")}], "sleep_ms": 1500});
    let id = host.create_task(task(&payload)).await;
    host.wait_for(&id, "suspended", LIMIT).await;
    host.kill9();
    host.restart().await;
    host.wait_for(&id, "failed", LIMIT).await;
    let logs = host.logs(&id).await;
    let said: Vec<_> =
        logs.iter().filter(|it| it["action"] == "log").map(|it| it["message"].as_str().unwrap()).collect();
    assert_eq!(said.len(), 3, "{logs:#?}");
    assert!(
        said[0].starts_with("200 ") && said[1].contains("prohibited.modify-rbac.over-http") && said[2] == "slept",
        "{said:#?}"
    );
    assert_eq!(web.asked(), ["GET /open/a HTTP/1.1"]);
}
