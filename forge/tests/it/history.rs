//! Commits, comparisons, check runs.

use std::time::Duration;

use serde_json::{Value, json};

use crate::client::{Fixture, R, text};

fn messages(commits: &Value) -> Vec<String> {
    let commits = commits.as_array().unwrap().iter();
    commits.map(|it| text(&it["commit"]["message"])).collect()
}

#[tokio::test]
async fn commits() {
    let forge = Fixture::new().await;
    forge.write("main", "src/lib.py", "a = 1\nb = 3\nc = 3\n").await;
    forge.write("main", "other", "x").await;
    let all = forge.get(&format!("{R}/commits")).await.expect(200);
    assert_eq!(messages(&all), ["write other", "write src/lib.py", "Initial commit"]);
    let of_path = forge.get(&format!("{R}/commits?sha=main&path=src/lib.py")).await.expect(200);
    assert_eq!(messages(&of_path), ["write src/lib.py", "Initial commit"]);
    let none = forge.get(&format!("{R}/commits?path=../x")).await.expect(200);
    assert_eq!(none, json!([]));
    forge.get(&format!("{R}/commits?sha=none")).await.refused(404, "Not Found");

    let sha = text(&of_path[0]["sha"]);
    let one = forge.get(&format!("{R}/commits/{sha}")).await.expect(200);
    assert_eq!(one["stats"], json!({"total": 2, "additions": 1, "deletions": 1}));
    assert_eq!(one["files"][0]["patch"], "@@ -1,3 +1,3 @@\n a = 1\n-b = 2\n+b = 3\n c = 3");
    assert_eq!(one["parents"][0]["sha"], all[2]["sha"]);
    forge.branch("feature/x").await;
    let by_branch = forge.get(&format!("{R}/commits/feature/x")).await.expect(200);
    assert_eq!(by_branch["sha"], all[0]["sha"]);
    let short = forge.get(&format!("{R}/commits/{}", &sha[..8])).await.expect(200);
    assert_eq!(short["sha"], sha);
    let unknown = forge.get(&format!("{R}/commits/none")).await;
    unknown.refused(422, "No commit found for SHA: none");
}

#[tokio::test]
async fn comparisons() {
    let forge = Fixture::new().await;
    forge.branch("feature/a").await;
    let same = forge.get(&format!("{R}/compare/main...feature/a")).await.expect(200);
    assert_eq!((&same["status"], &same["files"]), (&json!("identical"), &json!([])));
    for n in 0..3 {
        forge.write("feature/a", "src/lib.py", &format!("a = {n}\n")).await;
    }
    let ahead = forge.get(&format!("{R}/compare/main...octo:feature/a")).await.expect(200);
    let counts = [&ahead["status"], &ahead["ahead_by"], &ahead["behind_by"], &ahead["total_commits"]];
    assert_eq!(json!(counts), json!(["ahead", 3, 0, 3]));
    assert_eq!(ahead["merge_base_commit"]["sha"], forge.tip("main").await);
    let shas: Vec<String> = ahead["commits"].as_array().unwrap().iter().map(|it| text(&it["sha"])).collect();
    let listed = forge.git(&["rev-list", "--reverse", "main..feature/a"]);
    assert_eq!(shas, listed.lines().collect::<Vec<_>>());
    let file = &ahead["files"][0];
    assert_eq!((&file["filename"], &file["status"]), (&json!("src/lib.py"), &json!("modified")));
    assert_eq!(file["changes"], 4);
    let behind = forge.get(&format!("{R}/compare/feature/a...main")).await.expect(200);
    assert_eq!((&behind["status"], &behind["behind_by"]), (&json!("behind"), &json!(3)));
}

#[tokio::test]
async fn diverged_and_paged_comparisons() {
    let forge = Fixture::new().await;
    let compare = async |spec: &str| forge.get(&format!("{R}/compare/{spec}")).await;
    forge.branch("feature/a").await;
    for n in 0..3 {
        forge.write("feature/a", "src/lib.py", &format!("a = {n}\n")).await;
    }
    forge.write("main", "n", "1").await;
    let apart = compare("main...feature/a").await.expect(200);
    assert_eq!(apart["status"], "diverged");
    // Three dots: what main did since then does not show.
    assert_eq!(apart["files"].as_array().unwrap().len(), 1);

    let page = compare("main...feature/a?per_page=2&page=2").await;
    assert!(page.headers["link"].to_str().unwrap().contains("rel=\"prev\""));
    assert_eq!(page.body["commits"].as_array().unwrap().len(), 1);
    assert_eq!((&page.body["files"], &page.body["total_commits"]), (&json!([]), &json!(3)));
    for unknown in ["main...none", "none...main", "main", "main...fork:main", "main..feature/a"] {
        forge.get(&format!("{R}/compare/{unknown}")).await.refused(404, "Not Found");
    }
}

