//! A guest that does harm: each kind ends with the right outcome, within its limits, and the host goes on serving.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Host, LIMIT, Options, RolesDir, code_task, show};

/// What a noisy machine may add to a limit before a test fails; what was measured is printed.
const SLACK: Duration = Duration::from_millis(2_100);

fn hostile(wall_ms: u64) -> RolesDir {
    let roles = RolesDir::with_free_payload(&["hostile"]);
    roles.edit("hostile", "wall_ms = 1_000", &format!("wall_ms = {wall_ms}"));
    roles
}

fn harm(harm: &str) -> Value {
    json!({
        "title": harm, "task_type": "analysis", "payload": {"harm": harm, "repository": "demo/sample"}, "attempts_max": 1,
        "assigned_worker": "hostile",
    })
}

/// A task that was given to the hostile guest, when it has ended.
struct Harmed {
    row: Value,
    logs: Vec<Value>,
    id: String,
}

impl Harmed {
    async fn by(host: &Host, kind: &str, status: &str) -> Self {
        let id = host.create_task(harm(kind)).await;
        let row = host.wait_for(&id, status, LIMIT).await;
        Self { row, logs: host.logs(&id).await, id }
    }

    fn error(&self) -> &Value {
        let found = self.logs.iter().find(|line| line["action"] == "task_error");
        found.unwrap_or_else(|| panic!("no task_error: {:#?}", self.logs))
    }

    fn lines(&self, action: &str) -> Vec<&str> {
        let lines = self.logs.iter().filter(|line| line["action"] == action);
        lines.map(|line| line["message"].as_str().unwrap()).collect()
    }

    /// Checks why it ended, in the log and in the task.
    #[track_caller]
    fn ended(&self, error_type: &str, reason: &str) {
        let error = self.error();
        assert_eq!(error["error_data"]["error_type"], error_type, "{error}");
        assert!(error["message"].as_str().unwrap().contains(reason), "{error}");
        assert!(self.row["error_message"].as_str().unwrap().contains(reason), "{}", self.row);
        assert_eq!(error["level"], "error");
    }
}

/// Time between the rows `task_start` and `task_error`.
async fn run_time(host: &Host, task: &str) -> Duration {
    let query = "select extract(epoch from max(created_at) filter (where action = 'task_error')
                                     - min(created_at) filter (where action = 'task_start'))::float8
                 from execution_logs where task_id = $1::uuid";
    let seconds: f64 = sqlx::query_scalar(query).bind(task).fetch_one(&host.db()).await.unwrap();
    Duration::from_secs_f64(seconds)
}

#[tokio::test]
async fn a_guest_that_never_ends_is_ended() {
    let host = Host::start(Options::default().roles(hostile(1_000))).await;
    let limit = Duration::from_secs(1);
    for kind in ["loop", "sleep"] {
        let harmed = Harmed::by(&host, kind, "dead_letter").await;
        harmed.ended("OutOfTime", "longer than its limit of 1000 ms (limits.wall_ms)");
        let took = run_time(&host, &harmed.id).await;
        eprintln!("{kind}: {took:?}, limit {limit:?}");
        assert!(took >= limit && took < limit + SLACK, "{kind}: {took:?}");
    }
}

#[tokio::test]
async fn a_guest_that_takes_too_much_is_ended_and_told_why() {
    let roles = hostile(30_000);
    roles.edit("hostile", "host_calls = 200", "host_calls = 20");
    let host = Host::start(Options::default().roles(roles)).await;

    Harmed::by(&host, "recurse", "dead_letter").await.ended("Crashed", "its stack overflowed");
    let harmed = Harmed::by(&host, "allocate", "dead_letter").await;
    harmed.ended("OutOfMemory", "more than 32 MiB of memory (limits.memory_mib)");
    for (kind, action) in [("flood", "log"), ("flood-stdout", "stdout")] {
        let harmed = Harmed::by(&host, kind, "dead_letter").await;
        harmed.ended("OutOfLog", "more than 100 lines to its log (limits.log_lines)");
        assert_eq!(harmed.lines(action), ["all work and no play"; 100]);
    }
    let harmed = Harmed::by(&host, "calls", "dead_letter").await;
    harmed.ended("OutOfHostCalls", "more than 20 host calls (limits.host_calls)");
    assert_eq!(host.steps(&harmed.id).await.len(), 20);

    let harmed = Harmed::by(&host, "panic", "dead_letter").await;
    harmed.ended("Crashed", "unreachable");
    let said = harmed.lines("log").join("\n");
    assert!(said.contains("this was panic") && said.contains("hostile/src/lib.rs:"), "{said}");
    Harmed::by(&host, "exit", "dead_letter").await.ended("Crashed", "exit");

    let harmed = Harmed::by(&host, "loop-in-log", "failed").await;
    harmed.ended("RoleFailed", "the harm was done");
    assert_eq!(harmed.lines("log"), [format!("{}… (cut: 100000 bytes)", "y".repeat(1000))]);
    let harmed = Harmed::by(&host, "nul", "failed").await;
    assert_eq!(harmed.lines("log"), ["a\u{2400}b"]);
    // All of that in one process, which still does what it is for.
    Harmed::by(&host, "nul", "failed").await;
}

