use std::path::Path;
use std::sync::Arc;

use super::action::{CreateBranch, MergePullRequest, PutFile};
use super::*;
use crate::manifest::Manifest;
use crate::repo::{Branch, RepoPath};
use crate::task::{Target, TaskId};

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

fn authority() -> Authority {
    Authority::new(Arc::new(Policies::shipped().unwrap()), Arc::new(manifest())).unwrap()
}

fn low() -> Assessment {
    Assessment::new(Risk::Low, vec![])
}

fn refused_by<T: std::fmt::Debug>(answer: Result<T, Denied>, policy: &str) {
    let denied = answer.unwrap_err();
    assert!(denied.policies.iter().any(|id| id == policy), "{policy} is not among {denied:?}");
    assert!(!denied.message.contains('{'), "an unfilled word: {denied}");
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
        head: sha('b').to_string(),
        commits: vec![sha('a'), sha('b')],
        truncated: false,
        paths: vec!["core/a.py".to_owned()],
        gone: vec![],
        own_commits: vec![sha('b'), sha('a')],
        base_renames: vec![],
        files_removed: 0,
        contents: vec![],
        unread: vec![],
    }
}

#[test]
fn a_run_writes_to_its_own_branch_only() {
    let (authority, task, risk) = (authority(), TaskId::generate(), low());
    let target = target();
    let scope = Scope { authority: &authority, task, task_type: "code", risk: &risk, target: Some(&target) };
    assert!(scope.put_file(put(task, "a.py")).is_ok());
    for branch in ["main", "feature/other", &TaskId::generate().branch(), &format!("{}-x", task.branch())] {
        let action = PutFile { branch: Branch::parse(branch).unwrap(), ..put(task, "a.py") };
        refused_by(scope.put_file(action), "scope.own-branch");
    }
    let other = PutFile { repository: Repository::parse("demo/other").unwrap(), ..put(task, "a.py") };
    refused_by(scope.put_file(other), "prohibited.outside-capability-set");
}

#[test]
fn what_runs_with_authority_elsewhere_is_never_written() {
    let (authority, task, risk) = (authority(), TaskId::generate(), low());
    let target = target();
    let scope = Scope { authority: &authority, task, task_type: "code", risk: &risk, target: Some(&target) };
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
        refused_by(scope.put_file(put(task, path)), "prohibited.modify-rbac");
        let facts = MergeFacts { paths: vec![path.to_owned()], ..facts(task) };
        refused_by(scope.merge(merge(), &facts), "prohibited.modify-rbac");
    }
    for path in ["github/x.py", "codeowners.py", "a.git/x"] {
        assert!(scope.put_file(put(task, path)).is_ok(), "{path}");
    }
}

fn merge() -> MergePullRequest {
    MergePullRequest {
        repository: Repository::parse("demo/sample").unwrap(),
        number: 1,
        head_sha: sha('b'),
        message: String::new(),
    }
}

#[test]
fn a_merge_is_of_this_tasks_work_and_nothing_else() {
    let (authority, task, risk) = (authority(), TaskId::generate(), low());
    let target = target();
    let scope = Scope { authority: &authority, task, task_type: "code", risk: &risk, target: Some(&target) };
    assert!(scope.merge(merge(), &facts(task)).is_ok());
    let refused = |facts: MergeFacts, rule: &str| refused_by(scope.merge(merge(), &facts), rule);
    refused(MergeFacts { head_repository: None, ..facts(task) }, "scope.merge-same-repository");
    refused(
        MergeFacts { head_repository: Repository::parse("fork/sample").ok(), ..facts(task) },
        "scope.merge-same-repository",
    );
    refused(MergeFacts { head_branch: "feature/x".to_owned(), ..facts(task) }, "scope.own-branch");
    refused(MergeFacts { base_branch: "release".to_owned(), ..facts(task) }, "prohibited.outside-capability-set");
    refused(MergeFacts { truncated: true, ..facts(task) }, "scope.merge-judged-whole");
    refused(MergeFacts { own_commits: vec![sha('b')], ..facts(task) }, "scope.merge-own-commits");
    refused(MergeFacts { commits: vec![sha('b'), sha('a')], ..facts(task) }, "scope.merge-judged-head");
    refused(MergeFacts { commits: vec![], ..facts(task) }, "scope.merge-judged-head");
    let renamed = vec!["core/b.py".to_owned(), ".github/workflows/build.yml".to_owned()];
    refused(MergeFacts { base_renames: renamed, ..facts(task) }, "prohibited.modify-rbac");
    let elsewhere = Target { base: Branch::parse("release").unwrap(), ..target.clone() };
    let scope = Scope { authority: &authority, task, task_type: "code", risk: &risk, target: Some(&elsewhere) };
    refused_by(scope.merge(merge(), &facts(task)), "scope.own-base");
    refused(MergeFacts { head: sha('a').to_string(), ..facts(task) }, "scope.merge-judged-head");
}

