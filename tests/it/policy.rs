//! Policies, through the front door: the commands of reviewers, a host with policies of its own, and risk.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    AUDIT_KEY, CliOutput, Database, Host, LIMIT, Options, RolesDir, TestForge, code_task, juggernaut,
};

fn repository(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    root.join(path).to_str().unwrap().to_owned()
}

async fn offline(folder: &TempDir, arguments: &[&str]) -> CliOutput {
    juggernaut(folder.path(), arguments, &[]).await
}

#[tokio::test]
async fn policies_are_checked_and_cases_decided_offline() {
    let folder = TempDir::new().unwrap();
    let checked = offline(&folder, &["policy", "check"]).await;
    assert_eq!(checked.code, Some(0), "{checked:?}");
    assert!(checked.stdout.contains("prohibited.financial-transactions"), "{checked:?}");
    let tested = offline(&folder, &["policy", "test", &repository("policies/tests")]).await;
    assert_eq!(tested.code, Some(0), "{tested:?}");
    assert!(tested.stdout.contains(" cases, 0 failed"), "{tested:?}");

    // A case that expects otherwise fails, and says by which policy.
    let case = format!(
        "role = {:?}\n[task]\ntitle = \"x\"\ntask_type = \"code\"\npayload = {{ repository = \"demo/sample\" }}\n\
         [[case]]\nname = \"a workflow\"\ncall = \"github-write.put-file\"\nexpect = \"allow\"\n\
         arguments = {{ repository = \"demo/sample\", path = \".github/workflows/a.yml\" }}\n",
        repository("roles/executor")
    );
    fs::write(folder.path().join("case.toml"), case).unwrap();
    let tested = offline(&folder, &["policy", "test", "."]).await;
    assert_eq!(tested.code, Some(1), "{tested:?}");
    assert!(tested.stderr.contains("prohibited.modify-rbac"), "{tested:?}");
}

#[tokio::test]
async fn a_call_is_explained_with_its_policies() {
    let folder = TempDir::new().unwrap();
    let task = json!({
        "title": "x", "task_type": "code", "risk": "high", "payload": {"repository": "demo/sample", "base": "main"},
    });
    fs::write(folder.path().join("task.json"), task.to_string()).unwrap();
    let role = repository("roles/executor");
    let explain = |call: &'static str| {
        let (folder, role) = (&folder, role.clone());
        async move {
            let arguments = ["--json", "policy", "explain", "--role", &role, "--call", call, "--task", "task.json"];
            let output = offline(folder, &arguments).await;
            assert_eq!(output.code, Some(0), "{output:?}");
            serde_json::from_str::<Value>(&output.stdout).unwrap()
        }
    };
    let merge = explain("github-merge.merge").await;
    assert_eq!((&merge["verdict"], &merge["policies"]), (&json!("needs-approval"), &json!(["approval.high-risk"])));
    let read = explain("github-read.get-file").await;
    assert_eq!(read["verdict"], "allow", "{read}");
    let elsewhere = explain(r#"{"call": "github-read.get-file", "arguments": {"repository": "acme/x"}}"#).await;
    assert_eq!(elsewhere["policies"], json!(["prohibited.outside-capability-set"]), "{elsewhere}");
    let arguments = ["policy", "explain", "--role", &role, "--call", "fly", "--task", "task.json"];
    let unknown = offline(&folder, &arguments).await;
    assert_eq!(unknown.code, Some(1), "{unknown:?}");
    assert!(unknown.stderr.contains("there is no call \"fly\""), "{unknown:?}");
}

#[tokio::test]
async fn a_host_obeys_policies_of_its_own() {
    let folder = TempDir::new().unwrap();
    let policy = "@id(\"mine.no-python\") @says(\"no Python today: {paths}\")\n\
                  forbid (principal, action == Action::\"put_file\", resource)\n\
                  when { context.paths.extensions.contains(\"py\") };";
    fs::write(folder.path().join("mine.cedar"), policy).unwrap();
    let host = Host::start(Options::default().env("JUGGERNAUT_POLICIES", folder.path().to_str().unwrap())).await;
    let task = host.create_task(code_task("core/a.py")).await;
    let failed = host.wait_for(&task, "failed", LIMIT).await;
    let reason = failed["error_message"].as_str().unwrap();
    assert!(reason.contains("no Python today: \"core/a.py\" [mine.no-python]"), "{reason}");
    let task = host.create_task(code_task("core/a.txt")).await;
    host.wait_for(&task, "completed", LIMIT).await;
}

#[tokio::test]
async fn a_host_with_a_wrong_policy_does_not_start() {
    let (database, forge) = (Database::create().await, TestForge::start(vec![]).await);
    let folder = TempDir::new().unwrap();
    for (file, text, says) in [
        ("prohibited.cedar", "", "can not be replaced"),
        ("mine.cedar", "@id(\"a\") permit (principal, action, resource) when { context.typo };", "typo"),
    ] {
        fs::write(folder.path().join(file), text).unwrap();
        let environment = [
            ("DATABASE_URL", database.url()),
            ("GITHUB_API_URL", forge.url()),
            ("JUGGERNAUT_LISTEN", "127.0.0.1:0"),
            ("JUGGERNAUT_AUDIT_KEY", AUDIT_KEY),
            ("JUGGERNAUT_POLICIES", folder.path().to_str().unwrap()),
        ];
        let output = juggernaut(folder.path(), &["serve"], &environment).await;
        assert_eq!(output.code, Some(1), "{output:?}");
        assert!(output.stderr.contains(says), "{output:?}");
        fs::remove_file(folder.path().join(file)).unwrap();
    }
}

fn raising(levels: &[&str]) -> Value {
    json!({
        "title": "raise", "task_type": "analysis", "attempts_max": 1, "assigned_worker": "hostile",
        "payload": {"harm": "raise", "levels": levels, "repository": "demo/sample"},
    })
}

#[tokio::test]
async fn a_run_raises_the_risk_and_never_lowers_it() {
    let host = Host::start(Options::default().roles(RolesDir::with_free_payload(&["hostile"]))).await;
    let task = host.create_task(raising(&["medium", "high", "low", "medium"])).await;
    let ended = host.wait_for(&task, "failed", LIMIT).await;
    assert_eq!(ended["risk"], "high", "{ended}");
    let reasons = ended["risk_reasons"].as_array().unwrap();
    assert_eq!(reasons.len(), 2, "{reasons:?}");
    assert!(reasons[0].as_str().unwrap().starts_with("high: a run of the task says: because"), "{reasons:?}");
    // From medium on, each call is in the execution log, with its arguments.
    let calls: Vec<String> = (host.logs(&task).await.iter())
        .filter(|line| line["action"] == "host_call")
        .map(|line| line["message"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(calls.len(), 8, "{calls:?}");
    assert!(
        calls.iter().any(|call| call.contains("github-read.get-branch") && call.contains("demo/sample")),
        "{calls:?}"
    );

    let quiet = host.create_task(raising(&["low"])).await;
    host.wait_for(&quiet, "failed", LIMIT).await;
    assert!(host.logs(&quiet).await.iter().all(|line| line["action"] != "host_call"));
    // Nor does anybody else lower it.
    let lowered = sqlx::query("update governance_tasks set risk = 'low' where id = $1::uuid")
        .bind(&task)
        .execute(&host.db())
        .await
        .unwrap_err();
    assert!(lowered.to_string().contains("can not be lowered"), "{lowered}");
}
