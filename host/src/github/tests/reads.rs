//! Each read: the request that it makes and what it makes of a realistic answer.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::server::{Reply, Server};
use super::{branch, path, pull_request_json, ref_json, repository, sha};
use crate::github::{
    ChangedFile, CheckRun, CheckStatus, Commit, Comparison, File, FileStatus, GitHubError, PullRequest,
    PullRequestState, TreeEntry, TreeKind,
};

async fn serving(status: u16, body: &Value) -> Server {
    Server::start([Reply::json(status, body)]).await
}

#[tokio::test]
async fn branch_sha_asks_for_the_reference_with_the_usual_headers() {
    let server = serving(200, &ref_json()).await;
    assert_eq!(server.client().branch_sha(&repository(), &branch()).await, Ok(sha('a')));
    let seen = &server.seen()[0];
    assert_eq!(seen.line, "GET /repos/octo/hello/git/ref/heads/feature/0199-a");
    assert_eq!(seen.header("accept"), Some("application/vnd.github+json"));
    assert_eq!(seen.header("x-github-api-version"), Some("2022-11-28"));
    assert_eq!(seen.header("user-agent"), Some("juggernaut-test"));
    assert_eq!(seen.header("authorization"), Some(format!("Bearer {}", super::TOKEN).as_str()));
}

fn file_json() -> Value {
    json!({
        "type": "file", "encoding": "base64", "size": 12, "name": "ä b?.py", "path": "core/%2e/ä b?.py",
        "content": "aGVsbG8g\nd29ybGQK\n", "sha": sha('c'),
        "url": "https://api.github.com/…", "git_url": null, "html_url": null, "download_url": null,
        "_links": {"git": null, "self": "https://api.github.com/…", "html": null},
    })
}

#[tokio::test]
async fn file_encodes_its_path_part_by_part_and_decodes_the_content() {
    let server = serving(200, &file_json()).await;
    let file = server.client().file(&repository(), &path("core/%2e/ä b?.py"), "feature/x").await.unwrap();
    assert_eq!(file, File { content: b"hello world\n".to_vec(), sha: sha('c') });
    assert_eq!(server.lines(), ["GET /repos/octo/hello/contents/core/%252e/%C3%A4%20b%3F.py?ref=feature%2Fx"]);
    let journalled = serde_json::to_value(&file).unwrap();
    assert_eq!(journalled, json!({"content": "aGVsbG8gd29ybGQK", "sha": sha('c')}));
    assert_eq!(serde_json::from_value::<File>(journalled).unwrap(), file);
}

#[tokio::test]
async fn file_takes_the_largest_file_that_is_allowed() {
    let content = vec![0x5a; 1 << 20];
    let encoded = STANDARD.encode(&content);
    let lines: Vec<&str> = encoded.as_bytes().chunks(60).map(|line| str::from_utf8(line).unwrap()).collect();
    let mut body = file_json();
    body["size"] = json!(content.len());
    body["content"] = json!(lines.join("\n"));
    body["path"] = json!("big");
    let server = serving(200, &body).await;
    assert_eq!(server.client().file(&repository(), &path("big"), "main").await.unwrap().content, content);
}

#[tokio::test]
async fn file_refuses_what_is_no_regular_file() {
    let with = |changes: &[(&str, Value)]| {
        let mut body = file_json();
        for (key, value) in changes {
            body[*key] = value.clone();
        }
        body
    };
    let cases = [
        (json!([file_json(), file_json()]), "directory of 2 entries"),
        (with(&[("type", json!("symlink")), ("target", json!("/etc/passwd"))]), "symlink"),
        (with(&[("type", json!("submodule"))]), "submodule"),
        (with(&[("path", json!("core/other.py"))]), "symlink to \"core/other.py\""),
        (with(&[("encoding", json!("none")), ("content", json!("")), ("size", json!(2_000_000))]), "2000000 bytes"),
        (with(&[("size", json!((1 << 20) + 1))]), "1048577 bytes"),
    ];
    for (body, sign) in cases {
        let server = serving(200, &body).await;
        let error = server.client().file(&repository(), &path("core/%2e/ä b?.py"), "main").await.unwrap_err();
        assert!(matches!(&error, GitHubError::Invalid(text) if text.contains(sign)), "{sign}: {error}");
    }
    for (key, value) in [("size", json!(11)), ("content", json!("?")), ("encoding", json!("rot13"))] {
        let server = serving(200, &with(&[(key, value)])).await;
        let error = server.client().file(&repository(), &path("core/%2e/ä b?.py"), "main").await.unwrap_err();
        assert!(matches!(error, GitHubError::Unavailable(_)), "{key}: {error}");
    }
}

