//! Each kind of evidence: the truth is accepted, each lie is refused for what it is.

use base64::Engine as _;

use super::*;
use crate::github::CheckStatus;
use crate::task::{ClaimedCheck, ClaimedDocument, ClaimedSuite, Observation, SuiteSource, TestCounts};

const REPORT: &str = "<testsuite><testcase/><testcase><failure/></testcase><testcase/></testsuite>";
const URL: &str = "https://docs.example.org/guide";
const SUMMARY: &str = "The guide says that memory is kept for thirty days, that it can be searched by meaning, and that \
                       old entries are dropped first (https://docs.example.org/guide).";

fn of_kind(task_type: &str, kind: EvidenceKind) -> Task {
    Task { task_type: task_type.to_owned(), evidence_kind: kind, payload: json!({}), ..task(vec![]) }
}

fn call(position: u32, interface: &str, function: &str, arguments: Value, result: Value) -> Step {
    Step { function: function.to_owned(), effect: Effect::Read, ..step(position, interface, arguments, result) }
}

fn read(position: u32, path: &str, content: &str) -> Step {
    let arguments = json!({"repository": "demo/sample", "path": path, "reference": "main"});
    let base64 = base64::engine::general_purpose::STANDARD.encode(content);
    call(position, "github-read", "get-file", arguments, json!({"ok": {"base64": base64, "sha": "b".repeat(40)}}))
}

fn fetch(position: u32, url: &str, status: u16, body: &str) -> Step {
    let base64 = base64::engine::general_purpose::STANDARD.encode(body);
    let ok = json!({"status": status, "url": url, "redirected_from": ["https://old.example.org/"], "headers": [],
        "bytes": body.len(), "sha256": "wrong on purpose: the host counts again", "base64": base64});
    call(position, "http-fetch", "fetch", json!({"method": "GET", "url": url}), json!({"ok": ok}))
}

fn run(name: &str, conclusion: Option<&str>) -> CheckRun {
    let conclusion = conclusion.map(str::to_owned);
    CheckRun { name: name.to_owned(), status: CheckStatus::Completed, conclusion, url: None }
}

fn listed(position: u32, runs: &[CheckRun]) -> Step {
    let arguments = json!({"repository": "demo/sample", "sha": "a".repeat(40)});
    call(position, "github-read", "list-check-runs", arguments, json!({"ok": runs}))
}

fn seen(steps: Vec<Step>) -> World {
    World { steps, ..World::default() }
}

fn claims(proof: Proof) -> Claim {
    Claim { summary: SUMMARY.to_owned(), proof: Some(proof), answers: vec![] }
}

fn sample() -> Repository {
    Repository::parse("demo/sample").unwrap()
}

fn sha256(content: &str) -> String {
    use sha2::Digest as _;
    hex::encode(sha2::Sha256::digest(content))
}

fn suite(name: &str, counts: (u32, u32, u32), source: SuiteSource) -> ClaimedSuite {
    let (passed, failed, skipped) = counts;
    ClaimedSuite { name: name.to_owned(), counts: TestCounts { passed, failed, skipped }, source }
}

fn junit(step: u32) -> SuiteSource {
    SuiteSource::JunitReport { step }
}

fn check_run(name: &str) -> SuiteSource {
    SuiteSource::CheckRun { repository: Ok(sample()), sha: Ok(sha("a")), name: name.to_owned() }
}

#[test]
fn the_bad_examples_are_refused_for_each_kind() {
    for (task_type, kind, wanted) in [
        ("code", EvidenceKind::MergedPullRequest, "merged-pull-request"),
        ("test", EvidenceKind::TestResults, "test-results"),
        ("verification", EvidenceKind::VerificationReport, "verification-report"),
        ("research", EvidenceKind::CitedSummary, "cited-summary"),
        ("documentation", EvidenceKind::Document, "document"),
    ] {
        let task = of_kind(task_type, kind);
        for summary in ["Done", "Completed the task", "Fixed it", "", "All 12 unit tests passing", SUMMARY] {
            let claim = Claim { summary: summary.to_owned(), proof: None, answers: vec![] };
            refused(&task, &claim, &seen(vec![read(0, "a", "b")]), &format!("only by `{wanted}` evidence"));
        }
        // Another kind's evidence, however true, is none.
        let other =
            if kind == EvidenceKind::CitedSummary { Proof::TestResults(vec![]) } else { Proof::CitedSummary(vec![0]) };
        refused(&task, &claims(other), &seen(vec![read(0, "a", "b")]), "is no evidence for this task");
    }
    let later = of_kind("analysis", EvidenceKind::ReportStored);
    refused(&later, &claims(Proof::CitedSummary(vec![0])), &seen(vec![]), "accepts nothing unverified");
}

