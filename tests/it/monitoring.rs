//! What `workers-read`, `metrics-read`, `logs-read` and `alerts` do with a guest that means no good.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Host, LIMIT, Options, RolesDir, juggernaut};
use crate::watchdog::watchdog;

pub(crate) async fn sql(host: &Host, statement: &str) {
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned())).execute(&host.db()).await.unwrap();
}

/// The recorder makes these calls; what it was answered, call by call.
pub(crate) async fn record(host: &Host, calls: &[Value]) -> (String, Vec<String>) {
    let id = host
        .create_task(json!({
            "title": "record", "task_type": "analysis", "payload": { "calls": calls }, "attempts_max": 1,
        }))
        .await;
    host.wait_for(&id, "failed", LIMIT).await;
    let said = sqlx::query_scalar(
        "select message from execution_logs where task_id = $1::uuid and action = 'log' order by id",
    );
    (id.clone(), said.bind(&id).fetch_all(&host.db()).await.unwrap())
}

pub(crate) async fn recorder() -> Host {
    Host::start(Options::default().roles(RolesDir::with_free_payload(&["recorder"]))).await
}

fn raise(kind: &str, fingerprint: &str, more: &Value) -> Value {
    let mut call = json!({ "call": "raise", "kind": kind, "fingerprint": fingerprint, "title": "t", "details": {} });
    for (key, value) in more.as_object().unwrap() {
        call[key] = value.clone();
    }
    call
}

#[tokio::test]
async fn an_alert_beyond_the_grant_is_not_raised() {
    let host = recorder().await;
    // What the host itself raised: no guest may count on it, hide behind it, or settle it.
    sql(
        &host,
        "insert into alerts (severity, kind, fingerprint, title)
         values ('critical', 'secret-in-log', 'secret-in-log/x', 'by the host'),
                ('critical', 'test-alert', 'test-alert/host', 'by the host, of a kind that is granted')",
    )
    .await;
    let (task, said) = record(
        &host,
        &[
            raise("secret-in-log", "x", &json!({})),
            raise("not-granted", "x", &json!({})),
            raise("test-alert", "host", &json!({})),
            json!({ "call": "resolve", "kind": "secret-in-log", "fingerprint": "x" }),
            json!({ "call": "resolve", "kind": "test-alert", "fingerprint": "host" }),
            json!({ "call": "resolve", "kind": "test-alert", "fingerprint": "never" }),
            json!({ "call": "open" }),
            raise("test-alert", "a", &json!({ "title": { "length": 201 } })),
            raise("test-alert", "a", &json!({ "title": "" })),
            raise("test-alert", "", &json!({})),
            raise("test-alert", "a", &json!({ "details": { "length": 17000 } })),
            raise("test-alert", "a", &json!({ "details": "[]" })),
        ],
    )
    .await;
    let begins = [
        "denied",
        "denied",
        "Error::Conflict",
        "denied",
        "not-found",
        "not-found",
        "ok []",
        "invalid",
        "invalid",
        "invalid",
        "invalid",
        "invalid",
    ];
    for (said, begins) in said.iter().zip(begins) {
        assert!(said.starts_with(begins), "{said} is not {begins}");
    }
    assert_eq!(said.len(), begins.len());
    assert!(said[1].contains("kinds of [grants.alerts]"), "{}", said[1]);
    let rows: i64 = sqlx::query_scalar("select count(*) from alerts where raised_by is not null or occurrences > 1")
        .fetch_one(&host.db())
        .await
        .unwrap();
    assert_eq!(rows, 0);
    let denied: i64 = sqlx::query_scalar(
        "select count(*) from audit_log where task_id = $1::uuid and kind = 'policy_decision'
         and details::jsonb ->> 'verdict' = 'denied'",
    )
    .bind(&task)
    .fetch_one(&host.db())
    .await
    .unwrap();
    assert_eq!(denied, 3, "each refusal of policy is in the audit log");
}

