//! Each kind of evidence with a real guest: the truth completes the task, a lie is refused for what it is. And evidence
//! that the world has taken back since is found.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::fetch::Web;
use crate::support::{CliOutput, Host, LIMIT, Options, RolesDir, code_task, juggernaut};

const REPORT: &str = "<testsuite><testcase/><testcase><failure/></testcase><testcase><skipped/></testcase></testsuite>";
const SUMMARY: &str = "The notes say that memory is kept for thirty days, that it can be searched by meaning, and that \
                       the oldest entries are dropped first.";
/// SHA-256 of `# Guide` and of the notes, each with a line break.
const GUIDE: &str = "bc553ffe57e544498b12a9865dbf3abc2004c474e349c52c378eaa402287424b";
const NOTES: &str = "566e0b41b27cfa9988df540a0f9a36e0639c8d5a4b71c5a0229b2917cbc05e34";

async fn reporter() -> Host {
    Host::start(Options::default().roles(RolesDir::with(&["reporter"]))).await
}

fn read(path: &str) -> Value {
    json!({"call": "get-file", "repository": "demo/sample", "path": path, "reference": "main"})
}

/// A task whose run makes these calls and claims this.
fn told(task_type: &str, calls: &Value, claim: &Value) -> Value {
    json!({
        "title": "Report", "task_type": task_type, "attempts_max": 1, "assigned_worker": "reporter",
        "payload": {"repository": "demo/sample", "calls": calls, "claim": claim},
    })
}

async fn completes(host: &Host, draft: Value) -> Value {
    let task = host.create_task(draft).await;
    host.wait_for(&task, "completed", LIMIT).await
}

async fn is_refused(host: &Host, draft: Value, because: &str) {
    let task = host.create_task(draft).await;
    let failed = host.wait_for(&task, "failed", LIMIT).await;
    let reason = failed["error_message"].as_str().unwrap();
    assert!(reason.contains(because), "{because}: {reason}");
    assert_eq!((&failed["evidence"], &failed["completion_evidence"]), (&Value::Null, &Value::Null));
}

fn says<'a>(task: &'a Value, wanted: &str) -> &'a str {
    let text = task["completion_evidence"].as_str().unwrap();
    assert!(text.contains(wanted), "{wanted}: {text}");
    text
}

#[tokio::test]
async fn prose_completes_no_kind_of_task() {
    let host = reporter().await;
    for task_type in ["test", "verification", "research", "documentation"] {
        for prose in ["Done", "Completed the task", "Fixed it"] {
            let draft = told(task_type, &json!([read("README.md")]), &json!({"summary": prose}));
            is_refused(&host, draft, &format!("{prose:?} is prose")).await;
        }
        let other = json!({"kind": "merged-pull-request", "repository": "demo/sample"});
        is_refused(&host, told(task_type, &json!([]), &other), "is no evidence for this task").await;
    }
}

#[tokio::test]
async fn test_results_are_what_the_host_counts() {
    let host = reporter().await;
    let forge = host.forge();
    forge.commit_to_main("report.xml", REPORT).await;
    let sha = forge.git(&["rev-parse", "main"]).trim().to_owned();
    let run = json!({"name": "ci", "head_sha": sha, "status": "completed", "conclusion": "success"});
    let (status, answer) = forge.call(Method::POST, "/repos/demo/sample/check-runs", Some(run)).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");

    let list = json!({"call": "list-check-runs", "repository": "demo/sample", "sha": sha});
    let calls = json!([read("report.xml"), list]);
    let unit = |counts: [u32; 3]| json!({"name": "unit", "counts": counts, "step": 0});
    let ci = |counts: [u32; 3]| json!({"name": "ci", "counts": counts, "repository": "demo/sample", "sha": sha, "check": "ci"});
    let claim = |suites: Value| json!({"kind": "test-results", "suites": suites});
    let mut draft = told("test", &calls, &claim(json!([unit([1, 1, 1]), ci([1, 0, 0])])));
    let done = completes(&host, draft.clone()).await;
    says(&done, "Test results: 2 passed, 1 failed, 1 skipped (1 of these are check runs, each counted as one)");
    assert_eq!(done["evidence"]["suites"][0]["failed"], 1);

    draft["acceptance_criteria"] = json!([{"type": "tests-pass"}]);
    draft["payload"]["claim"]["answers"] = json!([[0]]);
    is_refused(&host, draft, "suite \"unit\" has 1 failed tests").await;
    for (suites, because) in [
        (json!([unit([3, 0, 0])]), "claimed to have 3 passed, 0 failed, 0 skipped, and the host counts 1 passed"),
        (json!([ci([57, 0, 0])]), "the host counts 1 passed, 0 failed, 0 skipped"),
        (json!([]), "1 to 50 suites"),
    ] {
        is_refused(&host, told("test", &calls, &claim(suites)), because).await;
    }
    // A green report of the role's own making.
    let green = "<testsuite><testcase/></testsuite>";
    let write = json!({"call": "write-file", "repository": "demo/sample", "path": "green.xml", "content": green});
    let own = json!([{"name": "unit", "counts": [1, 0, 0], "step": 3}]);
    is_refused(&host, told("test", &json!([write]), &claim(own)), "wrote the report of step 3 itself").await;
}

