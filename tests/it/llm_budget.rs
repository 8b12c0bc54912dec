//! Budgets of `llm`, and what crashes, resumed runs and replays do to them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::llm::{ask, asker, said, task};
use crate::support::{Host, LIMIT, Options, Reply, ScriptedModels, juggernaut};

const HELLO: &str = "Say hello.";

async fn usage(host: &Host) -> Vec<(String, i64)> {
    let query =
        "select state::text, coalesce(prompt_tokens + answer_tokens, tokens_reserved) from llm_usage order by id";
    sqlx::query_as(query).fetch_all(&host.db()).await.unwrap()
}

async fn day(host: &Host) -> (i64, i64) {
    sqlx::query_as("select tokens, microdollars from llm_days").fetch_one(&host.db()).await.unwrap()
}

#[tokio::test]
async fn a_task_is_refused_what_exceeds_its_budget_before_anything_is_sent() {
    let roles = asker();
    roles.edit("asker", "tokens_per_task_max = 20_000", "tokens_per_task_max = 2_000");
    let models = ScriptedModels::start_with(|_| Reply::says("hello").without_usage()).await;
    let host = Host::start(Options::default().roles(roles).models(&models)).await;
    let long = json!({ "text": { "repeat": "x", "times": 8_000 } });
    let asks = [
        json!({ "remaining": true }),
        long,
        json!({ "text": HELLO, "tokens": 1_000 }),
        json!({ "remaining": true }),
        json!({ "text": HELLO, "tokens": 1_000 }),
    ];
    let (id, said) = ask(&host, &asks).await;
    assert_eq!(said[0], "left 2000 tokens 1000000 microdollars");
    assert!(
        said[1].starts_with("denied the request may take ") && said[1].contains("2000 left: see tokens_per_task_max"),
        "{}",
        said[1]
    );
    assert!(said[2].starts_with("Finish::Stop"), "{}", said[2]);
    // Without figures of the service the estimate counts.
    let left: u64 = said[3].split(' ').nth(1).unwrap().parse().unwrap();
    assert!(left < 2_000, "{}", said[3]);
    let denied = format!("of 2000 are {left} left: see tokens_per_task_max of [grants.llm]");
    assert!(said[4].starts_with("denied ") && said[4].contains(&denied), "{} and {}", said[3], said[4]);
    let asked = models.asked().len();
    assert_eq!(usage(&host).await.len(), asked);
    let kinds: Vec<String> =
        sqlx::query_scalar("select kind from audit_log where task_id = $1::uuid and kind like 'model%' order by seq")
            .bind(&id)
            .fetch_all(&host.db())
            .await
            .unwrap();
    assert_eq!(kinds.len(), 2 * asked, "{kinds:?}");
    assert_eq!(kinds[..2], ["model_reserved", "model_settled"]);
}

#[tokio::test]
async fn money_is_limited_like_tokens() {
    let roles = asker();
    roles.edit("asker", "cost_microdollars_per_task_max = 1_000_000", "cost_microdollars_per_task_max = 5_000");
    let models = ScriptedModels::start_with(|_| Reply::says("hello")).await;
    let prices = "test/first=1/1";
    let host = Host::start(Options::default().roles(roles).models(&models).env("JUGGERNAUT_LLM_PRICES", prices)).await;
    let asks = [json!({ "text": HELLO }), json!({ "text": HELLO, "model": "test/second" })];
    let (_, said) = ask(&host, &asks).await;
    assert!(said[0].starts_with("Finish::Stop"), "{}", said[0]);
    assert!(said[1].contains("of 5000 are 4880 left: see cost_microdollars_per_task_max"), "{}", said[1]);
}

/// Two hosts, each with a task, and room for one request: one is sent.
#[tokio::test]
async fn the_day_s_budget_is_spent_once_over_all_hosts() {
    let models =
        ScriptedModels::start_with(|_| Reply::says("hello").without_usage().after(Duration::from_millis(500))).await;
    let options =
        Options::default().roles(asker()).models(&models).env("JUGGERNAUT_LLM_DAY_TOKENS_MAX", "700").hosts(2);
    let host = Host::start(options).await;
    let mut tasks = Vec::new();
    for _ in 0..6 {
        tasks.push(host.create_task(task(&json!({ "asks": [{ "text": HELLO }] }))).await);
    }
    let mut answers = Vec::new();
    for id in &tasks {
        host.wait_for(id, "failed", LIMIT).await;
        answers.extend(said(&host, id).await);
    }
    let (good, denied): (Vec<_>, Vec<_>) = answers.iter().partition(|it| it.starts_with("Finish::Stop"));
    assert_eq!((good.len(), denied.len(), models.asked().len()), (1, 5, 1), "{answers:#?}");
    assert!(denied.iter().all(|it| it.contains("see JUGGERNAUT_LLM_DAY_TOKENS_MAX of the host")), "{denied:#?}");
    let (tokens, _) = day(&host).await;
    assert!((351..=700).contains(&tokens), "{tokens}");
    assert_eq!(usage(&host).await, [("settled".to_owned(), tokens)]);
}

