//! Approvals end to end: the real executor stops at its merge, a person decides through the API, and the run goes on
//! with exactly what was approved, or not at all.

use juggernaut::db::tokens::TokenRole;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use tempfile::TempDir;

use crate::support::{Host, LIMIT, Options, RolesDir, code_task, juggernaut};

pub(crate) fn risky(path: &str, risk: &str) -> Value {
    let mut draft = code_task(path);
    draft["risk"] = json!(risk);
    draft
}

pub(crate) async fn approver(host: &Host) -> String {
    host.token("approver").await
}

pub(crate) fn merges(host: &Host) -> usize {
    host.forge().git(&["log", "--format=%s", "main"]).lines().filter(|subject| subject.contains("(#")).count()
}

/// How often the forge was asked to merge.
pub(crate) async fn merge_requests(host: &Host) -> usize {
    let of = |request: &&Value| {
        request["method"] == "PUT" && request["path"].as_str().is_some_and(|path| path.ends_with("/merge"))
    };
    host.forge().requests().await.iter().filter(of).count()
}

pub(crate) async fn sql(host: &Host, statement: &str) {
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&host.db()).await.unwrap();
}

pub(crate) async fn actions(host: &Host, task: &str) -> Vec<String> {
    let of = |line: Value| line["action"].as_str().filter(|it| it.starts_with("approval_")).map(str::to_owned);
    host.logs(task).await.into_iter().filter_map(of).collect()
}

/// A host, and a high-risk task that waits at its merge.
pub(crate) async fn waiting(options: Options) -> (Host, String, Value) {
    let host = Host::start(options).await;
    let task = host.create_task(risky("a.py", "high")).await;
    host.wait_for(&task, "waiting_approval", LIMIT).await;
    let approval = host.approval(&task, "requested").await;
    (host, task, approval)
}

