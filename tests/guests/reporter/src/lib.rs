//! Makes the calls that its payload lists, in order, and then claims what its payload says, word for word: the truth
//! or a lie, as the test wants it.

use juggernaut_guest::{
    Assignment, Check, Evidence, Failure, TestCounts, TestSuite, github_read, github_write, http_fetch, info,
};
use serde_json::Value;

juggernaut_guest::role!(run);

fn run(task: Assignment) -> Result<Evidence, Failure> {
    if let Some(refusal) = &task.last_error {
        info!("told: {refusal}");
    }
    let payload: Value = serde_json::from_str(&task.payload).unwrap_or_default();
    for call in list(&payload["calls"]) {
        make(&task, call)?;
    }
    let claim = &payload["claim"];
    let answers = list(&claim["answers"]).iter().enumerate();
    let evidence = proof(claim).summary(text(&claim["summary"]));
    Ok(answers.fold(evidence, |evidence, (number, steps)| evidence.answer(number as u32, positions(steps))))
}

fn make(task: &Assignment, call: &Value) -> Result<(), Failure> {
    let of = |key: &str| text(&call[key]);
    match of("call").as_str() {
        "get-file" => drop(github_read::get_file(&of("repository"), &of("path"), &of("reference"))),
        "get-branch" => drop(github_read::get_branch(&of("repository"), &of("branch"))),
        "list-check-runs" => drop(github_read::list_check_runs(&of("repository"), &of("sha"))),
        "write-file" => {
            let main = github_read::get_branch(&of("repository"), "main")?;
            github_write::create_branch(&of("repository"), &task.branch, &main)?;
            let content = of("content");
            github_write::put_file(&of("repository"), &task.branch, &of("path"), content.as_bytes(), "m", None)?;
            drop(github_read::get_file(&of("repository"), &of("path"), &task.branch)?);
        }
        "fetch" => {
            let method = if of("method") == "head" { http_fetch::Method::Head } else { http_fetch::Method::Get };
            drop(http_fetch::fetch(&http_fetch::Request { method, url: of("url"), headers: Vec::new() }));
        }
        other => return Err(Failure::final_(format!("no such call: {other:?}"))),
    }
    Ok(())
}

fn proof(claim: &Value) -> Evidence {
    let of = |key: &str| text(&claim[key]);
    match of("kind").as_str() {
        "test-results" => Evidence::test_results(list(&claim["suites"]).iter().map(suite)),
        "verification-report" => Evidence::verification_report(list(&claim["checks"]).iter().map(check)),
        "cited-summary" => Evidence::cited_summary("", positions(&claim["sources"])),
        "document-url" => Evidence::document_url(of("url")),
        "document-file" => Evidence::document_file(of("repository"), of("path"), of("reference"), of("sha256")),
        "merged-pull-request" => Evidence::merged_pull_request(of("repository"), 1),
        _ => Evidence::statement(""),
    }
}

fn suite(suite: &Value) -> TestSuite {
    let of = |key: &str| text(&suite[key]);
    let count = |at: usize| number(&suite["counts"][at]);
    let counts = TestCounts { passed: count(0), failed: count(1), skipped: count(2) };
    match suite["step"].as_u64() {
        Some(_) => TestSuite::junit_report(of("name"), counts, number(&suite["step"])),
        None => TestSuite::check_run(of("name"), counts, of("repository"), of("sha"), of("check")),
    }
}

fn check(check: &Value) -> Check {
    let of = |key: &str| text(&check[key]);
    let step = number(&check["step"]);
    match check["contains"].as_str() {
        Some(needle) => {
            Check::body_contains(of("name"), step, needle, of("expected") == "true", of("actual") == "true")
        }
        None => Check::value(of("name"), step, of("pointer"), of("expected"), of("actual")),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn number(value: &Value) -> u32 {
    value.as_u64().and_then(|number| number.try_into().ok()).unwrap_or(u32::MAX)
}

fn positions(value: &Value) -> Vec<u32> {
    list(value).iter().map(number).collect()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}
