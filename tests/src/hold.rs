//! Stopping the world at a request: the forge holds it, a test looks or kills, and releases.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{LIMIT, TestForge};

const POLL: Duration = Duration::from_millis(20);

impl TestForge {
    /// Holds the next matching request, `before` or `after` it takes effect.
    pub async fn hold(&self, method: &str, path: &str, when: &str) {
        let body = json!({ "target": { "method": method, "path": path, "times": 1 }, "when": when });
        let (status, answer) = self.call(Method::POST, "/_forge/holds", Some(body)).await;
        assert!(status.is_success(), "{answer}");
    }

    /// Waits until a request is held.
    pub async fn held(&self) {
        let began = Instant::now();
        loop {
            let (_, holds) = self.call(Method::GET, "/_forge/holds", None).await;
            if holds.to_string().contains("\"held\":[{") {
                return;
            }
            assert!(began.elapsed() < LIMIT, "nothing was held: {holds}");
            tokio::time::sleep(POLL).await;
        }
    }

    /// Lets everything go that is held, and holds nothing more.
    pub async fn release(&self) {
        let (status, answer) = self.call(Method::DELETE, "/_forge/holds", None).await;
        assert!(status.is_success(), "{answer}");
    }

    /// Makes the next matching request fail in this way.
    pub async fn fault(&self, method: &str, path: &str, fault: Value) {
        let body = json!({ "target": { "method": method, "path": path, "times": 1 }, "fault": fault });
        let (status, answer) = self.call(Method::POST, "/_forge/faults", Some(body)).await;
        assert!(status.is_success(), "{answer}");
    }

    /// All pull requests of `demo/sample`, in any state.
    pub async fn pull_requests(&self) -> Vec<Value> {
        let (status, answer) = self.call(Method::GET, "/repos/demo/sample/pulls?state=all&per_page=100", None).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        answer.as_array().expect("a list").clone()
    }

    /// What git itself says of `demo/sample`.
    pub fn git(&self, arguments: &[&str]) -> String {
        let repository = self.root().join("demo/sample.git");
        let output = std::process::Command::new("git")
            .arg("-C")
            .arg(&repository)
            .args(["-c", "safe.directory=*"])
            .args(arguments)
            .output()
            .expect("git runs");
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    /// Makes a branch from `main` with one commit of a stranger; returns the commit.
    pub async fn commit_to_branch(&self, branch: &str, path: &str, content: &str) -> String {
        use base64::Engine as _;
        let (_, main) = self.call(Method::GET, "/repos/demo/sample/git/ref/heads/main", None).await;
        let body = json!({ "ref": format!("refs/heads/{branch}"), "sha": main["object"]["sha"] });
        let (status, answer) = self.call(Method::POST, "/repos/demo/sample/git/refs", Some(body)).await;
        assert!(status.is_success(), "{answer}");
        let content = base64::engine::general_purpose::STANDARD.encode(content);
        let body = json!({ "message": "by a stranger", "branch": branch, "content": content });
        let url = format!("/repos/demo/sample/contents/{path}");
        let (status, answer) = self.call(Method::PUT, &url, Some(body)).await;
        assert!(status.is_success(), "{answer}");
        answer["commit"]["sha"].as_str().expect("a commit").to_owned()
    }

    /// Renames files on `main`, as a person would with git itself.
    pub fn rename_on_main(&self, from: &str, to: &str) {
        let work = tempfile::tempdir().expect("a folder");
        let bare = self.root().join("demo/sample.git");
        let run = |arguments: &[&str]| {
            let output = std::process::Command::new("git")
                .current_dir(work.path())
                .args(["-c", "safe.directory=*", "-c", "user.name=p", "-c", "user.email=p@localhost"])
                .args(arguments)
                .output()
                .expect("git runs");
            assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        };
        run(&["clone", "-q", &bare.display().to_string(), "."]);
        let target = work.path().join(to);
        std::fs::create_dir_all(target.parent().expect("a parent")).expect("folders");
        run(&["mv", from, to]);
        run(&["commit", "-qm", "rename"]);
        run(&["push", "-q", "origin", "HEAD:main"]);
    }

    /// Commits a file to `main` past everybody, as a person would.
    pub async fn commit_to_main(&self, path: &str, content: &str) {
        use base64::Engine as _;
        let content = base64::engine::general_purpose::STANDARD.encode(content);
        let url = format!("/repos/demo/sample/contents/{path}");
        let (_, before) = self.call(Method::GET, &url, None).await;
        let mut body = json!({ "message": "by a person", "branch": "main", "content": content });
        if let Some(sha) = before["sha"].as_str() {
            body["sha"] = json!(sha);
        }
        let (status, answer) = self.call(Method::PUT, &url, Some(body)).await;
        assert!(status.is_success(), "{answer}");
    }
}
