//! Faults, holds, and the list of requests.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Fixture, R, TOKEN, answer, write_body};

async fn fault(forge: &Fixture, method: &str, path: &str, fault: Value) {
    let body = json!({"target": {"method": method, "path": path}, "fault": fault});
    forge.post("/_forge/faults", body).await.expect(201);
}

#[tokio::test]
async fn prepared_answers() {
    let forge = Fixture::new().await;
    let rule = json!({
        "target": {"method": "GET", "path": "/repos/*/git/ref/*", "skip": 1, "times": 2},
        "fault": {"kind": "status", "status": 502, "headers": {"retry-after": "3"}, "body": {"message": "bad"}},
    });
    let rule = forge.post("/_forge/faults", rule).await.expect(201);
    let get = async || forge.get(&format!("{R}/git/ref/heads/main")).await;
    get().await.expect(200);
    for _ in 0..2 {
        let failed = get().await;
        assert_eq!((failed.status, &failed.headers["retry-after"]), (502, &"3".parse().unwrap()));
        assert_eq!(failed.body, json!({"message": "bad"}));
    }
    get().await.expect(200);
    let path = format!("/_forge/faults/{}", rule["id"]);
    assert_eq!(forge.get("/_forge/faults").await.expect(200).as_array().unwrap().len(), 1);
    forge.delete(&path).await.expect(204);
    forge.delete(&path).await.expect(404);

    fault(&forge, "*", "*", json!({"kind": "secondary-rate-limit", "retry_after": 7})).await;
    let limited = forge.get(R).await;
    assert_eq!((limited.status, &limited.headers["retry-after"]), (403, &"7".parse().unwrap()));
    assert!(limited.text.contains("secondary rate limit"));
    fault(&forge, "*", "*", json!({"kind": "rate-limit"})).await;
    let limited = forge.get(R).await;
    assert_eq!((limited.status, &limited.headers["x-ratelimit-remaining"]), (403, &"0".parse().unwrap()));
    forge.get(R).await.expect(200);
    let odd = json!({"fault": {"kind": "odd"}});
    forge.post("/_forge/faults", odd).await.expect(422);
    let odd = json!({"fault": {"kind": "status", "status": 99}});
    forge.post("/_forge/faults", odd).await.expect(422);
    let odd = json!({"fault": {"kind": "late-status", "status": 99}});
    forge.post("/_forge/faults", odd).await.expect(422);
}

