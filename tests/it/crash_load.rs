//! Ends under load: hosts killed at random, and the database restarted in the middle of everything.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::audit::count;
use crate::once::exactly_once;
use crate::support::{Host, LIMIT, Options, PrivateServer, code_task, seed};

const HOSTS: usize = 2;
const KILLS: usize = 8;
const RESTARTS: usize = 5;
/// Given to the hosts before each loss, so that there is always something under way.
const TASKS_PER_ROUND: usize = 2;
/// Longest time from there to the loss; a task takes about as long.
const RUN_MS_MAX: u64 = 600;

/// Splitmix64: enough to choose times.
struct Dice(u64);

impl Dice {
    /// Seeded by the time, which is printed, so that a failure can be tried again with the same one.
    fn new(what: &str) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let seed = seed().unwrap_or(u64::from(now.subsec_nanos()));
        eprintln!("{what}: seed {seed}");
        Self(seed)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

async fn give(host: &Host, tasks: &mut Vec<String>) {
    for _ in 0..TASKS_PER_ROUND {
        tasks.push(host.create_task(code_task(&format!("file_{}.py", tasks.len()))).await);
    }
}

/// The worker that registered last.
async fn newest_worker(host: &Host) -> String {
    let query = sqlx::query_scalar("select worker_id from worker_registry order by registered_at desc limit 1");
    query.fetch_one(&host.db()).await.unwrap()
}

/// The number of one of these workers with a task under way; gives tasks until there is one.
async fn busy(host: &Host, workers: &[String], tasks: &mut Vec<String>) -> usize {
    loop {
        let query = "select assigned_worker from governance_tasks
            where status = 'in_progress' and assigned_worker = any ($1) order by random() limit 1";
        let worker: Option<String> = sqlx::query_scalar(query).bind(workers).fetch_optional(&host.db()).await.unwrap();
        match worker.and_then(|worker| workers.iter().position(|name| *name == worker)) {
            Some(number) => return number,
            None if count(&host.db(), "governance_tasks where status = 'pending'").await == 0 => {
                give(host, tasks).await;
            }
            None => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
}

async fn completed(host: &Host, tasks: &[String]) {
    for task in tasks {
        host.wait_for(task, "completed", LIMIT * 2).await;
    }
}

#[tokio::test]
async fn hosts_killed_at_random() {
    let mut dice = Dice::new("hosts killed at random");
    let mut host = Host::start(Options::default()).await;
    let mut workers = vec![newest_worker(&host).await];
    for _ in 1..HOSTS {
        host.add_process().await;
        workers.push(newest_worker(&host).await);
    }
    let mut tasks = Vec::new();
    for kill in 1..=KILLS {
        give(&host, &mut tasks).await;
        let after_ms = dice.below(RUN_MS_MAX);
        tokio::time::sleep(Duration::from_millis(after_ms)).await;
        let victim = busy(&host, &workers, &mut tasks).await;
        host.processes()[victim].kill9();
        eprintln!("kill {kill}: host {victim} after {after_ms} ms");
        host.restart_process(victim).await;
        workers[victim] = newest_worker(&host).await;
    }
    completed(&host, &tasks).await;
    let lost = count(&host.db(), "execution_logs where action = 'lease_expired'").await;
    eprintln!("{} tasks, {lost} claims lost", tasks.len());
    assert!(lost > 0, "the kills hit nothing");
    exactly_once(&host, &tasks, "killed at random").await;
}

/// Its backends vanish in the middle of whatever they do, commits above all; what they had not committed is gone.
#[tokio::test]
async fn the_database_restarts_in_the_middle_of_runs() {
    let mut dice = Dice::new("the database restarts");
    let mut server = PrivateServer::start().await;
    let database = Arc::new(server.database().await);
    let host = Host::start(Options::default().database(database).hosts(HOSTS)).await;
    let mut tasks = Vec::new();
    for restart in 1..=RESTARTS {
        give(&host, &mut tasks).await;
        let after_ms = dice.below(RUN_MS_MAX);
        tokio::time::sleep(Duration::from_millis(after_ms)).await;
        let open = count(&host.db(), "governance_tasks where status = 'in_progress'").await;
        server.crash_and_restart().await;
        eprintln!("restart {restart}: after {after_ms} ms, with {open} tasks under way");
    }
    completed(&host, &tasks).await;
    assert!(host.stderr().contains("trying again"), "the restarts hit nothing: {}", host.stderr());
    exactly_once(&host, &tasks, "the database restarted").await;
}

/// The answer to a mutation comes while there is no database to write it down.
#[tokio::test]
async fn the_database_restarts_while_a_mutation_is_under_way() {
    let mut server = PrivateServer::start().await;
    let database = Arc::new(server.database().await);
    let host = Host::start(Options::default().database(database)).await;
    let forge = host.forge();
    forge.hold("PUT", "/repos/demo/sample/pulls/*/merge", "after").await;
    let task = host.create_task(code_task("a.py")).await;
    forge.held().await;
    let releasing = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(50)).await;
        forge.release().await;
    });
    server.crash_and_restart().await;
    releasing.await.unwrap();
    host.wait_for(&task, "completed", LIMIT).await;
    exactly_once(&host, &[task], "the database restarted").await;
}
