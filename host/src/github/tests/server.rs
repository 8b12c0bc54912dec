//! A stand-in for GitHub that answers from a script and remembers what it was asked.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use futures_util::stream;
use secrecy::SecretString;
use serde_json::Value;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use url::Url;

use super::TOKEN;
use crate::github::transport::Timing;
use crate::github::{GitHub, GitHubConfig};

#[derive(Clone, Debug)]
enum Content {
    Whole(String),
    /// Starts, and then the connection breaks.
    Broken,
    /// Chunks of 64 KiB up to this many, counted as they are taken.
    Chunks(usize, Arc<AtomicUsize>),
}

/// One scripted answer. `{origin}` in a header stands for the server's own origin.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    content: Content,
    delay: Duration,
}

impl Reply {
    pub(super) fn text(status: u16, body: impl Into<String>) -> Self {
        Self { status, headers: Vec::new(), content: Content::Whole(body.into()), delay: Duration::ZERO }
    }

    pub(super) fn json(status: u16, body: &Value) -> Self {
        Self::text(status, body.to_string()).header("content-type", "application/json; charset=utf-8")
    }

    pub(super) fn broken(status: u16) -> Self {
        Self { content: Content::Broken, ..Self::text(status, "") }
    }

    pub(super) fn chunks(count: usize, taken: &Arc<AtomicUsize>) -> Self {
        Self { content: Content::Chunks(count, Arc::clone(taken)), ..Self::text(200, "") }
    }

    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn after(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    fn into_response(self, origin: &str) -> Response {
        let mut response = Response::builder().status(self.status);
        for (name, value) in self.headers {
            response = response.header(name, value.replace("{origin}", origin));
        }
        let body = match self.content {
            Content::Whole(text) => Body::from(text),
            Content::Broken => Body::from_stream(stream::unfold(true, |starts| async move {
                if starts {
                    return Some((Ok(Bytes::from_static(b"{\"sha\":")), false));
                }
                // Or the head would never leave, and the test would be of a lost answer.
                tokio::time::sleep(Duration::from_millis(50)).await;
                Some((Err(std::io::Error::other("the script breaks it off")), false))
            })),
            Content::Chunks(count, taken) => Body::from_stream(stream::iter((0..count).map(move |_| {
                taken.fetch_add(1, Ordering::Relaxed);
                Ok::<_, std::io::Error>(Bytes::from(vec![b' '; 64 << 10]))
            }))),
        };
        response.body(body).unwrap()
    }
}

#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// Method, path and query.
    pub(super) line: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Seen {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

#[derive(Clone)]
pub(super) struct Server {
    pub(super) origin: String,
    script: Arc<Mutex<VecDeque<Reply>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    pub(super) async fn start(script: impl IntoIterator<Item = Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let script = Arc::new(Mutex::new(script.into_iter().collect()));
        let server = Self { origin, script, seen: Arc::default() };
        let app = Router::new().fallback(answer).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        server
    }

    pub(super) fn client(&self) -> GitHub {
        client(&self.origin)
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| seen.line).collect()
    }
}

async fn answer(State(server): State<Server>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 16 << 20).await.unwrap().to_vec();
    let line = format!("{} {}", head.method, head.uri);
    server.seen.lock().unwrap().push(Seen { line, headers: head.headers, body });
    let reply = server.script.lock().unwrap().pop_front();
    // 418 is nothing that the client treats in a way of its own, so an unplanned request fails its test.
    let reply = reply.unwrap_or_else(|| Reply::text(418, "nothing more in the script"));
    tokio::time::sleep(reply.delay).await;
    reply.into_response(&server.origin)
}

/// Takes whole requests and hangs up on each; counts them.
pub(super) async fn hanging_up() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !is_whole(&request) {
                if stream.read_buf(&mut request).await.unwrap() == 0 {
                    break;
                }
            }
            counter.fetch_add(1, Ordering::Relaxed);
        }
    });
    (origin, count)
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
    body.len() >= length.trim().parse::<usize>().unwrap()
}

pub(super) fn client(api_url: &str) -> GitHub {
    client_with(api_url, Duration::from_secs(10))
}

pub(super) fn client_with(api_url: &str, request: Duration) -> GitHub {
    // Another test may have been first.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let timing = Timing { connect: Duration::from_secs(5), request, backoff: Duration::from_millis(2) };
    GitHub::with_timing(config(api_url), timing).unwrap()
}

pub(super) fn config(api_url: &str) -> GitHubConfig {
    GitHubConfig {
        api_url: Url::parse(api_url).unwrap(),
        token: Some(SecretString::from(TOKEN)),
        user_agent: "juggernaut-test".to_owned(),
    }
}
