//! References, contents, trees.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Fixture, R, answer, text, write_body};

#[tokio::test]
async fn references() {
    let forge = Fixture::new().await;
    let tip = forge.tip("main").await;
    let refs = format!("{R}/git/refs");
    let create = |name: &str, sha: &str| forge.post(&refs, json!({"ref": name, "sha": sha}));
    let made = create("refs/heads/feature/a", &tip).await.expect(201);
    assert_eq!(made["ref"], "refs/heads/feature/a");
    assert_eq!(made["object"]["type"], "commit");
    create("refs/heads/feature/a", &tip).await.refused(422, "Reference already exists");
    create("refs/heads/x", &"1".repeat(40)).await.refused(422, "Object does not exist");
    create("refs/heads/a..b", &tip).await.refused(422, "refs/heads/a..b is not a valid ref name.");
    create("refs/heads/feature/a/b", &tip).await.expect(422);
    create("heads/x", &tip).await.expect(422);
    create("refs/heads/x", "abc").await.expect(422);
    forge
        .post(&refs, json!({"ref": "refs/heads/x"}))
        .await
        .refused(422, "Invalid request.\n\n\"sha\" wasn't supplied.");

    for missing in ["heads/feature", "heads/none", "feature/a", "heads/main~0"] {
        forge.get(&format!("{R}/git/ref/{missing}")).await.refused(404, "Not Found");
    }
    let all = forge.get(&format!("{R}/git/matching-refs/heads/feat")).await.expect(200);
    assert_eq!(all.as_array().unwrap().len(), 1);
    assert_eq!(forge.get(&format!("{R}/git/matching-refs/heads/zzz")).await.expect(200), json!([]));
}

#[tokio::test]
async fn moving_and_deleting_references() {
    let forge = Fixture::new().await;
    let tip = forge.tip("main").await;
    forge.branch("feature/a").await;
    forge.write("feature/a", "n", "1").await;
    let moved = forge.tip("feature/a").await;
    let path = format!("{R}/git/refs/heads/main");
    forge.patch(&path, json!({"sha": moved})).await.expect(200);
    forge.patch(&path, json!({"sha": tip})).await.refused(422, "Update is not a fast forward");
    forge.patch(&path, json!({"sha": tip, "force": true})).await.expect(200);

    forge.delete(&format!("{R}/git/refs/heads/feature/a")).await.expect(204);
    let again = forge.delete(&format!("{R}/git/refs/heads/feature/a")).await;
    again.refused(422, "Reference does not exist");
    forge.delete(&format!("{R}/git/refs/heads/main")).await.expect(422);
    assert_eq!(forge.git(&["for-each-ref", "--format=%(refname)"]), "refs/heads/main\n");
}

#[tokio::test]
async fn reading_contents() {
    let forge = Fixture::new().await;
    let long = "0123456789".repeat(20);
    forge.write("main", "docs/long name.txt", &long).await;
    let path = format!("{R}/contents/docs/long%20name.txt");
    let file = forge.get(&path).await.expect(200);
    let content = text(&file["content"]);
    assert!(content.lines().all(|line| line.len() <= 60) && content.ends_with('\n'));
    assert_eq!(content.lines().next().unwrap().len(), 60);
    let decoded = STANDARD.decode(content.replace('\n', "")).unwrap();
    assert_eq!(decoded, long.as_bytes());
    let kept = ["type", "encoding", "size", "name", "path"].map(|name| file[name].clone());
    assert_eq!(json!(kept), json!(["file", "base64", 200, "long name.txt", "docs/long name.txt"]));
    assert_eq!(text(&file["sha"]), forge.git(&["rev-parse", "main:docs/long name.txt"]).trim());
    let raw = forge.request(Method::GET, &path).header("accept", "application/vnd.github.raw+json");
    assert_eq!(answer(raw).await.text, long);

    let root = forge.get(&format!("{R}/contents/?ref=main")).await.expect(200);
    let listed: Vec<(String, String)> =
        root.as_array().unwrap().iter().map(|it| (text(&it["name"]), text(&it["type"]))).collect();
    let wanted = [("README.md", "file"), ("docs", "dir"), ("src", "dir")];
    assert_eq!(listed, wanted.map(|(name, kind)| (name.to_owned(), kind.to_owned())));
    let src = forge.get(&format!("{R}/contents/src")).await.expect(200);
    assert_eq!(src[0]["path"], "src/lib.py");
    forge.get(&format!("{R}/contents/none")).await.refused(404, "Not Found");
    let unknown = forge.get(&format!("{R}/contents/README.md?ref=feature/x")).await;
    unknown.refused(404, "No commit found for the ref feature/x");
    let initial = forge.git(&["rev-list", "--max-parents=0", "main"]);
    let then = format!("{path}?ref={}", initial.trim());
    forge.get(&then).await.refused(404, "Not Found");
}

#[tokio::test]
async fn large_files_have_no_inline_content() {
    let forge = Fixture::new().await;
    let big = "x".repeat(1024 * 1024 + 1);
    forge.write("main", "big", &big).await;
    let file = forge.get(&format!("{R}/contents/big")).await.expect(200);
    assert_eq!((&file["content"], &file["encoding"]), (&json!(""), &json!("none")));
    assert_eq!(file["size"], 1024 * 1024 + 1);
    let raw = forge.request(Method::GET, &format!("{R}/contents/big")).header("accept", "application/vnd.github.raw");
    assert_eq!(answer(raw).await.text.len(), big.len());
}

