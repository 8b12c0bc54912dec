//! Claims and leases, against a real database with several connections.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use juggernaut::approval::ApprovalId;
use juggernaut::db::journal::Batch;
use juggernaut::db::outcomes::Ending;
use juggernaut::db::queue::{QueuePosition, Renewed};
use juggernaut::db::sweep::{LEASES_LOST_MAX, Swept};
use juggernaut::db::{Db, DbError};
use juggernaut::task::{Priority, TaskId};
use serde_json::{Value, json};
use sqlx::PgPool;
use time::OffsetDateTime;

use crate::audit::{agrees, count};
use crate::engine::{LEASE, batch, claim, claim_as, claim_on, end, execute, key, row, store};
use crate::support::Database;

async fn insert(pool: &PgPool, assigned_worker: Option<&str>) -> TaskId {
    let query =
        "insert into governance_tasks (title, task_type, assigned_worker) values ('t', 'code', $1) returning id";
    TaskId(sqlx::query_scalar(query).bind(assigned_worker).fetch_one(pool).await.unwrap())
}

async fn expire(pool: &PgPool, task: TaskId) {
    execute(pool, format!("update governance_tasks set lease_expires_at = now() - interval '1 s' where id = '{task}'"))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_claimers_take_ten_thousand_tasks_once_each() {
    const TASKS: usize = 10_000;
    let database = Database::create().await;
    execute(
        database.pool(),
        format!(
            "insert into governance_tasks (title, task_type, priority, created_at)
             select 't' || n, case n % 2 when 0 then 'code' else 'test' end,
                 (enum_range(null::task_priority))[n % 4 + 1], now() - n * interval '1 ms'
             from generate_series(1, {TASKS}) as n"
        ),
    )
    .await;
    let began = std::time::Instant::now();
    let mut claimers = tokio::task::JoinSet::new();
    for number in 0..8_u32 {
        let db = Db::from_pool(database.another_pool(2));
        claimers.spawn(async move {
            let mut claimed = Vec::new();
            loop {
                let claims = claim_as(&db, &format!("EXECUTOR-{number}"), &["code", "test"], 5 + number * 4).await;
                if claims.is_empty() {
                    return claimed;
                }
                claimed.extend(claims.iter().map(|claim| claim.task.id));
            }
        });
    }
    let (mut all, mut busy) = (Vec::new(), 0);
    while let Some(claimed) = claimers.join_next().await {
        let claimed = claimed.unwrap();
        busy += usize::from(!claimed.is_empty());
        all.extend(claimed);
    }
    eprintln!("{} claims by {busy} of 8 claimers in {:?}", all.len(), began.elapsed());
    assert_eq!(all.len(), TASKS);
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), TASKS, "a task was claimed twice");
    assert!(busy > 1, "the claimers did not work side by side");
    let query = "select count(*) from governance_tasks where status = 'in_progress' and lease = 1";
    let in_progress: i64 = sqlx::query_scalar(query).fetch_one(database.pool()).await.unwrap();
    assert_eq!(usize::try_from(in_progress).unwrap(), TASKS);
}

#[tokio::test]
async fn one_claimer_takes_them_by_priority_then_age() {
    let database = Database::create().await;
    execute(
        database.pool(),
        "insert into governance_tasks (title, task_type, priority, created_at)
         select 't', (array['code', 'test', 'research'])[n % 3 + 1], (enum_range(null::task_priority))[n * 7 % 4 + 1],
             now() - (n * 37 % 101) * interval '1 s' from generate_series(1, 300) as n",
    )
    .await;
    let mut claimed = Vec::new();
    for tasks_max in [1, 2, 7].into_iter().cycle() {
        let claims = claim_as(&database.db(), "EXECUTOR", &["code", "test"], tasks_max).await;
        assert!(claims.len() <= usize::try_from(tasks_max).unwrap());
        if claims.is_empty() {
            break;
        }
        claimed.extend(claims.into_iter().map(|claim| claim.task));
    }
    assert_eq!(claimed.len(), 200);
    assert!(claimed.is_sorted_by_key(|task| task.priority), "by priority first");
    assert_eq!((claimed[0].priority, claimed[199].priority), (Priority::Critical, Priority::Low));
    for task_type in ["code", "test"] {
        let ids = "select id from governance_tasks where task_type = $1 order by array_position(
                       array['critical', 'high', 'medium', 'low'], priority::text), created_at, id";
        let expected: Vec<TaskId> = sqlx::query_scalar(ids).bind(task_type).fetch_all(database.pool()).await.unwrap();
        let order: Vec<TaskId> = claimed.iter().filter(|it| it.task_type == task_type).map(|it| it.id).collect();
        assert_eq!(order, expected, "{task_type}");
    }
}

