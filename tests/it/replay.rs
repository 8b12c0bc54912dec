//! `juggernaut replay`: the component runs against the journal, and nothing else happens.

use std::fs;
use std::sync::Arc;

use forge::{CheckConclusion, CheckPolicy};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::PgPool;
use tempfile::TempDir;

use crate::support::{CliOutput, Host, LIMIT, Options, Paths, RolesDir, code_task, juggernaut};

/// All that a run could have changed.
async fn rows(pool: &PgPool) -> String {
    let query = "select concat_ws(' ', (select string_agg(t::text || t.xmin, ',' order by id) from governance_tasks t),
        (select count(*) from task_steps), (select count(*) from task_runs), (select count(*) from execution_logs),
        (select count(*) from audit_log), (select count(*) from alerts), (select count(*) from approvals))";
    sqlx::query_scalar(query).fetch_one(pool).await.unwrap()
}

async fn started() -> (Host, Arc<RolesDir>) {
    let roles = Arc::new(RolesDir::with(&["executor"]));
    let host = Host::start(Options { roles: Some(Arc::clone(&roles)), ..Options::default() }).await;
    (host, roles)
}

/// With no GitHub, no token and no host.
async fn replay(host: &Host, roles: &RolesDir, arguments: &[&str]) -> CliOutput {
    let (folder, database) = (TempDir::new().unwrap(), host.database());
    let roles = roles.path().display().to_string();
    let arguments: Vec<&str> = ["replay"].iter().chain(arguments).copied().collect();
    let env = [("DATABASE_URL", database.url()), ("JUGGERNAUT_ROLES", roles.as_str())];
    juggernaut(folder.path(), &arguments, &env).await
}

#[tokio::test]
async fn a_finished_task_takes_the_same_path_again_and_nothing_happens() {
    let (host, roles) = started().await;
    let task = host.create_task(code_task("a.py")).await;
    host.wait_for(&task, "completed", LIMIT).await;
    let steps = host.steps(&task).await;
    let (before, refs) = (rows(&host.db()).await, host.forge().git(&["for-each-ref"]));
    let replayed = replay(&host, &roles, &[&task, "--log"]).await;
    assert_eq!(replayed.code, Some(0), "{replayed:?}");
    assert!(replayed.stdout.contains("\nsame path: it claims to have completed"), "{replayed:?}");
    assert!(replayed.stdout.contains(&format!(" {} recorded calls", steps.len())), "{replayed:?}");
    let said = host.logs(&task).await;
    let said = said.iter().find(|line| line["action"] == "log").unwrap()["message"].as_str().unwrap().to_owned();
    assert!(replayed.stdout.contains(&format!("    | {said}")), "{said}: {replayed:?}");
    assert_eq!((rows(&host.db()).await, host.forge().git(&["for-each-ref"])), (before, refs));

    // Another component: where it parts is named.
    let prose = Paths::get().guests.join("prose").join("prose.wasm");
    let other = replay(&host, &roles, &[&task, "--component", prose.to_str().unwrap()]).await;
    assert_eq!(other.code, Some(3), "{other:?}");
    assert!(other.stdout.contains("DIVERGED: step 0 was github-read.") && other.stdout.contains("another component"));
    let json = replay(&host, &roles, &["--json", &task, "--component", prose.to_str().unwrap()]).await;
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((&json["verdict"], &json["same_component"]), (&"diverged".into(), &false.into()), "{json}");

    for (arguments, because) in [
        (vec![task.as_str(), "--attempt", "7"], "has no attempt 7"),
        (vec!["01a20000-0000-7000-8000-000000000000"], "does not exist"),
        (vec![task.as_str(), "--component", "/no/such.wasm"], "/no/such.wasm"),
    ] {
        let refused = replay(&host, &roles, &arguments).await;
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.stderr.contains(because), "{refused:?}");
    }
}

#[tokio::test]
async fn a_task_under_way_is_followed_to_where_it_stands() {
    let (host, roles) = started().await;
    let forge = host.forge();
    forge.hold("PUT", "/repos/demo/sample/contents/*", "before").await;
    let task = host.create_task(code_task("a.py")).await;
    forge.held().await;
    let refs = forge.git(&["for-each-ref"]);
    let replayed = replay(&host, &roles, &[&task]).await;
    assert_eq!(replayed.code, Some(0), "{replayed:?}");
    assert!(replayed.stdout.contains("same path so far: it would go on with step "), "{replayed:?}");
    assert!(replayed.stdout.contains("github-write.put-file"), "{replayed:?}");
    assert_eq!(forge.git(&["for-each-ref"]), refs, "a replay writes no file");
    forge.release().await;
    host.wait_for(&task, "completed", LIMIT).await;
}

