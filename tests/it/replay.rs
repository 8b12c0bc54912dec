//! `juggernaut replay`: the component runs against the journal, and nothing else happens.

use std::fs;
use std::sync::Arc;

use serde_json::Value;
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
