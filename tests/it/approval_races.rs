//! Approvals against time, each other, the task's end and the host's death: each has one right result.

use juggernaut::approval::{Asked, Request, Use, Versions};
use juggernaut::db::DbError;
use juggernaut::db::journal::{Batch, RunKey};
use juggernaut::db::outcomes::Ending;
use juggernaut::db::tokens::TokenRole;
use juggernaut::task::{Lease, Risk};
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::approval_people::person;
use crate::approvals::{approver, merge_requests, merges, sql, waiting};
use crate::engine;
use crate::support::{Database, LIMIT, Options};

const MERGE: &str = "/repos/demo/sample/pulls/*/merge";

#[tokio::test]
async fn an_approval_that_nobody_gives_expires_with_its_task() {
    let (host, task, approval) = waiting(Options::default()).await;
    sql(&host, &format!("update approvals set expires_at = now() where task_id = '{task}'")).await;
    let failed = host.wait_for(&task, "failed", LIMIT).await;
    let reason = failed["error_message"].as_str().unwrap();
    assert!(reason.contains("nobody decided in time") && reason.contains("task retry"), "{reason}");
    let (status, answer) = host.decide(&approval, "approve", &approver(&host).await).await;
    assert_eq!(status, StatusCode::CONFLICT, "{answer}");
    assert_eq!(merges(&host), 0);
}

#[tokio::test]
async fn an_approval_that_is_not_used_in_time_is_asked_for_anew() {
    let (mut host, task, approval) = waiting(Options::default()).await;
    let token = approver(&host).await;
    // Nobody runs it between the approval and its end.
    sql(&host, &format!("update governance_tasks set assigned_worker = 'nobody' where id = '{task}'")).await;
    assert_eq!(host.decide(&approval, "approve", &token).await.0, StatusCode::OK);
    sql(&host, "update approvals set expires_at = now()").await;
    host.approval(&task, "expired").await;
    sql(&host, &format!("update governance_tasks set assigned_worker = null where id = '{task}'")).await;
    let anew = host.approval(&task, "requested").await;
    assert_eq!(anew["digest"], approval["digest"]);
    assert_eq!(merges(&host), 0);
    host.terminate().await;
}

#[tokio::test]
async fn a_cancelled_task_can_not_be_approved() {
    let (host, task, approval) = waiting(Options::default()).await;
    let operator = host.token("operator").await;
    let (status, _, _) = host.api(Method::POST, &format!("/api/v1/tasks/{task}/cancel"), Some(&operator), None).await;
    assert_eq!(status, StatusCode::OK);
    for verb in ["approve", "deny"] {
        let (status, answer) = host.decide(&approval, verb, &approver(&host).await).await;
        assert_eq!(status, StatusCode::CONFLICT);
        assert!(answer["detail"].as_str().unwrap().contains("cancelled"), "{answer}");
    }
    assert_eq!(host.approval(&task, "expired").await["id"], approval["id"]);
    assert_eq!(host.row(&task).await["status"], "cancelled");
    assert_eq!(merges(&host), 0);
}

#[tokio::test]
async fn of_many_decisions_one_counts() {
    for verbs in [["approve", "approve"], ["approve", "deny"]] {
        let (host, task, approval) = waiting(Options::default()).await;
        let mut tokens = Vec::new();
        for name in ["ann", "bob", "cem", "dee"] {
            tokens.push(host.token_of(&format!("{name}@example.org"), TokenRole::Approver).await);
        }
        let decide = |at: usize| host.decide(&approval, verbs[at % 2], &tokens[at]);
        let (a, b, c, d) = tokio::join!(decide(0), decide(1), decide(2), decide(3));
        let answers = [a, b, c, d];
        let won: Vec<_> = answers.iter().filter(|(status, _)| *status == StatusCode::OK).collect();
        assert_eq!(won.len(), 1, "{answers:?}");
        let winner = won[0].1["decided_by"].as_str().unwrap();
        for (status, answer) in answers.iter().filter(|(status, _)| *status != StatusCode::OK) {
            assert_eq!(*status, StatusCode::CONFLICT, "{answer}");
            assert!(answer["detail"].as_str().unwrap().contains(winner), "{answer}");
        }
        let approved = won[0].1["state"] == "approved";
        host.wait_for(&task, if approved { "completed" } else { "failed" }, LIMIT).await;
        assert_eq!((merges(&host), merge_requests(&host).await), (usize::from(approved), usize::from(approved)));
    }
}

