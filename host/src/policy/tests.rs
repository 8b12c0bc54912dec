use std::path::Path;

use super::*;
use crate::repo::RepoPath;

fn manifest() -> Manifest {
    let source = r#"
[role]
name = "executor"
worker_type = "executor"
description = "x"
task_types = ["code"]
[limits]
memory_mib = 64
wall_ms = 1000
host_calls = 10
log_lines = 10
log_line_bytes = 1000
call_kib = 2048
journal_kib = 2048
[grants.github-read]
repositories = ["demo/*"]
[grants.github-write]
repositories = ["demo/sample"]
branches = ["feature/*"]
bases = ["main"]
[grants.github-merge]
repositories = ["demo/sample"]
bases = ["main"]
[grants.http-fetch]
response_kib_max = 64
timeout_ms_max = 1000
[[grants.http-fetch.targets]]
host = "docs.rs"
methods = ["GET", "HEAD"]
paths = ["/crate/", "/about"]
[[grants.http-fetch.targets]]
host = "*.example.org"
methods = ["GET"]
paths = ["/"]
"#;
    Manifest::parse(Path::new("capabilities.toml"), source.to_owned()).unwrap()
}

fn put(task: TaskId, path: &str) -> PutFile {
    PutFile {
        repository: Repository::parse("demo/sample").unwrap(),
        branch: Branch::parse(&task.branch()).unwrap(),
        path: RepoPath::parse(path).unwrap(),
        content: vec![],
        message: "m".to_owned(),
        previous: None,
    }
}

fn target() -> Target {
    Target { repository: Repository::parse("demo/sample").unwrap(), base: Branch::parse("main").unwrap() }
}

fn sha(digit: char) -> Sha {
    Sha::parse(&digit.to_string().repeat(40)).unwrap()
}

fn facts(task: TaskId) -> MergeFacts {
    MergeFacts {
        head_repository: Some(Repository::parse("demo/sample").unwrap()),
        head_branch: task.branch(),
        base_branch: "main".to_owned(),
        head: sha('b'),
        commits: vec![sha('a'), sha('b')],
        truncated: false,
        paths: vec!["core/a.py".to_owned()],
        own_commits: vec![sha('b'), sha('a')],
        base_renames: vec![],
    }
}

#[test]
fn a_run_writes_to_its_own_branch_only() {
    let (manifest, task) = (manifest(), TaskId::generate());
    let target = target();
    let scope = Scope { task, target: Some(&target), manifest: &manifest };
    assert!(scope.put_file(put(task, "a.py")).is_ok());
    for branch in ["main", "feature/other", &TaskId::generate().branch(), &format!("{}-x", task.branch())] {
        let action = PutFile { branch: Branch::parse(branch).unwrap(), ..put(task, "a.py") };
        assert_eq!(scope.put_file(action).unwrap_err().rule, "own-branch", "{branch}");
    }
    let other = PutFile { repository: Repository::parse("demo/other").unwrap(), ..put(task, "a.py") };
    assert_eq!(scope.put_file(other).unwrap_err().rule, "manifest-repositories");
}

#[test]
fn what_runs_with_authority_elsewhere_is_never_written() {
    let (manifest, task) = (manifest(), TaskId::generate());
    let target = target();
    let scope = Scope { task, target: Some(&target), manifest: &manifest };
    for path in [
        ".github/workflows/ci.yml",
        ".GitHub/workflows/ci.yml",
        ".github /x",
        "docs/.github/x",
        "CODEOWNERS",
        "docs/CodeOwners",
        ".gitmodules",
        ".gitattributes",
        "a/.git/config",
        "policies/prohibited.cedar",
        "roles/executor/capabilities.toml",
        "roles.lock",
        ".circleci/config.yml",
        "a/.gitlab-ci.yml",
        "Jenkinsfile",
        "railway.toml",
    ] {
        assert_eq!(scope.put_file(put(task, path)).unwrap_err().rule, "authority-elsewhere", "{path}");
        let facts = MergeFacts { paths: vec![path.to_owned()], ..facts(task) };
        assert_eq!(scope.merge(merge(), &facts).unwrap_err().rule, "authority-elsewhere", "{path}");
    }
    for path in ["github/x.py", "codeowners.py", "a.git/x"] {
        assert!(scope.put_file(put(task, path)).is_ok(), "{path}");
    }
}

fn merge() -> MergePullRequest {
    MergePullRequest { repository: Repository::parse("demo/sample").unwrap(), number: 1, head_sha: sha('b') }
}