#[test]
fn tests_are_counted_again() {
    let task = of_kind("test", EvidenceKind::TestResults);
    let mut world = seen(vec![
        read(0, "report.xml", REPORT),
        listed(1, &[run("ci", Some("success")), run("lint", Some("failure")), run("slow", None)]),
        fetch(2, URL, 404, REPORT),
        read(3, "report.xml", REPORT),
        read(4, "README.md", "all tests pass"),
    ]);
    let now = vec![run("ci", Some("success")), run("lint", Some("timed_out")), run("slow", None)];
    world.suites.insert((sample(), sha("a")), now);
    let claim = |suites: Vec<ClaimedSuite>| claims(Proof::TestResults(suites));
    let truth = vec![
        suite("unit", (2, 1, 0), junit(0)),
        suite("ci", (1, 0, 0), check_run("ci")),
        suite("lint", (0, 1, 0), check_run("lint")),
    ];
    let verified = accepted(&task, &claim(truth.clone()), &world);
    let shown = text(&verified);
    assert!(shown.starts_with("Test results: 3 passed, 2 failed, 0 skipped (2 of these are check runs"), "{shown}");
    assert!(shown.contains("which tells no number of tests"), "{shown}");
    let again = |steps: Vec<Step>| {
        let world = World { steps, ..world.clone() };
        recheck(&verified, &[], &WorldNow { world, merge_in_base: false })
    };
    assert_eq!(again(world.steps.clone()), Holding::Holds);
    let mut doctored = world.steps.clone();
    doctored[0] = read(0, "report.xml", "<testsuite><testcase/></testsuite>");
    assert!(matches!(again(doctored), Holding::Broken(problems) if problems.len() == 1));
    assert!(matches!(again(vec![]), Holding::Broken(_)));
    // GitHub shows another end of a check, or none.
    for (now, because) in [
        (vec![run("ci", Some("failure")), run("lint", Some("failure"))], "GitHub shows 0 passed, 1 failed"),
        (vec![run("ci", Some("success"))], "shows no check run \"lint\""),
    ] {
        let mut world = world.clone();
        world.suites.insert((sample(), sha("a")), now);
        let Holding::Broken(problems) = recheck(&verified, &[], &WorldNow { world, merge_in_base: false }) else {
            panic!("{because}")
        };
        assert!(problems.len() == 1 && problems[0].contains(because), "{problems:?}");
    }

    for (suites, because) in [
        (vec![], "1 to 50 suites"),
        (vec![suite("", (2, 1, 0), junit(0))], "name each suite"),
        (
            vec![suite("unit", (3, 0, 0), junit(0))],
            "claimed to have 3 passed, 0 failed, 0 skipped, and the host counts 2 passed, 1 failed",
        ),
        (vec![suite("ci", (120, 0, 0), check_run("ci"))], "and the host counts 1 passed"),
        (vec![suite("lint", (1, 0, 0), check_run("lint"))], "the host counts 0 passed, 1 failed"),
        (vec![suite("slow", (1, 0, 0), check_run("slow"))], "has not finished"),
        (vec![suite("x", (1, 0, 0), check_run("x"))], "GitHub shows no check run \"x\""),
        (vec![suite("a", (2, 1, 0), junit(0)), suite("a", (2, 1, 0), junit(3))], "two suites are named"),
        (vec![suite("a", (2, 1, 0), junit(0)), suite("b", (2, 1, 0), junit(3))], "counts what another suite counts"),
        (vec![suite("a", (1, 0, 0), check_run("ci")), suite("b", (1, 0, 0), check_run("ci"))], "counts what another"),
        (vec![suite("unit", (2, 1, 0), junit(9))], "has not"),
        (vec![suite("unit", (2, 1, 0), junit(1))], "neither http-fetch.fetch nor github-read.get-file"),
        (vec![suite("unit", (2, 1, 0), junit(2))], "answered with 404"),
        (vec![suite("unit", (2, 1, 0), junit(4))], "no test case"),
    ] {
        refused(&task, &claim(suites), &world, because);
    }
    let unlisted = World { steps: vec![read(0, "report.xml", REPORT)], ..world.clone() };
    refused(&task, &claim(vec![suite("ci", (1, 0, 0), check_run("ci"))]), &unlisted, "list-check-runs first");
    let mut changed = world.clone();
    changed.suites.insert((sample(), sha("a")), vec![run("ci", Some("failure"))]);
    refused(&task, &claim(vec![suite("ci", (0, 1, 0), check_run("ci"))]), &changed, "has changed since step 1");
    let own = World { own_files: [sha256(REPORT)].into(), ..world.clone() };
    refused(&task, &claim(vec![suite("unit", (2, 1, 0), junit(0))]), &own, "wrote the report of step 0 itself");

    let wants = |criterion| Task { criteria: vec![criterion], ..task.clone() };
    let answered = |suites| Claim { answers: vec![Answer { criterion: 0, steps: vec![0] }], ..claim(suites) };
    let green = wants(Criterion::TestsPass { suite: Some("ci".to_owned()) });
    assert_eq!(accepted(&green, &answered(truth.clone()), &world).criteria[0].answered, Answered::Verified);
    refused(&wants(Criterion::TestsPass { suite: None }), &answered(truth.clone()), &world, "has 1 failed tests");
    refused(
        &wants(Criterion::TestsPass { suite: Some("e2e".to_owned()) }),
        &answered(truth.clone()),
        &world,
        "no suite",
    );
    let check_green = |name: &str| wants(Criterion::CheckGreen { name: name.to_owned() });
    accepted(&check_green("ci"), &answered(truth.clone()), &world);
    refused(&check_green("lint"), &answered(truth.clone()), &world, "is timed_out");
    refused(&wants(Criterion::Merged), &answered(truth), &world, "only a merged pull request");
}

