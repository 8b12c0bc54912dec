//! The schedule that a host keeps for its own WATCHDOG.

use juggernaut::db::DbError;
use juggernaut::task::TaskDraft;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::schedules::{YEARLY, call, count, create, fire_now, fired, quiet, row};
use crate::support::{Host, LIMIT, Options, RolesDir};

#[tokio::test]
async fn a_schedule_of_the_hosts_own_is_kept_and_its_pause_too() {
    let host = Host::start(quiet()).await;
    let db = host.database().db();
    let task = |title: &str| -> TaskDraft {
        serde_json::from_value(json!({ "title": title, "task_type": "planning" })).unwrap()
    };
    db.ensure_schedule("watchdog", "* * * * *", task("Watch")).await.unwrap();
    let first = row(&host, "watchdog").await;
    assert_eq!(
        (&first["created_by"], &first["missed"], &first["may_overlap"]),
        (&json!("host"), &json!("skip"), &json!(false))
    );
    db.ensure_schedule("watchdog", "* * * * *", task("Watch")).await.unwrap();
    assert_eq!(row(&host, "watchdog").await["id"], first["id"]);
    assert_eq!(count(&host, "audit_log where kind like 'schedule_c%'").await, 1, "again changes nothing");
    let (status, answer) = call(&host, "admin", Method::DELETE, "/watchdog", None).await;
    assert_eq!(status, StatusCode::CONFLICT, "{answer}");
    assert!(answer["detail"].as_str().unwrap().contains("pause it instead"), "{answer}");
    let (status, _) = call(&host, "operator", Method::POST, "/watchdog/pause", None).await;
    assert_eq!(status, StatusCode::OK);
    db.ensure_schedule("watchdog", YEARLY, task("Watch closely")).await.unwrap();
    let row = row(&host, "watchdog").await;
    assert_eq!((&row["state"], &row["next_at"]), (&json!("paused"), &Value::Null), "{row}");
    assert_eq!((&row["cron"], &row["draft"]["title"]), (&json!(YEARLY), &json!("Watch closely")), "{row}");
    let (_, resumed) = call(&host, "operator", Method::POST, "/watchdog/resume", None).await;
    assert!(resumed["next_at"].as_str().unwrap().contains("-01-01T00:00:00Z"), "{resumed}");
    fire_now(&host, "watchdog").await;
    let row = fired(&host, "watchdog", 1).await;
    let created = host.task(row["last_task"].as_str().unwrap()).await;
    assert_eq!((&created["created_by"], &created["title"]), (&json!("host"), &json!("Watch closely")));
    // What a person made is left alone.
    create(&host, "mine", json!({})).await;
    let taken = db.ensure_schedule("mine", YEARLY, task("Watch")).await;
    assert!(matches!(taken, Err(DbError::ScheduleExists(_))), "{taken:?}");
    assert!(matches!(db.ensure_schedule("x", "* * *", task("Watch")).await, Err(DbError::InvalidSchedule(_))));
}

#[tokio::test]
async fn a_host_with_a_watchdog_keeps_its_schedule() {
    let kept = |options: Options| options.env("JUGGERNAUT_WATCHDOG_CRON", YEARLY);
    let without = Host::start(kept(quiet())).await;
    assert_eq!(count(&without, "schedules").await, 0, "no role of it does monitoring");
    let host = Host::start(kept(Options::default().roles(RolesDir::with(&["watchdog"])))).await;
    let kept = row(&host, "watchdog").await;
    assert_eq!((&kept["created_by"], &kept["draft"]["task_type"]), (&json!("host"), &json!("monitoring")), "{kept}");
    fire_now(&host, "watchdog").await;
    let fired = fired(&host, "watchdog", 1).await;
    let watched = host.wait_for(fired["last_task"].as_str().unwrap(), "completed", LIMIT).await;
    assert_eq!(watched["evidence"]["kind"], "alerts_evaluated", "{watched}");
}
