//! How approvals end that nobody uses, and who is one person.

use juggernaut::approval::Asked;
use juggernaut::db::tokens::TokenRole;
use juggernaut::task::TaskId;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::approval_people::person;
use crate::approval_races::request;
use crate::approvals::{approver, merges, risky, sql, waiting};
use crate::audit::{agrees, count};
use crate::engine::{self, admitted, claim, execute, row};
use crate::support::{Database, Host, LIMIT, Options, RolesDir, code_task};

/// It waits for another task, so nobody claims it in time.
#[tokio::test]
async fn an_approved_start_that_expires_is_asked_for_anew_whatever_the_task_waits_for() {
    let database = Database::create().await;
    let (pool, db) = (database.pool(), database.db());
    let create = async |worker: &str, depends_on: &[TaskId], start_reason: Option<&str>| {
        let draft = json!({
            "title": worker, "task_type": "code", "depends_on": depends_on, "assigned_worker": worker,
            "payload": { "repository": "demo/sample", "instructions": "do it" },
        });
        let mut task = admitted(draft);
        task.treatment.start_reason = start_reason.map(str::to_owned);
        engine::create(&db, &task).await.id
    };
    let first = create("FIRST", &[], None).await;
    let second = create("SECOND", &[first], Some("somebody looks")).await;
    db.sweep_approvals().await.unwrap();
    let query = "select id from approvals where state = 'requested'";
    let id = juggernaut::approval::ApprovalId(sqlx::query_scalar(query).fetch_one(pool).await.unwrap());
    db.approve(id, &person(&db, "ann@example.org").await, None).await.unwrap();
    assert_eq!(row(pool, second).await["status"], "suspended");
    execute(pool, "update approvals set expires_at = now()").await;
    assert_eq!(db.sweep_approvals().await.unwrap().expired, 1);
    assert_eq!(row(pool, second).await["requires_approval"], true);
    let (_, key) = claim(&db, "FIRST").await;
    let evidence = json!({ "verdict": "verified", "steps": [{ "attempt": 1, "position": 0 }] });
    let ending = juggernaut::db::outcomes::Ending::completed(&evidence, "done".to_owned()).unwrap();
    engine::end(&db, &key, &engine::batch(0), &ending).await.unwrap();
    assert_eq!(row(pool, second).await["status"], "pending");
    assert_eq!(db.sweep_approvals().await.unwrap().asked, 1);
    let waits = row(pool, second).await;
    assert_eq!((&waits["status"], &waits["requires_approval"]), (&json!("waiting_approval"), &json!(true)), "{waits}");
    agrees(&database).await;
}

/// Approved while it waits for another task, and then something else would run it.
#[tokio::test]
async fn a_start_is_approved_for_what_would_run_it_and_for_nothing_else() {
    let roles = RolesDir::with(&["executor"]);
    let (manifest, component) = (roles.manifest("executor"), roles.component("executor"));
    let policies = tempfile::tempdir().unwrap();
    let extra = "@id(\"extra.nothing\")\nforbid (principal, action == Action::\"fetch\", resource)\n\
                 when { context.method == \"BREW\" };\n";
    std::fs::write(policies.path().join("extra.cedar"), extra).unwrap();
    let mut host = Host::start(Options::default().roles(roles)).await;
    let mut before = code_task("before.py");
    before["assigned_worker"] = json!("nobody");
    let before = host.create_task(before).await;
    let mut draft = risky("a.py", "critical");
    draft["depends_on"] = json!([before]);
    let task = host.create_task(draft).await;
    let start = host.approval(&task, "requested").await;
    assert_eq!(host.decide(&start, "approve", &approver(&host).await).await.0, StatusCode::OK);
    host.wait_for(&task, "suspended", LIMIT).await;
    let mut approved = start;
    for changed in ["manifest", "component", "policies"] {
        assert!(host.terminate().await.success());
        match changed {
            "policies" => host.set_env("JUGGERNAUT_POLICIES", policies.path().to_str().unwrap()),
            _ => {
                let path = if changed == "manifest" { &manifest } else { &component };
                let mut bytes = std::fs::read(path).unwrap();
                // A comment in TOML; an empty custom section in a component.
                bytes.extend_from_slice(if changed == "manifest" { b"\n# changed\n" } else { b"\0\x02\x01x" });
                std::fs::write(path, bytes).unwrap();
            }
        }
        host.restart().await;
        sql(&host, &format!("update governance_tasks set blocked_by = 0, status = 'pending' where id = '{task}'"))
            .await;
        let anew = host.approval(&task, "requested").await;
        assert_eq!((&anew["kind"], &anew["digest"]), (&json!("start"), &approved["digest"]), "{changed}: {anew}");
        assert_eq!(host.approval(&task, "expired").await["id"], approved["id"], "{changed}");
        assert_eq!(host.row(&task).await["lease"], 0, "{changed}: nobody claimed it");
        // Nobody claims it yet: for the next turn it waits for the other task again.
        sql(&host, &format!("update governance_tasks set blocked_by = 1 where id = '{task}'")).await;
        assert_eq!(host.decide(&anew, "approve", &approver(&host).await).await.0, StatusCode::OK);
        host.wait_for(&task, "suspended", LIMIT).await;
        approved = anew;
    }
    // What was approved is what would run it.
    sql(&host, &format!("update governance_tasks set blocked_by = 0, status = 'pending' where id = '{task}'")).await;
    let merge = host.approval(&task, "requested").await;
    assert_eq!((&merge["kind"], &host.approval(&task, "consumed").await["id"]), (&json!("call"), &approved["id"]));
}

