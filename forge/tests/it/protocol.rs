//! What holds for every endpoint: credentials, bodies, headers, pages, names, restarts, the binary.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use forge::{Forge, StartError};
use reqwest::Method;
use serde_json::json;

use crate::client::{Fixture, R, TOKEN, answer, options, text, write_body};

#[tokio::test]
async fn credentials() {
    let forge = Fixture::new().await;
    let url = format!("{}{R}", forge.running.url());
    let get = || forge.client.get(&url);
    answer(get()).await.refused(401, "Bad credentials");
    for wrong in ["Bearer wrong", "token ", "Basic dGVzdA==", TOKEN] {
        let request = get().header("authorization", wrong);
        answer(request).await.refused(401, "Bad credentials");
    }
    let as_token = get().header("authorization", format!("token {TOKEN}"));
    answer(as_token).await.expect(200);
    let anonymous = reqwest::Client::builder().build().unwrap();
    let without_agent = anonymous.get(&url).bearer_auth(TOKEN);
    let refused = answer(without_agent).await;
    assert_eq!(refused.status, 403);
    assert!(refused.text.contains("User-Agent"));
    let admin = forge.client.get(format!("{}/_forge/requests", forge.running.url()));
    answer(admin).await.refused(401, "Bad credentials");
}

#[tokio::test]
async fn bodies_and_unknown_things() {
    let forge = Fixture::new().await;
    let broken = forge.request(Method::POST, &format!("{R}/git/refs")).body("{\"ref\":");
    answer(broken).await.refused(400, "Problems parsing JSON");
    let list = forge.post(&format!("{R}/pulls"), json!([])).await;
    list.refused(400, "Body should be a JSON object");
    let missing = forge.post(&format!("{R}/pulls"), json!({"title": "t"})).await;
    missing.refused(422, "Invalid request.\n\n\"head\", \"base\" weren't supplied.");
    let wrong = json!({"ref": 7, "sha": "x"});
    let wrong = forge.post(&format!("{R}/git/refs"), wrong).await;
    wrong.refused(422, "Invalid request.\n\nFor 'properties/ref', 7 is not a string.");
    forge.get("/repos/octo/other").await.refused(404, "Not Found");
    forge.get("/nothing").await.refused(404, "Not Found");
    forge.delete(R).await.refused(404, "Not Found");
}

#[tokio::test]
async fn headers_and_rate_limit() {
    let forge = Fixture::new().await;
    let first = forge.get(R).await;
    let second = forge.get(R).await;
    let number =
        |headers: &reqwest::header::HeaderMap, name: &str| -> i64 { headers[name].to_str().unwrap().parse().unwrap() };
    assert_eq!(number(&first.headers, "x-ratelimit-limit"), 5000);
    let remaining = |answer: &crate::client::Answer| number(&answer.headers, "x-ratelimit-remaining");
    assert_eq!(remaining(&first) - remaining(&second), 1);
    assert!(number(&first.headers, "x-ratelimit-reset") > 1_700_000_000);
    assert_ne!(first.headers["x-github-request-id"], second.headers["x-github-request-id"]);
    assert_eq!(first.headers["x-github-media-type"], "github.v3; format=json");
    let body = first.expect(200);
    assert_eq!(body["full_name"], "octo/hello");
    assert_eq!(body["default_branch"], "main");
    assert_eq!(body["owner"]["login"], "octo");
    let limit = forge.get("/rate_limit").await.expect(200);
    assert_eq!(limit["rate"]["limit"], 5000);
    assert_eq!(limit["resources"]["core"], limit["rate"]);
}

#[tokio::test]
async fn pages() {
    let forge = Fixture::new().await;
    for n in 0..4 {
        forge.write("main", &format!("f{n}"), "x").await;
    }
    let page = forge.get(&format!("{R}/commits?sha=main&per_page=2&page=2")).await;
    let link = page.headers["link"].to_str().unwrap().to_owned();
    let at = |page: u32| format!("<{}{R}/commits?sha=main&per_page=2&page={page}>", forge.running.url());
    for (page, relation) in [(1, "prev"), (3, "next"), (3, "last"), (1, "first")] {
        let part = format!("{}; rel=\"{relation}\"", at(page));
        assert!(link.contains(&part), "{link} lacks {part}");
    }
    assert_eq!(page.body[0]["commit"]["message"], "write f1");
    let last = forge.get(&format!("{R}/commits?per_page=2&page=3")).await;
    assert!(!last.headers["link"].to_str().unwrap().contains("next"));
    assert_eq!(last.body.as_array().unwrap().len(), 1);
    assert!(forge.get(&format!("{R}/commits?per_page=1000")).await.headers.get("link").is_none());
}

