//! Requests that are sent again because their answer got lost: what they ask for is created once.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::audit::count;
use crate::support::{Host, Options, juggernaut};

const TASKS: &str = "/api/v1/tasks";
const BULK: &str = "/api/v1/tasks/bulk";

fn draft(title: &str) -> Value {
    json!({ "title": title, "task_type": "planning", "payload": {"b": 1, "a": 2} })
}

/// Status, whether it is the answer to an earlier request, and the body.
async fn send(host: &Host, path: &str, role: &str, key: &str, body: &Value) -> (StatusCode, bool, Value) {
    let request = reqwest::Client::new().post(format!("{}{path}", host.url())).bearer_auth(host.token(role).await);
    let answer = request.header("Idempotency-Key", key).json(body).send().await.unwrap();
    let (status, replayed) = (answer.status(), answer.headers().contains_key("idempotency-replayed"));
    (status, replayed, answer.json().await.unwrap())
}

#[tokio::test]
async fn the_same_key_is_the_same_task() {
    let host = Host::start(Options::default()).await;
    let (status, replayed, first) = send(&host, TASKS, "operator", "k-1", &draft("a")).await;
    assert_eq!((status, replayed), (StatusCode::CREATED, false), "{first}");
    let id = first["id"].as_str().unwrap();
    let token = host.token("operator").await;
    host.api(Method::POST, &format!("{TASKS}/{id}/cancel"), Some(&token), None).await;
    let (status, replayed, again) = send(&host, TASKS, "operator", "k-1", &draft("a")).await;
    assert_eq!((status, replayed, &again["id"]), (StatusCode::OK, true, &first["id"]));
    assert_eq!(again["status"], "cancelled", "as it is now");

    // Another request with the key is a mistake; another person's key is another key.
    let (status, _, refused) = send(&host, TASKS, "operator", "k-1", &draft("b")).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(refused["type"], "urn:juggernaut:problem:idempotency-key-reused");
    let (status, _, refused) = send(&host, BULK, "operator", "k-1", &json!([draft("a")])).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{refused}");
    assert_eq!(send(&host, TASKS, "admin", "k-1", &draft("a")).await.0, StatusCode::CREATED);
    assert_eq!(count(&host.db(), "governance_tasks").await, 2);

    for bad in ["", "two words", &"k".repeat(201)] {
        let (status, _, refused) = send(&host, TASKS, "operator", bad, &draft("a")).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{bad:?}");
        assert!(refused["detail"].as_str().unwrap().contains("Idempotency-Key"), "{refused}");
    }
    // What was refused has used nothing up.
    let (status, _, _) = send(&host, TASKS, "operator", "k-2", &json!({"title": "", "task_type": "planning"})).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(send(&host, TASKS, "operator", "k-2", &draft("c")).await.0, StatusCode::CREATED);
}

#[tokio::test]
async fn at_the_same_time_one_request_creates() {
    let host = Host::start(Options::default()).await;
    let host = Arc::new(host);
    host.token("operator").await;
    for (path, body, ids) in [(TASKS, draft("a"), 1), (BULK, json!([draft("b"), draft("c")]), 3)] {
        let mut sent = JoinSet::new();
        for _ in 0..12 {
            let (host, body) = (Arc::clone(&host), body.clone());
            sent.spawn(async move { send(&host, path, "operator", &path.replace('/', "-"), &body).await });
        }
        let answers = sent.join_all().await;
        let created = answers.iter().filter(|(status, ..)| *status == StatusCode::CREATED).count();
        assert_eq!(created, 1, "{answers:?}");
        let of = |answer: &Value| if path == BULK { answer["ids"].clone() } else { answer["id"].clone() };
        assert!(answers.iter().all(|(_, _, answer)| of(answer) == of(&answers[0].2)), "{answers:?}");
        assert_eq!(count(&host.db(), "governance_tasks").await, ids);
    }
    assert_eq!(count(&host.db(), "audit_log where kind = 'task_created'").await, 3);
}

#[tokio::test]
async fn keys_are_forgotten_after_a_day() {
    let host = Host::start(Options::default()).await;
    send(&host, TASKS, "operator", "old", &draft("a")).await;
    send(&host, TASKS, "operator", "new", &draft("b")).await;
    sqlx::query("update request_keys set created_at = now() - interval '25 hours' where key = 'old'")
        .execute(&host.db())
        .await
        .unwrap();
    assert_eq!(host.database().db().forget_request_keys().await.unwrap(), 1);
    assert_eq!(send(&host, TASKS, "operator", "old", &draft("a")).await.0, StatusCode::CREATED);
    assert_eq!(send(&host, TASKS, "operator", "new", &draft("b")).await.0, StatusCode::OK);
}

/// Between the command line and the host the first answer gets lost.
#[tokio::test]
async fn the_command_line_sends_a_creation_again() {
    let host = Host::start(Options::default()).await;
    let token = host.token("operator").await;
    let upstream = host.url().trim_start_matches("http://").to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let between = format!("http://{}", listener.local_addr().unwrap());
    let relay = std::thread::spawn(move || {
        for answered in [false, true] {
            let (mut client, _) = listener.accept().unwrap();
            let mut to = std::net::TcpStream::connect(&upstream).unwrap();
            let mut request = vec![0; 64 << 10];
            let length = client.read(&mut request).unwrap();
            to.write_all(&request[..length]).unwrap();
            // The rest of the body, if it came in two parts.
            let (mut rest, mut onward) = (client.try_clone().unwrap(), to.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut rest, &mut onward));
            let mut answer = vec![0; 64 << 10];
            let length = to.read(&mut answer).unwrap();
            assert!(length > 0);
            if answered {
                client.write_all(&answer[..length]).unwrap();
                std::io::copy(&mut to, &mut client).unwrap();
            } else {
                client.shutdown(std::net::Shutdown::Both).unwrap();
            }
        }
    });
    let folder = TempDir::new().unwrap();
    let env = [("JUGGERNAUT_URL", between.as_str()), ("JUGGERNAUT_TOKEN", token.as_str())];
    let created = juggernaut(folder.path(), &["task", "create", "--title", "t", "--type", "planning"], &env).await;
    assert_eq!(created.code, Some(0), "{created:?}");
    assert!(created.stderr.contains("sending it again"), "{created:?}");
    assert_eq!(count(&host.db(), "governance_tasks").await, 1);
    drop(relay);
}
