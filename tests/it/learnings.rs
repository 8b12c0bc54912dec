//! Learnings: captured by a run, found by words and tags, offered to the runs that they fit, and each use recorded once.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::monitoring::{record, recorder};
use crate::support::{Host, LIMIT, juggernaut};

async fn learn(host: &Host, title: &str, description: &str, tags: &[&str]) -> i64 {
    sqlx::query_scalar(
        "insert into learnings (worker_id, category, title, description, impact_score, tags)
         values ('w', 'technique', $1, $2, 0.5, $3) returning id",
    )
    .bind(title)
    .bind(description)
    .bind(json!(tags))
    .fetch_one(&host.db())
    .await
    .unwrap()
}

async fn uses(host: &Host) -> Vec<(i64, i32)> {
    sqlx::query_as("select learning_id, attempt from learning_uses order by 1, 2").fetch_all(&host.db()).await.unwrap()
}

fn capture(more: &Value) -> Value {
    let mut call = json!({
        "call": "capture", "category": "technique", "title": "Retry with a pause",
        "description": "Rate limits pass when one waits.", "impact": 0.75, "tags": ["network", "network"],
    });
    more.as_object().unwrap().iter().for_each(|(key, value)| call[key] = value.clone());
    call
}

#[tokio::test]
async fn what_is_captured_is_found_by_its_words_and_tags() {
    let host = recorder().await;
    let search = |words: &str, tags: &[&str], limit: u32| json!({ "call": "search", "words": words, "tags": tags, "limit": limit });
    let (task, said) = record(
        &host,
        &[
            capture(&json!({})),
            capture(&json!({ "title": "a\u{2400}b", "tags": [] })),
            search("waiting for rate limits", &[], 10),
            search("", &["network"], 10),
            search("limits", &["other"], 10),
            search("unheard", &[], 10),
            search("'; drop table learnings; -- & | ! (", &[], 10),
            search("a", &[], 0),
            search("a", &[], 51),
            capture(&json!({})),
            capture(&json!({ "category": "no good" })),
            capture(&json!({ "impact": 2 })),
            capture(&json!({ "description": { "length": 9000 } })),
            capture(&json!({ "tags": ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q"] })),
        ],
    )
    .await;
    for (said, begins) in said.iter().zip([
        "ok 1",
        "ok 2",
        "ok a␀b",
        "ok Retry with a pause (0 uses)",
        "ok ",
        "ok ",
        "ok ",
        "invalid",
        "invalid",
        "denied learnings.learnings_max",
        "invalid",
        "invalid",
        "invalid",
        "invalid",
    ]) {
        assert!(said.starts_with(begins), "{said} is not {begins}");
    }
    assert!(said[2].contains("Retry with a pause"), "endings do not matter: {}", said[2]);
    assert!(said[4] == "ok " && said[5] == "ok " && said[6] == "ok ", "{said:#?}");
    let stored: Value =
        sqlx::query_scalar("select row_to_json(l) from learnings l where id = 1").fetch_one(&host.db()).await.unwrap();
    assert_eq!((&stored["task_id"], &stored["worker_id"]), (&json!(task), &json!("RECORDER")));
    assert_eq!((&stored["tags"], &stored["impact_score"]), (&json!(["network"]), &json!(0.75)));
}

#[tokio::test]
async fn those_that_fit_the_task_are_offered_and_its_type_comes_first() {
    let host = recorder().await;
    let untagged = learn(&host, "How to record quickly", "Recording needs a pen.", &[]).await;
    let tagged = learn(&host, "Anything of an analysis", "It says record once.", &["analysis"]).await;
    let other = learn(&host, "Bake bread", "Flour, water, salt.", &["kitchen"]).await;
    let (_, said) = record(&host, &[json!({ "call": "offered" }), json!({ "call": "offered" })]).await;
    assert_eq!(said[0], "ok Anything of an analysis (0 uses); How to record quickly (0 uses)");
    assert_eq!(said[1], "ok Anything of an analysis (1 uses); How to record quickly (1 uses)");
    assert_eq!(uses(&host).await, [(untagged, 1), (tagged, 1)], "once for the attempt; {other} was not offered");
}

#[tokio::test]
async fn at_most_ten_are_offered_whatever_the_task_is_called() {
    let host = recorder().await;
    for number in 0..15 {
        learn(&host, &format!("Record {number}"), "record", &["analysis"]).await;
    }
    let hostile = "it's a ' \\ & | ! ( ) :* <-> \" title of a record";
    let id = host
        .create_task(json!({
            "title": hostile, "description": "the of and", "task_type": "analysis", "attempts_max": 1,
            "payload": { "calls": [{ "call": "offered" }] },
        }))
        .await;
    host.wait_for(&id, "failed", LIMIT).await;
    assert_eq!(uses(&host).await.len(), 10, "{:?}", host.logs(&id).await);
}

#[tokio::test]
async fn a_use_is_recorded_once_though_the_run_goes_on_after_a_crash() {
    let mut host = recorder().await;
    let learning = learn(&host, "Record it", "record", &[]).await;
    let id = host
        .create_task(json!({
            "title": "record", "task_type": "analysis", "attempts_max": 1,
            "payload": { "calls": [
                { "call": "offered" }, { "call": "sleep", "ms": 1500 }, { "call": "capture", "category": "c", "title": "t",
                  "description": "d", "impact": 0.1, "tags": [] }
            ] },
        }))
        .await;
    host.wait_for(&id, "suspended", LIMIT).await;
    host.kill9();
    // What the run was told stays what it was told.
    learn(&host, "Record more", "record", &[]).await;
    host.restart().await;
    host.wait_for(&id, "failed", LIMIT).await;
    assert_eq!(uses(&host).await, [(learning, 1)]);
    let logs = host.logs(&id).await;
    let said: Vec<&str> =
        logs.iter().filter(|line| line["action"] == "log").map(|line| line["message"].as_str().unwrap()).collect();
    assert_eq!(said, ["ok Record it (0 uses)", "ok slept", "ok 3"]);
    let captured: i64 = sqlx::query_scalar("select count(*) from learnings where task_id = $1::uuid")
        .bind(&id)
        .fetch_one(&host.db())
        .await
        .unwrap();
    assert_eq!(captured, 1);
}

#[tokio::test]
async fn people_search_and_page_and_see_no_control_characters() {
    let host = recorder().await;
    learn(&host, "Plain \u{202e}title\u{1b}[31m", "about networks", &["net"]).await;
    for number in 0..3 {
        learn(&host, &format!("Other {number}"), "about networks, too", &["x"]).await;
    }
    let token = host.token("viewer").await;
    let get = async |path: &str| host.api(Method::GET, path, Some(&token), None).await;
    let (status, _, page) = get("/api/v1/learnings?q=network&tag=net").await;
    assert_eq!((status, page["items"].as_array().unwrap().len()), (StatusCode::OK, 1), "{page}");
    assert_eq!(page["items"][0]["uses"], 0);
    let (_, _, first) = get("/api/v1/learnings?q=network&limit=3").await;
    assert_eq!(first["items"].as_array().unwrap().len(), 3);
    let (_, _, second) =
        get(&format!("/api/v1/learnings?q=network&limit=3&cursor={}", first["next"].as_str().unwrap())).await;
    assert_eq!((second["items"].as_array().unwrap().len(), &second["next"]), (1, &Value::Null));
    assert_eq!(get("/api/v1/learnings?q=%22unclosed%20-%20or%20(").await.0, StatusCode::OK);
    assert_eq!(get("/api/v1/learnings?q=a%00b").await.0, StatusCode::BAD_REQUEST);
    assert_eq!(get("/api/v1/learnings?cursor=x").await.0, StatusCode::BAD_REQUEST);
    assert_eq!(get(&format!("/api/v1/learnings?q={}", "a".repeat(1001))).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(host.api(Method::GET, "/api/v1/learnings", None, None).await.0, StatusCode::UNAUTHORIZED);

    let folder = TempDir::new().unwrap();
    let env = [("JUGGERNAUT_URL", host.url()), ("JUGGERNAUT_TOKEN", token.as_str())];
    let shown = juggernaut(folder.path(), &["learning", "search", "plain"], &env).await;
    assert!(shown.stdout.contains("Plain <U+202E>title<U+001B>[31m"), "{shown:?}");
    let listed = juggernaut(folder.path(), &["learning", "list", "--tag", "x"], &env).await;
    assert!(listed.stdout.contains("Other 2") && !listed.stdout.contains("Plain"), "{listed:?}");
}
