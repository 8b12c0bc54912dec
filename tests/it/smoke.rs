//! What the support itself promises, and one task from the API to the merge.

use crate::support::{Host, LIMIT, Options, code_task};

#[tokio::test]
async fn a_code_task_becomes_a_merged_pull_request() {
    let mut host = Host::start(Options::default()).await;
    let task = host.create_task(code_task("smoke.py")).await;
    let done = host.wait_for(&task, "completed", LIMIT).await;
    assert!(done["completion_evidence"].as_str().unwrap().contains("demo/sample"), "{done}");
    assert!(host.steps(&task).await.iter().any(|step| step["function"] == "merge"));
    assert!(host.logs(&task).await.iter().any(|line| line["action"] == "task_completed"));
    assert!(host.forge().requests().await.iter().any(|request| request["method"] == "PUT"));
    assert_eq!(host.terminate().await.code(), Some(0), "{}", host.stderr());
}

#[tokio::test]
async fn a_killed_host_is_replaced_by_its_successor() {
    let mut host = Host::start(Options::default()).await;
    host.kill9();
    host.restart().await;
    let task = host.create_task(code_task("again.py")).await;
    host.wait_for(&task, "completed", LIMIT).await;
}

#[tokio::test]
async fn two_hosts_share_a_database() {
    let host = Host::start(Options::default().hosts(2).env("JUGGERNAUT_CONCURRENCY", "1")).await;
    let mut tasks = Vec::new();
    for number in 0..6 {
        tasks.push(host.create_task(code_task(&format!("file_{number}.py"))).await);
    }
    for task in &tasks {
        host.wait_for(task, "completed", LIMIT).await;
    }
    let query = "select count(distinct worker_id) from task_runs";
    let workers: i64 = sqlx::query_scalar(query).fetch_one(&host.db()).await.unwrap();
    assert_eq!(workers, 2, "{}", host.stderr());
}
