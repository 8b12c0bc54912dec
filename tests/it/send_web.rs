//! A server on this machine that counts what arrives, and breaks off where its path says so.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{RolesDir, background};

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Arrived {
    pub(crate) line: String,
    /// In lower case.
    headers: String,
    pub(crate) body: Vec<u8>,
}

impl Arrived {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// A server on this machine, and what arrived there.
#[derive(Clone)]
pub(crate) struct Web {
    pub(crate) address: SocketAddr,
    arrived: Arc<Mutex<Vec<Arrived>>>,
}

impl Web {
    pub(crate) async fn start() -> Self {
        let listener = background().spawn(TcpListener::bind("127.0.0.1:0")).await.unwrap().unwrap();
        let web = Self { address: listener.local_addr().unwrap(), arrived: Arc::default() };
        let serving = web.clone();
        background().spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let serving = serving.clone();
                tokio::spawn(async move { serving.serve(socket).await });
            }
        });
        web
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn arrived(&self) -> Vec<Arrived> {
        self.arrived.lock().unwrap().clone()
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.arrived().into_iter().map(|it| it.line).collect()
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        self.arrived().iter().map(|it| it.header("idempotency-key").unwrap_or_default().to_owned()).collect()
    }

    /// The sender, granted this server.
    pub(crate) fn sender(&self) -> RolesDir {
        let roles = RolesDir::with(&["sender"]);
        let port = self.address.port();
        roles.edit("sender", "127.0.0.1:1\"", &format!("127.0.0.1:{port}\""));
        roles.edit("sender", "localhost:1\"", &format!("localhost:{port}\""));
        roles
    }

    async fn serve(&self, mut socket: TcpStream) {
        let Some(request) = read(&mut socket).await else { return };
        let path = request.line.split(' ').nth(1).unwrap_or_default().to_owned();
        let before = {
            let mut arrived = self.arrived.lock().unwrap();
            let before = arrived.iter().filter(|it| it.line == request.line).count();
            arrived.push(request.clone());
            before
        };
        if let Some(times) = path.strip_prefix("/keyed/lost/")
            && before < times.parse().unwrap()
        {
            return reset(socket);
        }
        match path.as_str() {
            "/open/lost" => reset(socket),
            "/open/cut" => {
                let half = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello";
                socket.write_all(half).await.unwrap_or_default();
                tokio::time::sleep(Duration::from_millis(50)).await;
                reset(socket);
            }
            "/open/slow" => tokio::time::sleep(Duration::from_secs(20)).await,
            path => socket.write_all(answer(path).as_bytes()).await.unwrap_or_default(),
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is closed by being dropped")]
fn reset(socket: TcpStream) {
    socket.set_zero_linger().unwrap();
}

async fn read(socket: &mut TcpStream) -> Option<Arrived> {
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 16 << 10];
    loop {
        let size = socket.read(&mut buffer).await.ok().filter(|size| *size > 0)?;
        bytes.extend_from_slice(&buffer[..size]);
        let Some(end) = bytes.windows(4).position(|it| it == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let (line, headers) = head.split_once("\r\n").unwrap_or((&head, ""));
        let arrived =
            Arrived { line: line.to_owned(), headers: headers.to_lowercase(), body: bytes[end + 4..].to_vec() };
        let length = arrived.header("content-length").map_or(0, |length| length.trim().parse().unwrap());
        if arrived.body.len() >= length {
            return Some(arrived);
        }
    }
}

fn answer(path: &str) -> String {
    let whole = |status: &str, headers: &str, body: &str| {
        format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
    };
    match path {
        "/open/moved" => whole("307 Temporary Redirect", "location: /open/elsewhere\r\n", ""),
        "/open/broken" => whole("503 Service Unavailable", "retry-after: 7\r\n", "later"),
        "/open/big" => whole("200 OK", "", &"x".repeat(64 * 1024 + 1)),
        "/open/gzip" => whole("200 OK", "content-encoding: gzip\r\n", "\u{1f}x"),
        _ => whole("201 Created", "content-type: text/plain\r\nset-cookie: a=b\r\netag: \"e\"\r\n", "taken"),
    }
}