#[tokio::test]
async fn a_high_risk_task_stops_at_its_merge_and_merges_what_was_approved() {
    let (host, task, approval) = waiting(Options::default()).await;
    let row = host.row(&task).await;
    assert_eq!(row["requires_approval"], true);
    assert!(row["approval_reason"].as_str().unwrap().contains("github-merge.merge"), "{row}");
    assert_eq!(
        (&row["lease_expires_at"], &row["assigned_worker"], &row["attempt"]),
        (&Value::Null, &Value::Null, &json!(1))
    );
    // The worker is free for another one, and nothing of the merge has begun.
    let other = host.create_task(code_task("b.py")).await;
    host.wait_for(&other, "completed", LIMIT).await;
    assert!(host.steps(&task).await.iter().all(|step| step["function"] != "merge"));

    assert_eq!((&approval["action"], &approval["risk"]), (&json!("github-merge.merge"), &json!("high")));
    assert_eq!((&approval["kind"], &approval["solo_mode"]), (&json!("call"), &json!(false)));
    let shown = approval["shown"].as_str().unwrap();
    let head = host.forge().git(&["rev-parse", &format!("feature/{task}")]).trim().to_owned();
    for part in ["demo/sample", "#1", &head, "added \"a.py\" (+1 -0)", "| +\"\"\"A module.\"\"\"\n"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert_eq!(approval["arguments"]["head_sha"], json!(head));
    let message = format!("makes:\n| {task}: Write a.py (#1)\n| \n| Pull request #1 of task {task}, as of {head}.\n");
    assert!(shown.contains(&message), "{shown}");
    assert!(!shown.contains("## Changes"), "the role's words are apart: {shown}");
    assert!(approval["role_says"].as_str().unwrap().contains(&format!("| {task}: Write a.py")), "{approval}");

    // Who may not decide at all, and who may not decide on this.
    for role in ["viewer", "operator"] {
        let (status, _) = host.decide(&approval, "approve", &host.token(role).await).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{role}");
    }
    let creator = host.token_of("operator@example.org", TokenRole::Approver).await;
    let (status, answer) = host.decide(&approval, "approve", &creator).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(answer["detail"].as_str().unwrap().contains("created this task"), "{answer}");
    assert_eq!(merges(&host), 1, "only the other task");

    let (status, answer) = host.decide(&approval, "approve", &approver(&host).await).await;
    assert_eq!((status, &answer["state"]), (StatusCode::OK, &json!("approved")), "{answer}");
    assert_eq!((&answer["decided_by"], &answer["solo"]), (&json!("approver@example.org"), &json!(false)));
    let done = host.wait_for(&task, "completed", LIMIT).await;
    assert_eq!((&done["attempt"], &done["requires_approval"]), (&json!(1), &json!(false)));
    assert!(done["approval_reason"].is_string(), "kept for the record");
    assert_eq!(host.forge().git(&["show", "main:a.py"]), "\"\"\"A module.\"\"\"\n");
    assert_eq!(merges(&host), 2);
    let merged = host.forge().git(&["log", "-1", "--format=%B", "main"]);
    let expected = format!("{task}: Write a.py (#1)\n\nPull request #1 of task {task}, as of {head}.");
    assert_eq!(merged.trim(), expected, "what was shown");
    let used = host.approval(&task, "consumed").await;
    let merge = host.steps(&task).await.into_iter().find(|step| step["function"] == "merge").unwrap();
    assert_eq!(used["position"], merge["position"]);
    assert_eq!(actions(&host, &task).await, ["approval_requested", "approval_approved", "approval_consumed"]);

    let (status, answer) = host.decide(&approval, "approve", &approver(&host).await).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(answer["detail"].as_str().unwrap().contains("approver@example.org"), "{answer}");
}

#[tokio::test]
async fn low_and_medium_risk_run_unattended() {
    let host = Host::start(Options::default()).await;
    for risk in ["low", "medium"] {
        let task = host.create_task(risky(&format!("{risk}.py"), risk)).await;
        host.wait_for(&task, "completed", LIMIT).await;
        assert!(actions(&host, &task).await.is_empty());
    }
}

#[tokio::test]
async fn a_base_that_changed_the_same_file_is_asked_for_anew() {
    let (host, task, approval) = waiting(Options::default()).await;
    host.forge().commit_to_main("a.py", "x\n").await;
    assert_eq!(host.decide(&approval, "approve", &approver(&host).await).await.0, StatusCode::OK);
    // The merge would make something else than what was shown.
    let anew = host.approval(&task, "requested").await;
    assert_ne!((&anew["id"], &anew["digest"]), (&approval["id"], &approval["digest"]));
    assert_eq!(anew["arguments"], approval["arguments"]);
    assert!(anew["shown"].as_str().unwrap().contains("CARE"), "{anew}");
    host.wait_for(&task, "waiting_approval", LIMIT).await;
    assert_eq!((merges(&host), merge_requests(&host).await), (0, 0));
    assert_eq!(host.approval(&task, "expired").await["id"], approval["id"]);
}

#[tokio::test]
async fn another_head_than_the_approved_one_is_not_merged() {
    let (host, task, approval) = waiting(Options::default()).await;
    let body = json!({ "message": "m", "branch": format!("feature/{task}"), "content": "eA==" });
    let (status, _) = host.forge().call(Method::PUT, "/repos/demo/sample/contents/evil.py", Some(body)).await;
    assert_eq!(status, StatusCode::CREATED);
    assert_eq!(host.decide(&approval, "approve", &approver(&host).await).await.0, StatusCode::OK);
    let failed = host.wait_for(&task, "failed", LIMIT).await;
    assert!(failed["error_message"].as_str().unwrap().contains("the head is"), "{failed}");
    assert_eq!((merges(&host), merge_requests(&host).await), (0, 0));
    assert_eq!(host.row(&task).await["requires_approval"], false);
    // It was never used, and with the task it ended.
    assert_eq!(host.approval(&task, "expired").await["id"], approval["id"]);
}

#[tokio::test]
async fn a_denied_task_fails_and_a_retry_asks_anew() {
    let (host, task, approval) = waiting(Options::default()).await;
    let path = format!("/api/v1/approvals/{}/deny", approval["id"].as_str().unwrap());
    let token = approver(&host).await;
    let (status, _, _) = host.api(Method::POST, &path, Some(&token), Some(&json!({ "note": " " }))).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let (status, answer) = host.decide(&approval, "deny", &token).await;
    assert_eq!((status, &answer["state"]), (StatusCode::OK, &json!("denied")), "{answer}");
    let failed = host.wait_for(&task, "failed", LIMIT).await;
    assert_eq!(failed["error_message"], "approval denied by approver@example.org: deny for a test");
    let (status, answer) = host.decide(&approval, "approve", &token).await;
    assert_eq!(status, StatusCode::CONFLICT, "{answer}");

    let operator = host.token("operator").await;
    host.api(Method::POST, &format!("/api/v1/tasks/{task}/retry"), Some(&operator), None).await;
    host.wait_for(&task, "waiting_approval", LIMIT).await;
    let anew = host.approval(&task, "requested").await;
    assert_ne!(anew["id"], approval["id"]);
    assert_eq!((&anew["digest"], &anew["kind"]), (&approval["digest"], &json!("call")));
    assert_eq!(host.decide(&anew, "approve", &token).await.0, StatusCode::OK);
    host.wait_for(&task, "completed", LIMIT).await;
    assert_eq!(merges(&host), 1);
}

/// Killed after the approval was used up: before the request arrived, while it was on its way, and after it took effect.
/// Killed while it waits: nothing is held, so nothing is lost.
#[tokio::test]
async fn another_manifest_or_component_is_asked_for_anew() {
    let roles = RolesDir::with(&["executor"]);
    let (manifest, component) = (roles.manifest("executor"), roles.component("executor"));
    let (mut host, task, mut approval) = waiting(Options::default().roles(roles)).await;
    for path in [manifest, component] {
        host.kill9();
        let mut bytes = std::fs::read(&path).unwrap();
        // A comment in TOML; an empty custom section in a component.
        bytes.extend_from_slice(if path.extension().unwrap() == "toml" { b"\n# changed\n" } else { b"\0\x02\x01x" });
        std::fs::write(&path, bytes).unwrap();
        host.restart().await;
        assert_eq!(host.decide(&approval, "approve", &approver(&host).await).await.0, StatusCode::OK);
        let anew = host.approval(&task, "requested").await;
        assert_eq!(anew["arguments"], approval["arguments"]);
        assert_ne!(anew["digest"], approval["digest"], "{}", path.display());
        host.wait_for(&task, "waiting_approval", LIMIT).await;
        assert_eq!(merges(&host), 0);
        approval = anew;
    }
    assert_eq!(host.decide(&approval, "approve", &approver(&host).await).await.0, StatusCode::OK);
    host.wait_for(&task, "completed", LIMIT).await;
}

#[tokio::test]
async fn a_critical_task_takes_two_persons() {
    let host = Host::start(Options::default()).await;
    let task = host.create_task(risky("a.py", "critical")).await;
    let start = host.approval(&task, "requested").await;
    assert_eq!((&start["kind"], &start["action"]), (&json!("start"), &json!("task.start")));
    assert!(start["shown"].as_str().unwrap().contains("| Write a.py"), "{start}");
    let first = approver(&host).await;
    assert_eq!(host.decide(&start, "approve", &first).await.0, StatusCode::OK);
    let merge = host.approval(&task, "requested").await;
    assert_eq!(merge["kind"], "call");
    let (status, answer) = host.decide(&merge, "approve", &first).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(answer["detail"].as_str().unwrap().contains("task.start of this critical task"), "{answer}");
    let second = host.token_of("second@example.org", TokenRole::Approver).await;
    assert_eq!(host.decide(&merge, "approve", &second).await.0, StatusCode::OK);
    host.wait_for(&task, "completed", LIMIT).await;
    assert_eq!(merges(&host), 1);
}

#[tokio::test]
async fn a_task_that_was_changed_after_its_approval_waits_again() {
    let host = Host::start(Options::default()).await;
    let mut draft = risky("a.py", "critical");
    draft["assigned_worker"] = json!("nobody");
    let task = host.create_task(draft).await;
    let token = approver(&host).await;
    // While it waits, and after it was approved.
    for change in ["description = 'other'", "payload = payload || '{\"base\": \"release\"}'"] {
        let start = host.approval(&task, "requested").await;
        if change.starts_with("payload") {
            assert_eq!(host.decide(&start, "approve", &token).await.0, StatusCode::OK);
            host.wait_for(&task, "pending", LIMIT).await;
        }
        sql(&host, &format!("update governance_tasks set {change} where id = '{task}'")).await;
        let anew = host.approval(&task, "requested").await;
        assert_ne!(anew["digest"], start["digest"], "{change}");
        let (status, answer) = host.decide(&start, "approve", &token).await;
        assert_eq!(status, StatusCode::CONFLICT, "{answer}");
        host.wait_for(&task, "waiting_approval", LIMIT).await;
    }
    assert_eq!(host.row(&task).await["lease"], 0, "nobody ever claimed it");
}

#[tokio::test]
async fn in_solo_mode_one_person_may_do_it_all_and_it_shows() {
    let host = Host::start(Options::default().env("JUGGERNAUT_SOLO_APPROVALS", "on")).await;
    assert!(host.stderr().contains("JUGGERNAUT_SOLO_APPROVALS is on"), "{}", host.stderr());
    let admin = host.token("admin").await;
    let (status, _, task) =
        host.api(Method::POST, "/api/v1/tasks", Some(&admin), Some(&risky("a.py", "critical"))).await;
    assert_eq!(status, StatusCode::CREATED, "{task}");
    let task = task["id"].as_str().unwrap();
    for _ in ["start", "merge"] {
        let approval = host.approval(task, "requested").await;
        assert_eq!(approval["solo_mode"], true);
        let (status, answer) = host.decide(&approval, "approve", &admin).await;
        assert_eq!((status, &answer["solo"]), (StatusCode::OK, &json!(true)), "{answer}");
    }
    host.wait_for(task, "completed", LIMIT).await;
    let (_, _, list) = host.api(Method::GET, "/api/v1/approvals", Some(&admin), None).await;
    assert_eq!((&list["solo_mode"], list["items"].as_array().unwrap().len()), (&json!(true), 2));
}

/// Rows that somebody wrote past the API can be approved like any other.
#[tokio::test]
async fn a_row_that_was_made_by_hand_waits_and_goes_on() {
    let host = Host::start(Options::default()).await;
    let payload = code_task("a.py")["payload"].to_string();
    let id: sqlx::types::Uuid = sqlx::query_scalar(
        "insert into governance_tasks (title, task_type, status, requires_approval, approval_reason, payload)
         values ('by\u{1b}[2J hand', 'code', 'pending', true, 'production', $1::jsonb) returning id",
    )
    .bind(payload)
    .fetch_one(&host.db())
    .await
    .unwrap();
    let task = id.to_string();
    let start = host.approval(&task, "requested").await;
    assert_eq!(start["reasons"], json!(["production"]));
    assert!(start["shown"].as_str().unwrap().contains("| by<U+001B>[2J hand"), "{start}");
    assert_eq!(host.decide(&start, "approve", &approver(&host).await).await.0, StatusCode::OK);
    host.wait_for(&task, "completed", LIMIT).await;
    assert_eq!(host.approval(&task, "consumed").await["id"], start["id"]);
}

/// What was asked and decided stays, whoever writes the row.
#[tokio::test]
async fn the_database_keeps_what_was_asked_and_decided() {
    let (host, task, approval) = waiting(Options::default()).await;
    let refused = async |assignments: &str| {
        let statement = format!("update approvals set {assignments} where task_id = '{task}'");
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&host.db()).await.is_err()
    };
    for assignments in [
        "state = 'consumed', consumed_at = now(), decided_by = 'x', decided_at = now()",
        "shown = 'harmless'",
        "digest = sha256('x')",
        "arguments = '{}'",
        "risk = 'low'",
        "state = 'approved'",
    ] {
        assert!(refused(assignments).await, "{assignments}");
    }
    assert_eq!(host.decide(&approval, "deny", &approver(&host).await).await.0, StatusCode::OK);
    for assignments in
        ["state = 'approved'", "decided_by = 'x'", "note = 'x'", "expires_at = now()", "state = 'requested'"]
    {
        assert!(refused(assignments).await, "{assignments}");
    }
    assert!(sqlx::raw_sql("delete from approvals").execute(&host.db()).await.is_err());
}

