//! A guest that has a secret of the host, and tries to get it out: nothing of it arrives anywhere, and people are told.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use juggernaut::secrets::Scanner;
use reqwest::{Method, StatusCode};
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::support::{AUDIT_KEY, Host, LIMIT, Options, RolesDir, juggernaut};

fn hostile() -> RolesDir {
    let roles = RolesDir::with_free_payload(&["hostile"]);
    roles.edit("hostile", "wall_ms = 1_000", "wall_ms = 120_000");
    roles.edit("hostile", "host_calls = 200", "host_calls = 10_000");
    roles.edit("hostile", "log_lines = 100", "log_lines = 1_000");
    roles.edit("hostile", "journal_kib = 4_096", "journal_kib = 65_536");
    roles
}

fn task(harm: &str, texts: &[String], end: &str, times: u32) -> Value {
    json!({
        "title": harm, "task_type": "analysis", "attempts_max": 1, "assigned_worker": "hostile",
        "payload": {"harm": harm, "repository": "demo/sample", "texts": texts, "end": end, "times": times},
    })
}

/// The spellings that the issue names.
fn spellings(secret: &str) -> Vec<String> {
    let mut spelled = vec![
        secret.to_owned(),
        hex(secret, ""),
        hex(secret, "").to_uppercase(),
        hex(secret, "%"),
        hex(secret, "\\u00"),
        secret.replace('t', "\\u0074"),
        secret.replace('o', "%6f"),
    ];
    for before in ["", "a", "ab"] {
        spelled.push(STANDARD.encode(format!("{before}{secret}")));
        spelled.push(URL_SAFE_NO_PAD.encode(format!("{before}{secret}{before}")));
    }
    spelled
}

fn hex(text: &str, before: &str) -> String {
    text.bytes().map(|byte| format!("{before}{byte:02x}")).collect()
}

async fn alerts(host: &Host, query: &str) -> Vec<Value> {
    let token = host.token("viewer").await;
    let (status, _, page) = host.api(Method::GET, &format!("/api/v1/alerts{query}"), Some(&token), None).await;
    assert_eq!(status, StatusCode::OK, "{page}");
    page["items"].as_array().unwrap().clone()
}

/// Everything that is kept of a run and everything that is shown of it, but for the payload that the test planted.
async fn everything(host: &Host, id: &str) -> Vec<(String, String)> {
    let mut kept = Vec::new();
    for (table, row) in [
        ("governance_tasks", "to_jsonb(t) - 'payload'"),
        ("task_steps", "row_to_json(t)"),
        ("execution_logs", "row_to_json(t)"),
        ("alerts", "row_to_json(t)"),
    ] {
        let key = if table == "governance_tasks" { "id" } else { "task_id" };
        let query = format!("select ({row})::text from {table} t where {key} = $1::uuid");
        let rows: Vec<String> =
            sqlx::query_scalar(sqlx::AssertSqlSafe(query)).bind(id).fetch_all(&host.db()).await.unwrap();
        kept.extend(rows.into_iter().map(|row| (table.to_owned(), row)));
    }
    let mut shown = host.task(id).await;
    shown.as_object_mut().unwrap().remove("payload");
    kept.push(("the task".to_owned(), shown.to_string()));
    for line in host.logs(id).await.into_iter().chain(host.steps(id).await).chain(alerts(host, "").await) {
        kept.push(("the API".to_owned(), line.to_string()));
    }
    let forge = host.forge();
    kept.push(("the repository".to_owned(), forge.git(&["log", "--all", "-p", "--format=fuller"])));
    kept.push(("pull requests".to_owned(), json!(forge.pull_requests().await).to_string()));
    for request in forge.requests().await {
        kept.push(("a request".to_owned(), format!("{} {}", request["method"], request["path"])));
    }
    kept
}