#[tokio::test]
async fn writing_contents() {
    let forge = Fixture::new().await;
    let path = format!("{R}/contents/new/file.txt");
    let mut body = write_body("add it", "one\n", "main");
    body["author"] = json!({"name": "Ann", "email": "ann@example.org", "date": "2020-01-02T03:04:05Z"});
    let made = forge.put(&path, body.clone()).await.expect(201);
    assert_eq!(made["commit"]["message"], "add it");
    assert_eq!(made["commit"]["author"]["date"], "2020-01-02T03:04:05Z");
    assert_eq!(made["commit"]["committer"]["email"], "forge@localhost");
    assert_eq!(made["commit"]["parents"].as_array().unwrap().len(), 1);
    assert_eq!(text(&made["commit"]["sha"]), forge.tip("main").await);
    assert_eq!(made["content"]["path"], "new/file.txt");
    forge.put(&path, body.clone()).await.refused(422, "Invalid request.\n\n\"sha\" wasn't supplied.");
    let wrong = "1".repeat(40);
    body["sha"] = json!(wrong);
    forge.put(&path, body.clone()).await.refused(409, &format!("new/file.txt does not match {wrong}"));
    body["sha"] = made["content"]["sha"].clone();
    body["content"] = json!(STANDARD.encode("two\n"));
    forge.put(&path, body).await.expect(200);
    assert_eq!(forge.git(&["show", "main:new/file.txt"]), "two\n");
    assert_eq!(forge.git(&["log", "--format=%an/%cn %s", "-1", "main"]), "Ann/Juggernaut Forge add it\n");

    let other = format!("{R}/contents/o");
    forge.put(&other, write_body("m", "x", "none")).await.refused(404, "Branch none not found");
    let bad = json!({"message": "m", "content": "%%%"});
    forge.put(&other, bad).await.refused(422, "content is not valid Base64");
    let missing = forge.put(&other, json!({"content": ""})).await;
    missing.refused(422, "Invalid request.\n\n\"message\" wasn't supplied.");
    let below_file = format!("{R}/contents/README.md/x");
    forge.put(&below_file, write_body("m", "x", "main")).await.expect(422);
    forge.put(&format!("{R}/contents/src"), write_body("m", "x", "main")).await.expect(422);
    forge.git(&["fsck", "--strict"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_writes_lose_nothing() {
    let forge = std::sync::Arc::new(Fixture::new().await);
    let writes = (0..20).map(|n| {
        let forge = forge.clone();
        tokio::spawn(async move {
            // Every second one contends for the same new file.
            let path = if n % 2 == 0 { "same".to_owned() } else { format!("own-{n}") };
            let body = write_body(&format!("write {n}"), &n.to_string(), "main");
            forge.put(&format!("{R}/contents/{path}"), body).await.status
        })
    });
    let mut statuses = Vec::new();
    for write in writes.collect::<Vec<_>>() {
        statuses.push(write.await.unwrap());
    }
    assert!(statuses.iter().all(|status| [201, 409, 422].contains(status)), "{statuses:?}");
    let made = statuses.iter().filter(|status| **status == 201).count();
    assert_eq!(made, 11, "{statuses:?}");
    let parents = forge.git(&["log", "--format=%p", "main"]);
    assert_eq!(parents.lines().count(), made + 1);
    assert!(parents.lines().all(|line| !line.contains(' ')));

    let sha = forge.get(&format!("{R}/contents/same")).await.expect(200)["sha"].clone();
    let updates = (0..20).map(|n| {
        let (forge, sha) = (forge.clone(), sha.clone());
        tokio::spawn(async move {
            let mut body = write_body("update", &format!("v{n}"), "main");
            body["sha"] = sha;
            forge.put(&format!("{R}/contents/same"), body).await.status
        })
    });
    let mut winners = 0;
    for update in updates.collect::<Vec<_>>() {
        match update.await.unwrap() {
            200 => winners += 1,
            other => assert_eq!(other, 409),
        }
    }
    assert_eq!(winners, 1);
}

#[tokio::test]
async fn trees() {
    let forge = Fixture::new().await;
    let flat = forge.get(&format!("{R}/git/trees/main")).await.expect(200);
    let names =
        |tree: &Value| -> Vec<String> { tree["tree"].as_array().unwrap().iter().map(|it| text(&it["path"])).collect() };
    assert_eq!(names(&flat), ["README.md", "src"]);
    assert_eq!(flat["truncated"], false);
    let deep = forge.get(&format!("{R}/git/trees/heads/main?recursive=1")).await.expect(200);
    assert_eq!(names(&deep), ["README.md", "src", "src/lib.py"]);
    let file = &deep["tree"][2];
    assert_eq!((&file["mode"], &file["type"], &file["size"]), (&json!("100644"), &json!("blob"), &json!(18)));
    assert_eq!(deep["tree"][1]["mode"], "040000");
    let by_sha = format!("{R}/git/trees/{}", text(&flat["sha"]));
    assert_eq!(forge.get(&by_sha).await.expect(200)["tree"], flat["tree"]);
    forge.get(&format!("{R}/git/trees/none")).await.refused(404, "Not Found");
}