#[test]
fn a_run_changes_only_what_its_task_names() {
    let (authority, task, risk) = (authority(), TaskId::generate(), low());
    let elsewhere = Target { repository: Repository::parse("demo/other").unwrap(), ..target() };
    for target in [None, Some(&elsewhere)] {
        let scope = Scope { authority: &authority, task, task_type: "code", risk: &risk, target };
        refused_by(scope.put_file(put(task, "a.py")), "scope.own-repository");
        refused_by(scope.merge(merge(), &facts(task)), "scope.own-repository");
    }
}

#[test]
fn a_branch_begins_at_a_commit_of_the_base() {
    let (authority, task, risk, target) = (authority(), TaskId::generate(), low(), target());
    let scope = Scope { authority: &authority, task, task_type: "code", risk: &risk, target: Some(&target) };
    let action = || CreateBranch {
        repository: target.repository.clone(),
        branch: Branch::parse(&task.branch()).unwrap(),
        sha: sha('a'),
    };
    assert!(scope.create_branch(action(), BranchFacts { on_base: true }).is_ok());
    refused_by(scope.create_branch(action(), BranchFacts { on_base: false }), "scope.branch-from-base");
}

#[test]
fn data_is_not_deleted() {
    let (authority, task, risk) = (authority(), TaskId::generate(), low());
    let target = target();
    let scope = Scope { authority: &authority, task, task_type: "code", risk: &risk, target: Some(&target) };
    let sql = |path: &str, text: &str| PutFile { content: text.as_bytes().to_vec(), ..put(task, path) };
    let rule = "prohibited.delete-production-data";
    refused_by(scope.put_file(sql("migrations/3.sql", "DROP/**/TABLE users")), rule);
    refused_by(scope.put_file(sql("x.SQL", "truncate users")), rule);
    assert!(scope.put_file(sql("notes.md", "drop table users")).is_ok());
    let contents = vec![("db/x.sql".to_owned(), b"delete from users".to_vec())];
    let facts_of = |contents| MergeFacts { paths: vec!["db/x.sql".to_owned()], contents, ..facts(task) };
    refused_by(scope.merge(merge(), &facts_of(contents)), rule);
    refused_by(scope.merge(merge(), &MergeFacts { files_removed: 11, ..facts(task) }), rule);
    assert!(scope.merge(merge(), &MergeFacts { files_removed: 10, ..facts(task) }).is_ok());
}

#[test]
fn high_risk_prepares_and_a_person_approves_what_takes_effect() {
    let (authority, task, target) = (authority(), TaskId::generate(), target());
    for (level, needs) in [(Risk::Low, false), (Risk::Medium, false), (Risk::High, true), (Risk::Critical, true)] {
        let risk = Assessment::new(level, vec![]);
        let scope = Scope { authority: &authority, task, task_type: "code", risk: &risk, target: Some(&target) };
        assert!(scope.put_file(put(task, "a.py")).unwrap().needs.is_none(), "{level}");
        assert_eq!(scope.merge(merge(), &facts(task)).unwrap().needs.is_some(), needs, "{level}");
        assert_eq!(scope.start().is_some(), level == Risk::Critical, "{level}");
    }
    // SQL that nobody has seen is judged as if it did harm, unless it is gone.
    let risk = low();
    let scope = Scope { authority: &authority, task, task_type: "code", risk: &risk, target: Some(&target) };
    let unseen = MergeFacts { base_renames: vec!["db/cleanup.sql".to_owned()], ..facts(task) };
    assert_eq!(scope.merge(merge(), &unseen).unwrap().risk.level, Risk::High);
    let unseen = MergeFacts { paths: vec!["migrations/2.py".to_owned()], ..facts(task) };
    assert_eq!(scope.merge(merge(), &unseen).unwrap().risk.level, Risk::High);
    let gone = MergeFacts { gone: unseen.paths.clone(), ..unseen };
    assert_eq!(scope.merge(merge(), &gone).unwrap().risk.level, Risk::Medium);
    // So is SQL in a program, and a program that nobody has looked into.
    let path = "jobs/purge.py".to_owned();
    let contents = vec![(path.clone(), b"db.execute('drop table users')".to_vec())];
    for (contents, unread, level) in
        [(vec![], vec![], Risk::Low), (contents, vec![], Risk::High), (vec![], vec![path.clone()], Risk::High)]
    {
        let program = MergeFacts { paths: vec![path.clone()], contents, unread, ..facts(task) };
        assert_eq!(scope.merge(merge(), &program).unwrap().risk.level, level);
    }
    // What the change does counts, whatever the task was declared.
    let risk = low();
    let scope = Scope { authority: &authority, task, task_type: "code", risk: &risk, target: Some(&target) };
    let facts = MergeFacts { paths: vec!["core/auth/permissions.py".to_owned()], ..facts(task) };
    let needed = scope.merge(merge(), &facts).unwrap().needs.unwrap();
    assert_eq!((needed.risk, needed.policies), (Risk::Critical, vec!["approval.high-risk".to_owned()]));
    assert!(needed.reasons.iter().any(|reason| reason.contains("permissions.py")), "{:?}", needed.reasons);
}

