//! The command line as a person or a script meets it: exit status, standard output, one clear line on standard error.

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{CliOutput, Database, Host, Options, RolesDir, code_task, juggernaut};

/// A host that claims nothing of what these tests create.
async fn quiet_host() -> Host {
    Host::start(Options::default().roles(RolesDir::with_free_payload(&["prose"]))).await
}

async fn as_operator(host: &Host, folder: &TempDir, arguments: &[&str]) -> CliOutput {
    let token = host.token("operator").await;
    juggernaut(folder.path(), arguments, &[("JUGGERNAUT_URL", host.url()), ("JUGGERNAUT_TOKEN", &token)]).await
}

#[tokio::test]
async fn a_wrong_call_is_2_and_help_is_0() {
    let folder = TempDir::new().unwrap();
    for arguments in [
        &["no-such-command"][..],
        &["task", "show", "not-a-uuid"],
        &["task", "list", "--limit", "0"],
        &["task", "create", "--type", "code"],
        &["--no-such-flag"],
        &[],
    ] {
        let output = juggernaut(folder.path(), arguments, &[]).await;
        assert_eq!(output.code, Some(2), "{arguments:?}: {output:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{output:?}");
    }
    for arguments in [&["--help"][..], &["task", "create", "--help"], &["--version"]] {
        let output = juggernaut(folder.path(), arguments, &[]).await;
        assert_eq!(output.code, Some(0), "{arguments:?}: {output:?}");
        assert!(!output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
    }
}

#[tokio::test]
async fn what_is_missing_is_named_in_one_line() {
    let folder = TempDir::new().unwrap();
    for arguments in [&["serve"][..], &["migrate"], &["token", "list"]] {
        let output = juggernaut(folder.path(), arguments, &[]).await;
        assert_eq!(output.code, Some(1), "{arguments:?}: {output:?}");
        assert_eq!(output.stderr.lines().count(), 1, "{output:?}");
        assert!(output.stderr.starts_with("error: DATABASE_URL is not set; for example DATABASE_URL=postgres://"));
    }
    let output = juggernaut(folder.path(), &["task", "list"], &[]).await;
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains("set JUGGERNAUT_TOKEN"), "{output:?}");

    // Nobody listens on port 1.
    let env = [("JUGGERNAUT_URL", "http://127.0.0.1:1"), ("JUGGERNAUT_TOKEN", "jgt_x")];
    let output = juggernaut(folder.path(), &["task", "list"], &env).await;
    assert_eq!(output.code, Some(1));
    let hint = "is the host running? start it with `juggernaut dev` or set JUGGERNAUT_URL";
    assert!(output.stderr.contains(hint) && output.stderr.lines().count() == 1, "{output:?}");

    let password = "hunter2";
    let url = format!("postgres://somebody:{password}@127.0.0.1:1/nothing");
    let output = juggernaut(folder.path(), &["migrate"], &[("DATABASE_URL", &url)]).await;
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains("the database does not answer"), "{output:?}");
    assert!(!output.stderr.contains(password), "{output:?}");
}

#[tokio::test]
async fn an_empty_database_is_migrated_and_gets_its_first_token() {
    let folder = TempDir::new().unwrap();
    let database = Database::empty().await;
    let env = [("DATABASE_URL", database.url())];
    let output = juggernaut(folder.path(), &["serve"], &env).await;
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains("JUGGERNAUT_AUDIT_KEY is not set; run `juggernaut audit keygen`"), "{output:?}");
    let keyed = [env[0], ("JUGGERNAUT_AUDIT_KEY", "ephemeral")];
    let output = juggernaut(folder.path(), &["serve"], &keyed).await;
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains("run `juggernaut migrate`"), "{output:?}");
    for _ in 0..2 {
        let output = juggernaut(folder.path(), &["migrate"], &env).await;
        assert_eq!(output.code, Some(0), "{output:?}");
    }
    let create = ["token", "create", "--principal", "alice@example.org", "--role", "operator"];
    let output = juggernaut(folder.path(), &create, &env).await;
    assert_eq!(output.code, Some(0), "{output:?}");
    let secret = output.stdout.trim_end();
    assert!(secret.starts_with("jgt_") && secret.lines().count() == 1, "stdout is the secret alone: {output:?}");
    assert!(!output.stderr.contains(secret));
    let output = juggernaut(folder.path(), &["--json", "token", "list"], &env).await;
    let listed = output.json();
    assert_eq!(
        (&listed["items"][0]["principal"], &listed["items"][0]["role"]),
        (&json!("alice@example.org"), &json!("operator"))
    );
    assert!(!output.stdout.contains(secret));
}

#[tokio::test]
async fn json_is_what_the_api_says() {
    let host = quiet_host().await;
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("task.json"), code_task("cli.py").to_string()).unwrap();
    let created = as_operator(&host, &folder, &["--json", "task", "create", "--file", "task.json"]).await;
    assert_eq!(created.code, Some(0), "{created:?}");
    let id = created.json()["id"].as_str().unwrap().to_owned();

    let shown = as_operator(&host, &folder, &["task", "show", &id, "--json"]).await;
    assert_eq!((shown.code, shown.json()), (Some(0), host.task(&id).await));
    let listed = as_operator(&host, &folder, &["--json", "task", "list"]).await;
    assert_eq!(listed.json()["items"].as_array().unwrap().len(), 1);
    let workers = as_operator(&host, &folder, &["--json", "worker", "list"]).await;
    assert_eq!(workers.json()["items"][0]["worker_id"], "PROSE");
    let logs = as_operator(&host, &folder, &["task", "logs", &id]).await;
    assert_eq!(logs.code, Some(0));
    assert!(logs.stdout.contains("operator@example.org"), "{logs:?}");

    // For people the same, without braces.
    let listed = as_operator(&host, &folder, &["task", "list"]).await;
    assert!(listed.stdout.contains("Write cli.py") && serde_json::from_str::<Value>(&listed.stdout).is_err());

    assert_eq!(as_operator(&host, &folder, &["task", "cancel", &id]).await.code, Some(0));
    let again = as_operator(&host, &folder, &["task", "cancel", &id]).await;
    assert_eq!((again.code, again.stdout.as_str()), (Some(1), ""));
    assert!(again.stderr.starts_with("error: ") && again.stderr.contains("cancelled"), "{again:?}");
    let unknown = as_operator(&host, &folder, &["task", "show", "00000000-0000-0000-0000-000000000000"]).await;
    assert_eq!(unknown.code, Some(1), "{unknown:?}");
}

#[tokio::test]
async fn waiting_for_a_task_tells_how_it_ended() {
    let host = Host::start(Options::default()).await;
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("good.json"), code_task("waited.py").to_string()).unwrap();
    let mut elsewhere = code_task("elsewhere.py");
    elsewhere["payload"]["repository"] = json!("other/sample");
    fs::write(folder.path().join("bad.json"), elsewhere.to_string()).unwrap();

    let good = as_operator(&host, &folder, &["task", "create", "--file", "good.json", "--wait"]).await;
    assert_eq!(good.code, Some(0), "{good:?}");
    let bad = as_operator(&host, &folder, &["task", "create", "--file", "bad.json", "--wait"]).await;
    assert_eq!(bad.code, Some(1), "{bad:?}");
}