fn fact(name: &str, step: u32, observation: Observation, expected: &str, actual: &str) -> ClaimedCheck {
    let (name, expected, actual) = (name.to_owned(), expected.to_owned(), actual.to_owned());
    ClaimedCheck { name, step, observation, expected, actual }
}

#[test]
fn checks_are_looked_up_again() {
    let value = |pointer: &str| Observation::Value(pointer.to_owned());
    let contains = |text: &str| Observation::BodyContains(text.to_owned());
    let task = of_kind("verification", EvidenceKind::VerificationReport);
    let world = seen(vec![
        fetch(0, URL, 200, "kept for thirty days"),
        call(1, "timer", "sleep", json!({}), json!({"ok": null})),
        call(2, "github-read", "get-file", json!({}), json!({"err": {"not-found": "no file"}})),
        call(3, "github-read", "get-tree", json!({}), json!({"ok": vec!["x".repeat(100); 100]})),
    ]);
    let claim = |checks: Vec<ClaimedCheck>| claims(Proof::VerificationReport(checks));
    let truth = vec![
        fact("answers", 0, value("/ok/status"), "200", "200"),
        fact("keeps for days", 0, contains("thirty days"), "true", "true"),
        fact("keeps for ever", 0, contains("for ever"), "true", "false"),
        fact("gone", 2, value("/err/not-found"), "no file", "no file"),
    ];
    let verified = accepted(&task, &claim(truth.clone()), &world);
    let shown = text(&verified);
    assert!(shown.starts_with("Verification report: 3 of 4 checks passed\n"), "{shown}");
    assert!(shown.contains("- [FAILED] keeps for ever: expected true, found false"), "{shown}");
    let now = WorldNow { world: world.clone(), merge_in_base: false };
    assert_eq!(recheck(&verified, &[], &now), Holding::Holds);

    for (check, because) in [
        (fact("lie", 0, value("/ok/status"), "200", "201"), "claims to have found \"201\", and step 0 shows \"200\""),
        (fact("lie", 0, contains("for ever"), "true", "true"), "step 0 shows \"false\""),
        (fact("lie", 0, value("/ok/nothing"), "", ""), "points at nothing"),
        (fact("lie", 7, value("/ok"), "", ""), "has not"),
        (fact("lie", 1, value("/ok"), "null", "null"), "observes nothing"),
        (fact("lie", 2, contains("x"), "false", "false"), "which failed"),
        (fact("lie", 3, value("/ok"), "", ""), "larger than"),
        (fact("lie", 0, contains(""), "true", "true"), "1 to 1000 bytes"),
        (fact("lie", 0, value(&"/x".repeat(400)), "", ""), "at most 512 bytes"),
        (fact(" ", 0, value("/ok/status"), "200", "200"), "name each check"),
        (fact("long", 0, value("/ok/status"), &"9".repeat(5000), "200"), "at most 4096 bytes"),
    ] {
        refused(&task, &claim(vec![check]), &world, because);
    }
    refused(&task, &claim(vec![]), &world, "1 to 100 checks");
    let twice = fact("same", 0, value("/ok/status"), "200", "200");
    refused(&task, &claim(vec![twice.clone(), twice]), &world, "two checks are named");

    let strict = Task { criteria: vec![Criterion::ChecksPass], ..task.clone() };
    let answers = vec![Answer { criterion: 0, steps: vec![0] }];
    let all = Claim { answers: answers.clone(), ..claim(truth.clone()) };
    refused(&strict, &all, &world, "check \"keeps for ever\" expected \"true\" and found \"false\"");
    accepted(&strict, &Claim { answers, ..claim(truth[..2].to_vec()) }, &world);
}