/// A worker that goes on where it stood, past what it claimed before, still finds what is put back behind it.
#[tokio::test]
async fn what_is_put_back_is_found_again() {
    let database = Database::create().await;
    let (pool, db) = (database.pool(), database.db());
    execute(
        pool,
        "insert into governance_tasks (title, task_type, created_at)
         select 't', 'code', now() - (1000 - n) * interval '1 s' from generate_series(1, 500) as n",
    )
    .await;
    let ending = Ending::Released { reason: "put back".into() };
    // On a busy machine so much time may pass between two claims that it looks from the start already; then once more.
    let mut tries = 0..10;
    let (mut position, back) = loop {
        tries.next().expect("two claims within 200 ms");
        let (mut position, began) = (QueuePosition::default(), Instant::now());
        let first = claim_on(&db, "EXECUTOR", &["code"], 10, &mut position).await;
        end(&db, &key(&first[0], "EXECUTOR"), &Batch::default(), &ending).await.unwrap();
        let next = claim_on(&db, "EXECUTOR", &["code"], 10, &mut position).await;
        let again = next.iter().any(|claim| first.iter().any(|it| it.task.id == claim.task.id));
        if began.elapsed() < Duration::from_millis(200) {
            assert!(!again, "it goes on where it stood");
            break (position, first.into_iter().next().unwrap());
        }
    };
    // It looks from the start after twenty times as long as that took the last time, and after 3 s at the latest.
    tokio::time::sleep(Duration::from_millis(3_200)).await;
    let later = claim_on(&db, "EXECUTOR", &["code"], 10, &mut position).await;
    assert_eq!(later[0].task.id, back.task.id, "the oldest first, once it looks from the start");
    assert!(later[0].run.resumed);
    // To the end, and then again at once: a claim that comes short looks from the start the next time.
    while claim_on(&db, "EXECUTOR", &["code"], 10, &mut position).await.len() == 10 {}
    end(&db, &key(&later[0], "EXECUTOR"), &Batch::default(), &ending).await.unwrap();
    let last = claim_on(&db, "EXECUTOR", &["code"], 10, &mut position).await;
    assert_eq!(last.iter().map(|claim| claim.task.id).collect::<Vec<_>>(), [back.task.id]);
}

#[tokio::test]
async fn a_task_that_is_meant_for_somebody_waits_for_them() {
    let database = Database::create().await;
    let (pool, db) = (database.pool(), database.db());
    let anybody = insert(pool, None).await;
    let by_type = insert(pool, Some("executor")).await;
    let by_id = insert(pool, Some("EXECUTOR-2")).await;
    insert(pool, Some("watchdog")).await;
    insert(pool, Some("EXECUTOR-3")).await;
    // The name of a worker is no type, and the other way round.
    insert(pool, Some("Executor")).await;
    let mut claimed: Vec<_> = claim_as(&db, "EXECUTOR-2", &["code"], 10).await.iter().map(|it| it.task.id).collect();
    let mut expected = vec![anybody, by_type, by_id];
    claimed.sort_unstable();
    expected.sort_unstable();
    assert_eq!(claimed, expected);
    assert!(claim_as(&db, "EXECUTOR-2", &["code"], 10).await.is_empty());
    assert!(claim_as(&db, "EXECUTOR-3", &["test"], 10).await.is_empty(), "of a type that it can not do");
    assert_eq!(claim_as(&db, "EXECUTOR-3", &["code"], 10).await.len(), 1);
}

