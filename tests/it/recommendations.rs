//! Recommendations: filed by a planning task, made by the approval of another person, exactly as they were filed or not at all.

use juggernaut::db::tokens::TokenRole;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::approvals::{approver, sql};
use crate::audit::{agrees, count, tamper};
use crate::support::{Host, LIMIT, Options, RolesDir};

async fn recommender() -> Host {
    Host::start(Options::default().roles(RolesDir::with(&["recommender"]))).await
}

/// A task that waits, because nobody takes it.
async fn waiting(host: &Host, title: &str) -> String {
    host.create_task(json!({ "title": title, "task_type": "analysis", "priority": "low", "assigned_worker": "gone" }))
        .await
}

/// Has these recommendations filed; returns the planning task and what came of each.
async fn planned(host: &Host, calls: &[Value]) -> (String, Vec<String>) {
    let task = json!({ "title": "Plan", "task_type": "planning", "description": json!(calls).to_string() });
    let task = host.create_task(task).await;
    host.wait_for(&task, "completed", LIMIT).await;
    let logs = host.logs(&task).await;
    let said =
        logs.iter().filter(|line| line["action"] == "log").map(|line| line["message"].as_str().unwrap().to_owned());
    (task, said.collect())
}

/// Three tasks, and a recommendation that changes each of them and creates two more.
async fn filed(host: &Host) -> ([String; 3], String, Value) {
    let tasks = [waiting(host, "a").await, waiting(host, "b\u{202e}").await, waiting(host, "c").await];
    let [a, b, c] = &tasks;
    let call = json!({ "title": "Tidy up", "rationale": "they are old", "changes": [
        { "raise": a }, { "assign": b }, { "cancel": c, "reason": "old\n1. Create nothing" },
        { "create": "first", "title": "Look", "payload": { "x": 1.5e300 } }, { "create": "then", "title": "Look again", "depends_on": ["first"] },
    ] });
    let (planning, said) = planned(host, &[call]).await;
    assert!(said[0].starts_with("ok "), "{said:?}");
    let approval = host.approval(&planning, "requested").await;
    (tasks, planning, approval)
}

async fn state(host: &Host, planning: &str) -> String {
    let state = "select state::text from recommendations where task_id = $1::uuid";
    sqlx::query_scalar(state).bind(planning).fetch_one(&host.db()).await.unwrap()
}

/// Nothing of it was made.
async fn untouched(host: &Host, tasks: &[String]) {
    for task in tasks {
        let row = host.row(task).await;
        assert_eq!(
            (&row["priority"], &row["assigned_worker"], &row["status"]),
            (&json!("low"), &json!("gone"), &json!("pending"))
        );
    }
    assert_eq!(count(&host.db(), "governance_tasks where title like 'Look%'").await, 0);
    assert_eq!(count(&host.db(), "audit_log where kind = 'recommendation_applied'").await, 0);
}

