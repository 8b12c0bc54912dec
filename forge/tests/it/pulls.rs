//! Pull requests and merging them.

use serde_json::{Value, json};

use crate::client::{Fixture, R, text};

#[tokio::test]
async fn opening() {
    let forge = Fixture::new().await;
    let pulls = format!("{R}/pulls");
    let open = async |head: &str, base: &str| {
        let body = json!({"title": "t", "head": head, "base": base});
        forge.post(&pulls, body).await
    };
    let error = |body: &Value| body["errors"][0].clone();
    forge.branch("feature/a").await;
    let empty = open("feature/a", "main").await.refused(422, "Validation Failed");
    let wanted =
        json!({"resource": "PullRequest", "code": "custom", "message": "No commits between main and feature/a"});
    assert_eq!(error(&empty), wanted);
    forge.write("feature/a", "a", "1\n").await;
    let made = open("octo:feature/a", "main").await.expect(201);
    let kept = [
        &made["number"],
        &made["state"],
        &made["merged"],
        &made["mergeable"],
        &made["commits"],
        &made["additions"],
        &made["changed_files"],
    ];
    assert_eq!(json!(kept), json!([1, "open", false, true, 1, 1, 1]));
    assert_eq!(made["head"]["label"], "octo:feature/a");
    assert_eq!(made["head"]["sha"], forge.tip("feature/a").await);
    assert_eq!(made["base"]["repo"]["full_name"], "octo/hello");
    assert_eq!(made["user"]["login"], "juggernaut");
    let twin = open("feature/a", "main").await.refused(422, "Validation Failed");
    assert_eq!(error(&twin)["message"], "A pull request already exists for octo:feature/a.");
    for (head, base, field) in
        [("none", "main", "head"), ("fork:feature/a", "main", "head"), ("feature/a", "none", "base")]
    {
        let refused = open(head, base).await.refused(422, "Validation Failed");
        assert_eq!(error(&refused), json!({"resource": "PullRequest", "field": field, "code": "invalid"}));
    }
}

