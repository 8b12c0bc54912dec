//! No task type has a worker to itself: within a priority they take turns, however few slots become free at a time.

use juggernaut::db::queue::QueuePosition;
use juggernaut::task::Priority;

use crate::engine::{claim_on, execute};
use crate::support::Database;

/// A thousand old tasks of one type, and of each other one three that came later.
async fn flooded() -> Database {
    let database = Database::create().await;
    execute(
        database.pool(),
        "insert into governance_tasks (title, task_type, created_at)
         select 't', 'code', now() - (2000 - n) * interval '1 s' from generate_series(1, 1000) as n
         union all
         select 't', (array['test', 'research'])[n % 2 + 1], now() - (500 - n) * interval '1 s'
         from generate_series(1, 6) as n",
    )
    .await;
    database
}

#[tokio::test]
async fn a_flood_of_one_type_does_not_starve_another() {
    let database = flooded().await;
    let types = ["code", "test", "research"];
    let claims = claim_on(&database.db(), "EXECUTOR", &types, 10, &mut QueuePosition::default()).await;
    let of_type = |name: &str| claims.iter().filter(|claim| claim.task.task_type == name).count();
    assert_eq!(types.map(of_type), [4, 3, 3], "the younger types wait for nobody");
}

/// As a busy worker claims: what it gets is as much as has become free.
#[tokio::test]
async fn nor_where_slots_become_free_one_at_a_time() {
    for at_once in [1, 2] {
        let database = flooded().await;
        let (types, mut position) = (["code", "test", "research"], QueuePosition::default());
        let mut served: Vec<String> = Vec::new();
        while served.len() < 16 {
            let claims = claim_on(&database.db(), "EXECUTOR", &types, at_once, &mut position).await;
            served.extend(claims.into_iter().map(|claim| claim.task.task_type));
            let of_type = types.map(|name| served.iter().filter(|it| *it == name).count());
            if served.len() <= 9 {
                let apart = of_type.iter().max().unwrap() - of_type.iter().min().unwrap();
                assert!(apart <= 1, "{at_once} at once: {served:?}");
            } else {
                assert_eq!(of_type[1..], [3, 3], "{at_once} at once: {served:?}");
            }
        }
    }
}

/// Turns are of one priority: what is urgent goes before, whoever had the last turn, and takes nobody's turn.
#[tokio::test]
async fn turns_are_within_a_priority() {
    let database = flooded().await;
    let (types, mut position) = (["code", "test", "research"], QueuePosition::default());
    let mut next = async || {
        let claims = claim_on(&database.db(), "EXECUTOR", &types, 1, &mut position).await;
        let task = claims.into_iter().next().expect("a task").task;
        (task.priority, task.task_type)
    };
    assert_eq!(next().await, (Priority::Medium, "code".to_owned()));
    let urgent =
        "insert into governance_tasks (title, task_type, priority) values ('t', 'code', 'high'), ('t', 'test', 'high')";
    execute(database.pool(), urgent).await;
    // What the worker passed is looked at anew after a while; what is new here is of another priority.
    let (first, second) = (next().await, next().await);
    assert_eq!((first.0, second.0), (Priority::High, Priority::High));
    assert_ne!(first.1, second.1);
    assert_eq!(next().await, (Priority::Medium, "test".to_owned()));
    assert_eq!(next().await, (Priority::Medium, "research".to_owned()));
}