#[tokio::test]
async fn an_approval_that_ends_with_its_task_is_on_record() {
    let database = Database::create().await;
    let (pool, db) = (database.pool(), database.db());
    execute(pool, "insert into governance_tasks (title, task_type, risk) values ('t', 'code', 'high')").await;
    let (_, key) = claim(&db, "EXECUTOR").await;
    assert!(matches!(db.ask_approval(&key, &request([7; 32])).await.unwrap(), Asked::Waiting(_)));
    let lost = juggernaut::db::sweep::LEASES_LOST_MAX;
    let gone = format!("update governance_tasks set leases_lost = {lost}, lease_expires_at = now() - interval '1 s'");
    execute(pool, gone).await;
    let swept = db.sweep().await.unwrap();
    assert_eq!((swept.dead, swept.reclaimed), (1, 0));
    let of = async |what: &str| count(pool, what).await;
    assert_eq!(of("approvals where state = 'expired'").await, 1);
    assert_eq!(of("audit_log where kind = 'approval_expired'").await, 1);
    agrees(&database).await;
}

#[tokio::test]
async fn names_that_differ_in_case_are_one_person() {
    let (host, task, approval) = waiting(Options::default()).await;
    let creator = host.token_of("Operator@Example.ORG", TokenRole::Approver).await;
    let (status, answer) = host.decide(&approval, "approve", &creator).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{answer}");
    assert!(answer["detail"].as_str().unwrap().contains("created this task"), "{answer}");
    assert_eq!((host.row(&task).await["status"].clone(), merges(&host)), (json!("waiting_approval"), 0));
}

#[tokio::test]
async fn nobody_approves_a_critical_task_twice_by_another_spelling() {
    let host = Host::start(Options::default()).await;
    let task = host.create_task(risky("a.py", "critical")).await;
    for (name, expected) in
        [("ann@example.org", StatusCode::OK), ("Ann@example.org", StatusCode::FORBIDDEN), ("bob", StatusCode::OK)]
    {
        host.wait_for(&task, "waiting_approval", LIMIT).await;
        let approval = host.approval(&task, "requested").await;
        let token = host.token_of(name, TokenRole::Approver).await;
        let (status, answer) = host.decide(&approval, "approve", &token).await;
        assert_eq!(status, expected, "{name}: {answer}");
    }
    host.wait_for(&task, "completed", LIMIT).await;
}

#[tokio::test]
async fn names_of_no_person_are_refused() {
    let host = Host::start(Options::default()).await;
    let admin = host.token("admin").await;
    for name in ["host", "sql", "HOST", "Sql"] {
        let draft = json!({ "principal": name, "role": "viewer" });
        let (status, _, answer) = host.api(Method::POST, "/api/v1/tokens", Some(&admin), Some(&draft)).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");
        assert!(answer["detail"].as_str().unwrap().contains("reserved"), "{answer}");
    }
}