#[tokio::test]
async fn no_spelling_of_a_secret_gets_out_anywhere() {
    let host = Host::start(Options::default().roles(hostile())).await;
    let secret = host.forge().token();
    let scanner = Scanner::new(&[("GITHUB_TOKEN".to_owned(), SecretString::from(secret))]);
    let texts = spellings(secret);
    for text in &texts {
        assert!(scanner.scan(text.as_bytes()).is_some(), "{text}");
    }
    for (end, status) in
        [("failure", "failed"), ("long-failure", "failed"), ("panic", "dead_letter"), ("summary", "failed")]
    {
        let id = host.create_task(task("leak", &texts, end, 0)).await;
        let row = host.wait_for(&id, status, LIMIT).await;
        for (place, text) in everything(&host, &id).await {
            assert_eq!(scanner.scan(text.as_bytes()), None, "{end}, in {place}: {text}");
            // No half of it either, plain or in hexadecimal.
            for half in [&secret[..12], &secret[12..], &hex(&secret[..12], ""), &hex(&secret[12..], "")] {
                assert!(!text.contains(half), "{end}, half in {place}: {text}");
            }
        }
        if end != "summary" && end != "panic" {
            assert!(row["error_message"].as_str().unwrap().contains("[redacted: "), "{row}");
        }
        // What was refused, and in what words.
        let steps = host.steps(&id).await;
        let logs = host.logs(&id).await;
        let told = logs.iter().find(|line| line["message"].as_str().unwrap().starts_with("content: "));
        let told = told.unwrap_or_else(|| panic!("{logs:#?}"))["message"].as_str().unwrap().to_owned();
        assert!(told.contains("secret-in-arguments: github-write.put-file would send out GITHUB_TOKEN"), "{told}");
        assert!(!told.contains("ALLOWED"), "{told}");
        let refused = i64::try_from(steps.len()).unwrap() - 2;
        let open = alerts(&host, "?state=open&severity=critical").await;
        let of_task = |kind: &str| {
            let mut found = open.iter().filter(|alert| alert["task_id"] == *id && alert["kind"] == kind);
            (found.next().cloned(), found.next().is_none())
        };
        let (arguments, alone) = of_task("secret-in-arguments");
        assert_eq!(arguments.unwrap()["occurrences"], refused);
        assert!(alone);
        // Three streams told it.
        assert_eq!(of_task("secret-in-log").0.unwrap()["occurrences"], 3);
        assert_eq!(of_task("secret-in-outcome").0.is_some(), end != "panic");
        // The branch that it may make, at the commit that was there; nothing else.
        assert_eq!(host.forge().git(&["log", "--all", "--oneline"]).lines().count(), 1);
    }
}

#[tokio::test]
async fn the_key_of_the_audit_log_gets_out_in_no_spelling() {
    let host = Host::start(Options::default().roles(hostile())).await;
    let digits = |at: usize| u8::from_str_radix(&AUDIT_KEY[at..at + 2], 16).unwrap();
    let seed: Vec<u8> = (0..AUDIT_KEY.len()).step_by(2).map(digits).collect();
    let mut texts = spellings(AUDIT_KEY);
    texts.extend([STANDARD.encode(&seed), URL_SAFE_NO_PAD.encode(&seed), STANDARD.encode(STANDARD.encode(&seed))]);
    let id = host.create_task(task("leak", &texts, "failure", 0)).await;
    let row = host.wait_for(&id, "failed", LIMIT).await;
    assert!(row["error_message"].as_str().unwrap().contains("[redacted: JUGGERNAUT_AUDIT_KEY]"), "{row}");
    for (place, text) in everything(&host, &id).await {
        for secret in &texts {
            assert!(!text.contains(secret.as_str()), "in {place}: {text}");
        }
    }
    let open = alerts(&host, "?state=open&severity=critical").await;
    let arguments = open.iter().find(|alert| alert["kind"] == "secret-in-arguments").unwrap();
    assert_eq!(arguments["details"]["secret"], "JUGGERNAUT_AUDIT_KEY");
    assert_eq!(host.forge().git(&["log", "--all", "--oneline"]).lines().count(), 1);
}