#[tokio::test]
async fn a_verification_report_is_what_the_journal_shows() {
    let host = reporter().await;
    let main = host.forge().git(&["rev-parse", "main"]).trim().to_owned();
    let branch = json!({"call": "get-branch", "repository": "demo/sample", "branch": "main"});
    let calls = json!([branch, read("README.md"), read("absent.md")]);
    let check = |name: &str, expected: &str, actual: &str| json!({"name": name, "step": 0, "pointer": "/ok", "expected": expected, "actual": actual});
    let contains = |actual: &str| json!({"name": "title", "step": 1, "contains": "# sample", "expected": "true", "actual": actual});
    let claim = |checks: Value| json!({"kind": "verification-report", "checks": checks});
    let mut draft = told("verification", &calls, &claim(json!([check("head", "elsewhere", &main), contains("true")])));
    let done = completes(&host, draft.clone()).await;
    let text = says(&done, "Verification report: 1 of 2 checks passed");
    assert!(text.contains(&format!("- [FAILED] head: expected elsewhere, found {main}")), "{text}");
    assert_eq!(done["evidence"]["checks"][0]["passed"], false);

    draft["acceptance_criteria"] = json!([{"type": "checks-pass"}]);
    draft["payload"]["claim"]["answers"] = json!([[0]]);
    is_refused(&host, draft, "check \"head\" expected \"elsewhere\"").await;
    is_refused(&host, told("verification", &calls, &claim(json!([check("head", "x", "x")]))), "step 0 shows").await;
    is_refused(&host, told("verification", &calls, &claim(json!([contains("false")]))), "step 1 shows \"true\"").await;
}

#[tokio::test]
async fn research_cites_what_it_read() {
    let host = reporter().await;
    host.forge().commit_to_main("NOTES.md", "memory is kept for thirty days\n").await;
    let claim =
        |summary: &str, sources: Value| json!({"kind": "cited-summary", "summary": summary, "sources": sources});
    let calls = json!([read("NOTES.md"), read("absent.md")]);
    let done = completes(&host, told("research", &calls, &claim(SUMMARY, json!([0])))).await;
    let text = says(&done, &format!("sha256:{NOTES}, 31 bytes, fetched "));
    assert!(text.contains("- Source https://github.com/demo/sample/blob/main/NOTES.md"), "{text}");
    assert!(text.contains("The role says: The notes say"), "{text}");
    let invented = format!("{SUMMARY} See https://example.org/paper.");
    for (claimed, because) in [
        (claim(&invented, json!([0])), "cites https://example.org/paper, which is none of its sources"),
        (claim(SUMMARY, json!([])), "1 to 50 sources"),
        (claim(SUMMARY, json!([1])), "names step 1, which failed"),
        (claim(SUMMARY, json!([7])), "has not"),
        (claim("Completed the task", json!([0])), "is no summary"),
    ] {
        is_refused(&host, told("research", &calls, &claimed), because).await;
    }
}

fn document(sha256: &str) -> Value {
    json!({"kind": "document-file", "repository": "demo/sample", "path": "docs/guide.md", "reference": "main",
        "sha256": sha256})
}

#[tokio::test]
async fn a_document_is_where_it_is_said_to_be() {
    let host = reporter().await;
    host.forge().commit_to_main("docs/guide.md", "# Guide\n").await;
    let calls = json!([read("docs/guide.md")]);
    let done = completes(&host, told("documentation", &calls, &document(GUIDE))).await;
    says(&done, "Document: docs/guide.md at main in demo/sample\n");
    let wrong = "0".repeat(64);
    let elsewhere = json!({"kind": "document-file", "repository": "other/sample", "path": "a", "reference": "main",
        "sha256": GUIDE});
    for (calls, claimed, because) in [
        (&calls, document(&wrong), "and it has"),
        (&json!([]), document(GUIDE), "no call of this attempt read or wrote docs/guide.md"),
        (&calls, elsewhere, "other/sample"),
        (
            &calls,
            json!({"kind": "document-url", "url": "https://example.org/guide"}),
            "no call of this attempt fetched",
        ),
    ] {
        is_refused(&host, told("documentation", calls, &claimed), because).await;
    }
    // What a claim asks the host to look at, where the role may not, is a decision like any other.
    let query = "select count(*) from audit_log where kind = 'policy_decision' and details ->> 'call' = 'evidence.read'
                 and details ->> 'verdict' = 'denied'";
    let denied: i64 = sqlx::query_scalar(query).fetch_one(&host.db()).await.unwrap();
    assert_eq!(denied, 1);
}