#[tokio::test]
async fn references_mean_one_thing_and_stay_in_their_place() {
    let server = Server::start([]).await;
    let client = server.client();
    let long = "a".repeat(300);
    for bad in ["", "..", "a/../b", "main^", "fork:main", "a...b", "a b", "/a", "a//b", "-a", "a?b", "a%2fb", &long] {
        let compared = client.compare(&repository(), "main", bad).await.unwrap_err();
        for error in [compared, client.commit(&repository(), bad).await.unwrap_err()] {
            assert!(matches!(error, GitHubError::Invalid(_)), "{bad:?}: {error}");
        }
    }
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn tree_lists_all_depths() {
    let body = json!({"sha": sha('d'), "url": "https://api.github.com/…", "truncated": false, "tree": [
        {"path": "src", "mode": "040000", "type": "tree", "sha": sha('1'), "url": "…"},
        {"path": "src/a.rs", "mode": "100644", "type": "blob", "size": 30, "sha": sha('2'), "url": "…"},
        {"path": "vendor", "mode": "160000", "type": "commit", "sha": sha('3')},
    ]});
    let server = serving(200, &body).await;
    let entry = |path: &str, kind, digit, size| TreeEntry { path: path.to_owned(), kind, sha: sha(digit), size };
    assert_eq!(
        server.client().tree(&repository(), "feature/x").await.unwrap(),
        [
            entry("src", TreeKind::Tree, '1', None),
            entry("src/a.rs", TreeKind::Blob, '2', Some(30)),
            entry("vendor", TreeKind::Commit, '3', None)
        ]
    );
    assert_eq!(server.lines(), ["GET /repos/octo/hello/git/trees/feature/x?recursive=1"]);
}

#[tokio::test]
async fn pull_request_knows_its_states() {
    let with = |changes: Value| {
        let mut body = pull_request_json();
        for (key, value) in changes.as_object().unwrap() {
            body[key] = value.clone();
        }
        body
    };
    let merged = json!({"state": "closed", "merged": true, "merged_at": "2026-01-27T00:00:00Z", "mergeable": null});
    let mut orphan = with(json!({"state": "closed"}));
    orphan["head"]["repo"] = Value::Null;
    let open = PullRequest {
        number: 7,
        state: PullRequestState::Open,
        title: "Add core".to_owned(),
        url: "https://github.com/octo/hello/pull/7".to_owned(),
        head_repository: Some(repository()),
        head_branch: "feature/0199-a".to_owned(),
        head_sha: sha('b'),
        base_branch: "main".to_owned(),
        mergeable: Some(true),
        merge_sha: None,
    };
    let done =
        PullRequest { state: PullRequestState::Merged, mergeable: None, merge_sha: Some(sha('e')), ..open.clone() };
    let closed = PullRequest { state: PullRequestState::Closed, head_repository: None, ..open.clone() };
    for (body, expected) in [(pull_request_json(), open), (with(merged), done), (orphan, closed)] {
        let server = serving(200, &body).await;
        let found = server.client().pull_request(&repository(), 7).await.unwrap();
        assert_eq!(found, expected);
        assert_eq!(serde_json::from_value::<PullRequest>(serde_json::to_value(&found).unwrap()).unwrap(), found);
        assert_eq!(server.lines(), ["GET /repos/octo/hello/pulls/7"]);
    }
}

#[tokio::test]
async fn find_pull_requests_drops_those_of_other_branches() {
    let mut other = pull_request_json();
    other["head"]["ref"] = json!("feature/other");
    let mut listed = pull_request_json();
    for key in ["merged", "mergeable"] {
        listed.as_object_mut().unwrap().remove(key);
    }
    let server = serving(200, &json!([listed, other])).await;
    let found = server.client().find_pull_requests(&repository(), &branch()).await.unwrap();
    assert_eq!(found.iter().map(|it| (it.number, it.mergeable)).collect::<Vec<_>>(), [(7, None)]);
    let query = "state=all&head=octo%3Afeature%2F0199-a&sort=created&direction=desc&per_page=100";
    assert_eq!(server.lines(), [format!("GET /repos/octo/hello/pulls?{query}")]);
}

fn check_json(id: u64, name: &str, status: &str, conclusion: Option<&str>) -> Value {
    json!({
        "id": id, "name": name, "head_sha": sha('b'), "node_id": "CR", "external_id": "", "status": status,
        "conclusion": conclusion, "html_url": format!("https://github.com/octo/hello/runs/{id}"),
        "started_at": "2026-05-04T01:14:52Z", "completed_at": null, "app": {"id": 1, "slug": "actions"},
        "pull_requests": [], "check_suite": {"id": 5},
    })
}

#[tokio::test]
async fn check_runs_keeps_the_newest_of_each_name_over_all_pages() {
    let first = json!({"total_count": 4, "check_runs": [
        check_json(5, "test", "completed", Some("failure")),
        check_json(2, "lint", "in_progress", None),
    ]});
    let second = json!({"total_count": 4, "check_runs": [
        check_json(3, "test", "completed", Some("success")),
        check_json(4, "deploy", "waiting", None),
    ]});
    let next = "<{origin}/repositories/1/check-runs?page=2>; rel=\"next\", <{origin}/x?page=2>; rel=\"last\"";
    let server = Server::start([
        Reply::json(200, &first).header("link", next),
        Reply::json(200, &second).header("link", "<{origin}/repositories/1/check-runs?page=1>; rel=\"prev\""),
    ])
    .await;
    let runs = server.client().check_runs(&repository(), &sha('b')).await.unwrap();
    let run = |name: &str, status, conclusion: Option<&str>, id| CheckRun {
        name: name.to_owned(),
        status,
        conclusion: conclusion.map(ToOwned::to_owned),
        url: Some(format!("https://github.com/octo/hello/runs/{id}")),
    };
    assert_eq!(
        runs,
        [
            run("deploy", CheckStatus::Queued, None, 4),
            run("lint", CheckStatus::InProgress, None, 2),
            run("test", CheckStatus::Completed, Some("failure"), 5)
        ]
    );
    let path = format!("/repos/octo/hello/commits/{}/check-runs?filter=latest&per_page=100", sha('b'));
    assert_eq!(server.lines(), [format!("GET {path}"), "GET /repositories/1/check-runs?page=2".to_owned()]);
}

fn compare_json(total: usize, commits: usize, files: usize) -> Value {
    let commit = |_| json!({"sha": sha('1'), "commit": {"message": "m"}, "parents": [{"sha": sha('0')}]});
    let file = |n| json!({"sha": sha('2'), "filename": format!("f{n}"), "status": "modified", "changes": 1});
    json!({
        "status": "ahead", "ahead_by": total, "behind_by": 2, "total_commits": total,
        "base_commit": {"sha": sha('0')}, "merge_base_commit": {"sha": sha('0')},
        "commits": (0..commits).map(commit).collect::<Vec<_>>(),
        "files": (0..files).map(file).collect::<Vec<_>>(),
    })
}

#[tokio::test]
async fn compare_reports_commits_and_files() {
    let mut body = compare_json(1, 1, 1);
    body["files"] = json!([
        {"filename": "new.rs", "previous_filename": "old.rs", "status": "renamed", "sha": null},
        {"filename": "a", "status": "modified", "sha": sha('3'), "additions": 3, "deletions": 2,
         "patch": "@@ -1,2 +1,3 @@\n-x\n-y\n+\n+ \t\n+z"},
        {"filename": "b", "status": "modified", "sha": sha('4'), "additions": 3, "deletions": 2},
    ]);
    let server = serving(200, &body).await;
    let changed = |path: &str, written_lines, blob| ChangedFile {
        path: path.to_owned(),
        previous_path: None,
        status: FileStatus::Modified,
        deletions: 2,
        written_lines,
        blob: Some(sha(blob)),
    };
    let expected = Comparison {
        ahead_by: 1,
        behind_by: 2,
        commits: vec![sha('1')],
        files: vec![
            ChangedFile {
                path: "new.rs".to_owned(),
                previous_path: Some("old.rs".to_owned()),
                status: FileStatus::Renamed,
                deletions: 0,
                written_lines: Some(0),
                blob: None,
            },
            changed("a", Some(1), '3'),
            changed("b", None, '4'),
        ],
        merge_base: Some(sha('0')),
        truncated: false,
    };
    assert_eq!(server.client().compare(&repository(), "release/1", "feature/x").await, Ok(expected));
    assert_eq!(server.lines(), ["GET /repos/octo/hello/compare/release/1...feature/x?per_page=100"]);
}

#[tokio::test]
async fn compare_reads_all_pages_and_says_what_it_could_not_list() {
    let next = |page: u32| format!("<{{origin}}/compare?page={page}>; rel=\"next\"");
    let pages = |total, sizes: [usize; 3]| {
        [
            Reply::json(200, &compare_json(total, sizes[0], 1)).header("link", next(2)),
            Reply::json(200, &compare_json(total, sizes[1], 0)).header("link", next(3)),
            Reply::json(200, &compare_json(total, sizes[2], 0)).header("link", next(4)),
        ]
    };
    for (total, sizes, listed, truncated) in
        [(250, [100, 100, 50], 250, false), (251, [100, 100, 51], 250, true), (900, [100; 3], 250, true)]
    {
        let server = Server::start(pages(total, sizes)).await;
        let found = server.client().compare(&repository(), "main", "x").await.unwrap();
        assert_eq!((found.commits.len(), found.files.len(), found.truncated), (listed, 1, truncated), "{total}");
        assert_eq!(server.seen().len(), 3);
    }
    for (files, truncated) in [(299, false), (300, true)] {
        let server = serving(200, &compare_json(1, 1, files)).await;
        let found = server.client().compare(&repository(), "main", "x").await.unwrap();
        assert_eq!((found.files.len(), found.truncated), (files, truncated));
    }
    let server = Server::start([
        Reply::json(200, &compare_json(150, 100, 1)).header("link", next(2)),
        Reply::json(200, &compare_json(151, 51, 0)),
    ])
    .await;
    let error = server.client().compare(&repository(), "main", "x").await.unwrap_err();
    assert!(error.to_string().contains("changed while it was read"), "{error}");
}

#[tokio::test]
async fn commit_reads_its_message_and_parents() {
    let body = json!({
        "sha": sha('a'), "node_id": "C", "html_url": "…", "author": null, "committer": null,
        "commit": {"message": "Fix it\n\nWhy", "tree": {"sha": sha('f')}, "author": {"name": "o"}},
        "parents": [{"sha": sha('1'), "url": "…"}, {"sha": sha('2'), "url": "…"}],
        "stats": {"total": 1}, "files": [],
    });
    let server = serving(200, &body).await;
    let expected = Commit { sha: sha('a'), message: "Fix it\n\nWhy".to_owned(), parents: vec![sha('1'), sha('2')] };
    assert_eq!(server.client().commit(&repository(), "heads/main").await, Ok(expected));
    assert_eq!(server.lines(), ["GET /repos/octo/hello/commits/heads/main?per_page=1"]);
}
