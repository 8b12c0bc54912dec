//! Ends under load: hosts killed at random, and the database restarted in the middle of everything.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::audit::count;
use crate::once::exactly_once;
use crate::support::{Host, LIMIT, Options, PrivateServer, code_task, seed};

const TASKS: usize = 12;
const HOSTS: usize = 2;
const KILLS: u64 = 6;
/// Longest time that the hosts are left alone between two kills.
const CALM_MS_MAX: u64 = 1_500;
/// Longest time from one loss of the database to the next.
const RUN_MS_MAX: u64 = 1_200;
const RESTARTS: u64 = 3;

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

async fn create(host: &Host, tasks: usize) -> Vec<String> {
    let mut created = Vec::new();
    for number in 0..tasks {
        created.push(host.create_task(code_task(&format!("file_{number}.py"))).await);
    }
    created
}

async fn completed(host: &Host, tasks: &[String]) {
    for task in tasks {
        host.wait_for(task, "completed", LIMIT * 2).await;
    }
}

#[tokio::test]
async fn hosts_killed_at_random() {
    let mut dice = Dice::new("hosts killed at random");
    let mut host = Host::start(Options::default().hosts(HOSTS).env("JUGGERNAUT_CONCURRENCY", "4")).await;
    let tasks = create(&host, TASKS).await;
    for kill in 1..=KILLS {
        tokio::time::sleep(Duration::from_millis(dice.below(CALM_MS_MAX))).await;
        let victim = usize::try_from(dice.below(HOSTS as u64)).unwrap();
        host.processes()[victim].kill9();
        eprintln!("kill {kill}: host {victim}");
        host.restart_process(victim).await;
    }
    let began = Instant::now();
    completed(&host, &tasks).await;
    let lost = count(&host.db(), "execution_logs where action = 'lease_expired'").await;
    eprintln!("{lost} claims lost; all completed {:?} after the last kill", began.elapsed());
    exactly_once(&host, &tasks, "killed at random").await;
}

/// Its backends vanish in the middle of whatever they do, commits above all, and all that they had not committed is gone.
#[tokio::test]
async fn the_database_restarts_in_the_middle_of_a_run() {
    let mut dice = Dice::new("the database restarts");
    let mut server = PrivateServer::start().await;
    let database = Arc::new(server.database().await);
    let host = Host::start(Options::default().database(database).hosts(HOSTS)).await;
    let tasks = create(&host, TASKS / 2).await;
    for _ in 0..RESTARTS {
        tokio::time::sleep(Duration::from_millis(dice.below(RUN_MS_MAX))).await;
        server.crash_and_restart().await;
    }
    completed(&host, &tasks).await;
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