#[test]
fn a_summary_cites_what_was_fetched_and_nothing_else() {
    let task = of_kind("research", EvidenceKind::CitedSummary);
    let head = Step { arguments: json!({"method": "HEAD", "url": URL}), ..fetch(4, URL, 200, "x") };
    let world = seen(vec![
        fetch(0, URL, 200, "kept for thirty days"),
        read(1, "NOTES.md", "notes"),
        fetch(2, "https://docs.example.org/gone", 404, "no"),
        fetch(3, "https://docs.example.org/empty", 200, ""),
        head,
        call(5, "http-fetch", "fetch", json!({"method": "GET", "url": URL}), json!({"err": {"denied": "x"}})),
    ]);
    let claim = |summary: &str, sources: Vec<u32>| Claim {
        summary: summary.to_owned(),
        proof: Some(Proof::CitedSummary(sources)),
        answers: vec![],
    };
    let verified = accepted(&task, &claim(SUMMARY, vec![0, 1]), &world);
    let shown = text(&verified);
    let digest = sha256("kept for thirty days");
    assert!(shown.contains(&format!("- Source {URL}, sha256:{digest}, 20 bytes, fetched 1970-01-01")), "{shown}");
    assert!(shown.contains("https://github.com/demo/sample/blob/main/NOTES.md"), "{shown}");
    // Where it was redirected from counts, and a fragment does not.
    let words = SUMMARY.split(" (").next().unwrap();
    for cited in [
        "https://old.example.org/",
        "HTTPS://DOCS.example.org/guide#part",
        "https://github.com/demo/sample/blob/main/NOTES.md",
    ] {
        accepted(&task, &claim(&format!("{words}: <{cited}>."), vec![0, 1]), &world);
    }
    for cited in [
        "https://docs.example.org/gone",
        "https://docs.example.org/guide2",
        "http://docs.example.org/guide",
        "https://docs.example.org.evil.example/guide",
        "https://user@docs.example.org/guide",
    ] {
        refused(&task, &claim(&format!("{words}: {cited}"), vec![0, 1]), &world, "which is none of its sources");
    }
    for (sources, because) in [
        (vec![], "1 to 50 sources"),
        (vec![0, 0], "named twice"),
        (vec![9], "has not"),
        (vec![2], "answered with 404"),
        (vec![3], "is empty"),
        (vec![4], "asked for with HEAD"),
        (vec![5], "which failed"),
    ] {
        refused(&task, &claim(words, sources), &world, because);
    }
    for prose in ["Done", "Completed the task", &"Done. ".repeat(50), "https://docs.example.org/guide"] {
        refused(&task, &claim(prose, vec![0]), &world, "is no summary");
    }
    let own = World { own_files: [sha256("notes")].into(), ..world.clone() };
    refused(&task, &claim(words, vec![1]), &own, "written by this task itself");

    let mut now = WorldNow { world: world.clone(), merge_in_base: false };
    assert_eq!(recheck(&verified, &[], &now), Holding::Holds);
    now.world.steps[0] = fetch(0, URL, 200, "kept for ever");
    assert!(
        matches!(recheck(&verified, &[], &now), Holding::Broken(problems) if problems[0].contains("had the SHA-256"))
    );
}