#[tokio::test]
async fn renames_and_removals() {
    let forge = Fixture::new().await;
    let work = tempfile::TempDir::new().unwrap();
    let path = work.path().join("w");
    let git = |args: &[&str]| {
        let mut command = std::process::Command::new("git");
        command.args(["-c", "user.name=t", "-c", "user.email=t@t", "-C"]).arg(&path).args(args);
        assert!(command.output().unwrap().status.success(), "{args:?}");
    };
    std::fs::create_dir(&path).unwrap();
    git(&["clone", "-q", forge.dir.path().join("octo/hello.git").to_str().unwrap(), "."]);
    git(&["checkout", "-q", "-b", "feature/r"]);
    git(&["mv", "src/lib.py", "src/main.py"]);
    git(&["rm", "-q", "README.md"]);
    git(&["commit", "-q", "-m", "move"]);
    git(&["push", "-q", "origin", "feature/r"]);
    let found = forge.get(&format!("{R}/compare/main...feature/r")).await.expect(200);
    let files = found["files"].as_array().unwrap();
    let of = |status: &str| files.iter().find(|file| file["status"] == status).unwrap();
    assert_eq!(of("renamed")["previous_filename"], "src/lib.py");
    assert_eq!(of("renamed")["filename"], "src/main.py");
    assert_eq!(of("removed")["filename"], "README.md");
}

#[tokio::test]
async fn check_runs() {
    let forge = Fixture::new().await;
    let sha = forge.tip("main").await;
    let runs = format!("{R}/check-runs");
    let made = forge.post(&runs, json!({"name": "ci", "head_sha": sha})).await.expect(201);
    assert_eq!((&made["status"], &made["conclusion"]), (&json!("queued"), &Value::Null));
    let path = format!("{runs}/{}", made["id"]);
    forge.patch(&path, json!({"status": "in_progress"})).await.expect(200);
    forge.patch(&path, json!({"status": "completed"})).await.expect(422);
    forge.patch(&path, json!({"conclusion": "great"})).await.expect(422);
    let done = json!({"conclusion": "failure", "output": {"title": "t", "summary": "s"}});
    let done = forge.patch(&path, done).await.expect(200);
    assert_eq!((&done["status"], &done["output"]["summary"]), (&json!("completed"), &json!("s")));
    assert!(done["completed_at"].is_string());
    assert_eq!(forge.get(&path).await.expect(200), done);
    let again = json!({"name": "ci", "head_sha": sha, "conclusion": "success"});
    forge.post(&runs, again).await.expect(201);
    forge.post(&runs, json!({"name": "lint", "head_sha": sha})).await.expect(201);

    let count = async |query: &str| {
        let path = format!("{R}/commits/heads/main/check-runs{query}");
        forge.get(&path).await.expect(200)["total_count"].clone()
    };
    assert_eq!(count("").await, 2);
    assert_eq!(count("?filter=all").await, 3);
    assert_eq!(count("?filter=all&check_name=ci").await, 2);
    assert_eq!(count("?status=completed").await, 1);
    let page = forge.get(&format!("{R}/commits/main/check-runs?per_page=1")).await;
    assert!(page.headers["link"].to_str().unwrap().contains("rel=\"next\""));
    assert_eq!(page.body["check_runs"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn refused_check_runs() {
    let forge = Fixture::new().await;
    let runs = format!("{R}/check-runs");
    let unknown = json!({"name": "ci", "head_sha": "1".repeat(40)});
    forge.post(&runs, unknown).await.expect(422);
    forge.post(&runs, json!({"name": "ci"})).await.refused(422, "Invalid request.\n\n\"head_sha\" wasn't supplied.");
    forge.patch(&format!("{runs}/99"), json!({})).await.refused(404, "Not Found");
    forge.get(&format!("{R}/commits/none/check-runs")).await.refused(422, "No commit found for SHA: none");
}

#[tokio::test]
async fn policies_make_check_runs() {
    let forge = Fixture::new().await;
    let policy = json!([{"branches": "feature/*", "name": "ci", "conclusion": "success", "after_ms": 200}]);
    forge.put("/_forge/repos/octo/hello/check-policies", policy).await.expect(204);
    forge.put("/_forge/repos/octo/none/check-policies", json!([])).await.expect(404);
    forge.put("/_forge/repos/octo/hello/check-policies", json!([{"x": 1}])).await.expect(422);
    let pull = forge.pull("feature/p", "p", "1").await;
    assert_eq!(pull["mergeable_state"], "unstable");
    let path = format!("{R}/commits/{}/check-runs", text(&pull["head"]["sha"]));
    let queued = forge.get(&path).await.expect(200);
    assert_eq!(queued["check_runs"][0]["status"], "queued");
    tokio::time::sleep(Duration::from_millis(250)).await;
    let done = forge.get(&path).await.expect(200);
    assert_eq!(done["check_runs"][0]["conclusion"], "success");
    assert_eq!(forge.get(&format!("{R}/pulls/1")).await.expect(200)["mergeable_state"], "clean");
    forge.write("main", "m", "1").await;
    let on_main = format!("{R}/commits/{}/check-runs", forge.tip("main").await);
    assert_eq!(forge.get(&on_main).await.expect(200)["total_count"], 0);
}