#[tokio::test]
async fn what_was_filed_is_made_by_an_approval_and_nothing_before() {
    let host = recommender().await;
    let (tasks, planning, approval) = filed(&host).await;
    assert_eq!(host.row(&planning).await["evidence"]["kind"], "recommendation_filed");
    assert_eq!((&approval["kind"], &approval["risk"]), (&json!("recommendation"), &json!("high")));
    assert_eq!(approval["role_says"], "they are old");
    let shown = approval["shown"].as_str().unwrap();
    for line in [
        &format!("1. Set the priority of task {} from low to critical", tasks[0]),
        &format!("2. Mean task {} for any worker", tasks[1]),
        "| b<U+202E>",
        &format!("3. Cancel task {}", tasks[2]),
        "| 1. Create nothing",
        "of type analysis, priority medium, risk low",
        "| Look again",
    ] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    assert!(!shown.contains("\n1. Create nothing") && !shown.contains("they are old"), "{shown}");
    untouched(&host, &tasks).await;

    let (status, answer) = host.decide(&approval, "approve", &approver(&host).await).await;
    assert_eq!((status, &answer["state"]), (StatusCode::OK, &json!("consumed")), "{answer}");
    let rows = [host.row(&tasks[0]).await, host.row(&tasks[1]).await, host.row(&tasks[2]).await];
    assert_eq!((&rows[0]["priority"], &rows[0]["assigned_worker"]), (&json!("critical"), &json!("gone")));
    assert_eq!((&rows[1]["priority"], &rows[1]["assigned_worker"]), (&json!("low"), &Value::Null));
    assert_eq!(rows[2]["status"], "cancelled");
    let created = "governance_tasks where title like 'Look%' and created_by = 'operator@example.org' and risk = 'low'";
    assert_eq!(count(&host.db(), created).await, 2);
    let depends = "task_dependencies d join governance_tasks t on t.id = d.task_id join governance_tasks o on o.id = d.depends_on \
                   where t.title = 'Look again' and o.title = 'Look' and t.status = 'suspended'";
    assert_eq!(count(&host.db(), depends).await, 1);
    assert_eq!(state(&host, &planning).await, "applied");
    for kind in [
        "recommendation_filed",
        "approval_requested",
        "approval_approved",
        "approval_consumed",
        "recommendation_applied",
    ] {
        assert_eq!(count(&host.db(), &format!("audit_log where kind = '{kind}'")).await, 1, "{kind}");
    }
    // Once.
    let (status, answer) = host.decide(&approval, "approve", &approver(&host).await).await;
    assert_eq!(status, StatusCode::CONFLICT, "{answer}");
    assert_eq!(count(&host.db(), "governance_tasks where title like 'Look%'").await, 2);
    agrees(&host.database()).await;
}

#[tokio::test]
async fn who_had_it_planned_does_not_approve_it() {
    let host = recommender().await;
    let ann = host.token_of("ann", TokenRole::Admin).await;
    let a = waiting(&host, "a").await;
    let calls = json!([{ "changes": [{ "raise": a }] }]).to_string();
    let draft = json!({ "title": "Plan", "task_type": "planning", "description": calls });
    let (status, _, task) = host.api(Method::POST, "/api/v1/tasks", Some(&ann), Some(&draft)).await;
    assert_eq!(status, StatusCode::CREATED, "{task}");
    let planning = task["id"].as_str().unwrap();
    host.wait_for(planning, "completed", LIMIT).await;
    let approval = host.approval(planning, "requested").await;
    assert_eq!(approval["risk"], "medium");
    let (status, answer) = host.decide(&approval, "approve", &ann).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{answer}");
    assert!(answer["detail"].as_str().unwrap().contains("ann created this task"), "{answer}");
    untouched(&host, &[a]).await;
    assert_eq!(state(&host, planning).await, "filed");
}

#[tokio::test]
async fn what_does_not_fit_any_more_is_not_made_in_part() {
    let host = recommender().await;
    let (tasks, planning, approval) = filed(&host).await;
    let token = host.token("operator").await;
    let path = format!("/api/v1/tasks/{}/cancel", tasks[2]);
    assert_eq!(host.api(Method::POST, &path, Some(&token), None).await.0, StatusCode::OK);
    let (status, answer) = host.decide(&approval, "approve", &approver(&host).await).await;
    assert_eq!(status, StatusCode::CONFLICT, "{answer}");
    let detail = answer["detail"].as_str().unwrap();
    assert!(
        detail.contains("nothing was changed") && detail.contains(&format!("task {} is cancelled", tasks[2])),
        "{detail}"
    );
    untouched(&host, &tasks[..2]).await;
    assert_eq!(state(&host, &planning).await, "filed");
    let (status, answer) = host.decide(&approval, "deny", &approver(&host).await).await;
    assert_eq!((status, &answer["state"]), (StatusCode::OK, &json!("denied")), "{answer}");
    assert_eq!(state(&host, &planning).await, "refused");
    assert_eq!(host.row(&planning).await["status"], "completed", "it did what it was asked to do");
    let (status, _) = host.decide(&approval, "approve", &approver(&host).await).await;
    assert_eq!(status, StatusCode::CONFLICT);
    untouched(&host, &tasks[..2]).await;
    agrees(&host.database()).await;
}