#[tokio::test]
async fn who_lost_the_lease_writes_nothing_more() {
    let database = Database::create().await;
    let (pool, db) = (database.pool(), database.db());
    let task = insert(pool, None).await;
    let (old, old_key) = claim(&db, "EXECUTOR-1").await;
    store(&db, &old_key, &batch(0)).await.unwrap();
    expire(pool, task).await;
    assert_eq!(db.sweep().await.unwrap(), Swept { reclaimed: 1, ..Swept::default() });

    let written = "select concat((select count(*) from task_steps), ' ', (select count(*) from execution_logs), ' ',
                                 (select log_lines from task_runs))";
    let mut before: Vec<String> = Vec::new();
    // While nobody holds it, while another one does, and when that one is done.
    for stage in ["swept", "claimed", "failed"] {
        if stage == "claimed" {
            let (new, new_key) = claim(&db, "EXECUTOR-2").await;
            assert!(new.lease > old.lease);
            let renewed = db.renew_leases(&[(task, new.lease)], LEASE).await.unwrap();
            assert_eq!((renewed.standing, renewed.extended), (HashSet::from([task]), HashSet::from([task])));
            assert_eq!(new_key.attempt, old_key.attempt);
        }
        if stage == "failed" {
            execute(pool, "update governance_tasks set status = 'failed'").await;
        }
        before.push(sqlx::query_scalar(written).fetch_one(pool).await.unwrap());
        let state = row(pool, task).await;
        assert!(matches!(store(&db, &old_key, &batch(1)).await, Err(DbError::LeaseLost)), "{stage}");
        for ending in [
            Ending::Failed { reason: "late".into() },
            Ending::Retry { reason: "late".into(), after: Duration::ZERO },
            Ending::DeadLetter { reason: "late".into() },
            Ending::Suspended { wake_at: OffsetDateTime::now_utc(), reason: "waits".to_owned() },
            Ending::Released { reason: "late".into() },
            Ending::WaitingApproval { approval: ApprovalId::generate(), reason: "late".into() },
            Ending::completed(&json!({}), "late".into()).unwrap(),
        ] {
            let ended = end(&db, &old_key, &batch(1), &ending).await;
            assert!(matches!(ended, Err(DbError::LeaseLost)), "{stage}: {ending:?}");
        }
        assert_eq!(db.renew_leases(&[(task, old.lease)], LEASE).await.unwrap(), Renewed::default());
        assert_eq!(db.held_leases(&[(task, old.lease)]).await.unwrap(), HashSet::new());
        let after: String = sqlx::query_scalar(written).fetch_one(pool).await.unwrap();
        assert_eq!(Some(&after), before.last(), "{stage}");
        assert_eq!(row(pool, task).await, state, "{stage}");
    }
}

#[tokio::test]
async fn a_task_whose_host_went_away_goes_on_where_it_stood() {
    let database = Database::create().await;
    let (pool, db) = (database.pool(), database.db());
    let task = insert(pool, None).await;
    let (first, first_key) = claim(&db, "EXECUTOR-1").await;
    assert!(!first.run.resumed);
    store(&db, &first_key, &batch(0)).await.unwrap();
    assert_eq!(db.sweep().await.unwrap(), Swept::default(), "a lease that stands is left alone");
    expire(pool, task).await;
    db.sweep().await.unwrap();
    let waiting = row(pool, task).await;
    assert_eq!((&waiting["status"], &waiting["leases_lost"]), (&json!("pending"), &json!(1)));
    assert_eq!((&waiting["lease_expires_at"], &waiting["started_at"]), (&Value::Null, &Value::Null));

    let (second, second_key) = claim(&db, "EXECUTOR-2").await;
    assert_eq!(second.task.attempt, first.task.attempt);
    assert!(second.run.resumed && second.run.log_lines == 1, "the attempt is resumed");
    assert_eq!(db.load_steps(task, second.task.attempt).await.unwrap().len(), 1);
    store(&db, &second_key, &batch(1)).await.unwrap();
    // A result is written once, whoever holds the lease.
    assert!(matches!(store(&db, &second_key, &batch(0)).await, Err(DbError::Corrupt(_))));
    let query = sqlx::query_scalar("select action from execution_logs where task_id = $1 order by id").bind(task);
    let actions: Vec<String> = query.fetch_all(pool).await.unwrap();
    assert_eq!(actions, ["task_start", "log", "lease_expired", "task_resume", "log"]);
    agrees(&database).await;
}