#[tokio::test]
async fn the_command_line_shows_and_decides() {
    let (host, task, approval) = waiting(Options::default()).await;
    let folder = TempDir::new().unwrap();
    let token = approver(&host).await;
    let cli = async |arguments: &[&str]| {
        juggernaut(folder.path(), arguments, &[("JUGGERNAUT_URL", host.url()), ("JUGGERNAUT_TOKEN", &token)]).await
    };
    let id = approval["id"].as_str().unwrap();
    let list = cli(&["approval", "list"]).await;
    assert!(list.stdout.contains(id) && list.stdout.contains("github-merge.merge"), "{list:?}");
    assert!(cli(&["task", "show", &task]).await.stdout.contains(id));
    let shown = cli(&["approval", "show", id]).await;
    let (host_says, role_says) = shown.stdout.split_once("=== what the role says about it").unwrap();
    assert!(host_says.contains("| +\"\"\"A module.\"\"\""), "{shown:?}");
    assert!(role_says.lines().filter(|line| line.contains("Write a.py")).all(|line| line.starts_with("role> ")));
    assert_eq!(cli(&["approval", "deny", id]).await.code, Some(2), "a denial says why");
    let approved = cli(&["approval", "approve", id, "--note", "looks right"]).await;
    assert_eq!(approved.code, Some(0), "{approved:?}");
    assert!(approved.stdout.contains("approved github-merge.merge of task"), "{approved:?}");
    assert!(approved.stdout.contains(approval["digest"].as_str().unwrap()), "{approved:?}");
    let again = cli(&["approval", "approve", id]).await;
    assert_eq!(again.code, Some(1));
    assert!(again.stderr.contains("approver@example.org"), "{again:?}");
    host.wait_for(&task, "completed", LIMIT).await;
}