#[tokio::test]
async fn broken_connections() {
    let forge = Fixture::new().await;
    let path = format!("{R}/contents/lost");
    let put = || forge.request(Method::PUT, &path).json(&write_body("lost", "x", "main"));
    fault(&forge, "PUT", "*/contents/*", json!({"kind": "drop-request"})).await;
    assert!(put().send().await.is_err());
    forge.get(&path).await.expect(404);
    fault(&forge, "PUT", "*/contents/*", json!({"kind": "lose-response"})).await;
    assert!(put().send().await.is_err());
    forge.get(&path).await.expect(200);
    assert_eq!(forge.git(&["log", "-1", "--format=%s", "main"]), "lost\n");

    let late = format!("{R}/contents/late");
    let put_late = || forge.request(Method::PUT, &late).json(&write_body("late", "x", "main"));
    fault(&forge, "PUT", "*/contents/late", json!({"kind": "late-status", "status": 502})).await;
    assert_eq!(put_late().send().await.unwrap().status(), 502);
    forge.get(&late).await.expect(200);
    assert_eq!(forge.git(&["log", "-1", "--format=%s", "main"]), "late\n");
    fault(&forge, "PUT", "*/contents/later", json!({"kind": "late-hang"})).await;
    let later = format!("{R}/contents/later");
    let hanging = forge.request(Method::PUT, &later).json(&write_body("later", "x", "main"));
    assert!(hanging.timeout(Duration::from_secs(2)).send().await.unwrap_err().is_timeout());
    forge.get(&later).await.expect(200);

    fault(&forge, "GET", R, json!({"kind": "reset"})).await;
    let begun = forge.request(Method::GET, R).send().await.unwrap();
    assert_eq!(begun.status(), 200);
    assert!(begun.text().await.is_err());
    forge.get(R).await.expect(200);

    fault(&forge, "GET", R, json!({"kind": "hang"})).await;
    let hanging = forge.request(Method::GET, R).timeout(Duration::from_millis(200));
    assert!(hanging.send().await.unwrap_err().is_timeout());
    let seen = forge.get(&format!("/_forge/requests?method=GET&path={R}")).await.expect(200);
    let seen: Vec<(&Value, &Value)> =
        seen["requests"].as_array().unwrap().iter().map(|it| (&it["status"], &it["fault"])).collect();
    let wanted = [(json!(200), json!("reset")), (json!(200), Value::Null), (Value::Null, json!("hang"))];
    assert_eq!(seen, wanted.iter().map(|(a, b)| (a, b)).collect::<Vec<_>>());
    let told = Instant::now();
    forge.running.stop().await.unwrap();
    assert!(told.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn requests_are_listed_without_tokens() {
    let forge = Fixture::new().await;
    forge.get(&format!("{R}/commits?per_page=1")).await.expect(200);
    let anonymous = forge.client.get(format!("{}/rate_limit", forge.running.url()));
    answer(anonymous).await.expect(401);
    let seen = forge.get("/_forge/requests").await;
    assert!(!seen.text.contains(TOKEN));
    let seen = seen.expect(200);
    assert_eq!(seen["total_count"], 2);
    let (first, second) = (&seen["requests"][0], &seen["requests"][1]);
    assert_eq!((&first["method"], &first["status"], &first["token"]), (&json!("GET"), &json!(200), &json!(true)));
    assert_eq!(first["query"], "per_page=1");
    assert_eq!(
        (&second["path"], &second["status"], &second["token"]),
        (&json!("/rate_limit"), &json!(401), &json!(false))
    );
    forge.delete("/_forge/requests").await.expect(204);
    assert_eq!(forge.get("/_forge/requests").await.expect(200)["total_count"], 0);
}

/// Polls until a request is held.
async fn held(forge: &Fixture) -> Value {
    for _ in 0..200 {
        let holds = forge.get("/_forge/holds").await.expect(200);
        if holds[0]["held"].as_array().is_some_and(|held| !held.is_empty()) {
            return holds[0].clone();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("no request was held");
}

#[tokio::test]
async fn held_before_and_after_acting() {
    let forge = Fixture::new().await;
    for (when, status_while_held) in [("before", 404), ("after", 200)] {
        let path = format!("{R}/contents/{when}");
        let hold = json!({"target": {"method": "PUT", "path": "*/contents/*"}, "when": when});
        let hold = forge.post("/_forge/holds", hold).await.expect(201);
        let put = forge.request(Method::PUT, &path).json(&write_body("m", "x", "main"));
        let put = tokio::spawn(answer(put));
        let seen = held(&forge).await;
        assert_eq!(seen["held"][0]["path"], path);
        forge.get(&path).await.expect(status_while_held);
        assert!(!put.is_finished());
        forge.delete(&format!("/_forge/holds/{}", hold["id"])).await.expect(204);
        put.await.unwrap().expect(201);
    }
    forge.delete("/_forge/holds/99").await.expect(404);
}

#[tokio::test]
async fn a_held_request_acts_although_its_sender_died() {
    let forge = Fixture::new().await;
    let hold = json!({"target": {"method": "PUT"}});
    forge.post("/_forge/holds", hold).await.expect(201);
    let path = format!("{R}/contents/late");
    let put = forge.request(Method::PUT, &path).json(&write_body("late", "x", "main"));
    let put = tokio::spawn(answer(put));
    held(&forge).await;
    put.abort();
    tokio::time::sleep(Duration::from_millis(50)).await;
    forge.get(&path).await.expect(404);
    forge.delete("/_forge/holds").await.expect(204);
    for _ in 0..200 {
        if forge.get(&path).await.status == 200 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the released request had no effect");
}
