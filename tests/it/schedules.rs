//! Schedules, over the real host: each firing is one task, whatever happens meanwhile.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::time::{Duration, Instant};

use juggernaut::db::tokens::TokenRole;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use tempfile::TempDir;

use crate::support::{CliOutput, Host, LIMIT, Options, RolesDir, juggernaut};

/// Once a year: whatever fires within a test was set to do so.
pub(crate) const YEARLY: &str = "0 0 1 1 *";
/// Longer than any host waits between two looks.
const QUIET: Duration = Duration::from_millis(2_500);
const SIGKILL: i32 = 9;

/// Hosts that claim nothing of what these tests create.
pub(crate) fn quiet() -> Options {
    Options::default().roles(RolesDir::with_free_payload(&["prose"]))
}

fn nobodys_task() -> Value {
    json!({ "title": "Look around", "task_type": "planning", "attempts_max": 1 })
}

fn draft(name: &str, more: &Value) -> Value {
    let mut draft = json!({ "name": name, "cron": YEARLY, "task": nobodys_task() });
    for (field, value) in more.as_object().expect("an object") {
        draft[field] = value.clone();
    }
    draft
}

pub(crate) async fn call(
    host: &Host,
    role: &str,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> (StatusCode, Value) {
    let token = host.token(role).await;
    let (status, _, answer) = host.api(method, &format!("/api/v1/schedules{path}"), Some(&token), body).await;
    (status, answer)
}

pub(crate) async fn create(host: &Host, name: &str, more: Value) -> Value {
    let (status, answer) = call(host, "operator", Method::POST, "", Some(&draft(name, &more))).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    answer
}

/// Asks the database: the host may be dead.
pub(crate) async fn row(host: &Host, name: &str) -> Value {
    let query = sqlx::query_scalar("select row_to_json(s) from schedules s where name = $1").bind(name);
    query.fetch_one(&host.db()).await.expect("a schedule")
}

async fn wait(host: &Host, name: &str, what: &str, until: impl Fn(&Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let row = row(host, name).await;
        if until(&row) {
            return row;
        }
        assert!(began.elapsed() < LIMIT, "{what} did not come: {row}\n{}", host.stderr());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// `at` is SQL.
async fn execute(host: &Host, statement: &str) {
    let done = sqlx::query(AssertSqlSafe(statement.to_owned())).execute(&host.db()).await;
    done.unwrap_or_else(|error| panic!("{statement}: {error}"));
}

pub(crate) async fn count(host: &Host, query: &str) -> i64 {
    let query = sqlx::query_scalar(AssertSqlSafe(format!("select count(*) from {query}")));
    query.fetch_one(&host.db()).await.expect("a number")
}

pub(crate) async fn fire_now(host: &Host, name: &str) {
    execute(host, &format!("update schedules set next_at = now() where name = '{name}'")).await;
}

pub(crate) async fn fired(host: &Host, name: &str, times: i64) -> Value {
    wait(host, name, "a firing", |row| row["fired"] == times && row["next_at"].as_str() > Some("2027")).await
}

#[tokio::test]
async fn a_firing_is_one_task_over_two_hosts() {
    let host = Host::start(quiet().hosts(2)).await;
    for number in 0..20 {
        create(&host, &format!("s{number}"), json!({ "overlap": true })).await;
    }
    for round in 1..=3 {
        execute(&host, "update schedules set next_at = now()").await;
        for number in 0..20 {
            fired(&host, &format!("s{number}"), round).await;
        }
        tokio::time::sleep(QUIET).await;
        assert_eq!(count(&host, "governance_tasks").await, 20 * round, "{}", host.stderr());
    }
    assert_eq!(count(&host, "governance_tasks where created_by = 'operator@example.org'").await, 60);
    assert_eq!(count(&host, "audit_log where kind = 'schedule_fired'").await, 60);
    assert_eq!(count(&host, "audit_log where kind = 'task_created'").await, 60);
    assert_eq!(count(&host, "execution_logs where action = 'schedule_fired'").await, 60);
    // Both take part: that one of them fires everything by chance is out of the question.
    let chains = "(select chain from audit_log where kind = 'schedule_fired' group by chain) as c";
    assert_eq!(count(&host, chains).await, 2, "each host fires");
}

#[tokio::test]
async fn missed_firings_are_handled_as_configured() {
    let mut host = Host::start(quiet()).await;
    for (name, more) in [
        ("skip", json!({ "cron": "0 0 * * *", "missed": "skip" })),
        ("once", json!({ "cron": "0 0 * * *", "missed": "once" })),
        ("all", json!({ "cron": "0 0 * * *", "missed": "all", "overlap": true })),
    ] {
        create(&host, name, more).await;
    }
    host.kill9();
    // Three days ago, and each midnight since.
    execute(
        &host,
        "update schedules set next_at = date_trunc('day', now() at time zone 'utc') at time zone 'utc' - interval '3 days'",
    )
    .await;
    let now = row(&host, "skip").await["next_at"].as_str().unwrap().to_owned();
    host.restart().await;
    for (name, fired, misfires) in [("skip", 0, 4), ("once", 1, 3), ("all", 4, 0)] {
        let row = wait(&host, name, "the next time", |row| row["next_at"].as_str() > Some(now.as_str())).await;
        assert_eq!((&row["fired"], &row["misfires"]), (&json!(fired), &json!(misfires)), "{row}");
        assert_eq!(row["last_task"].is_null(), fired == 0, "{row}");
    }
    assert_eq!(count(&host, "governance_tasks").await, 5);
    let fired_for = "execution_logs where message like 'Fired by the schedule all for %T00:00:00Z'";
    assert_eq!(count(&host, fired_for).await, 4);
}

#[tokio::test]
async fn a_paused_schedule_does_not_fire_until_it_is_resumed() {
    let host = Host::start(quiet()).await;
    let created = create(&host, "nightly", json!({ "cron": "* * * * *" })).await;
    let id = created["id"].as_str().unwrap().to_owned();
    for role in ["viewer", "approver"] {
        let (status, _) = call(&host, role, Method::POST, "/nightly/pause", None).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{role}");
    }
    fire_now(&host, "nightly").await;
    wait(&host, "nightly", "a firing", |row| row["fired"] == 1).await;
    for _ in 0..2 {
        let (status, paused) = call(&host, "operator", Method::POST, &format!("/{id}/pause"), None).await;
        assert_eq!((status, &paused["state"], &paused["next_at"]), (StatusCode::OK, &json!("paused"), &Value::Null));
    }
    let refused = sqlx::query("update schedules set next_at = now()").execute(&host.db()).await;
    assert!(refused.is_err(), "what is paused has no next time, whoever writes");
    let (_, page) = call(&host, "viewer", Method::GET, "?state=paused", None).await;
    assert_eq!(page["items"][0]["name"], "nightly", "{page}");
    let before = host.database().db().now().await.unwrap();
    let (status, resumed) = call(&host, "operator", Method::POST, "/nightly/resume", None).await;
    assert_eq!((status, &resumed["state"]), (StatusCode::OK, &json!("active")));
    let next: String = resumed["next_at"].as_str().unwrap().to_owned();
    let next = time::OffsetDateTime::parse(&next, &time::format_description::well_known::Rfc3339).unwrap();
    assert!(next > before, "what it missed meanwhile is not made up for: {resumed}");
    // Once for each change, and not for what changed nothing.
    assert_eq!(count(&host, "audit_log where kind = 'schedule_changed'").await, 2);
    let (status, _) = call(&host, "operator", Method::POST, "/unheard-of/resume", None).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_firing_waits_for_no_task_and_overlaps_with_none() {
    let host = Host::start(quiet()).await;
    create(&host, "slow", json!({})).await;
    fire_now(&host, "slow").await;
    let first = fired(&host, "slow", 1).await["last_task"].as_str().unwrap().to_owned();
    fire_now(&host, "slow").await;
    let row = wait(&host, "slow", "a firing that is left out", |row| row["overlapped"] == 1).await;
    assert_eq!((&row["fired"], &row["last_task"], &row["misfires"]), (&json!(1), &json!(first), &json!(0)), "{row}");
    let operator = host.token("operator").await;
    let path = format!("/api/v1/tasks/{first}/cancel");
    let (status, _, _) = host.api(Method::POST, &path, Some(&operator), None).await;
    assert_eq!(status, StatusCode::OK);
    fire_now(&host, "slow").await;
    let row = fired(&host, "slow", 2).await;
    assert_ne!(row["last_task"], json!(first));
    assert_eq!(count(&host, "governance_tasks").await, 2);
}

async fn alerts(host: &Host) -> Vec<Value> {
    let token = host.token("viewer").await;
    let (_, _, page) = host.api(Method::GET, "/api/v1/alerts", Some(&token), None).await;
    page["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_refused_task_raises_an_alert_and_the_schedule_goes_on() {
    let folder = TempDir::new().unwrap();
    let mut host = Host::start(quiet()).await;
    create(&host, "broken", json!({})).await;
    // What the database refuses, what admission refuses, and what is no task at all.
    for (times, (change, expected)) in [
        ("jsonb_set(draft, '{task_type}', '\"unheard-of\"')", "the task type does not exist"),
        ("jsonb_set(draft, '{title}', '\" \"')", "task.title must not be empty"),
        ("draft || '{\"bogus\": 1}'", "its task is not one: unknown field `bogus`"),
    ]
    .into_iter()
    .enumerate()
    {
        let repaired = json!(nobodys_task()).to_string();
        execute(&host, &format!("update schedules set draft = '{repaired}'")).await;
        execute(&host, &format!("update schedules set draft = {change}, next_at = now()")).await;
        let times = i64::try_from(times).unwrap() + 1;
        let row = wait(&host, "broken", "a refusal", |row| row["misfires"] == times).await;
        assert!(row["last_error"].as_str().unwrap().contains(expected), "{row}");
        assert!(row["next_at"].as_str() > Some("2027"), "{row}");
        let alerts = alerts(&host).await;
        assert_eq!(alerts.len(), 1, "{alerts:#?}");
        assert_eq!((&alerts[0]["kind"], &alerts[0]["occurrences"]), (&json!("schedule-refused"), &json!(times)));
        assert_eq!(alerts[0]["title"], "The schedule broken could not create its task");
    }
    // What policy refuses, since today.
    let policy = "@id(\"mine.nothing\") @says(\"nothing today\") forbid (principal, action == Action::\"create_task\", resource);";
    fs::write(folder.path().join("mine.cedar"), policy).unwrap();
    host.kill9();
    let repaired = nobodys_task().to_string();
    execute(&host, &format!("update schedules set draft = '{repaired}', next_at = now()")).await;
    host.restart_with(&[("JUGGERNAUT_POLICIES", folder.path().to_str().unwrap())]).await;
    let row = wait(&host, "broken", "a refusal", |row| row["misfires"] == 4).await;
    assert!(row["last_error"].as_str().unwrap().contains("nothing today [mine.nothing]"), "{row}");
    assert_eq!(count(&host, "audit_log where kind = 'policy_decision' and actor = 'operator@example.org'").await, 1);
    let (status, answer) = call(&host, "operator", Method::POST, "", Some(&draft("other", &json!({})))).await;
    assert_eq!(
        (status, &answer["type"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!("urn:juggernaut:problem:denied-by-policy"))
    );
    // And no more.
    host.kill9();
    host.restart_with(&[("JUGGERNAUT_POLICIES", "")]).await;
    fire_now(&host, "broken").await;
    let row = fired(&host, "broken", 1).await;
    assert_eq!(row["last_error"], Value::Null, "{row}");
    // An expression that nobody reads ends it, instead of coming up for ever.
    execute(&host, "update schedules set cron = '0 0 30 2 *', next_at = now()").await;
    let row = wait(&host, "broken", "its end", |row| row["state"] == "paused").await;
    assert!(row["last_error"].as_str().unwrap().contains("never fires"), "{row}");
    assert_eq!(count(&host, "governance_tasks").await, 1);
}

#[tokio::test]
async fn who_made_a_schedule_can_not_approve_its_tasks() {
    let host = Host::start(quiet()).await;
    let mut task = nobodys_task();
    task["risk"] = json!("critical");
    let (status, answer) =
        call(&host, "admin", Method::POST, "", Some(&draft("risky", &json!({ "task": task })))).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    fire_now(&host, "risky").await;
    let task = fired(&host, "risky", 1).await["last_task"].as_str().unwrap().to_owned();
    let approval = host.approval(&task, "requested").await;
    let (status, answer) = host.decide(&approval, "approve", &host.token("admin").await).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{answer}");
    assert!(answer["detail"].as_str().unwrap().contains("created this task"), "{answer}");
    let other = host.token_of("somebody@example.org", TokenRole::Approver).await;
    let (status, answer) = host.decide(&approval, "approve", &other).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
}

async fn died_firing(point: &str) -> Host {
    let mut host = Host::start(quiet().env("JUGGERNAUT_CRASH_AT", point)).await;
    create(&host, "nightly", json!({})).await;
    fire_now(&host, "nightly").await;
    let status = host.processes()[0].ended().await;
    assert_eq!(status.signal(), Some(SIGKILL), "{status}\n{}", host.stderr());
    host
}

#[tokio::test]
async fn a_host_that_dies_while_it_fires_has_fired_once_or_not_at_all() {
    for (point, before) in [("firing-uncommitted", 0), ("after-firing", 1)] {
        let mut host = died_firing(point).await;
        assert_eq!(count(&host, "governance_tasks").await, before, "{point}");
        assert_eq!(row(&host, "nightly").await["fired"], before, "{point}");
        host.restart_with(&[("JUGGERNAUT_CRASH_AT", "")]).await;
        fired(&host, "nightly", 1).await;
        tokio::time::sleep(QUIET).await;
        assert_eq!(count(&host, "governance_tasks").await, 1, "{point}");
        assert_eq!(count(&host, "audit_log where kind = 'schedule_fired'").await, 1, "{point}");
    }
}

#[tokio::test]
async fn there_is_a_limit_and_names_are_taken_once() {
    let host = Host::start(quiet()).await;
    create(&host, "one", json!({})).await;
    let (status, answer) = call(&host, "operator", Method::POST, "", Some(&draft("one", &json!({})))).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(answer["detail"].as_str().unwrap().contains("choose another name"), "{answer}");
    execute(
        &host,
        "insert into schedules (name, cron, draft, created_by, next_at)
         select 'n' || n, '0 0 1 1 *', '{}', 'sql', now() + interval '1 day' from generate_series(1, 499) as n",
    )
    .await;
    let (status, answer) = call(&host, "operator", Method::POST, "", Some(&draft("two", &json!({})))).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(answer["detail"].as_str().unwrap().contains("there are 500 schedules, which is the limit"), "{answer}");
    let (mut seen, mut cursor) = (0, String::new());
    loop {
        let (_, page) = call(&host, "viewer", Method::GET, &format!("?limit=200{cursor}"), None).await;
        seen += page["items"].as_array().unwrap().len();
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, 500);
}

async fn cli(host: &Host, folder: &TempDir, arguments: &[&str]) -> CliOutput {
    let token = host.token("operator").await;
    juggernaut(folder.path(), arguments, &[("JUGGERNAUT_URL", host.url()), ("JUGGERNAUT_TOKEN", &token)]).await
}

#[tokio::test]
async fn the_command_line_makes_shows_and_ends_schedules() {
    let host = Host::start(quiet()).await;
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("task.json"), nobodys_task().to_string()).unwrap();
    let create = |cron: &'static str, more: &'static [&'static str]| {
        let mut arguments = vec!["schedule", "create", "--name", "nightly", "--cron", cron, "--file", "task.json"];
        arguments.extend(more);
        let (host, folder) = (&host, &folder);
        async move { cli(host, folder, &arguments).await }
    };
    for (cron, more, expected) in [
        ("0 25 * * *", &[][..], "has \"25\" as its hour, which is out of its range or malformed; it takes 0 to 23"),
        ("0 0 * * MONDAY", &[], "as its day of the week"),
        ("0 0 30 2 *", &[], "cron never fires"),
        ("* * * *", &[], "has 4 fields and must have 5: minute, hour, day of the month, month, day of the week"),
        ("* * * * *", &["--missed", "all"], "missed is all, which creates several tasks at once"),
    ] {
        let output = create(cron, more).await;
        assert_eq!(output.code, Some(1), "{cron}: {output:?}");
        assert!(output.stderr.contains(expected) && output.stderr.lines().count() == 1, "{cron}: {output:?}");
    }
    assert_eq!(create("* * * * *", &["--missed", "twice"]).await.code, Some(2));
    let made = create(YEARLY, &["--missed", "skip"]).await;
    assert_eq!(made.code, Some(0), "{made:?}");
    assert!(made.stdout.starts_with("created ") && made.stdout.contains("-01-01 00:00:00 UTC"), "{made:?}");
    let listed = cli(&host, &folder, &["schedule", "list"]).await;
    assert!(listed.stdout.contains("nightly") && listed.stdout.contains(YEARLY), "{listed:?}");
    let shown = cli(&host, &folder, &["schedule", "show", "nightly"]).await;
    assert!(
        shown.stdout.contains("missed         skip; 0 so far") && shown.stdout.contains("Look around"),
        "{shown:?}"
    );
    let id = cli(&host, &folder, &["--json", "schedule", "show", "nightly"]).await.json()["id"].clone();
    let paused = cli(&host, &folder, &["schedule", "pause", id.as_str().unwrap()]).await;
    assert!(paused.stdout.starts_with("paused "), "{paused:?}");
    assert!(cli(&host, &folder, &["schedule", "resume", "nightly"]).await.stdout.starts_with("resumed "));
    assert!(cli(&host, &folder, &["schedule", "delete", "nightly"]).await.stdout.starts_with("deleted "));
    let gone = cli(&host, &folder, &["schedule", "show", "nightly"]).await;
    assert!(gone.code == Some(1) && gone.stderr.contains("No schedule has the id or name"), "{gone:?}");
    let kinds: Vec<String> =
        sqlx::query_scalar("select kind from audit_log where kind like 'schedule_%' order by at, seq")
            .fetch_all(&host.db())
            .await
            .unwrap();
    assert_eq!(kinds, ["schedule_created", "schedule_changed", "schedule_changed", "schedule_deleted"]);
}
