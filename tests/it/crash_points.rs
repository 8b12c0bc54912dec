//! The host ends itself, as if by `kill -9`, at each boundary of a code task's workflow, and is started again: nothing
//! is lost, and nothing happens twice.

use std::os::unix::process::ExitStatusExt as _;
use std::time::{Duration, Instant};

use forge::{CheckConclusion, CheckPolicy};
use serde_json::{Value, json};

use crate::audit::count;
use crate::once::{MUTATIONS, exactly_once, leases_run_out, records_are_true, together, world_once};
use crate::support::{self, AUDIT_KEY, Host, LIMIT, Options, code_task};

/// Hosts that run at once in one of these tests.
const AT_ONCE: usize = 4;
const SIGKILL: i32 = 9;

/// A host that ends itself at this point, with one task. Returns once it has.
pub(crate) async fn died(options: Options, at: &str, draft: Value) -> (Host, String) {
    assert!(
        juggernaut::crash::VERSION.contains("crash points"),
        "these tests need debug assertions; run them in the dev profile"
    );
    let mut host = Host::start(options.env("JUGGERNAUT_CRASH_AT", at)).await;
    let task = host.create_only_task(&draft).await;
    killed_itself(&mut host, at).await;
    (host, task)
}

pub(crate) async fn killed_itself(host: &mut Host, at: &str) {
    let status = host.processes()[0].ended().await;
    assert_eq!(status.signal(), Some(SIGKILL), "{at}: {status}\n{}", host.stderr());
    let began = Instant::now();
    // Its last words may still be on their way.
    while !host.stderr().contains("crash point reached") {
        assert!(began.elapsed() < LIMIT, "{at}: {}", host.stderr());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A host without crash points, to which the time that the dead one's lease still had is not worth waiting for.
pub(crate) async fn restarted(host: &mut Host) {
    leases_run_out(host).await;
    host.restart_with(&[("JUGGERNAUT_CRASH_AT", "")]).await;
}

async fn survived(options: Options, at: String) {
    let (mut host, task) = died(options, &at, code_task("a.py")).await;
    restarted(&mut host).await;
    host.wait_for(&task, "completed", LIMIT).await;
    exactly_once(&host, &[task], &at).await;
}

async fn each_point_of_mutation(number: usize) {
    let points = ["before-intent", "after-intent", "before-act", "after-act", "before-result", "after-result"];
    let scenario = |point| survived(Options::default(), format!("{point}:{number}"));
    together(AT_ONCE, points.map(scenario)).await;
}

#[tokio::test]
async fn each_point_of_the_branch() {
    assert_eq!(MUTATIONS[0].0, "create-branch");
    each_point_of_mutation(1).await;
}

#[tokio::test]
async fn each_point_of_the_commit() {
    assert_eq!(MUTATIONS[1].0, "put-file");
    each_point_of_mutation(2).await;
}

#[tokio::test]
async fn each_point_of_the_pull_request() {
    assert_eq!(MUTATIONS[2].0, "open-pull-request");
    each_point_of_mutation(3).await;
}

#[tokio::test]
async fn each_point_of_the_merge() {
    assert_eq!(MUTATIONS[3].0, "merge");
    each_point_of_mutation(4).await;
}

#[tokio::test]
async fn around_the_claim_and_the_completion() {
    let points = ["claimed", "before-completion", "ending-uncommitted", "after-completion"];
    together(AT_ONCE, points.map(|point| survived(Options::default(), point.to_owned()))).await;
}

#[tokio::test]
async fn around_a_suspension() {
    let checks = vec![CheckPolicy {
        branches: "feature/*".to_owned(),
        name: "ci".to_owned(),
        conclusion: CheckConclusion::Success,
        after_ms: 300,
    }];
    let scenario = |point: &str| survived(Options::default().checks(checks.clone()), point.to_owned());
    together(AT_ONCE, ["before-suspension", "ending-uncommitted", "after-suspension"].map(scenario)).await;
}

fn high_risk() -> Value {
    let mut draft = code_task("a.py");
    draft["risk"] = json!("high");
    draft
}

async fn approve(host: &Host, task: &str) {
    let approval = host.approval(task, "requested").await;
    let path = format!("/api/v1/approvals/{}/approve", approval["id"].as_str().unwrap());
    host.api_or_crash(&path, &host.token("approver").await, &json!({ "note": "for a test" })).await;
}

/// Asked for once, given once, used up once, for the one merge.
async fn approved_once(host: &Host, task: &str, at: &str) {
    let approvals = |rest: &str| format!("approvals where task_id = '{task}'{rest}");
    assert_eq!(count(&host.db(), &approvals("")).await, 1, "{at}");
    assert_eq!(count(&host.db(), &approvals(" and state = 'consumed'")).await, 1, "{at}");
    for action in ["approval_requested", "approval_approved", "approval_consumed"] {
        let lines = format!("execution_logs where task_id = '{task}' and action = '{action}'");
        assert_eq!(count(&host.db(), &lines).await, 1, "{at}: {action}");
    }
    exactly_once(host, &[task.to_owned()], at).await;
}

async fn survived_asking(at: &str) {
    let (mut host, task) = died(Options::default(), at, high_risk()).await;
    restarted(&mut host).await;
    host.wait_for(&task, "waiting_approval", LIMIT).await;
    approve(&host, &task).await;
    host.wait_for(&task, "completed", LIMIT).await;
    approved_once(&host, &task, at).await;
}

async fn survived_using(at: &str) {
    let mut host = Host::start(Options::default().env("JUGGERNAUT_CRASH_AT", at)).await;
    let task = host.create_only_task(&high_risk()).await;
    host.wait_for(&task, "waiting_approval", LIMIT).await;
    approve(&host, &task).await;
    killed_itself(&mut host, at).await;
    restarted(&mut host).await;
    host.wait_for(&task, "completed", LIMIT).await;
    approved_once(&host, &task, at).await;
}

#[tokio::test]
async fn around_waiting_for_an_approval() {
    together(AT_ONCE, ["before-waiting", "ending-uncommitted", "after-waiting"].map(survived_asking)).await;
}

/// The merge is the first that comes to `after-intent` a fourth time; it comes to `before-intent` once more, to ask.
#[tokio::test]
async fn around_the_use_of_an_approval() {
    let points = [
        "before-approval-use",
        "after-approval-use",
        "before-intent:5",
        "after-intent:4",
        "after-act:4",
        "after-result:4",
    ];
    together(AT_ONCE, points.map(survived_using)).await;
}

/// The end of a failed attempt counts once.
async fn survived_a_retry(at: &str) {
    let options = Options::default().env("JUGGERNAUT_CRASH_AT", at);
    let mut host = Host::start(options).await;
    host.forge().fault("POST", "/repos/demo/sample/pulls", json!({ "kind": "rate-limit" })).await;
    let task = host.create_only_task(&code_task("a.py")).await;
    killed_itself(&mut host, at).await;
    restarted(&mut host).await;
    let done = host.wait_for(&task, "completed", LIMIT).await;
    assert_eq!(done["attempt"], 2, "{at}");
    let failed = format!("execution_logs where task_id = '{task}' and action = 'task_error'");
    assert_eq!(count(&host.db(), &failed).await, 1, "{at}");
    world_once(&host, &[task], at).await;
    records_are_true(&host).await;
}

#[tokio::test]
async fn around_the_end_of_a_failed_attempt() {
    together(AT_ONCE, ["before-ending", "ending-uncommitted", "after-ending"].map(survived_a_retry)).await;
}

/// Whoever sets the variable on purpose or by mistake gets to know what it does.
#[tokio::test]
async fn the_variable_is_told_of_and_checked() {
    let host = Host::start(Options::default().env("JUGGERNAUT_CRASH_AT", "claimed:1000")).await;
    assert!(host.stderr().contains("JUGGERNAUT_CRASH_AT: this host ends itself there"), "{}", host.stderr());

    let folder = std::env::temp_dir();
    let version = support::juggernaut(&folder, &["--version"], &[]).await;
    assert!(version.stdout.contains("it has crash points"), "{version:?}");
    let url = host.database().url().to_owned();
    let env = [("DATABASE_URL", &url[..]), ("JUGGERNAUT_AUDIT_KEY", AUDIT_KEY), ("JUGGERNAUT_CRASH_AT", "somewhere")];
    let refused = support::juggernaut(&folder, &["serve"], &env).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("before-intent, after-intent"), "{refused:?}");
}
