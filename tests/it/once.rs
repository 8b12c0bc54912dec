//! What has to be true after every crash: the world and the records show each thing once.

use std::collections::BTreeSet;

use serde_json::Value;
use tokio::task::{JoinError, JoinSet};

use crate::audit::{agrees, count, is_true};
use crate::support::{Host, show};

/// The four mutations of a code task, as the forge is asked for them.
pub(crate) const MUTATIONS: [(&str, &str, &str); 4] = [
    ("create-branch", "POST", "/repos/demo/sample/git/refs"),
    ("put-file", "PUT", "/repos/demo/sample/contents/*"),
    ("open-pull-request", "POST", "/repos/demo/sample/pulls"),
    ("merge", "PUT", "/repos/demo/sample/pulls/*/merge"),
];

/// One branch, one commit, one pull request, one merge and one completion for each of the tasks, in the first attempt.
pub(crate) async fn exactly_once(host: &Host, tasks: &[String], at: &str) {
    world_once(host, tasks, at).await;
    for task in tasks {
        recorded_once(host, task, at).await;
    }
    records_are_true(host).await;
}

pub(crate) async fn records_are_true(host: &Host) {
    is_true(&host.database()).await;
    agrees(&host.database()).await;
}

/// What the forge has, and what it was asked for with success.
pub(crate) async fn world_once(host: &Host, tasks: &[String], at: &str) {
    let forge = host.forge();
    let wanted: BTreeSet<String> = tasks.iter().map(|task| format!("feature/{task}")).collect();
    let branches = forge.git(&["branch", "--list", "--format=%(refname:short)", "feature/*"]);
    assert_eq!(branches.lines().map(str::to_owned).collect::<BTreeSet<_>>(), wanted, "{at}: one branch each");
    for branch in &wanted {
        let commits = forge.git(&["log", "--format=%s", &format!("main..{branch}")]);
        assert_eq!(commits.lines().count(), 1, "{at}: one commit on {branch}: {commits}");
    }
    let pull_requests = forge.pull_requests().await;
    let heads: BTreeSet<_> = pull_requests.iter().filter_map(|it| it["head"]["ref"].as_str()).collect();
    assert_eq!((pull_requests.len(), heads.len()), (tasks.len(), tasks.len()), "{at}: one pull request each");
    assert!(pull_requests.iter().all(|it| it["merged_at"].is_string()), "{at}: {pull_requests:?}");
    let merges = forge.git(&["log", "--format=%s", "main"]);
    assert_eq!(merges.lines().count(), tasks.len() + 1, "{at}: one merge each: {merges}");
    for (function, done) in mutations_done(host).await {
        assert_eq!(done, tasks.len(), "{at}: {function} had an effect once for each task");
    }
}

/// How often the forge carried each of the mutations out.
pub(crate) async fn mutations_done(host: &Host) -> Vec<(&'static str, usize)> {
    let requests = host.forge().requests().await;
    let done = |method: &str, path: &str| {
        let (begin, end) = path.split_once('*').unwrap_or((path, ""));
        let this = |request: &&Value| {
            let path = request["path"].as_str().unwrap_or_default();
            let fits = if end.is_empty() && !begin.ends_with('/') {
                path == begin
            } else {
                path.starts_with(begin) && path.ends_with(end)
            };
            fits && request["method"] == method && request["status"].as_u64().is_some_and(|it| (200..300).contains(&it))
        };
        requests.iter().filter(this).count()
    };
    MUTATIONS.iter().map(|(function, method, path)| (*function, done(method, path))).collect()
}

/// What the database says of one task.
async fn recorded_once(host: &Host, task: &str, at: &str) {
    let row = host.row(task).await;
    let pool = host.db();
    let shown = || async { show(&pool, task.parse().unwrap()).await };
    assert_eq!((&row["status"], &row["attempt"]), (&"completed".into(), &1.into()), "{at}: {}", shown().await);
    assert_eq!(row["evidence"]["verdict"], "verified", "{at}");

    let of_log = |action: &str| format!("execution_logs where task_id = '{task}' and action = '{action}'");
    assert_eq!(count(&pool, &of_log("task_completed")).await, 1, "{at}: one completion: {}", shown().await);
    // What the role said before a crash is neither lost nor said twice.
    for (begin, times) in [("created branch", 1), ("committed ", 1), ("opened pull request", 1), ("merged pull", 1)] {
        let lines = format!("{} and message like '{begin}%'", of_log("log"));
        assert_eq!(count(&pool, &lines).await, times, "{at}: {begin:?} is said once: {}", shown().await);
    }
    let twice = format!("(select message from {} group by message having count(*) > 1) as twice", of_log("log"));
    assert_eq!(count(&pool, &twice).await, 0, "{at}: {}", shown().await);

    let of_audit = |rest: &str| format!("audit_log where task_id = '{task}' and {rest}");
    assert_eq!(count(&pool, &of_audit("kind = 'task_completed'")).await, 1, "{at}: {}", shown().await);
    for (function, ..) in MUTATIONS {
        for outcome in ["intended", "ok"] {
            let rows = format!(
                "kind = 'host_call' and details ->> 'function' = '{function}' and details ->> 'outcome' = '{outcome}'"
            );
            assert_eq!(count(&pool, &of_audit(&rows)).await, 1, "{at}: {function} {outcome}: {}", shown().await);
        }
        let steps = format!("task_steps where task_id = '{task}' and function = '{function}'");
        assert_eq!(count(&pool, &steps).await, 1, "{at}: {function}: {}", shown().await);
    }
    let gap = format!(
        "(select from task_steps where task_id = '{task}' having count(*) <> max(position) + 1 or min(position) <> 0
              or count(*) filter (where state <> 'done') > 0) as gap"
    );
    assert_eq!(count(&pool, &gap).await, 0, "{at}: a step is missing or open: {}", shown().await);
}

/// The time that a lease still had has passed. Only where its host is dead: a running one would be robbed.
pub(crate) async fn leases_run_out(host: &Host) {
    let query = "update governance_tasks set lease_expires_at = now() - interval '1 s' where status = 'in_progress'";
    sqlx::query(query).execute(&host.db()).await.unwrap();
}

/// Runs scenarios side by side, so many at once; most of their time is waiting. The first panic is the test's.
pub(crate) async fn together<F>(at_once: usize, scenarios: impl IntoIterator<Item = F>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut running = JoinSet::new();
    for scenario in scenarios {
        if running.len() == at_once {
            ended(running.join_next().await.unwrap());
        }
        running.spawn(scenario);
    }
    while let Some(result) = running.join_next().await {
        ended(result);
    }
}

fn ended(result: Result<(), JoinError>) {
    match result {
        Ok(()) => {}
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