#[tokio::test]
async fn what_only_the_role_attests_a_person_accepts_at_high_risk() {
    let host = Host::start(Options::default()).await;
    let mut draft = risky("a.py", "high");
    draft["acceptance_criteria"] = json!([{"type": "merged"}, "reads well"]);
    let task = host.create_task(draft).await;
    let token = approver(&host).await;
    for (kind, action) in [("call", "github-merge.merge"), ("acceptance", "task.accept")] {
        let row = host.wait_for(&task, "waiting_approval", LIMIT).await;
        assert!(row["approval_reason"].as_str().unwrap().starts_with(action), "{row}");
        let path = format!("/api/v1/approvals?task={task}&state=requested");
        let (_, _, page) = host.api(Method::GET, &path, Some(&token), None).await;
        let approval = &page["items"][0];
        assert_eq!((&approval["kind"], &approval["action"]), (&json!(kind), &json!(action)), "{page}");
        let path = format!("/api/v1/approvals/{}", approval["id"].as_str().unwrap());
        let (_, _, detail) = host.api(Method::GET, &path, Some(&token), None).await;
        if kind == "acceptance" {
            let shown = detail["shown"].as_str().unwrap();
            assert!(shown.contains("[attested by the role, not verified] reads well"), "{shown}");
            assert!(row["completed_at"].is_null() && row["evidence"].is_null(), "{row}");
        }
        let (status, _, answer) =
            host.api(Method::POST, &format!("{path}/approve"), Some(&token), Some(&json!({}))).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        if kind == "call" {
            // The next one is another: the first must be gone before the task waits again.
            let waits_anew =
                || async { host.row(&task).await["approval_reason"].as_str().unwrap().starts_with("task.accept") };
            while !waits_anew().await {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
    }
    let done = host.wait_for(&task, "completed", LIMIT).await;
    assert_eq!(done["evidence"]["criteria"][1]["answered"], "attested");
    assert_eq!((merges(&host), merge_requests(&host).await), (1, 1));
}