#[tokio::test]
async fn ten_thousand_attempts_are_one_alert_that_people_settle() {
    let host = Host::start(Options::default().roles(hostile())).await;
    let token = host.forge().token().to_owned();
    let id = host.create_task(task("leak-often", &[token], "", 10_000)).await;
    let row = host.wait_for(&id, "failed", 3 * LIMIT).await;
    assert_eq!(row["error_message"], "denied 10000 times");
    let open = alerts(&host, "?state=open").await;
    assert_eq!(open.len(), 1, "{open:#?}");
    assert_eq!(open[0]["occurrences"], 10_000);
    assert_eq!(open[0]["details"], json!({ "place": "github-read.get-branch", "secret": "GITHUB_TOKEN" }));
    let rows: i64 = sqlx::query_scalar("select count(*) from alerts").fetch_one(&host.db()).await.unwrap();
    assert_eq!(rows, 1);

    let alert = open[0]["id"].as_str().unwrap();
    let settle = async |role: &str, verb: &str| {
        let token = host.token(role).await;
        host.api(Method::POST, &format!("/api/v1/alerts/{alert}/{verb}"), Some(&token), None).await
    };
    assert_eq!(settle("viewer", "acknowledge").await.0, StatusCode::FORBIDDEN);
    assert_eq!(settle("approver", "resolve").await.0, StatusCode::FORBIDDEN);
    let (status, _, acknowledged) = settle("operator", "acknowledge").await;
    assert_eq!(status, StatusCode::OK, "{acknowledged}");
    assert_eq!(acknowledged["state"], "acknowledged");
    assert_eq!(acknowledged["acknowledged_by"], "operator@example.org");
    assert_eq!(settle("admin", "acknowledge").await.2["acknowledged_by"], "operator@example.org");

    // A command line does the rest.
    let folder = tempfile::tempdir().unwrap();
    let bearer = host.token("operator").await;
    let cli = async |arguments: &[&str]| {
        juggernaut(folder.path(), arguments, &[("JUGGERNAUT_URL", host.url()), ("JUGGERNAUT_TOKEN", &bearer)]).await
    };
    let listed = cli(&["alert", "list", "--state", "acknowledged"]).await;
    assert!(listed.stdout.contains(alert) && listed.stdout.contains("10000"), "{listed:?}");
    let resolved = cli(&["alert", "resolve", alert]).await;
    assert_eq!(resolved.code, Some(0), "{resolved:?}");
    assert!(resolved.stdout.starts_with(&format!("resolved {alert}: ")), "{resolved:?}");
    let again = cli(&["alert", "ack", alert]).await;
    assert_eq!(again.code, Some(1));
    assert!(again.stderr.contains("is resolved already"), "{again:?}");
    assert_eq!(cli(&["--json", "alert", "resolve", alert]).await.json()["state"], "resolved");
    assert!(alerts(&host, "?state=open").await.is_empty());
    let unknown = "00000000-0000-4000-8000-000000000000";
    assert_eq!(cli(&["alert", "resolve", unknown]).await.code, Some(1));
    let settled: Vec<Value> = host.logs(&id).await;
    let settled = settled.iter().filter(|line| line["action"].as_str().unwrap().starts_with("alert_")).count();
    assert_eq!(settled, 2);

    // What happens again after that is a new alert.
    let id = host.create_task(task("leak-often", &[host.forge().token().to_owned()], "", 3)).await;
    host.wait_for(&id, "failed", LIMIT).await;
    assert_eq!(alerts(&host, "?state=open").await.len(), 1);
}

#[tokio::test]
async fn a_token_of_anybody_is_no_content_either() {
    let host = Host::start(Options::default().roles(hostile())).await;
    let texts = [format!("ghp_{}", "a1B2".repeat(9)), "AKIAIOSFODNN7EXAMPLE".to_owned()];
    let id = host.create_task(task("leak", &texts, "failure", 0)).await;
    let row = host.wait_for(&id, "failed", LIMIT).await;
    assert_eq!(row["error_message"], "failed: [redacted: aws-access-key]");
    for (place, text) in everything(&host, &id).await {
        for secret in &texts {
            assert!(!text.contains(secret), "in {place}: {text}");
        }
    }
    let open = alerts(&host, "?severity=warning").await;
    let kinds: Vec<_> = open.iter().map(|alert| alert["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == "secret-in-arguments").count(), 2, "{open:#?}");
    assert!(open.iter().all(|alert| alert["title"].as_str().unwrap().contains("looks like a ")), "{open:#?}");
}
