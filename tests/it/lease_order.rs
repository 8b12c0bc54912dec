//! Renewals and the ends of claims meet in the same rows, in any order: neither is ever in the other's way for long.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use juggernaut::db::Db;
use juggernaut::db::commit::Write;
use juggernaut::db::journal::Batch;
use juggernaut::db::outcomes::Ending;
use juggernaut::db::queue::QueuePosition;
use juggernaut::task::{Lease, TaskId};

use crate::audit::count;
use crate::engine::{claim_on, execute, key};
use crate::support::Database;

const ROUNDS: usize = 12;
const TASKS: usize = 60;
const GROUP: usize = 20;

/// Renews in one order and the other until it is told to stop; returns how often.
async fn renew(db: Db, mut held: Vec<(TaskId, Lease)>, stop: Arc<AtomicBool>) -> usize {
    let mut renewals = 0;
    while !stop.load(Ordering::Relaxed) {
        held.reverse();
        db.renew_leases(&held, Duration::from_mins(1)).await.expect("a renewal");
        renewals += 1;
    }
    renewals
}

/// Several renew, two end groups that lie across each other, and PostgreSQL never has to end one for another's sake.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn renewals_and_ends_do_not_lock_each_other_out() {
    let database = Database::create().await;
    let pool = database.pool();
    let mut renewals = 0;
    for round in 0..ROUNDS {
        execute(
            pool,
            format!(
                "insert into governance_tasks (title, task_type) select 't', 'code' from generate_series(1, {TASKS})"
            ),
        )
        .await;
        let db = Db::from_pool(database.another_pool(6));
        let claims = claim_on(&db, "EXECUTOR", &["code"], 1_000, &mut QueuePosition::default()).await;
        assert_eq!(claims.len(), TASKS);
        let held: Vec<_> = claims.iter().map(|claim| (claim.task.id, claim.lease)).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let renewing = [0, 1].map(|_| tokio::spawn(renew(db.clone(), held.clone(), Arc::clone(&stop))));
        let ending = Ending::Failed { reason: "over".to_owned() };
        // Against the order of the ids in every other round, and strided, so that the groups lie across each other.
        let write = |number: usize| {
            let number = if round % 2 == 0 { TASKS - 1 - number } else { number };
            Write::ending(key(&claims[number], "EXECUTOR"), Batch::default(), ending.clone(), "Test")
        };
        let groups = TASKS / GROUP;
        let ends = (0..groups).map(|group| {
            let writes: Vec<Write> = (0..GROUP).map(|number| write(number * groups + group)).collect();
            let db = db.clone();
            tokio::spawn(async move {
                let committed = db.commit_runs(&writes.iter().collect::<Vec<_>>()).await.expect("a group");
                assert!(committed.outcomes.iter().all(Result::is_ok), "{committed:?}");
            })
        });
        for end in ends.collect::<Vec<_>>() {
            end.await.unwrap();
        }
        stop.store(true, Ordering::Relaxed);
        for task in renewing {
            renewals += task.await.unwrap();
        }
    }
    eprintln!("{renewals} renewals beside {} groups", ROUNDS * TASKS / GROUP);
    assert_eq!(count(pool, "governance_tasks where status = 'failed'").await, i64::try_from(ROUNDS * TASKS).unwrap());
    let deadlocks = "(select from pg_stat_database where datname = current_database() and deadlocks > 0) as d";
    assert_eq!(count(pool, deadlocks).await, 0, "PostgreSQL ended one for another's sake");
}