#[tokio::test]
async fn a_flood_of_alerts_ends_at_the_grant() {
    let host = recorder().await;
    let mut flood: Vec<Value> = (0..3).map(|number| raise("test-alert", &number.to_string(), &json!({}))).collect();
    flood.push(raise(
        "other-alert",
        "0\u{2400}\u{202e}",
        &json!({ "title": "a\u{2400}\u{202e}b", "details": {"k\u{2400}": "\u{2400}"} }),
    ));
    flood.push(raise("test-alert", "flood", &json!({ "times": 200 })));
    flood.push(json!({ "call": "open" }));
    let (task, said) = record(&host, &flood).await;
    assert!(said[..4].iter().all(|said| said.starts_with("ok ")), "{said:#?}");
    assert!(said[4..204].iter().all(|said| said.starts_with("denied alerts.alerts_max")), "{said:#?}");
    assert!(said[204].contains("a␀\\u{202e}b"), "{}", said[204]);
    let rows: Vec<(String, String, Value)> =
        sqlx::query_as("select fingerprint, title, details from alerts where task_id = $1::uuid order by fingerprint")
            .bind(&task)
            .fetch_all(&host.db())
            .await
            .unwrap();
    assert_eq!(rows.len(), 4);
    assert_eq!(rows[0], ("other-alert/0␀\u{202e}".to_owned(), "a␀\u{202e}b".to_owned(), json!({ "k␀": "␀" })));
    let raised: i64 =
        sqlx::query_scalar("select count(*) from audit_log where task_id = $1::uuid and kind = 'alert_raised'")
            .bind(&task)
            .fetch_one(&host.db())
            .await
            .unwrap();
    assert_eq!(raised, 4);
}

#[tokio::test]
async fn a_window_beyond_the_grant_is_denied_before_anything_is_looked_at() {
    let host = recorder().await;
    let measure = |metric: &str, window: u64| json!({ "call": "measure", "metric": metric, "window": window });
    let lines = |more: Value| {
        let mut call = json!({ "call": "lines", "window": 60, "limit": 5 });
        more.as_object().unwrap().iter().for_each(|(key, value)| call[key] = value.clone());
        call
    };
    let (_, said) = record(
        &host,
        &[
            measure("completion", 7201),
            measure("completion", u64::MAX),
            measure("completion", 0),
            measure("completion", 7200),
            lines(json!({ "window": 7201 })),
            lines(json!({ "limit": 6 })),
            lines(json!({ "limit": 0 })),
            lines(json!({ "task": "nobody" })),
            lines(json!({ "task": "00000000-0000-0000-0000-000000000001" })),
            lines(json!({ "level": "debug" })),
        ],
    )
    .await;
    for (said, begins) in said.iter().zip([
        "denied",
        "denied",
        "invalid",
        "ok task-type,created,completed,failed,dead-lettered,completion-rate,failure-rate",
        "denied",
        "denied",
        "invalid",
        "invalid",
        "ok []",
        "ok [",
    ]) {
        assert!(said.starts_with(begins), "{said} is not {begins}");
    }
    assert!(said[0].contains("window_hours_max of [grants.metrics-read]"), "{}", said[0]);
    assert!(said[5].contains("lines_max of [grants.logs-read]"), "{}", said[5]);
}