#[tokio::test]
async fn a_crash_after_the_approval_was_used_merges_once() {
    for how in ["drop-request", "before", "after"] {
        let (mut host, task, approval) = waiting(Options::default()).await;
        let forge = host.forge();
        let token = approver(&host).await;
        match how {
            "drop-request" => forge.fault("PUT", MERGE, json!({ "kind": "drop-request" })).await,
            when => forge.hold("PUT", MERGE, when).await,
        }
        assert_eq!(host.decide(&approval, "approve", &token).await.0, StatusCode::OK);
        host.approval(&task, "consumed").await;
        if how != "drop-request" {
            forge.held().await;
        }
        host.kill9();
        forge.release().await;
        host.restart().await;
        let done = host.wait_for(&task, "completed", LIMIT).await;
        assert_eq!((&done["attempt"], merges(&host)), (&json!(1), 1), "{how}");
        let count: i64 = sqlx::query_scalar("select count(*) from approvals").fetch_one(&host.db()).await.unwrap();
        assert_eq!(count, 1, "{how}: it was not asked for twice");
    }
}

#[tokio::test]
async fn what_waits_outlives_its_host() {
    let (mut host, task, approval) = waiting(Options::default()).await;
    host.kill9();
    host.restart().await;
    assert_eq!(host.decide(&approval, "approve", &approver(&host).await).await.0, StatusCode::OK);
    host.wait_for(&task, "completed", LIMIT).await;
    assert_eq!(merges(&host), 1);
}

pub(crate) fn request(digest: [u8; 32]) -> Request {
    Request {
        kind: juggernaut::approval::ApprovalKind::Call,
        position: 0,
        unfinished: false,
        action: "github-merge.merge".to_owned(),
        risk: Risk::High,
        policies: vec![],
        reasons: vec![],
        digest,
        versions: Versions { component: [1; 32], manifest: [2; 32], policy: [3; 32] },
        arguments: json!({}),
        shown: "shown".to_owned(),
        role_says: None,
    }
}

/// Somebody decides before the run that asked has ended; and what a run may and may not use up.
#[tokio::test]
async fn a_decision_may_be_quicker_than_the_end_of_the_run() {
    let database = Database::create().await;
    let (pool, db) = (database.pool(), database.db());
    engine::execute(pool, "insert into governance_tasks (title, task_type, risk) values ('t', 'code', 'high')").await;
    let (_, key) = engine::claim(&db, "EXECUTOR").await;
    let Asked::Waiting(id) = db.ask_approval(&key, &request([7; 32])).await.unwrap() else { panic!("it waits") };
    assert_eq!(db.ask_approval(&key, &request([7; 32])).await.unwrap(), Asked::Waiting(id), "the same question");
    let used = |approval, digest| Batch { uses: vec![(0, Use { approval, digest })], ..engine::batch(0) };
    let early = engine::store(&db, &key, &used(id, [7; 32])).await;
    assert!(matches!(early, Err(DbError::NotApproved)), "{early:?}");
    assert!(db.load_steps(key.task, key.attempt).await.unwrap().is_empty(), "the intent went with it");

    db.approve(id, &person(&db, "ann@example.org").await, None).await.unwrap();
    let ending = Ending::WaitingApproval { approval: id, reason: "waits".to_owned() };
    engine::end(&db, &key, &Batch::default(), &ending).await.unwrap();
    let row = engine::row(pool, key.task).await;
    assert_eq!((&row["status"], &row["requires_approval"]), (&json!("pending"), &json!(false)), "{row}");

    let (_, key) = engine::claim(&db, "EXECUTOR").await;
    assert_eq!(db.ask_approval(&key, &request([7; 32])).await.unwrap(), Asked::Approved(id));
    let other = engine::store(&db, &key, &used(id, [8; 32])).await;
    assert!(matches!(other, Err(DbError::NotApproved)), "another action: {other:?}");
    engine::store(&db, &key, &used(id, [7; 32])).await.unwrap();
    let twice = Batch { uses: vec![(1, Use { approval: id, digest: [7; 32] })], ..engine::batch(1) };
    let twice = engine::store(&db, &key, &twice).await;
    assert!(matches!(twice, Err(DbError::NotApproved)), "{twice:?}");
    let after_crash = |position| Request { position, unfinished: true, ..request([7; 32]) };
    assert_eq!(db.ask_approval(&key, &after_crash(0)).await.unwrap(), Asked::Consumed);
    let elsewhere = db.ask_approval(&key, &after_crash(1)).await.unwrap();
    assert!(matches!(elsewhere, Asked::Waiting(new) if new != id), "it was used for another step: {elsewhere:?}");
    assert!(matches!(
        db.ask_approval(&RunKey { lease: Lease(0), ..key.clone() }, &request([7; 32])).await,
        Err(DbError::LeaseLost)
    ));
}