#[tokio::test]
async fn a_task_that_kills_its_hosts_is_given_up() {
    let database = Database::create().await;
    let (pool, db) = (database.pool(), database.db());
    let task = insert(pool, None).await;
    for lost in 1..=LEASES_LOST_MAX {
        claim(&db, "EXECUTOR").await;
        expire(pool, task).await;
        assert_eq!(db.sweep().await.unwrap().reclaimed, 1);
        assert_eq!(row(pool, task).await["leases_lost"], lost);
    }
    claim(&db, "EXECUTOR").await;
    expire(pool, task).await;
    assert_eq!(db.sweep().await.unwrap(), Swept { dead: 1, ..Swept::default() });
    let dead = row(pool, task).await;
    assert_eq!(dead["status"], "dead_letter");
    assert!(dead["error_message"].as_str().unwrap().contains("went away"), "{dead}");
    assert!(dead["completed_at"].is_string());
    assert!(claim_as(&db, "EXECUTOR", &["code"], 1).await.is_empty());
    // A person may try again, from the beginning of the count.
    db.retry_task(task, "tests").await.unwrap();
    let (again, _) = claim(&db, "EXECUTOR").await;
    assert_eq!(again.task.attempt.number(), 2);
    assert_eq!(row(pool, task).await["leases_lost"], 0);
    let of_kind = async |kind: &str| count(pool, &format!("audit_log where kind = '{kind}'")).await;
    assert_eq!((of_kind("task_reclaimed").await, of_kind("task_dead_lettered").await), (LEASES_LOST_MAX.into(), 1));
    agrees(&database).await;
}

#[tokio::test]
async fn what_a_claim_sets_is_cleared_when_the_task_goes_back() {
    let database = Database::create().await;
    let (pool, db) = (database.pool(), database.db());
    for wanted in [None, Some("executor"), Some("EXECUTOR")] {
        let task = insert(pool, wanted).await;
        for way in ["release", "retry", "suspend", "sweep", "cancel"] {
            let (_, key) = claim(&db, "EXECUTOR").await;
            let claimed = row(pool, task).await;
            assert_eq!(
                (&claimed["assigned_worker"], &claimed["requested_worker"]),
                (&json!("EXECUTOR"), &json!(wanted))
            );
            let reason = || way.to_owned();
            let ending = match way {
                "release" => Ending::Released { reason: reason() },
                "retry" => Ending::Retry { reason: reason(), after: Duration::ZERO },
                _ => Ending::Suspended { wake_at: OffsetDateTime::now_utc(), reason: "waits".to_owned() },
            };
            match way {
                "sweep" => {
                    expire(pool, task).await;
                    db.sweep().await.unwrap();
                }
                "cancel" => {
                    db.cancel_task(task, "tests").await.unwrap();
                    db.retry_task(task, "tests").await.unwrap();
                }
                _ => end(&db, &key, &Batch::default(), &ending).await.unwrap(),
            }
            db.wake_due_tasks().await.unwrap();
            let back = row(pool, task).await;
            assert_eq!((&back["status"], &back["assigned_worker"]), (&json!("pending"), &json!(wanted)), "{way}");
            assert_eq!((&back["started_at"], &back["lease_expires_at"]), (&Value::Null, &Value::Null), "{way}");
        }
        db.cancel_task(task, "tests").await.unwrap();
    }
}