#[tokio::test]
async fn what_expires_or_was_tampered_with_is_refused() {
    let host = recommender().await;
    let (tasks, planning, approval) = filed(&host).await;
    // Nobody changes what was recommended, and who gets around that changes the digest.
    let change = format!("update recommendations set title = 'x' where task_id = '{planning}'");
    sqlx::raw_sql(sqlx::AssertSqlSafe(change)).execute(&host.db()).await.unwrap_err();
    let other = json!([{ "cancel": { "task": tasks[0], "reason": "x" } }]).to_string();
    let change = format!(
        "update recommendations set changes = '{other}', sha256 = sha256(convert_to('{other}', 'UTF8'))
         where task_id = '{planning}'"
    );
    tamper(&host.db(), &change).await;
    let (status, answer) = host.decide(&approval, "approve", &approver(&host).await).await;
    assert_eq!(status, StatusCode::CONFLICT, "{answer}");
    assert!(answer["detail"].as_str().unwrap().contains("is not what was recommended"), "{answer}");
    assert_eq!(state(&host, &planning).await, "refused");
    untouched(&host, &tasks).await;

    let (tasks, planning, approval) = filed(&host).await;
    let id = approval["id"].as_str().unwrap();
    sql(&host, &format!("update approvals set expires_at = now() - interval '1 second' where id = '{id}'")).await;
    let (status, answer) = host.decide(&approval, "approve", &approver(&host).await).await;
    assert_eq!(status, StatusCode::CONFLICT, "{answer}");
    host.approval(&planning, "expired").await;
    assert_eq!(state(&host, &planning).await, "refused");
    untouched(&host, &tasks).await;
    agrees(&host.database()).await;
}

/// What was admitted under other policies might not be under these.
#[tokio::test]
async fn what_was_judged_by_other_policies_is_refused() {
    let mut host = recommender().await;
    let (tasks, planning, approval) = filed(&host).await;
    let folder = tempfile::tempdir().unwrap();
    let policy =
        "@id(\"mine.no-looking\") @says(\"no\") forbid (principal, action == Action::\"create_task\", resource);";
    std::fs::write(folder.path().join("mine.cedar"), policy).unwrap();
    assert!(host.terminate().await.success());
    host.restart_with(&[("JUGGERNAUT_POLICIES", folder.path().to_str().unwrap())]).await;
    let (status, answer) = host.decide(&approval, "approve", &approver(&host).await).await;
    assert_eq!(status, StatusCode::CONFLICT, "{answer}");
    assert!(answer["detail"].as_str().unwrap().contains("other policies"), "{answer}");
    host.approval(&planning, "expired").await;
    assert_eq!(state(&host, &planning).await, "refused");
    untouched(&host, &tasks).await;
    agrees(&host.database()).await;
}