#[test]
fn a_merge_is_of_this_tasks_work_and_nothing_else() {
    let (manifest, task) = (manifest(), TaskId::generate());
    let target = target();
    let scope = Scope { task, target: Some(&target), manifest: &manifest };
    assert!(scope.merge(merge(), &facts(task)).is_ok());
    let refused = |facts: MergeFacts, rule: &str| assert_eq!(scope.merge(merge(), &facts).unwrap_err().rule, rule);
    refused(MergeFacts { head_repository: None, ..facts(task) }, "merge-same-repository");
    refused(
        MergeFacts { head_repository: Repository::parse("fork/sample").ok(), ..facts(task) },
        "merge-same-repository",
    );
    refused(MergeFacts { head_branch: "feature/x".to_owned(), ..facts(task) }, "merge-own-branch");
    refused(MergeFacts { base_branch: "release".to_owned(), ..facts(task) }, "manifest-bases");
    refused(MergeFacts { truncated: true, ..facts(task) }, "merge-judged-whole");
    refused(MergeFacts { own_commits: vec![sha('b')], ..facts(task) }, "merge-own-commits");
    refused(MergeFacts { commits: vec![sha('b'), sha('a')], ..facts(task) }, "merge-judged-head");
    refused(MergeFacts { commits: vec![], ..facts(task) }, "merge-judged-head");
    let renamed = vec!["core/b.py".to_owned(), ".github/workflows/build.yml".to_owned()];
    refused(MergeFacts { base_renames: renamed, ..facts(task) }, "authority-elsewhere");
    let elsewhere = Target { base: Branch::parse("release").unwrap(), ..target.clone() };
    let scope = Scope { task, target: Some(&elsewhere), manifest: &manifest };
    assert_eq!(scope.merge(merge(), &facts(task)).unwrap_err().rule, "own-base");
    refused(MergeFacts { head: sha('a'), ..facts(task) }, "merge-judged-head");
}

#[test]
fn a_run_changes_only_what_its_task_names() {
    let (manifest, task) = (manifest(), TaskId::generate());
    let elsewhere = Target { repository: Repository::parse("demo/other").unwrap(), ..target() };
    for target in [None, Some(&elsewhere)] {
        let scope = Scope { task, target, manifest: &manifest };
        assert_eq!(scope.put_file(put(task, "a.py")).unwrap_err().rule, "own-repository");
        assert_eq!(scope.merge(merge(), &facts(task)).unwrap_err().rule, "own-repository");
    }
}

#[test]
fn a_branch_begins_at_a_commit_of_the_base() {
    let (manifest, task, target) = (manifest(), TaskId::generate(), target());
    let scope = Scope { task, target: Some(&target), manifest: &manifest };
    let action = || CreateBranch {
        repository: target.repository.clone(),
        branch: Branch::parse(&task.branch()).unwrap(),
        sha: sha('a'),
    };
    assert!(scope.create_branch(action(), BranchFacts { on_base: true }).is_ok());
    let refused = scope.create_branch(action(), BranchFacts { on_base: false }).unwrap_err();
    assert_eq!(refused.rule, "branch-from-base");
}

#[test]
fn a_fetch_is_granted_by_one_target_with_host_method_and_path() {
    use crate::web::{Method, WebTarget};

    let (manifest, task) = (manifest(), TaskId::generate());
    let scope = Scope { task, target: None, manifest: &manifest };
    let fetch = |url: &str, method| scope.fetch(&WebTarget::parse(url).unwrap(), method).map_err(|denied| denied.rule);
    for (url, method, expected) in [
        ("https://docs.rs/crate/serde", Method::Get, Ok(())),
        ("https://DOCS.rs:443/%63rate/serde?x=1#y", Method::Head, Ok(())),
        ("https://docs.rs/about", Method::Get, Ok(())),
        ("https://a.example.org/anything", Method::Get, Ok(())),
        ("https://a.example.org/crate/", Method::Head, Err("manifest-methods")),
        ("https://docs.rs/", Method::Get, Err("manifest-paths")),
        ("https://docs.rs/crate", Method::Get, Err("manifest-paths")),
        ("https://docs.rs/Crate/serde", Method::Get, Err("manifest-paths")),
        ("https://docs.rs/aboutus", Method::Get, Err("manifest-paths")),
        ("https://docs.rs/graphql", Method::Get, Err("manifest-paths")),
        ("https://docs.rs:8443/crate/serde", Method::Get, Err("manifest-hosts")),
        ("https://docs.rs.evil.example/crate/", Method::Get, Err("manifest-hosts")),
        ("https://example.org/", Method::Get, Err("manifest-hosts")),
        ("https://a.b.example.org/", Method::Get, Err("manifest-hosts")),
        ("https://dоcs.rs/crate/serde", Method::Get, Err("manifest-hosts")),
        ("https://api.stripe.com/v1/charges", Method::Get, Err("manifest-hosts")),
        ("https://docs.rs/crate/serde?_method=DELETE", Method::Get, Err("method-override")),
        ("https://docs.rs/crate/serde?%24httpMethod=PUT", Method::Get, Err("method-override")),
        ("https://docs.rs/crate/serde", Method::Post, Err("safe-methods")),
        ("https://docs.rs/crate/serde", Method::Delete, Err("safe-methods")),
    ] {
        assert_eq!(fetch(url, method), expected, "{method} {url}");
    }
    let denied = scope.fetch(&WebTarget::parse("https://docs.rs:8443/").unwrap(), Method::Get).unwrap_err();
    let remedy = "add [[grants.http-fetch.targets]] with host = \"docs.rs:8443\" in capabilities.toml [manifest-hosts]";
    assert!(denied.to_string().ends_with(remedy), "{denied}");
}