/// Past reqwest, which would tidy the path up.
fn raw(forge: &Fixture, method: &str, path: &str, body: &str) -> String {
    let address = forge.running.url().trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: x\r\nUser-Agent: raw\r\nAuthorization: Bearer {TOKEN}\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn no_name_leaves_the_root() {
    let forge = Fixture::new().await;
    let outside = forge.dir.path().join("forge");
    std::fs::create_dir_all(&outside).unwrap();
    std::fs::write(outside.join("repository.json"), "{}").unwrap();
    for path in [
        "/repos/../hello",
        "/repos/octo/..",
        "/repos/octo/%2e%2e",
        "/repos/%2e%2e/octo",
        "/repos/octo/..%2focto%2fhello",
        "/repos/%2Ftmp/hello",
        "/repos/octo/hello%00",
        "/repos/octo/hello/contents/../../x",
        "/repos/octo/hello/contents/%2e%2e/%2e%2e/forge/repository.json",
        "/repos/octo/hello/contents/%2Fetc%2Fpasswd",
        "/repos/octo/hello/contents//etc/passwd",
        "/repos/octo/hello/git/ref/heads/../../forge",
        "/repos/octo/hello/git/ref/%2e%2e/forge/repository.json",
        "/repos/octo/hello/git/trees/../../x",
    ] {
        let answer = raw(&forge, "GET", path, "");
        assert!(answer.starts_with("HTTP/1.1 404"), "{path}: {answer}");
    }
    let body = write_body("m", "x", "main").to_string();
    for path in ["a/../../x", "%2e%2e/x", "/etc/x", ".git/config", "a//b", "./x"] {
        let answer = raw(&forge, "PUT", &format!("{R}/contents/{path}"), &body);
        assert!(answer.starts_with("HTTP/1.1 422"), "{path}: {answer}");
    }
    for (owner, name) in [("..", "x"), ("x", ".."), ("/tmp", "x"), ("a/b", "c"), ("x", "y.git")] {
        let made = forge.post("/_forge/repos", json!({"owner": owner, "name": name})).await;
        made.expect(422);
    }
    let nowhere = json!({"owner": "a", "name": "b", "directory": "/nowhere"});
    let nowhere = forge.post("/_forge/repos", nowhere).await;
    nowhere.refused(422, "/nowhere is not a directory; give an existing one");
    let file = json!({"owner": "a", "name": "b", "files": {"../x": "y"}});
    forge.post("/_forge/repos", file).await.expect(422);
    assert_eq!(forge.git(&["log", "--format=%s", "main"]), "Initial commit\n");
}

#[tokio::test]
async fn everything_survives_a_restart() {
    let forge = Fixture::new().await;
    let policies = json!([{"branches": "feature/*", "name": "ci", "conclusion": "failure", "after_ms": 300}]);
    let path = "/_forge/repos/octo/hello/check-policies";
    forge.put(path, policies).await.expect(204);
    let token = json!({"login": "alice", "token": "alice-token"});
    forge.post("/_forge/tokens", token).await.expect(201);
    forge.pull("feature/1", "one", "1\n").await;
    let open = forge.pull("feature/2", "two", "2\n").await;
    let merged = forge.put(&format!("{R}/pulls/1/merge"), json!({"merge_method": "squash"})).await;
    let sha = text(&merged.expect(200)["sha"]);
    forge.delete(&format!("{R}/git/refs/heads/feature/1")).await.expect(204);

    let forge = forge.restarted().await;
    let first = forge.get(&format!("{R}/pulls/1")).await.expect(200);
    assert_eq!((&first["merged"], &first["merge_commit_sha"]), (&json!(true), &json!(sha)));
    assert_eq!(first["commits"], 1);
    assert_eq!(forge.get(&format!("{R}/pulls/2")).await.expect(200)["state"], "open");
    let twin = json!({"title": "t", "head": "feature/2", "base": "main"});
    forge.post(&format!("{R}/pulls"), twin).await.expect(422);
    tokio::time::sleep(std::time::Duration::from_millis(350)).await;
    let runs = format!("{R}/commits/{}/check-runs", text(&open["head"]["sha"]));
    let runs = forge.get(&runs).await.expect(200);
    assert_eq!(runs["check_runs"][0]["conclusion"], "failure");
    let alice = forge.client.get(format!("{}{R}", forge.running.url()));
    answer(alice.bearer_auth("alice-token")).await.expect(200);
    let stored = std::fs::read_to_string(forge.dir.path().join(".forge-tokens.json")).unwrap();
    assert!(!stored.contains("alice-token"));
}

#[tokio::test]
async fn loopback_only() {
    let dir = tempfile::TempDir::new().unwrap();
    let mut options = options(dir.path().to_owned());
    options.listen = "0.0.0.0:0".parse().unwrap();
    let refused = Forge::start(options).await.unwrap_err();
    assert!(matches!(refused, StartError::Listen { .. }));
    assert!(refused.to_string().contains("loopback only"), "{refused}");
}

fn binary(dir: &std::path::Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_forge"));
    command.arg("--root").arg(dir.join("root"));
    command.env("FORGE_TOKEN", TOKEN).stdout(Stdio::piped()).stdin(Stdio::piped());
    command
}

#[tokio::test]
async fn the_binary_ends_with_stdin_and_with_sigterm() {
    let dir = tempfile::TempDir::new().unwrap();
    let seed = dir.path().join("seed");
    std::fs::create_dir_all(seed.join("sub")).unwrap();
    std::fs::write(seed.join("sub/a.txt"), "a").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", seed.join("link")).unwrap();
    for with_stdin in [true, false] {
        let mut command = binary(dir.path());
        command.arg("--seed").arg(format!("octo/hello={}", seed.display()));
        command.args(["--check", "ci=success@0"]);
        if with_stdin {
            command.arg("--exit-with-stdin");
        }
        let mut child = command.spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("listening on ").unwrap().to_owned();
        let get = crate::client::new_client().get(format!("{url}{R}/contents"));
        let listed = answer(get.bearer_auth(TOKEN)).await.expect(200);
        assert_eq!(listed[0]["type"], "symlink");
        if with_stdin {
            drop(child.stdin.take());
        } else {
            let id = child.id().to_string();
            assert!(Command::new("kill").arg(id).status().unwrap().success());
        }
        assert!(child.wait().unwrap().success());
        let mut rest = String::new();
        stdout.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "");
    }
}
