//! `http-send` where the host dies, or a person is asked: it is sent once, or a person finds out.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::approvals::sql;
use crate::audit::{agrees, count};
use crate::crash_points::{died, killed_itself, restarted};
use crate::once::together;
use crate::send::{AT_ONCE, is_for_a_person, open, options, post, said, task};
use crate::send_web::Web;
use crate::support::{Host, LIMIT};

/// How often it arrives, and whether a person has to look.
async fn crashed(at: &'static str, path: &'static str, arrives: usize, for_a_person: bool) {
    let web = Web::start().await;
    let (mut host, task) = died(options(&web), at, task(&json!({ "sends": [post(web.url(path))] }))).await;
    restarted(&mut host).await;
    let at = format!("{at} {path}");
    if for_a_person {
        is_for_a_person(&host, &task, &at).await;
    } else {
        let row = host.wait_for(&task, "failed", LIMIT).await;
        assert_eq!(row["error_message"], "sent everything", "{at}");
        assert!(said(&host, &task).await[0].starts_with("201 "), "{at}");
        assert_eq!(count(&host.db(), "alerts").await, 0, "{at}");
        agrees(&host.database()).await;
    }
    assert_eq!(web.keys(), vec![format!("juggernaut-{task}/1/0"); arrives], "{at}");
}

/// Whether it was sent can not be told from a journal that ends with the intent.
#[tokio::test]
async fn a_killed_host_sends_nothing_again() {
    let points = [
        ("before-intent", 1, false),
        ("after-intent", 0, true),
        ("before-act", 0, true),
        ("after-act", 1, true),
        ("before-result", 1, true),
        ("after-result", 1, false),
    ];
    together(AT_ONCE, points.map(|(at, arrives, person)| crashed(at, "/open/a", arrives, person))).await;
}

#[tokio::test]
async fn a_killed_host_sends_the_same_key_again_where_that_is_harmless() {
    let points = [
        ("before-intent", 1),
        ("after-intent", 1),
        ("before-act", 1),
        ("after-act", 2),
        ("before-result", 2),
        ("after-result", 1),
    ];
    together(AT_ONCE, points.map(|(at, arrives)| crashed(at, "/keyed/a", arrives, false))).await;
}

/// Servers remember a key for a while.
#[tokio::test]
async fn an_old_call_is_not_sent_again() {
    let web = Web::start().await;
    let draft = task(&json!({ "sends": [post(web.url("/keyed/a"))] }));
    let (mut host, task) = died(options(&web), "after-act", draft).await;
    begun_earlier(&host, "16 minutes").await;
    restarted(&mut host).await;
    is_for_a_person(&host, &task, "old").await;
    assert_eq!(web.arrived().len(), 1);
}

/// As if the host had been down so long.
pub(crate) async fn begun_earlier(host: &Host, ago: &str) {
    let statement = format!(
        "alter table task_steps disable trigger user;
         update task_steps set intended_at = intended_at - interval '{ago}' where state = 'intended';
         alter table task_steps enable trigger user"
    );
    sql(host, &statement).await;
}

fn risky(web: &Web) -> Value {
    let mut draft = task(&json!({ "sends": [{
        "url": web.url("/open/a"), "body": "one\u{202e}\ntwo", "headers": [["content-type", "text/plain"]],
    }] }));
    draft["risk"] = json!("high");
    draft
}

#[tokio::test]
async fn at_high_risk_a_person_sees_what_would_be_sent_and_it_is_sent_once() {
    let web = Web::start().await;
    let host = open(&web).await;
    let approver = host.token("approver").await;
    let task = host.create_task(risky(&web)).await;
    host.wait_for(&task, "waiting_approval", LIMIT).await;
    let approval = host.approval(&task, "requested").await;
    assert_eq!(approval["action"], "http-send.send");
    let shown = approval["shown"].as_str().unwrap();
    let url = web.url("/open/a");
    for part in [
        "method   POST\n",
        &format!("URL      {url}\n"),
        "header   content-type: text/plain\n",
        "| one<U+202E>\n| two\n",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(web.arrived().is_empty());
    let (status, answer) = host.decide(&approval, "approve", &approver).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    host.wait_for(&task, "failed", LIMIT).await;
    assert!(said(&host, &task).await[0].starts_with("201 "));
    assert_eq!(web.keys(), [format!("juggernaut-{task}/1/0")]);

    let task = host.create_task(risky(&web)).await;
    host.wait_for(&task, "waiting_approval", LIMIT).await;
    let approval = host.approval(&task, "requested").await;
    host.decide(&approval, "deny", &approver).await;
    host.wait_for(&task, "failed", LIMIT).await;
    assert_eq!(web.arrived().len(), 1, "what was denied is not sent");
    agrees(&host.database()).await;
}

async fn crashed_with_an_approval(at: &'static str) {
    let web = Web::start().await;
    let mut host = Host::start(options(&web).env("JUGGERNAUT_CRASH_AT", at)).await;
    let task = host.create_only_task(&risky(&web)).await;
    host.wait_for(&task, "waiting_approval", LIMIT).await;
    let approval = host.approval(&task, "requested").await;
    let path = format!("/api/v1/approvals/{}/approve", approval["id"].as_str().unwrap());
    host.api_or_crash(&path, &host.token("approver").await, &json!({ "note": "for a test" })).await;
    killed_itself(&mut host, at).await;
    restarted(&mut host).await;
    is_for_a_person(&host, &task, at).await;
    assert_eq!(web.arrived().len(), usize::from(at == "after-act"), "{at}");
    assert_eq!(count(&host.db(), "approvals where state = 'consumed'").await, 1, "{at}: one approval, used up");
    assert_eq!(count(&host.db(), "approvals").await, 1, "{at}");
}

#[tokio::test]
async fn an_approval_is_good_for_one_sending_whatever_happens() {
    together(AT_ONCE, ["after-approval-use", "after-intent", "before-act", "after-act"].map(crashed_with_an_approval))
        .await;
}
