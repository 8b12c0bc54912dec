//! Risk that only the world shows: of a call, of a base that moved, of files that a change empties.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::approvals::{approver, merges};
use crate::support::{Host, LIMIT, Options, code_task};
use juggernaut::db::tokens::TokenRole;

/// A row that no admission has judged: low risk, whatever it is about.
async fn by_hand(host: &Host, path: &str, content: &str) -> String {
    let payload = json!({ "repository": "demo/sample", "changes": [{ "path": path, "content": content }] });
    let id: sqlx::types::Uuid = sqlx::query_scalar(
        "insert into governance_tasks (title, task_type, acceptance_criteria, payload)
         values ('by hand', 'code', '[{\"type\": \"merged\"}]', $1::jsonb) returning id",
    )
    .bind(payload.to_string())
    .fetch_one(&host.db())
    .await
    .unwrap();
    id.to_string()
}

#[tokio::test]
async fn risk_that_a_call_has_stays_with_the_task() {
    let mut host = Host::start(Options::default()).await;
    let task = by_hand(&host, "db/fix.sql", "update users set active = true where id = 1;\n").await;
    let row = host.wait_for(&task, "waiting_approval", LIMIT).await;
    let found =
        json!(["high: \"db/fix.sql\" changes rows: a data migration", "medium: \"db/fix.sql\" changes a schema"]);
    assert_eq!((&row["risk"], &row["risk_reasons"]), (&json!("high"), &found), "{row}");
    let approval = host.approval(&task, "requested").await;
    let steps = host.steps(&task).await.len();
    host.kill9();
    host.restart().await;
    assert_eq!(host.decide(&approval, "approve", &approver(&host).await).await.0, StatusCode::OK);
    let done = host.wait_for(&task, "completed", LIMIT).await;
    assert_eq!((&done["risk_reasons"], &done["attempt"]), (&found, &json!(1)), "replayed calls raise nothing twice");
    let positions: Vec<_> = host.steps(&task).await.iter().map(|step| step["position"].clone()).collect();
    assert!(positions.len() >= steps && positions == (0..positions.len()).map(|at| json!(at)).collect::<Vec<_>>());
    let logged = |line: &Value| line["action"] == "host_call";
    assert!(host.logs(&task).await.iter().any(logged), "from medium on every call is logged");
}

#[tokio::test]
async fn code_that_deletes_data_waits_at_its_merge() {
    let host = Host::start(Options::default()).await;
    let task = by_hand(
        &host,
        "jobs/purge.py",
        "def purge(db: object) -> None:\n    \"\"\"Delete all.\"\"\"\n    db.execute(\"delete from users\")\n",
    )
    .await;
    let row = host.wait_for(&task, "waiting_approval", LIMIT).await;
    let reason = "high: \"jobs/purge.py\" holds DELETE FROM: it can delete data when it is run";
    assert_eq!((&row["risk"], &row["risk_reasons"]), (&json!("high"), &json!([reason])), "{row}");
    let asked = host.approval(&task, "requested").await;
    assert_eq!(asked["action"], "github-merge.merge");
    // The merge itself is judged by what GitHub has, whatever the task was told to write.
    let kept = by_hand(
        &host,
        "jobs/kept.py",
        "def kept(db: object) -> None:\n    \"\"\"Read all.\"\"\"\n    db.execute(\"select * from users\")\n",
    )
    .await;
    host.wait_for(&kept, "completed", LIMIT).await;
    assert_eq!(merges(&host), 1);
}

#[tokio::test]
async fn a_task_that_turns_out_critical_begins_again_only_with_a_person() {
    let host = Host::start(Options::default()).await;
    let task = by_hand(&host, "core/auth/notes.txt", "x\n").await;
    let row = host.wait_for(&task, "waiting_approval", LIMIT).await;
    assert_eq!(row["risk"], "critical", "{row}");
    let mut decided = 0;
    for name in ["ann@example.org", "bob@example.org"] {
        host.wait_for(&task, "waiting_approval", LIMIT).await;
        let approval = host.approval(&task, "requested").await;
        let token = host.token_of(name, TokenRole::Approver).await;
        let (status, answer) = host.decide(&approval, "approve", &token).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        decided += 1;
    }
    host.wait_for(&task, "completed", LIMIT).await;
    assert_eq!((decided, merges(&host)), (2, 1));
}

/// git's merge takes a change along where the base has renamed the file: nobody has judged what then stands there.
#[tokio::test]
async fn a_merge_does_not_make_sql_of_a_file_that_the_base_renamed() {
    let host = Host::start(Options::default()).await;
    let forge = host.forge();
    let long = "-- a line of notes\n".repeat(40);
    forge.commit_to_main("notes.txt", &long).await;
    forge.hold("GET", "/repos/demo/sample/commits/*/check-runs", "before").await;
    let mut draft = code_task("notes.txt");
    draft["payload"]["changes"][0]["content"] = json!(format!("{long}drop table users;\n"));
    draft["attempts_max"] = json!(1);
    let task = host.create_task(draft).await;
    forge.held().await;
    forge.rename_on_main("notes.txt", "db/cleanup.sql");
    forge.release().await;
    let failed = host.wait_for(&task, "failed", LIMIT).await;
    assert!(failed["error_message"].as_str().unwrap().contains("fresh branch from the base"), "{failed}");
    assert_eq!(forge.git(&["show", "main:db/cleanup.sql"]), long);
}

#[tokio::test]
async fn files_that_are_emptied_count_as_deleted() {
    for content in ["", "\n\n  \n"] {
        let host = Host::start(Options::default()).await;
        let forge = host.forge();
        let mut changes = Vec::new();
        for number in 0..11 {
            let path = format!("data/{number}.txt");
            forge.commit_to_main(&path, "a\nb\nc\n").await;
            changes.push(json!({ "path": path, "content": content }));
        }
        let mut draft = code_task("x");
        draft["payload"]["changes"] = json!(changes);
        draft["attempts_max"] = json!(1);
        let task = host.create_task(draft).await;
        let failed = host.wait_for(&task, "failed", LIMIT).await;
        let reason = failed["error_message"].as_str().unwrap();
        assert!(reason.contains("prohibited.delete-production-data") && reason.contains("11 files"), "{reason}");
        assert_eq!(merges(&host), 0);
    }
}
