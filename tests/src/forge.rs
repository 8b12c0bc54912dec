//! A forge in this process, spoken to over HTTP alone.

use std::collections::BTreeMap;

use forge::{CheckPolicy, Forge, ForgeOptions, Running};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::background;
use crate::cluster::temporary;

/// What `GITHUB_TOKEN` holds in tests.
const TOKEN: &str = "forge-token-of-the-tests";

/// A forge with the repository `demo/sample`; it ends with this value.
#[derive(Debug)]
pub struct TestForge {
    running: Running,
    http: reqwest::Client,
    /// Holds the repositories.
    _root: TempDir,
}

impl TestForge {
    pub async fn start(checks: Vec<CheckPolicy>) -> Self {
        let root = temporary("forge-");
        let mut options = ForgeOptions::new(root.path());
        options.token = Some(TOKEN.to_owned());
        options.checks = checks;
        // Not on the test's own runtime: a test that waits without yielding would hold up its host.
        let running = background().spawn(Forge::start(options)).await.expect("the forge").expect("the forge");
        let forge = Self { running, http: client(), _root: root };
        forge.create_repository("demo", "sample", &[("README.md", "# sample\n")]).await;
        forge
    }

    pub fn url(&self) -> &str {
        self.running.url()
    }

    pub fn token(&self) -> &'static str {
        TOKEN
    }

    /// Where `owner/name.git` lie, for git itself.
    pub fn root(&self) -> &std::path::Path {
        self.running.root()
    }

    pub async fn create_repository(&self, owner: &str, name: &str, files: &[(&str, &str)]) {
        let files: BTreeMap<_, _> = files.iter().copied().collect();
        let body = json!({ "owner": owner, "name": name, "default_branch": "main", "files": files });
        let (status, answer) = self.call(Method::POST, "/_forge/repos", Some(body)).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
    }

    /// Any request with the token; `Value::Null` where the answer has no JSON.
    pub async fn call(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let request = self.http.request(method, format!("{}{path}", self.url())).bearer_auth(TOKEN);
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        let response = request.send().await.expect("the forge answers");
        let status = response.status();
        (status, serde_json::from_slice(&response.bytes().await.expect("a body")).unwrap_or_default())
    }

    /// What the forge was asked so far, oldest first; see `GET /_forge/requests`.
    pub async fn requests(&self) -> Vec<Value> {
        let (_, answer) = self.call(Method::GET, "/_forge/requests", None).await;
        answer["requests"].as_array().expect("a list of requests").clone()
    }
}

/// GitHub refuses who does not say their name.
fn client() -> reqwest::Client {
    reqwest::Client::builder().user_agent("juggernaut-tests").build().expect("a client")
}