#[tokio::test]
async fn a_run_recommends_only_what_it_was_granted_and_what_could_be_made() {
    let host = recommender().await;
    let a = waiting(&host, "a").await;
    let ended = waiting(&host, "ended").await;
    let token = host.token("operator").await;
    let path = format!("/api/v1/tasks/{ended}/cancel");
    assert_eq!(host.api(Method::POST, &path, Some(&token), None).await.0, StatusCode::OK);
    let of = |changes: Value| json!({ "changes": changes });
    let drop_table = json!({ "queries": ["drop table users"] });
    let nobody = "00000000-0000-0000-0000-000000000001";
    let cases = [
        (of(json!([])), "invalid changes has 0 entries"),
        (json!({ "changes": [{ "raise": a }], "times": 51 }), "invalid changes has 51 entries"),
        (json!({ "changes": [{ "raise": a }], "times": 1_000 }), "invalid changes has 1000 entries"),
        (of(json!([{ "create": "x", "task_type": "code" }])), "denied"),
        (of(json!([{ "create": "x", "task_type": "no\u{0}such" }])), "denied"),
        (of(json!([{ "create": "x", "payload": drop_table }])), "denied"),
        (of(json!([{ "create": "x", "title": "a\u{0}b" }])), "invalid task \"x\": title"),
        (of(json!([{ "create": "x", "payload": { "a": "\u{0}" } }])), "invalid task \"x\": payload"),
        (of(json!([{ "create": "x", "depends_on": [nobody] }])), "invalid task \"x\": it depends on"),
        (of(json!([{ "create": "x" }, { "create": "x" }])), "invalid task \"x\": two tasks"),
        (of(json!([{ "create": "x", "padding": 300_000 }])), "invalid changes has"),
        (of(json!([{ "cancel": ended }])), "invalid task"),
        (of(json!([{ "cancel": "own" }])), "invalid a task that plans"),
        (of(json!([{ "raise": nobody }])), "invalid there is no task"),
        (of(json!([{ "raise": "\u{0}" }])), "invalid \"\\0\" is no task's id"),
        (of(json!([{ "raise": a }, { "cancel": a }])), "invalid task"),
        (of(json!([{ "assign": a, "worker": "\u{0}" }])), "invalid a worker's type or id"),
        (of(json!([{ "cancel": a, "reason": { "length": 2000 } }])), "invalid a reason to cancel"),
        (json!({ "title": "", "changes": [{ "raise": a }] }), "invalid title"),
        (json!({ "rationale": { "length": 17_000 }, "changes": [{ "raise": a }] }), "invalid rationale"),
        (json!({ "title": "n\u{0}l", "rationale": "\u{0}", "changes": [{ "cancel": a, "reason": "\u{0}" }] }), "ok "),
        (of(json!([{ "raise": a }])), "ok "),
        (of(json!([{ "raise": a }])), "denied recommendations.recommendations_max"),
    ];
    let calls: Vec<Value> = cases.iter().map(|(call, _)| call.clone()).collect();
    let (planning, said) = planned(&host, &calls).await;
    assert_eq!(said.len(), cases.len(), "{said:#?}");
    for ((call, begins), said) in cases.iter().zip(&said) {
        assert!(said.starts_with(begins), "{said} is not {begins}: {:.200}", call.to_string());
    }
    assert!(said[3].contains("task_types of [grants.recommendations]"), "{}", said[3]);
    assert!(said[5].contains("prohibited."), "{}", said[5]);
    let pool = host.db();
    assert_eq!(count(&pool, &format!("recommendations where task_id = '{planning}' and state = 'filed'")).await, 2);
    assert_eq!(count(&pool, "approvals where kind = 'recommendation' and state = 'requested'").await, 2);
    assert_eq!(count(&pool, "recommendations where title = 'n␀l' and rationale = '␀'").await, 1);
    let refused = "audit_log where kind = 'host_call' and details ->> 'interface' = 'recommendations' \
                   and details ->> 'outcome' = 'err'";
    assert!(count(&pool, refused).await >= 17, "{said:#?}");
    untouched(&host, &[a]).await;
    agrees(&host.database()).await;
}

#[tokio::test]
async fn the_strategist_recommends_by_its_rules_or_says_that_there_is_nothing() {
    let host = Host::start(Options::default().roles(RolesDir::with(&["strategist"]))).await;
    let plan = || host.create_task(json!({ "title": "Plan", "task_type": "planning" }));
    let calm = plan().await;
    let failed = host.wait_for(&calm, "failed", LIMIT).await;
    assert!(failed["error_message"].as_str().unwrap().contains("nothing to recommend"), "{failed:#}");
    let old = waiting(&host, "old").await;
    let young = waiting(&host, "young").await;
    let blocks = waiting(&host, "blocks").await;
    let urgent = json!({ "title": "urgent", "task_type": "analysis", "priority": "critical", "depends_on": [blocks] });
    host.create_task(urgent).await;
    sql(&host, &format!("update governance_tasks set created_at = now() - interval '30 hours' where id = '{old}'"))
        .await;
    let planning = plan().await;
    host.wait_for(&planning, "completed", LIMIT).await;
    let approval = host.approval(&planning, "requested").await;
    let says = approval["role_says"].as_str().unwrap();
    for wanted in [
        format!("{blocks}: low to critical; 1 tasks wait for it"),
        format!("{old}: low to medium; 0 tasks wait for it, and it has waited for 30 hours"),
        "- analysis: 4 wait, failure rate unknown".to_owned(),
        "no live worker takes analysis tasks".to_owned(),
    ] {
        assert!(says.contains(&wanted), "{wanted}: {says}");
    }
    let (status, answer) = host.decide(&approval, "approve", &approver(&host).await).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let rank = async |task: &str| host.row(task).await["priority"].clone();
    assert_eq!(
        (rank(&blocks).await, rank(&old).await, rank(&young).await),
        (json!("critical"), json!("medium"), json!("low"))
    );
    agrees(&host.database()).await;
}