/// A role that was built anew since: the old path is not claimed to be the new one's.
#[tokio::test]
async fn a_component_that_is_gone_is_named() {
    let (host, roles) = started().await;
    let task = host.create_task(code_task("a.py")).await;
    host.wait_for(&task, "completed", LIMIT).await;
    fs::copy(Paths::get().guests.join("prose/prose.wasm"), roles.component("executor")).unwrap();
    let refused = replay(&host, &roles, &[&task]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("the attempt began with component ") && refused.stderr.contains("--component"));
}

/// What others made of a run is no path of the role's: it is told the same, whoever ended it and whatever became of the log.
#[tokio::test]
async fn a_run_that_somebody_else_ended_took_the_same_path() {
    let (host, roles) = started().await;
    let approver = host.token("approver").await;
    for (verb, status) in [("deny", "failed"), ("cancel", "cancelled")] {
        let mut draft = code_task(&format!("{verb}.py"));
        draft["risk"] = json!("high");
        draft["acceptance_criteria"] = json!([{"type": "merged"}, "reads well"]);
        let task = host.create_task(draft).await;
        let merge = host.approval(&task, "requested").await;
        assert_eq!(host.decide(&merge, "approve", &approver).await.0, StatusCode::OK);
        let acceptance = loop {
            let asked = host.approval(&task, "requested").await;
            if asked["kind"] == "acceptance" {
                break asked;
            }
        };
        host.wait_for(&task, "waiting_approval", LIMIT).await;
        if verb == "deny" {
            assert_eq!(host.decide(&acceptance, verb, &approver).await.0, StatusCode::OK);
        } else {
            let (path, token) = (format!("/api/v1/tasks/{task}/cancel"), host.token("operator").await);
            assert_eq!(host.api(Method::POST, &path, Some(&token), None).await.0, StatusCode::OK);
        }
        host.wait_for(&task, status, LIMIT).await;
        let replayed = replay(&host, &roles, &[&task]).await;
        assert_eq!(replayed.code, Some(0), "{verb}: {replayed:?}");
        let same = "\nsame path: it claims to have completed, as the attempt did (NeedsAcceptance)";
        assert!(replayed.stdout.contains(same), "{verb}: {replayed:?}");
    }

    // In the middle of a call.
    let forge = host.forge();
    for (way, cause) in [("cancel", "Cancelled"), ("deadline", "DeadlinePassed")] {
        forge.hold("PUT", "/repos/demo/sample/contents/*", "before").await;
        let task = host.create_task(code_task(&format!("midway_{way}.py"))).await;
        forge.held().await;
        if way == "cancel" {
            let (path, token) = (format!("/api/v1/tasks/{task}/cancel"), host.token("operator").await);
            assert_eq!(host.api(Method::POST, &path, Some(&token), None).await.0, StatusCode::OK);
            host.wait_for(&task, "cancelled", LIMIT).await;
        } else {
            let late = "update governance_tasks set deadline_at = now() where status = 'in_progress'";
            sqlx::query(late).execute(&host.db()).await.unwrap();
            host.wait_for(&task, "failed", LIMIT).await;
        }
        forge.release().await;
        let replayed = replay(&host, &roles, &[&task]).await;
        assert_eq!(replayed.code, Some(0), "{way}: {replayed:?}");
        let ended = format!("where the attempt was ended ({cause})");
        assert!(replayed.stdout.contains(&ended), "{way}: {replayed:?}");
    }
}

/// The execution log is kept for a while only; how an attempt ended, and what the next one was told of it, for good.
#[tokio::test]
async fn an_attempt_whose_log_is_gone_is_told_the_same() {
    let roles = Arc::new(RolesDir::with(&["executor"]));
    let red = CheckPolicy {
        branches: "feature/*".to_owned(),
        name: "ci".to_owned(),
        conclusion: CheckConclusion::Failure,
        after_ms: 0,
    };
    let options = Options { roles: Some(Arc::clone(&roles)), ..Options::default() };
    let host = Host::start(options.checks(vec![red])).await;
    let task = host.create_task(code_task("a.py")).await;
    host.wait_for(&task, "failed", LIMIT).await;
    let token = host.token("operator").await;
    let (status, ..) = host.api(Method::POST, &format!("/api/v1/tasks/{task}/retry"), Some(&token), None).await;
    assert_eq!(status, StatusCode::OK);
    host.wait_for(&task, "failed", LIMIT).await;
    sqlx::query("truncate execution_logs").execute(&host.db()).await.unwrap();
    for attempt in ["1", "2"] {
        let replayed = replay(&host, &roles, &[&task, "--attempt", attempt]).await;
        assert_eq!(replayed.code, Some(0), "{attempt}: {replayed:?}");
        assert!(replayed.stdout.contains("as the attempt did (RoleFailed)"), "{attempt}: {replayed:?}");
    }
}
