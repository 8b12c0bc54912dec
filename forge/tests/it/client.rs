//! A forge for one test, and a client that shows status, headers and body together.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Once;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use forge::{Forge, ForgeOptions, Running};
use reqwest::header::HeaderMap;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) const TOKEN: &str = "test-token-1";
pub(crate) const R: &str = "/repos/octo/hello";

pub(crate) struct Fixture {
    pub(crate) dir: TempDir,
    pub(crate) running: Running,
    pub(crate) client: Client,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
    pub(crate) body: Value,
}

impl Answer {
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.body
    }

    /// Status and message, and the form of GitHub's error bodies.
    #[track_caller]
    pub(crate) fn refused(self, status: u16, message: &str) -> Value {
        let body = self.expect(status);
        assert_eq!(body["message"], message);
        assert_eq!(body["status"], status.to_string());
        assert!(body["documentation_url"].is_string(), "{body}");
        body
    }
}

pub(crate) fn options(root: PathBuf) -> ForgeOptions {
    let mut options = ForgeOptions::new(root);
    options.token = Some(TOKEN.to_owned());
    options
}

pub(crate) fn new_client() -> Client {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        rustls::crypto::ring::default_provider().install_default().unwrap();
    });
    Client::builder().user_agent("forge-it").build().unwrap()
}

impl Fixture {
    /// With `octo/hello`, whose main has README.md and src/lib.py.
    pub(crate) async fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let running = Forge::start(options(dir.path().to_owned())).await.unwrap();
        let client = new_client();
        let this = Self { dir, running, client };
        let files = json!({"README.md": "# hello\n", "src/lib.py": "a = 1\nb = 2\nc = 3\n"});
        this.post("/_forge/repos", json!({"owner": "octo", "name": "hello", "files": files})).await.expect(201);
        this
    }

    pub(crate) async fn restarted(self) -> Self {
        let Self { dir, running, client } = self;
        running.stop().await.unwrap();
        let running = Forge::start(options(dir.path().to_owned())).await.unwrap();
        Self { dir, running, client }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("{}{path}", self.running.url())).bearer_auth(TOKEN)
    }

    pub(crate) async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let mut request = self.request(method, path);
        if let Some(body) = body {
            request = request.json(&body);
        }
        answer(request).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, Some(body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        self.send(Method::PUT, path, Some(body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        self.send(Method::PATCH, path, Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, None).await
    }

    pub(crate) async fn tip(&self, branch: &str) -> String {
        let found = self.get(&format!("{R}/git/ref/heads/{branch}")).await;
        text(&found.expect(200)["object"]["sha"])
    }

    pub(crate) async fn branch(&self, name: &str) {
        let body = json!({"ref": format!("refs/heads/{name}"), "sha": self.tip("main").await});
        self.post(&format!("{R}/git/refs"), body).await.expect(201);
    }

    /// Writes a file, whether it exists or not.
    pub(crate) async fn write(&self, branch: &str, path: &str, content: &str) -> Value {
        let old = self.get(&format!("{R}/contents/{path}?ref={branch}")).await;
        let mut body = write_body(&format!("write {path}"), content, branch);
        if old.status == 200 {
            body["sha"] = old.body["sha"].clone();
        }
        let wanted = if old.status == 200 { 200 } else { 201 };
        self.put(&format!("{R}/contents/{path}"), body).await.expect(wanted)
    }

    /// A pull request with one commit, from a new branch.
    pub(crate) async fn pull(&self, branch: &str, path: &str, content: &str) -> Value {
        self.branch(branch).await;
        self.write(branch, path, content).await;
        let body = json!({"title": format!("Do {branch}"), "head": branch, "base": "main"});
        self.post(&format!("{R}/pulls"), body).await.expect(201)
    }

    pub(crate) fn git(&self, args: &[&str]) -> String {
        let output =
            Command::new("git").arg("-C").arg(self.dir.path().join("octo/hello.git")).args(args).output().unwrap();
        assert!(output.status.success(), "git {args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

pub(crate) async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    let text = response.text().await.unwrap();
    let body = serde_json::from_str(&text).unwrap_or(Value::Null);
    Answer { status, headers, text, body }
}

pub(crate) fn write_body(message: &str, content: &str, branch: &str) -> Value {
    json!({"message": message, "content": STANDARD.encode(content), "branch": branch})
}

#[track_caller]
pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
