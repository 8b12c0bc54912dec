//! Runs that are stopped from outside, by a person or by their deadline: at once, whatever they are doing.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::approvals::{approver, merges, sql, waiting};
use crate::audit::{count, is_true};
use crate::lifecycle::worker_is;
use crate::support::{Host, LIMIT, Options, RolesDir, code_task, juggernaut};

/// A run is stopped within a second. One of a few has to be, and none may take for ever: the machine does other things, too.
const STOPS_WITHIN: Duration = Duration::from_secs(1);
const TRIES: usize = 3;
const STOP_MAX: Duration = Duration::from_secs(10);
const WRITE: &str = "/repos/demo/sample/contents/*";

fn in_time(after: Duration) -> String {
    (OffsetDateTime::now_utc() + after).format(&Rfc3339).unwrap()
}

fn with_deadline(mut draft: Value, after: Duration) -> Value {
    draft["deadline_at"] = in_time(after).into();
    draft
}

/// A host with guests that never end by themselves, each limited to half a minute.
async fn hostile_host() -> Host {
    let roles = RolesDir::with_free_payload(&["hostile"]);
    roles.edit("hostile", "wall_ms = 1_000", "wall_ms = 30_000");
    Host::start(Options::default().roles(roles)).await
}

fn harm(what: &str) -> Value {
    json!({ "title": what, "task_type": "analysis", "assigned_worker": "hostile",
        "payload": { "harm": what, "repository": "demo/sample" } })
}

async fn cancel(host: &Host, task: &str) {
    let token = host.token("operator").await;
    let (status, _, answer) = host.api(Method::POST, &format!("/api/v1/tasks/{task}/cancel"), Some(&token), None).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
}

/// From the request to cancel it until its host says that the guest is gone.
async fn time_to_stop(host: &Host, what: &str) -> Duration {
    let task = host.create_task(harm(what)).await;
    host.wait_for(&task, "in_progress", LIMIT).await;
    worker_is(host, "busy").await;
    let began = Instant::now();
    cancel(host, &task).await;
    while !host.stderr().lines().any(|line| line.contains("the claim is lost") && line.contains(&task)) {
        assert!(began.elapsed() < STOP_MAX, "{what} goes on");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let time = began.elapsed();
    worker_is(host, "idle").await;
    assert_eq!(host.row(&task).await["status"], "cancelled");
    time
}

/// A guest that spins, and one that sleeps.
#[tokio::test]
async fn a_cancelled_guest_stops_within_a_second() {
    let host = hostile_host().await;
    for what in ["loop", "sleep"] {
        let mut times = Vec::new();
        while times.iter().all(|time| *time > STOPS_WITHIN) {
            assert!(times.len() < TRIES, "{what} never stopped within {STOPS_WITHIN:?}: {times:?}");
            times.push(time_to_stop(&host, what).await);
        }
        eprintln!("{what}: stopped after {times:?}");
    }
}

#[tokio::test]
async fn a_run_that_waits_for_github_stops_at_its_deadline() {
    let host = Host::start(Options::default()).await;
    let forge = host.forge();
    forge.hold("PUT", WRITE, "before").await;
    let task = host.create_task(with_deadline(code_task("a.py"), Duration::from_hours(1))).await;
    forge.held().await;
    sql(&host, "update governance_tasks set deadline_at = now()").await;
    let failed = host.wait_for(&task, "failed", LIMIT).await;
    worker_is(&host, "idle").await;
    forge.release().await;
    let reason = failed["error_message"].as_str().unwrap();
    assert!(reason.starts_with("its deadline, ") && reason.ends_with(", has passed"), "{reason}");
    let logs = host.logs(&task).await;
    let said = logs.iter().find(|line| line["action"] == "task_error").unwrap();
    assert_eq!((&said["error_data"]["error_type"], &said["worker_id"]), (&"DeadlinePassed".into(), &"EXECUTOR".into()));
    assert_eq!(
        count(&host.db(), "audit_log where kind = 'task_failed' and details ->> 'from' = 'in_progress'").await,
        1
    );

    // By the end of another task it had every chance to go on.
    let other = host.create_task(with_deadline(code_task("b.py"), Duration::from_hours(1))).await;
    host.wait_for(&other, "completed", LIMIT).await;
    assert_eq!(host.row(&task).await["status"], "failed");
    assert_eq!(merges(&host), 1, "only the other task merged");

    // A retry is a person's word that it is wanted all the same: the attempt goes on, and finds out what became of the
    // write that was under way.
    let token = host.token("operator").await;
    let (status, _, answer) = host.api(Method::POST, &format!("/api/v1/tasks/{task}/retry"), Some(&token), None).await;
    assert_eq!((status, &answer["deadline_at"]), (StatusCode::OK, &Value::Null), "{answer}");
    host.wait_for(&task, "completed", LIMIT).await;
    let logs = host.logs(&task).await;
    let retried = logs.iter().find(|line| line["action"] == "task_retried").unwrap();
    assert!(retried["message"].as_str().unwrap().ends_with("its deadline has passed and is lifted"), "{retried}");
    assert_eq!(merges(&host), 2);
    is_true(&host.database()).await;
}

#[tokio::test]
async fn whatever_a_task_waits_for_its_deadline_ends_it() {
    let (host, task, approval) = waiting(Options::default()).await;
    let pending = host.create_task(with_deadline(
        json!({ "title": "for nobody", "task_type": "code", "assigned_worker": "nobody",
            "payload": code_task("n.py")["payload"] }),
        Duration::from_hours(1),
    ));
    let pending = pending.await;
    let mut blocked = code_task("c.py");
    blocked["depends_on"] = json!([pending]);
    let blocked = host.create_task(with_deadline(blocked, Duration::from_hours(1))).await;
    assert_eq!(host.row(&blocked).await["status"], "suspended");
    sql(&host, "update governance_tasks set deadline_at = now()").await;
    for task in [&task, &pending, &blocked] {
        host.wait_for(task, "failed", LIMIT).await;
    }
    assert_eq!(host.approval(&task, "expired").await["id"], approval["id"]);
    assert_eq!(host.decide(&approval, "approve", &approver(&host).await).await.0, StatusCode::CONFLICT);
    assert_eq!(merges(&host), 0);
    is_true(&host.database()).await;
}

#[tokio::test]
async fn a_deadline_is_a_time_to_come() {
    let host = Host::start(Options::default()).await;
    let (folder, token) = (tempfile::TempDir::new().unwrap(), host.token("operator").await);
    let env = [("JUGGERNAUT_URL", host.url()), ("JUGGERNAUT_TOKEN", token.as_str())];
    let create = ["task", "create", "--title", "t", "--type", "analysis", "--deadline"];
    for (deadline, because) in [
        ("2020-01-01T00:00:00Z", "has passed; name a later time"),
        ("9999-12-31T23:59:59-01:00", "is after the year 9999"),
        ("soon", "deadline_at"),
    ] {
        let refused = juggernaut(folder.path(), &[&create[..], &[deadline]].concat(), &env).await;
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.stderr.contains(because), "{refused:?}");
    }
    let far = in_time(Duration::from_hours(48));
    let created = juggernaut(folder.path(), &[&create[..], &[&far]].concat(), &env).await;
    let id = created.stdout.split_whitespace().nth(1).unwrap().to_owned();
    let shown = juggernaut(folder.path(), &["task", "show", &id], &env).await;
    assert!(shown.stdout.contains("\ndeadline       "), "{shown:?} {created:?}");
}