#[tokio::test]
async fn what_was_fetched_is_cited_and_answers() {
    let web = Web::start().await;
    let roles = RolesDir::with(&["reporter"]);
    roles.edit("reporter", "127.0.0.1:1\"", &format!("127.0.0.1:{}\"", web.address.port()));
    let host = Host::start(Options::default().roles(roles).env("JUGGERNAUT_EGRESS_LOOPBACK", "allow")).await;
    let (page, gone) = (web.url("/open/a"), web.url("/open/missing"));
    let calls = json!([{"call": "fetch", "url": page}, {"call": "fetch", "url": gone}]);
    let claim = |cited: &str, sources: Value| json!({"kind": "cited-summary", "summary": format!("{SUMMARY} ({cited})"), "sources": sources, "answers": [[0]]});
    let wants = |mut draft: Value, status: u16| {
        draft["acceptance_criteria"] = json!([{"type": "http-status", "url": page, "status": status}]);
        draft
    };
    let truth = told("research", &calls, &claim(&page, json!([0])));
    let done = completes(&host, wants(truth.clone(), 200)).await;
    // SHA-256 of `hello`.
    let hello = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824, 5 bytes";
    says(&done, &format!("- Source {page}, {hello}"));
    assert_eq!(done["evidence"]["criteria"][0]["answered"], "verified");
    is_refused(&host, wants(truth, 404), "answered with 200 in step 0, not with 404").await;
    is_refused(&host, wants(told("research", &calls, &claim(&gone, json!([1]))), 200), "answered with 404").await;
    let document = |url: &str| told("documentation", &calls, &json!({"kind": "document-url", "url": url}));
    says(&completes(&host, document(&page)).await, &format!("Document: {page}, which answered in step 0"));
    is_refused(&host, document(&gone), "answered with 404 in step 1").await;
    is_refused(&host, document(&web.url("/open/b")), "no call of this attempt fetched").await;
}

async fn verify(host: &Host, arguments: &[&str]) -> CliOutput {
    let folder = TempDir::new().unwrap();
    let (database, forge) = (host.database(), host.forge());
    let env = [
        ("DATABASE_URL", database.url()),
        ("GITHUB_API_URL", forge.url()),
        ("GITHUB_TOKEN", forge.token()),
        ("JUGGERNAUT_EGRESS_LOOPBACK", "allow"),
    ];
    juggernaut(folder.path(), &[&["evidence", "verify"], arguments].concat(), &env).await
}

#[tokio::test]
async fn check_runs_pages_and_criteria_are_asked_for_again() {
    let web = Web::start().await;
    let roles = RolesDir::with(&["reporter", "executor"]);
    roles.edit("reporter", "127.0.0.1:1\"", &format!("127.0.0.1:{}\"", web.address.port()));
    let host = Host::start(Options::default().roles(roles).env("JUGGERNAUT_EGRESS_LOOPBACK", "allow")).await;
    let forge = host.forge();
    let main = forge.git(&["rev-parse", "main"]).trim().to_owned();
    let ci = async |sha: &str, conclusion: &str| {
        let run = json!({"name": "ci", "head_sha": sha, "status": "completed", "conclusion": conclusion});
        let (status, answer) = forge.call(Method::POST, "/repos/demo/sample/check-runs", Some(run)).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
    };
    ci(&main, "success").await;
    let list = json!({"call": "list-check-runs", "repository": "demo/sample", "sha": main});
    let suite = json!({"name": "ci", "counts": [1, 0, 0], "repository": "demo/sample", "sha": main, "check": "ci"});
    let claim = json!({"kind": "test-results", "suites": [suite], "answers": [[0]]});
    let mut draft = told("test", &json!([list]), &claim);
    draft["acceptance_criteria"] = json!([{"type": "check-green", "name": "ci"}]);
    let tested = host.create_task(draft).await;
    let page = web.url("/open/page");
    let claim = json!({"kind": "document-url", "url": page});
    let documented = host.create_task(told("documentation", &json!([{"call": "fetch", "url": page}]), &claim)).await;
    let claim = json!({"kind": "cited-summary", "summary": SUMMARY, "sources": [0], "answers": [[0]]});
    let mut draft = told("research", &json!([read("README.md")]), &claim);
    draft["acceptance_criteria"] = json!([{"type": "file-contains", "path": "README.md", "text": "sample"}]);
    let researched = host.create_task(draft).await;
    for task in [&tested, &documented, &researched] {
        host.wait_for(task, "completed", LIMIT).await;
    }
    let all = verify(&host, &[]).await;
    assert!(all.stdout.ends_with("3 tasks: 3 hold, 0 broken, 0 not answered\n"), "{all:?}");

    ci(&main, "failure").await;
    web.set_page("another");
    forge.commit_to_main("README.md", "# other\n").await;
    let after = verify(&host, &["--json"]).await;
    let lines: Vec<Value> = after.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (task, because) in [
        (&tested, "GitHub shows 0 passed, 1 failed, 0 skipped for check \"ci\""),
        (&tested, "criterion 0: check \"ci\" is failure"),
        (&documented, "had the SHA-256"),
        (&researched, "criterion 0: README.md does not contain"),
    ] {
        let line = lines.iter().find(|line| line["task"] == task.as_str()).unwrap();
        assert_eq!(line["verdict"], "broken", "{line}");
        assert!(line["problems"].to_string().contains(&because.replace('"', "\\\"")), "{because}: {line}");
    }
    // What does not answer is not broken, and what is gone is.
    for (path, verdict) in [("", "broken"), ("slow down", "not_answered")] {
        web.set_page(path);
        let again = verify(&host, &["--json", "--task", &documented]).await;
        let line: Value = serde_json::from_str(again.stdout.lines().next().unwrap()).unwrap();
        assert_eq!(line["verdict"], verdict, "{line}");
    }
}

