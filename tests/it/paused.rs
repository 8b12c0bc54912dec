//! Two hosts. One is stopped in the middle of a mutation until its lease is over and the other one has done its task;
//! then it goes on, and changes nothing more.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::audit::count;
use crate::once::{MUTATIONS, exactly_once, mutations_done, records_are_true, together};
use crate::support::{Host, LIMIT, Options, code_task};

const AT_ONCE: usize = 4;
const POLL: Duration = Duration::from_millis(20);
/// How long the woken host gets to do something wrong, after it has noticed.
const WATCH: Duration = Duration::from_secs(1);

/// All that a run may write about a task.
async fn written(host: &Host, task: &str) -> Value {
    let query = "select json_build_array(
        (select json_agg(t) from governance_tasks t where id = $1::uuid),
        (select json_agg(s order by attempt, position) from task_steps s where task_id = $1::uuid),
        (select json_agg(r) from task_runs r where task_id = $1::uuid),
        (select json_agg(l order by id) from execution_logs l where task_id = $1::uuid),
        (select json_agg(a order by at, seq) from audit_log a where task_id = $1::uuid))";
    sqlx::query_scalar(query).bind(task).fetch_one(&host.db()).await.unwrap()
}

async fn mutations_asked_for(host: &Host) -> usize {
    host.forge().requests().await.iter().filter(|request| request["method"] != "GET").count()
}

async fn stopped(host: &mut Host) {
    let stat = format!("/proc/{}/stat", host.processes()[0].pid());
    let began = Instant::now();
    // The state stands behind the name, which is in brackets.
    while !std::fs::read_to_string(&stat).unwrap().contains(") T ") {
        assert!(began.elapsed() < LIMIT, "it does not stop:\n{}", host.stderr());
        tokio::time::sleep(POLL).await;
    }
}

async fn notices_its_loss(host: &mut Host, at: &str) {
    let began = Instant::now();
    while !host.processes()[0].stderr().contains("the claim is lost") {
        assert!(began.elapsed() < LIMIT, "{at}: it does not notice:\n{}", host.stderr());
        tokio::time::sleep(POLL).await;
    }
}

/// The second host takes the task over and completes it, the first one goes on and is watched.
async fn overtaken(mut host: Host, task: String, at: &str) {
    host.set_env("JUGGERNAUT_CRASH_AT", "");
    host.add_process().await;
    host.wait_for(&task, "completed", LIMIT).await;
    let (rows, asked) = (written(&host, &task).await, mutations_asked_for(&host).await);
    host.forge().release().await;
    host.processes()[0].signal("CONT");
    notices_its_loss(&mut host, at).await;
    tokio::time::sleep(WATCH).await;
    assert_eq!(mutations_asked_for(&host).await, asked, "{at}: it asked the forge for a change: {}", host.stderr());
    assert_eq!(written(&host, &task).await, rows, "{at}: it wrote into the database");
    exactly_once(&host, &[task], at).await;
    // It is none the worse for it: both work on.
    let next = host.create_task(code_task("b.py")).await;
    host.wait_for(&next, "completed", LIMIT).await;
}

async fn stopped_at(at: String) {
    let mut host = Host::start(Options::default().env("JUGGERNAUT_CRASH_AT", &at)).await;
    let task = host.create_only_task(&code_task("a.py")).await;
    stopped(&mut host).await;
    overtaken(host, task, &at).await;
}

#[tokio::test]
async fn with_the_intent_stored_and_nothing_sent() {
    let points = (1..=MUTATIONS.len()).map(|number| format!("after-intent:{number}:stop"));
    together(AT_ONCE, points.map(stopped_at)).await;
}

#[tokio::test]
async fn with_the_answer_received_and_not_stored() {
    let points = (1..=MUTATIONS.len()).map(|number| format!("after-act:{number}:stop"));
    together(AT_ONCE, points.map(stopped_at)).await;
}

#[tokio::test]
async fn with_the_end_verified_and_not_stored() {
    stopped_at("before-completion:stop".to_owned()).await;
}

/// The request is on its way, and takes effect when the other host has merged already.
#[tokio::test]
async fn while_the_forge_holds_its_merge() {
    let mut host = Host::start(Options::default()).await;
    let forge = host.forge();
    forge.hold("PUT", "/repos/demo/sample/pulls/*/merge", "before").await;
    let task = host.create_task(code_task("a.py")).await;
    forge.held().await;
    host.processes()[0].signal("STOP");
    stopped(&mut host).await;
    overtaken(host, task, "held by the forge").await;
}

/// The last gap: the lease was looked at, and the request leaves after it is over. Where the world itself refuses a
/// second effect nothing happens; where it does not, the effect is taken back.
async fn sent_too_late(number: usize) {
    let at = format!("before-act:{number}:stop");
    let mut host = Host::start(Options::default().env("JUGGERNAUT_CRASH_AT", &at)).await;
    let task = host.create_only_task(&code_task("a.py")).await;
    stopped(&mut host).await;
    host.set_env("JUGGERNAUT_CRASH_AT", "");
    host.add_process().await;
    host.wait_for(&task, "completed", LIMIT).await;
    let (rows, done) = (written(&host, &task).await, mutations_done(&host).await);
    host.processes()[0].signal("CONT");
    notices_its_loss(&mut host, &at).await;
    tokio::time::sleep(WATCH).await;
    assert_eq!(mutations_done(&host).await, done, "{at}: it changed the world once more");
    assert_eq!(written(&host, &task).await, rows, "{at}: it wrote into the database");
    exactly_once(&host, &[task], &at).await;
}

#[tokio::test]
async fn with_the_lease_looked_at_and_the_request_not_sent() {
    together(AT_ONCE, [1, 2, 4].map(sent_too_late)).await;
}

/// The branch's first pull request is merged by then, so nothing in the world refuses a second one: who opened it finds
/// that out, closes it again, and has people told.
#[tokio::test]
async fn a_pull_request_that_is_opened_after_the_merge_is_closed_again() {
    let at = "before-act:3:stop";
    let mut host = Host::start(Options::default().env("JUGGERNAUT_CRASH_AT", at)).await;
    let task = host.create_only_task(&code_task("a.py")).await;
    stopped(&mut host).await;
    host.set_env("JUGGERNAUT_CRASH_AT", "");
    host.add_process().await;
    host.wait_for(&task, "completed", LIMIT).await;
    let (rows, done) = (written(&host, &task).await, mutations_done(&host).await);
    host.processes()[0].signal("CONT");
    notices_its_loss(&mut host, at).await;
    let began = Instant::now();
    let raised =
        "alerts where kind = 'late-pull-request' and severity = 'warning' and title like '%it is closed again'";
    while count(&host.db(), raised).await == 0 {
        assert!(began.elapsed() < LIMIT, "nobody is told:\n{}", host.stderr());
        tokio::time::sleep(POLL).await;
    }
    let mut all = host.forge().pull_requests().await;
    all.sort_by_key(|it| it["number"].as_u64());
    let [first, second] = &all[..] else { panic!("not two: {all:?}") };
    assert!(first["merged_at"].is_string() && second["merged_at"].is_null(), "{all:?}");
    assert_eq!((&second["state"], &second["head"]["ref"]), (&json!("closed"), &first["head"]["ref"]));
    for ((function, before), (_, now)) in done.into_iter().zip(mutations_done(&host).await) {
        assert_eq!(now, before + usize::from(function == "open-pull-request"), "{function}");
    }
    assert_eq!(written(&host, &task).await, rows, "it wrote into the task's records");
    records_are_true(&host).await;
}