#[test]
fn nothing_completes_without_evidence_and_nobody_claims_other_types() {
    let (authority, task, risk) = (authority(), TaskId::generate(), low());
    let scope = Scope { authority: &authority, task, task_type: "code", risk: &risk, target: None };
    assert!(scope.complete(true).is_ok());
    refused_by(scope.complete(false), "prohibited.complete-without-evidence");
    assert!(authority.may_claim("code").is_ok());
    refused_by(authority.may_claim("planning"), "prohibited.claim-outside-capability-set");
}

#[test]
fn a_fetch_is_granted_by_one_target_with_host_method_and_path() {
    use crate::web::{Method, WebTarget};

    let (authority, task, risk) = (authority(), TaskId::generate(), low());
    let scope = Scope { authority: &authority, task, task_type: "research", risk: &risk, target: None };
    let fetch = |url: &str, method| {
        let answer = scope.fetch(&WebTarget::parse(url).unwrap(), method);
        answer.map(drop).map_err(|denied| denied.to_string())
    };
    for (url, method, expected) in [
        ("https://docs.rs/crate/serde", Method::Get, Ok(())),
        ("https://DOCS.rs:443/%63rate/serde?x=1#y", Method::Head, Ok(())),
        ("https://docs.rs/about", Method::Get, Ok(())),
        ("https://a.example.org/anything", Method::Get, Ok(())),
        ("https://a.example.org/crate/", Method::Head, Err("to methods of its http-fetch target")),
        ("https://docs.rs/", Method::Get, Err("to paths of the http-fetch target")),
        ("https://docs.rs/crate", Method::Get, Err("to paths of the http-fetch target")),
        ("https://docs.rs/Crate/serde", Method::Get, Err("to paths of the http-fetch target")),
        ("https://docs.rs/aboutus", Method::Get, Err("to paths of the http-fetch target")),
        ("https://docs.rs/graphql", Method::Get, Err("to paths of the http-fetch target")),
        ("https://docs.rs:8443/crate/serde", Method::Get, Err("add [[grants.http-fetch.targets]] with host")),
        ("https://docs.rs.evil.example/crate/", Method::Get, Err("add [[grants.http-fetch.targets]] with host")),
        ("https://example.org/", Method::Get, Err("add [[grants.http-fetch.targets]] with host")),
        ("https://a.b.example.org/", Method::Get, Err("add [[grants.http-fetch.targets]] with host")),
        ("https://dоcs.rs/crate/serde", Method::Get, Err("add [[grants.http-fetch.targets]] with host")),
        ("https://api.stripe.com/v1/charges", Method::Get, Err("prohibited.financial-transactions")),
        ("https://docs.rs/crate/serde?_method=DELETE", Method::Get, Err("[scope.method-override]")),
        ("https://docs.rs/crate/serde?%24httpMethod=PUT", Method::Get, Err("[scope.method-override]")),
        ("https://docs.rs/crate/serde", Method::Post, Err("prohibited.outside-capability-set")),
        ("https://docs.rs/crate/serde", Method::Delete, Err("prohibited.delete-production-data.over-http")),
    ] {
        match (fetch(url, method), expected) {
            (Ok(()), Ok(())) => {}
            (Err(denied), Err(says)) => assert!(denied.contains(says), "{method} {url}: {denied}"),
            (answer, _) => panic!("{method} {url}: {answer:?}"),
        }
    }
    let denied = scope.fetch(&WebTarget::parse("https://docs.rs:8443/").unwrap(), Method::Get).unwrap_err();
    let remedy = "add [[grants.http-fetch.targets]] with host = \"docs.rs:8443\" in capabilities.toml [prohibited.outside-capability-set]";
    assert!(denied.to_string().ends_with(remedy), "{denied}");
}