#[tokio::test]
async fn what_the_world_took_back_is_found() {
    let host = Host::start(Options::default().roles(RolesDir::with(&["executor", "reporter"]))).await;
    let forge = host.forge();
    forge.commit_to_main("docs/guide.md", "# Guide\n").await;
    let before = forge.git(&["rev-parse", "main"]).trim().to_owned();
    let documented = host.create_task(told("documentation", &json!([read("docs/guide.md")]), &document(GUIDE))).await;
    let claim = json!({"kind": "cited-summary", "summary": SUMMARY, "sources": [0]});
    let researched = host.create_task(told("research", &json!([read("README.md")]), &claim)).await;
    let merged = host.create_task(code_task("a.py")).await;
    for task in [&documented, &researched, &merged] {
        host.wait_for(task, "completed", LIMIT).await;
    }
    let all = verify(&host, &[]).await;
    assert_eq!(all.code, Some(0), "{all:?}");
    assert!(all.stdout.ends_with("3 tasks: 3 hold, 0 broken, 0 not answered\n"), "{all:?}");

    // GitHub asks for patience: nothing is known, and nothing is called broken.
    forge.fault("GET", "/repos/demo/sample/pulls/*", json!({ "kind": "rate-limit" })).await;
    let patient = verify(&host, &["--task", &merged]).await;
    assert_eq!(patient.code, Some(1), "{patient:?}");
    assert!(patient.stdout.contains("0 broken, 1 not answered"), "{patient:?}");

    // The base branch is set back behind the merge; the document goes on as something else.
    forge.git(&["update-ref", "refs/heads/main", &before]);
    forge.commit_to_main("docs/guide.md", "# Another\n").await;
    let after = verify(&host, &["--json"]).await;
    assert_eq!(after.code, Some(1), "{after:?}");
    let lines: Vec<Value> = after.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |task: &String| lines.iter().find(|line| line["task"] == task.as_str()).unwrap();
    assert_eq!(of(&researched)["verdict"], "holds");
    assert_eq!((&of(&merged)["verdict"], &of(&documented)["verdict"]), (&json!("broken"), &json!("broken")));
    assert!(of(&merged)["problems"][0].as_str().unwrap().contains("main no longer holds the merge"), "{after:?}");
    assert!(of(&documented)["problems"][0].as_str().unwrap().contains("had the SHA-256"), "{after:?}");
    assert_eq!(lines.last().unwrap(), &json!({"checked": 3, "holds": 1, "broken": 2, "not_answered": 0}));

    // Somebody rewrites the journal behind the research.
    let id: uuid::Uuid = researched.parse().unwrap();
    sqlx::query("update task_steps set result = '{\"ok\": {\"base64\": \"eA==\", \"sha\": \"x\"}}' where task_id = $1")
        .bind(id)
        .execute(&host.db())
        .await
        .unwrap();
    let doctored = verify(&host, &["--task", &researched]).await;
    assert_eq!(doctored.code, Some(1), "{doctored:?}");
    assert!(doctored.stdout.contains("the journal holds"), "{doctored:?}");
    let unknown = verify(&host, &["--task", "00000000-0000-0000-0000-000000000000"]).await;
    assert!(unknown.code == Some(1) && unknown.stderr.contains("no completed task"), "{unknown:?}");
    assert_eq!(verify(&host, &["--since", "7w"]).await.code, Some(2));
}