/// The request left and its answer was lost with the host: it goes on counting, and the run asks anew.
#[tokio::test]
async fn a_host_that_dies_before_the_answer_leaves_the_reservation() {
    let models = ScriptedModels::start([Reply::says("lost"), Reply::says("hello")]).await;
    let options = Options::default().roles(asker()).models(&models).env("JUGGERNAUT_CRASH_AT", "after-act");
    let mut host = Host::start(options).await;
    let id = host.create_only_task(&task(&json!({ "asks": [{ "text": HELLO }] }))).await;
    host.processes()[0].ended().await;
    let before = usage(&host).await;
    assert_eq!((before.len(), before[0].0.as_str()), (1, "reserved"));
    host.restart_with(&[("JUGGERNAUT_CRASH_AT", "")]).await;
    host.wait_for(&id, "failed", LIMIT).await;
    assert!(said(&host, &id).await[0].starts_with("Finish::Stop test/first \"hello\""));
    let after = usage(&host).await;
    assert_eq!(after, [before[0].clone(), ("settled".to_owned(), 15)]);
    assert_eq!(day(&host).await.0, before[0].1 + 15);
    let prompts: Vec<_> = models.asked().iter().map(|asked| asked.body.clone()).collect();
    assert_eq!(prompts.len(), 2);
    assert_eq!(prompts[0], prompts[1], "the prompt is a function of the run");
}

#[tokio::test]
async fn a_resumed_run_and_a_replay_ask_nobody() {
    let models = ScriptedModels::start([Reply::says("hello"), Reply::refuses("no")]).await;
    let roles = asker();
    let folder = roles.path().to_owned();
    let mut host = Host::start(Options::default().roles(roles).models(&models)).await;
    let asks =
        json!([{ "text": HELLO }, { "text": HELLO }, { "text": "x", "model": "test/third" }, { "remaining": true }]);
    let id = host.create_task(task(&json!({ "asks": asks, "sleep_ms": 1_500 }))).await;
    host.wait_for(&id, "suspended", LIMIT).await;
    host.kill9();
    host.restart().await;
    host.wait_for(&id, "failed", LIMIT).await;
    let said = said(&host, &id).await;
    assert_eq!(said.len(), 5, "{said:#?}");
    assert_eq!(models.asked().len(), 2);
    let database = host.database();
    let env = [("DATABASE_URL", database.url()), ("JUGGERNAUT_ROLES", folder.to_str().unwrap())];
    let replayed = juggernaut(&folder, &["replay", &id], &env).await;
    assert_eq!(replayed.code, Some(0), "{replayed:?}");
    assert_eq!(models.asked().len(), 2);
}

#[tokio::test]
async fn people_see_what_a_day_took() {
    let models = ScriptedModels::start([Reply::says("hello")]).await;
    let options =
        Options::default().roles(asker()).models(&models).env("JUGGERNAUT_LLM_DAY_MICRODOLLARS_MAX", "5000000");
    let host = Host::start(options).await;
    ask(&host, &[json!({ "text": HELLO })]).await;
    let token = host.token("viewer").await;
    let (status, _, budget) = host.api(reqwest::Method::GET, "/api/v1/budget", Some(&token), None).await;
    assert_eq!(status, 200, "{budget}");
    let expected: Value =
        json!([{ "model": "test/first", "requests": 1, "unsettled": 0, "tokens": 15, "microdollars": 120 }]);
    assert_eq!(budget["models"], expected);
    assert_eq!((&budget["tokens"], &budget["microdollars_max"]), (&json!(15), &json!(5_000_000)));
    let env = [("JUGGERNAUT_URL", host.url()), ("JUGGERNAUT_TOKEN", &token)];
    let shown = juggernaut(std::path::Path::new("/"), &["budget", "show"], &env).await;
    assert_eq!(shown.code, Some(0), "{shown:?}");
    assert!(shown.stdout.contains("test/first") && shown.stdout.contains("$0.000120 of $5.000000"), "{}", shown.stdout);
}