#[tokio::test]
async fn listing_and_changing() {
    let forge = Fixture::new().await;
    for n in 1..=3 {
        forge.pull(&format!("feature/{n}"), &format!("f{n}"), "x\n").await;
    }
    let numbers = async |query: &str| {
        let listed = forge.get(&format!("{R}/pulls{query}")).await.expect(200);
        let listed = listed.as_array().unwrap().iter();
        listed.map(|it| it["number"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(numbers("").await, [3, 2, 1]);
    let second = format!("{R}/pulls/2");
    let changed = json!({"title": "new", "body": "text", "state": "closed"});
    let changed = forge.patch(&second, changed).await.expect(200);
    let kept = [&changed["title"], &changed["body"], &changed["state"], &changed["merged"], &changed["mergeable"]];
    assert_eq!(json!(kept), json!(["new", "text", "closed", false, null]));
    assert_eq!(numbers("?state=open").await, [3, 1]);
    assert_eq!(numbers("?state=closed").await, [2]);
    assert_eq!(numbers("?state=all&per_page=2&page=2").await, [1]);
    assert_eq!(numbers("?head=octo:feature%2F1").await, [1]);
    assert_eq!(numbers("?base=none").await, [0_u64; 0]);
    forge.get(&format!("{R}/pulls?state=odd")).await.expect(422);
    forge.put(&format!("{second}/merge"), json!({})).await.refused(405, "Pull Request is not mergeable");
    forge.patch(&second, json!({"state": "open"})).await.expect(200);
    forge.patch(&second, json!({"state": "merged"})).await.expect(422);
    assert_eq!(numbers("").await, [3, 2, 1]);
    for missing in ["/pulls/9", "/pulls/9/commits", "/pulls/9/files", "/pulls/9/merge"] {
        forge.get(&format!("{R}{missing}")).await.refused(404, "Not Found");
    }
    forge.patch(&format!("{R}/pulls/9"), json!({})).await.refused(404, "Not Found");
}

#[tokio::test]
async fn commits_and_files_of_one() {
    let forge = Fixture::new().await;
    forge.pull("feature/1", "f1", "x\n").await;
    forge.write("feature/1", "more", "y\n").await;
    let commits = forge.get(&format!("{R}/pulls/1/commits")).await.expect(200);
    assert_eq!(commits[1]["commit"]["message"], "write more");
    let files = forge.get(&format!("{R}/pulls/1/files?per_page=1")).await;
    assert!(files.headers["link"].to_str().unwrap().contains("rel=\"last\""));
    assert_eq!(files.body[0]["filename"], "f1");
    forge.delete(&format!("{R}/git/refs/heads/feature/1")).await.expect(204);
    assert_eq!(forge.get(&format!("{R}/pulls/1")).await.expect(200)["state"], "closed");
    forge.patch(&format!("{R}/pulls/1"), json!({"state": "open"})).await.expect(422);
}

#[tokio::test]
async fn squashing() {
    let forge = Fixture::new().await;
    let pull = forge.pull("feature/s", "one", "1\n").await;
    forge.write("feature/s", "two", "2\n").await;
    forge.write("main", "meanwhile", "m\n").await;
    let base = forge.tip("main").await;
    let path = format!("{R}/pulls/1/merge");
    let stale = json!({"merge_method": "squash", "sha": pull["head"]["sha"]});
    forge.put(&path, stale).await.refused(409, "Head branch was modified. Review and try the merge again.");
    forge.get(&path).await.expect(404);
    let rebase = forge.put(&path, json!({"merge_method": "rebase"})).await;
    rebase.refused(405, "Rebase merges are not allowed on this repository.");
    forge.put(&path, json!({"merge_method": "odd"})).await.expect(422);
    let test_merge = forge.get(&format!("{R}/pulls/1")).await.expect(200)["merge_commit_sha"].clone();

    let request = json!({"merge_method": "squash", "sha": forge.tip("feature/s").await});
    let merged = forge.put(&path, request.clone()).await.expect(200);
    assert_eq!((&merged["merged"], &merged["message"]), (&json!(true), &json!("Pull Request successfully merged")));
    let tip = forge.tip("main").await;
    assert_eq!(merged["sha"], tip);
    assert_ne!(test_merge, tip);
    assert_eq!(forge.git(&["log", "-1", "--format=%P %s", "main"]), format!("{base} Do feature/s (#1)\n"));
    assert_eq!(forge.git(&["log", "-1", "--format=%b", "main"]).trim(), "* write one\n\n* write two");
    assert_eq!(forge.git(&["show", "main:one", "main:two", "main:meanwhile"]), "1\n2\nm\n");
    let after = forge.get(&format!("{R}/pulls/1")).await.expect(200);
    let kept = [
        &after["state"],
        &after["merged"],
        &after["merge_commit_sha"],
        &after["merged_by"]["login"],
        &after["commits"],
    ];
    assert_eq!(json!(kept), json!(["closed", true, tip, "juggernaut", 2]));
    assert!(after["merged_at"].is_string());
    forge.get(&path).await.expect(204);
    forge.put(&path, request).await.refused(405, "Pull Request is not mergeable");
    forge.patch(&format!("{R}/pulls/1"), json!({"state": "open"})).await.expect(422);
}

#[tokio::test]
async fn merge_commits_and_own_words() {
    let forge = Fixture::new().await;
    let pull = forge.pull("feature/m", "one", "1\n").await;
    let base = forge.tip("main").await;
    forge.put(&format!("{R}/pulls/1/merge"), json!({})).await.expect(200);
    let head = text(&pull["head"]["sha"]);
    let log = forge.git(&["log", "-1", "--format=%P|%s|%b", "main"]);
    assert_eq!(log.trim(), format!("{base} {head}|Merge pull request #1 from octo/feature/m|Do feature/m"));
    forge.pull("feature/w", "two", "2\n").await;
    let words = json!({"merge_method": "squash", "commit_title": "My title", "commit_message": "My text"});
    forge.put(&format!("{R}/pulls/2/merge"), words).await.expect(200);
    assert_eq!(forge.git(&["log", "-1", "--format=%B", "main"]).trim(), "My title\n\nMy text");
    forge.put(&format!("{R}/pulls/9/merge"), json!({})).await.refused(404, "Not Found");
}

#[tokio::test]
async fn conflicts() {
    let forge = Fixture::new().await;
    forge.pull("feature/c", "src/lib.py", "a = 2\n").await;
    forge.write("main", "src/lib.py", "a = 3\n").await;
    let pull = forge.get(&format!("{R}/pulls/1")).await.expect(200);
    let kept = [&pull["mergeable"], &pull["mergeable_state"], &pull["merge_commit_sha"]];
    assert_eq!(json!(kept), json!([false, "dirty", null]));
    let before = forge.tip("main").await;
    for method in ["merge", "squash"] {
        let merge = forge.put(&format!("{R}/pulls/1/merge"), json!({"merge_method": method})).await;
        merge.refused(405, "Pull Request is not mergeable");
    }
    assert_eq!(forge.tip("main").await, before);
    assert_eq!(forge.get(&format!("{R}/pulls/1")).await.expect(200)["state"], "open");
}