#[test]
fn a_document_answers_or_has_its_digest() {
    let task = of_kind("documentation", EvidenceKind::Document);
    let file = |sha256: &str| {
        let (path, reference) = ("docs/a.md".to_owned(), "main".to_owned());
        claims(Proof::Document(ClaimedDocument::File {
            repository: Ok(sample()),
            path,
            reference,
            sha256: sha256.to_owned(),
        }))
    };
    let at = |url: &str| claims(Proof::Document(ClaimedDocument::Url(url.to_owned())));
    let mut world = seen(vec![read(0, "docs/a.md", "guide"), fetch(1, URL, 200, "guide")]);
    world.document = Some(SeenDocument { sha256: sha256("guide"), bytes: 5 });
    let verified = accepted(&task, &file(&sha256("guide")), &world);
    assert!(text(&verified).starts_with("Document: docs/a.md at main in demo/sample\n"), "{}", text(&verified));
    let mut now = WorldNow { world: world.clone(), merge_in_base: false };
    assert_eq!(recheck(&verified, &[], &now), Holding::Holds);
    now.world.document = Some(SeenDocument { sha256: sha256("other"), bytes: 5 });
    assert!(matches!(recheck(&verified, &[], &now), Holding::Broken(problems) if problems[0].contains("and has")));
    now.world.document = None;
    assert!(matches!(recheck(&verified, &[], &now), Holding::Broken(problems) if problems[0].contains("is gone")));

    refused(&task, &file(&sha256("other")), &world, "and it has");
    refused(&task, &file("SHA"), &world, "is no SHA-256");
    refused(&task, &file(&sha256("guide")), &World { document: None, ..world.clone() }, "shows no file docs/a.md");
    let empty = World { document: Some(SeenDocument { sha256: sha256(""), bytes: 0 }), ..world.clone() };
    refused(&task, &file(&sha256("")), &empty, "is empty");
    let unread = World { steps: vec![read(0, "docs/b.md", "guide")], ..world.clone() };
    refused(&task, &file(&sha256("guide")), &unread, "no call of this attempt read or wrote");

    accepted(&task, &at(URL), &world);
    refused(&task, &at("https://docs.example.org/other"), &world, "no call of this attempt fetched");
    refused(&task, &at("see the wiki"), &world, "is no URL");
    let Err(Refusal(long)) = judge(&task, &at(&"ö".repeat(1 << 20)), &world) else { panic!("a mile of URL") };
    assert!(long.len() <= crate::task::REASON_BYTES_MAX, "{}", long.len());
    let gone = seen(vec![fetch(0, URL, 200, "guide"), fetch(1, URL, 500, "oh")]);
    refused(&task, &at(URL), &gone, "answered with 500 in step 1");

    let wants = |url: &str, status| Task {
        criteria: vec![Criterion::HttpStatus { url: url.to_owned(), status }],
        ..task.clone()
    };
    let answered = Claim { answers: vec![Answer { criterion: 0, steps: vec![0] }], ..at(URL) };
    assert_eq!(accepted(&wants(URL, 200), &answered, &world).criteria[0].steps, vec![0, 1]);
    refused(&wants(URL, 404), &answered, &world, "answered with 200 in step 1, not with 404");
    refused(&wants("https://docs.example.org/x", 200), &answered, &world, "no step of this attempt fetched");
}