#[tokio::test]
async fn figures_are_those_of_the_tables() {
    let host = recorder().await;
    sql(
        &host,
        "insert into governance_tasks (title, task_type, status, created_at, started_at, completed_at)
         select 't', 'test', 'failed', now() - interval '10 minutes', now() - interval '9 minutes', now() - interval '1 minute'
         from generate_series(1, 3);
         insert into governance_tasks (title, task_type, created_at) values ('q', 'documentation', now() - interval '30 minutes');
         insert into governance_tasks (title, task_type, status, created_at, completed_at)
         values ('old', 'test', 'failed', now() - interval '3 hours', now() - interval '3 hours');
         insert into execution_logs (action, level, message, error_data)
         select 'task_error', 'error', 'm', jsonb_build_object('details', format('timeout after %s ms at 0x%s', n * 17, md5(n::text)))
         from generate_series(1, 4) as n;
         insert into execution_logs (action, level, message) values ('task_error', 'error', 'something else')",
    )
    .await;
    let measure = |metric: &str| json!({ "call": "measure", "metric": metric, "window": 7200 });
    let (task, said) = record(
        &host,
        &[
            measure("completion"),
            measure("queue"),
            measure("errors"),
            measure("throughput"),
            measure("running"),
            measure("duration"),
            measure("budget"),
            json!({ "call": "workers" }),
        ],
    )
    .await;
    assert!(said[0].contains(r#"["test", "3", "0", "3", "0", "0.0000", "1.0000"]"#), "{}", said[0]);
    assert!(said[1].contains(r#"["documentation", "pending", "1", "1800."#), "{}", said[1]);
    assert!(said[2].contains(r#""4", "", "#) && said[2].contains("timeout after"), "{}", said[2]);
    assert_eq!(said[2].matches("something else").count(), 1, "{}", said[2]);
    assert!(said[3].starts_with("ok hour-ms,created,completed,failed [["), "{}", said[3]);
    assert!(said[4].contains(&format!(r#"["{task}", "analysis", "RECORDER""#)), "{}", said[4]);
    assert_eq!(said[5], "ok task-type,count,p50-seconds,p95-seconds,max-seconds []");
    assert!(
        said[6].starts_with("ok spent-tokens,limit-tokens,spent-microdollars,limit-microdollars [[\"0\", "),
        "{}",
        said[6]
    );
    assert!(said[7].contains("RECORDER") && said[7].contains("silent-seconds: "), "{}", said[7]);
}

#[tokio::test]
async fn errors_that_differ_in_names_and_numbers_have_one_shape() {
    let host = watchdog().await;
    for (one, other) in [
        ("no answer from 10.0.0.1:5432", "no answer from 10.0.0.27:80"),
        ("task 6f9619ff-8b86-d011-b42d-00cf4fc964ff is gone", "task 00000000-0000-0000-0000-000000000001 is gone"),
        ("commit 4a75676 is unknown", "commit b42d00cf4fc964ff0a is unknown"),
        ("no file \"a.py\" in `x`", "no file \"b/c.py\" in `y z`"),
        ("No  such\n thing", "no such thing"),
        ("at 0xdeadbeef", "at 0x1"),
    ] {
        let same: (String, String) = sqlx::query_as("select error_fingerprint($1), error_fingerprint($2)")
            .bind(one)
            .bind(other)
            .fetch_one(&host.db())
            .await
            .unwrap();
        assert_eq!(same.0, same.1, "{one} | {other}");
    }
    for (one, other) in [("no answer", "no question"), ("it can't be facaded", "it can't be decoded")] {
        let differ: bool = sqlx::query_scalar("select error_fingerprint($1) <> error_fingerprint($2)")
            .bind(one)
            .bind(other)
            .fetch_one(&host.db())
            .await
            .unwrap();
        assert!(differ, "{one} | {other}");
    }
}

#[tokio::test]
async fn a_manifest_is_not_granted_kinds_of_the_host() {
    let roles = RolesDir::with_free_payload(&["recorder"]);
    for kind in juggernaut::records::HOST_KINDS {
        let text = std::fs::read_to_string(roles.manifest("recorder")).unwrap();
        let granted = text.replace("\"other-alert\"", &format!("\"{kind}\""));
        assert_ne!(granted, text);
        let refused = TempDir::new().unwrap();
        let role = refused.path().join("recorder");
        std::fs::create_dir(&role).unwrap();
        std::fs::write(role.join("capabilities.toml"), granted).unwrap();
        std::fs::copy(roles.component("recorder"), role.join("recorder.wasm")).unwrap();
        let shown = juggernaut(refused.path(), &["role", "inspect", role.to_str().unwrap()], &[]).await;
        assert_ne!(shown.code, Some(0), "{shown:?}");
        assert!(shown.stderr.contains("which the host raises itself"), "{shown:?}");
    }
}
