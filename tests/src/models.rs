//! A stand-in for OpenRouter: answers chat completions over HTTP by a script, and keeps what it was asked.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::cluster::background;

/// What `OPENROUTER_API_KEY` holds in tests that have one.
pub const MODEL_KEY: &str = "sk-or-v1-key-of-the-tests-0123456789";
const REQUEST_BYTES_MAX: usize = 4 << 20;
/// What every answer says that it took.
const PROMPT_TOKENS: u64 = 10;
const ANSWER_TOKENS: u64 = 5;
const DOLLARS: f64 = 0.000_12;

/// One answer of the script.
#[derive(Clone, Debug)]
pub struct Reply {
    status: u16,
    headers: String,
    body: Value,
    after: Duration,
}

impl Reply {
    fn choice(message: &Value, finish: &str) -> Self {
        let usage = json!({ "prompt_tokens": PROMPT_TOKENS, "completion_tokens": ANSWER_TOKENS, "cost": DOLLARS });
        let body = json!({ "choices": [{ "message": message, "finish_reason": finish }], "usage": usage });
        Self { status: 200, headers: String::new(), body, after: Duration::ZERO }
    }

    pub fn says(text: impl Into<String>) -> Self {
        Self::choice(&json!({ "content": text.into() }), "stop")
    }

    pub fn says_json(value: &Value) -> Self {
        Self::says(value.to_string())
    }

    pub fn calls(name: &str, arguments: &Value) -> Self {
        let function = json!({ "name": name, "arguments": arguments.to_string() });
        let call = json!({ "id": "call-a", "type": "function", "function": function });
        Self::choice(&json!({ "content": null, "tool_calls": [call] }), "tool_calls")
    }

    pub fn refuses(text: &str) -> Self {
        Self::choice(&json!({ "content": null, "refusal": text }), "stop")
    }

    pub fn cut_off(text: &str) -> Self {
        Self::choice(&json!({ "content": text }), "length")
    }

    pub fn status(status: u16, message: &str) -> Self {
        let body = json!({ "error": { "code": status, "message": message } });
        Self { status, headers: String::new(), body, after: Duration::ZERO }
    }

    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push_str(&format!("{name}: {value}\r\n"));
        self
    }

    #[must_use]
    pub fn after(mut self, pause: Duration) -> Self {
        self.after = pause;
        self
    }

    /// Without figures.
    #[must_use]
    pub fn without_usage(mut self) -> Self {
        self.body.as_object_mut().expect("an object").remove("usage");
        self
    }
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The request line and the headers.
    pub head: String,
    pub body: Value,
}

impl Asked {
    pub fn model(&self) -> &str {
        self.body["model"].as_str().unwrap_or_default()
    }

    /// Everything that the messages say, one after the other.
    pub fn prompt(&self) -> String {
        let messages = self.body["messages"].as_array().expect("messages");
        messages.iter().filter_map(|message| message["content"].as_str()).collect::<Vec<_>>().join("\n")
    }
}

type Script = dyn Fn(&Asked) -> Reply + Send + Sync;

/// A server on this machine; it lasts as long as the test process.
pub struct ScriptedModels {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl fmt::Debug for ScriptedModels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptedModels").field("address", &self.address).finish_non_exhaustive()
    }
}

impl ScriptedModels {
    /// These answers in turn; then a 500 that says that the script is over.
    pub async fn start(replies: impl IntoIterator<Item = Reply>) -> Self {
        let replies = Mutex::new(replies.into_iter().collect::<VecDeque<_>>());
        Self::start_with(move |_| {
            let next = replies.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            next.unwrap_or_else(|| Reply::status(500, "the script is over"))
        })
        .await
    }

    /// An answer to each request.
    pub async fn start_with(script: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = background().spawn(TcpListener::bind("127.0.0.1:0")).await.expect("a task").expect("a port");
        let address = listener.local_addr().expect("an address");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (log, script): (_, Arc<Script>) = (Arc::clone(&asked), Arc::new(script));
        background().spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, Arc::clone(&log), Arc::clone(&script)));
            }
        });
        Self { address, asked }
    }

    /// For `OPENROUTER_BASE_URL`.
    pub fn url(&self) -> String {
        format!("http://{}/api/v1", self.address)
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn serve(mut socket: TcpStream, log: Arc<Mutex<Vec<Asked>>>, script: Arc<Script>) {
    let Some(asked) = read(&mut socket).await else { return };
    log.lock().unwrap_or_else(PoisonError::into_inner).push(asked.clone());
    let Reply { status, headers, body, after } = script(&asked);
    tokio::time::sleep(after).await;
    let body = body.to_string();
    let answer = format!(
        "HTTP/1.1 {status} X\r\n{headers}content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    // Whoever asked may be gone.
    socket.write_all(answer.as_bytes()).await.unwrap_or_default();
}

async fn read(socket: &mut TcpStream) -> Option<Asked> {
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let size = socket.read(&mut buffer).await.ok().filter(|size| *size > 0)?;
        bytes.extend_from_slice(&buffer[..size]);
        assert!(bytes.len() <= REQUEST_BYTES_MAX, "a request is too large");
        let Some(end) = bytes.windows(4).position(|it| it == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
        });
        let body = &bytes[end + 4..];
        if body.len() >= length.unwrap_or_default() {
            return Some(Asked { head, body: serde_json::from_slice(body).unwrap_or_default() });
        }
    }
}
