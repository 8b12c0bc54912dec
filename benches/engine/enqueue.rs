//! Tasks per second that the bulk API takes, over a few connections.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{number, text};

pub(super) async fn measure(asked: &Value) -> Value {
    let (connections, batch) = (number(asked, "connections"), number(asked, "batch"));
    let limit = Duration::from_secs(u64::try_from(number(asked, "seconds")).expect("a time"));
    let drafts = (0..batch).map(|place| json!({ "title": format!("task {place}"), "task_type": "planning" }));
    let drafts: Vec<Value> = drafts.collect();
    let body = Value::from(drafts).to_string();
    let (url, token) = (format!("{}/api/v1/tasks/bulk", text(asked, "url")), text(asked, "token"));
    let began = Instant::now();
    let mut lanes = JoinSet::new();
    for _ in 0..connections {
        // A client of its own has a connection of its own.
        let (http, url, token, body) = (reqwest::Client::new(), url.clone(), token.to_owned(), body.clone());
        lanes.spawn(async move {
            let mut requests = 0;
            while began.elapsed() < limit {
                let request = http.post(&url).bearer_auth(&token).header("content-type", "application/json");
                let answer = request.body(body.clone()).send().await.expect("an answer");
                answer.error_for_status().expect("tasks").bytes().await.expect("ids");
                requests += 1;
            }
            requests
        });
    }
    let requests: usize = lanes.join_all().await.into_iter().sum();
    let seconds = began.elapsed().as_secs_f64();
    json!({ "connections": connections, "batch": batch, "tasks": requests * batch, "seconds": seconds })
}