#[tokio::test]
async fn what_a_call_carries_is_bounded() {
    let roles = hostile(30_000);
    roles.edit("hostile", "memory_mib = 32", "memory_mib = 256");
    let host = Host::start(Options::default().roles(roles)).await;
    let harmed = Harmed::by(&host, "big-argument", "dead_letter").await;
    harmed.ended("Crashed", "limits.call_kib");
    assert!(harmed.lines("log").is_empty());
}

#[tokio::test]
async fn a_failed_guest_is_tried_again_until_its_attempts_are_used_up() {
    let host = Host::start(Options::default().roles(hostile(30_000))).await;
    let mut draft = harm("panic");
    draft["attempts_max"] = json!(3);
    let task = host.create_task(draft).await;
    let row = host.wait_for(&task, "dead_letter", LIMIT).await;
    assert_eq!(row["attempt"], 3);
    let logs = host.logs(&task).await;
    let errors: Vec<_> = logs.iter().filter(|line| line["action"] == "task_error").collect();
    assert_eq!(errors.iter().map(|line| line["attempt"].as_i64().unwrap()).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(errors.iter().map(|line| &line["level"]).collect::<Vec<_>>(), ["warn", "warn", "error"]);
}

#[tokio::test]
async fn a_guest_sees_nothing_of_its_host() {
    let secret = "nobody-may-see-this";
    let host = Host::start(Options::default().roles(hostile(30_000)).env("WORKER_ID", secret)).await;
    let harmed = Harmed::by(&host, "environment", "failed").await;
    assert_eq!(harmed.lines("log"), ["[] []"]);

    let scratch = Harmed::by(&host, "scratch", "failed").await;
    let said = scratch.row["error_message"].as_str().unwrap();
    for path in ["/etc/passwd", "../x", "a/../../x", "a\\\\b", "", "a/./b"] {
        assert!(said.contains(&format!("\"{path}\": true;")), "{path}: {said}");
    }
    // The manifest allows 100 files, and one is there already.
    assert!(said.ends_with("over quota: true; kept: true; files: 99"), "{said}");
    let diverge = Harmed::by(&host, "diverge", "failed").await;
    diverge.ended("RoleFailed", "scratch was empty at each start");
}

#[tokio::test]
async fn a_guest_writes_nowhere_but_to_its_own_branch() {
    let host = Host::start(Options::default().roles(hostile(30_000))).await;
    let forge = host.forge();
    forge.create_repository("demo", "other", &[("README.md", "# other\n")]).await;
    let foreign = forge.commit_to_branch("stranger", "evil.py", "x").await;
    let before = forge.requests().await.len();
    let mut draft = harm("writes");
    draft["payload"]["foreign"] = json!(foreign);
    let id = host.create_task(draft).await;
    let row = host.wait_for(&id, "failed", LIMIT).await;
    let harmed = Harmed { row, logs: host.logs(&id).await, id };
    insta::assert_snapshot!("hostile_writes", harmed.row["error_message"].as_str().unwrap().replace("; ", "\n"));
    // What the forge was really asked to change: the task's own branch, once.
    let requests = forge.requests().await;
    let writes: Vec<_> = requests
        .iter()
        .skip(before)
        .filter(|request| request["method"] != "GET" && !request["path"].as_str().unwrap().starts_with("/_forge"))
        .map(|request| format!("{} {}", request["method"].as_str().unwrap(), request["path"].as_str().unwrap()))
        .collect();
    assert_eq!(writes, ["POST /repos/demo/sample/git/refs"], "{}", show(&host.db(), harmed.id.parse().unwrap()).await);
    let (_, refs) = forge.call(Method::GET, "/repos/demo/sample/git/matching-refs/heads/", None).await;
    let branches: Vec<_> = refs.as_array().unwrap().iter().map(|it| it["ref"].as_str().unwrap().to_owned()).collect();
    assert_eq!(branches, [&format!("refs/heads/feature/{}", harmed.id), "refs/heads/main", "refs/heads/stranger"]);
}

#[tokio::test]
async fn an_unfinished_line_swallows_nothing_after_it() {
    let host = Host::start(Options::default().roles(hostile(30_000))).await;
    let harmed = Harmed::by(&host, "partial", "failed").await;
    harmed.ended("RoleFailed", "said everything");
    assert_eq!(harmed.lines("log"), ["after the first sleep", "after the second sleep"]);
    assert_eq!(harmed.lines("stdout"), ["half a line"]);
}

/// A component that was replaced while its task slept may not end before it has made the calls of the journal.
#[tokio::test]
async fn a_replaced_component_is_held_to_the_journal() {
    let roles = hostile(30_000);
    let component = roles.component("hostile");
    let mut host = Host::start(Options::default().roles(roles)).await;
    let task = host.create_task(harm("clock")).await;
    host.wait_for(&task, "suspended", LIMIT).await;
    host.kill9();
    let other = RolesDir::with(&["prose"]);
    std::fs::copy(other.component("prose"), component).unwrap();
    host.restart().await;
    host.wait_for(&task, "dead_letter", LIMIT).await;
    let logs = host.logs(&task).await;
    let error = logs.iter().find(|line| line["action"] == "task_error").unwrap();
    assert_eq!(error["error_data"]["error_type"], "NotDeterministic", "{logs:#?}");
    assert!(logs.iter().any(|line| line["action"] == "role_changed"), "{logs:#?}");
}

#[tokio::test]
async fn clock_and_random_numbers_are_the_journals() {
    let mut host = Host::start(Options::default().roles(hostile(30_000))).await;
    let task = host.create_task(harm("clock")).await;
    host.wait_for(&task, "suspended", LIMIT).await;
    // It goes on in another process.
    host.kill9();
    host.restart().await;
    host.wait_for(&task, "failed", LIMIT).await;
    let logs = host.logs(&task).await;
    let actions: Vec<_> = logs.iter().map(|line| line["action"].as_str().unwrap()).collect();
    assert_eq!(
        actions,
        ["task_created", "task_start", "log", "task_suspended", "task_resume", "log", "task_error"],
        "{logs:#?}"
    );
    let lines: Vec<_> =
        logs.iter().filter(|it| it["action"] == "log").map(|it| it["message"].as_str().unwrap()).collect();
    assert_eq!(lines[0], lines[1], "the resumed run saw another clock or other numbers");

    // The guest's clock began when the attempt did, to the microsecond, whenever the instance was made.
    let query = "select (extract(epoch from started_at) * 1000000)::bigint from task_runs where task_id = $1::uuid";
    let started_us: i64 = sqlx::query_scalar(query).bind(&task).fetch_one(&host.db()).await.unwrap();
    let seen_ns: i64 = lines[0].split(' ').next().unwrap().parse().unwrap();
    let ahead_us = seen_ns / 1000 - started_us;
    assert!((0..1000).contains(&ahead_us), "{ahead_us} µs ahead of the attempt's start");
    // The sleep shows: the clock moves with the journal. 1.5 s, and what the host needed.
    let slept = host.row(&task).await["error_message"].as_str().unwrap().to_owned();
    let slept_ms: u64 = slept.strip_prefix("slept ").unwrap().strip_suffix(" ms").unwrap().parse().unwrap();
    assert!(slept_ms >= 1500, "{slept}");

    // Another task draws other numbers.
    let other = host.create_task(harm("clock")).await;
    host.wait_for(&other, "failed", LIMIT).await;
    let others = host.logs(&other).await;
    let number = |line: &str| line.split(' ').nth(1).unwrap().to_owned();
    let line = others.iter().find(|it| it["action"] == "log").unwrap()["message"].as_str().unwrap();
    assert_ne!(number(line), number(lines[0]));
}

#[tokio::test]
async fn the_host_goes_on_while_guests_loop_and_sleep() {
    let roles = RolesDir::with(&["hostile", "executor"]);
    roles.edit("hostile", "task_types = [\"code\"]", "task_types = [\"analysis\"]");
    roles.edit("hostile", "wall_ms = 1_000", "wall_ms = 60_000");
    let host = Host::start(Options::default().roles(roles)).await;
    // More than the host has threads for guests.
    let mut harms = Vec::new();
    for kind in ["loop", "sleep", "loop", "loop", "sleep"] {
        harms.push(host.create_task(harm(kind)).await);
    }
    for task in &harms {
        host.wait_for(task, "in_progress", LIMIT).await;
    }
    let honest = host.create_task(code_task("honest.py")).await;
    let token = host.token("viewer").await;
    let (mut slowest, mut asked) = (Duration::ZERO, 0);
    let began = Instant::now();
    while host.row(&honest).await["status"] != "completed" {
        let sent = Instant::now();
        let (status, _, _) = host.api(Method::GET, "/api/v1/tasks", Some(&token), None).await;
        assert_eq!(status, StatusCode::OK);
        slowest = slowest.max(sent.elapsed());
        asked += 1;
        assert!(began.elapsed() < LIMIT, "{}", show(&host.db(), honest.parse().unwrap()).await);
    }
    eprintln!("the honest task took {:?}; slowest of {asked} requests: {slowest:?}", began.elapsed());
    assert!(slowest < SLACK, "{slowest:?}");
    for task in &harms {
        assert_eq!(host.row(task).await["status"], "in_progress", "the guests looped all the while");
    }

    // A cancelled task's guest stops, too, however busy it is.
    let operator = host.token("operator").await;
    for task in &harms {
        let (status, ..) = host.api(Method::POST, &format!("/api/v1/tasks/{task}/cancel"), Some(&operator), None).await;
        assert_eq!(status, StatusCode::OK);
    }
    let query = "select status::text from worker_registry where worker_id = 'HOSTILE'";
    let began = Instant::now();
    while sqlx::query_scalar::<_, String>(query).fetch_one(&host.db()).await.unwrap() != "idle" {
        assert!(began.elapsed() < Duration::from_secs(20), "its guests still run: {}", host.stderr());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
