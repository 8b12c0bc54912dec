//! Two claims of one worker under way at once.

use std::collections::HashSet;

use juggernaut::db::queue::{Claim, QueuePosition};
use juggernaut::task::TaskId;

use crate::engine::{claimant, execute};
use crate::support::Database;

const TASKS: usize = 30;
const EACH: u32 = 10;

/// Both begin at the head of the queue or where the worker stood, and find different tasks; nothing is left behind.
#[tokio::test]
async fn they_find_different_tasks_and_leave_none() {
    let database = Database::create().await;
    let (pool, db) = (database.pool(), database.db());
    let load = format!(
        "insert into governance_tasks (title, task_type, created_at)
         select 't', 'code', now() - (1000 - n) * interval '1 s' from generate_series(1, {TASKS}) as n"
    );
    execute(pool, &load).await;
    let claimant = claimant("EXECUTOR", &["code"]);
    let mut position = QueuePosition::default();
    let (one, other) = (position.places(&claimant), position.places(&claimant));
    let (first, second) = (one.beginning, other.beginning);
    assert!(first.from_start && !second.from_start, "one at a time goes to the head of the queue");
    let (one, other) = tokio::join!(db.claim_from(&claimant, EACH, one), db.claim_from(&claimant, EACH, other));
    let (one, other) = (one.unwrap(), other.unwrap());
    let ids = |claims: &[Claim]| claims.iter().map(|claim| claim.task.id).collect::<HashSet<TaskId>>();
    assert_eq!((one.len(), other.len()), (EACH as usize, EACH as usize));
    assert!(ids(&one).is_disjoint(&ids(&other)));
    // In whatever order they end.
    position.found(&claimant, EACH, second, &other);
    position.found(&claimant, EACH, first, &one);
    let last = db.claim_tasks(&claimant, EACH, &mut position).await.unwrap();
    let all: HashSet<TaskId> = [ids(&one), ids(&other), ids(&last)].into_iter().flatten().collect();
    assert_eq!(all.len(), TASKS, "each task once, and none is left");
}
