//! What any host does for all: one at a time, all that is due, and without a wait for anybody.

use std::collections::HashSet;
use std::time::Duration;

use juggernaut::config::DatabaseConfig;
use juggernaut::db::queue::QueuePosition;
use juggernaut::db::sweep::Swept;
use juggernaut::db::{Db, DbError};
use juggernaut::task::Lease;

use crate::audit::{agrees, count};
use crate::engine::{claim_on, execute};
use crate::support::Database;

/// More than two statements take.
const MANY: u64 = 2_345;

#[tokio::test]
async fn a_worker_that_is_silent_for_five_minutes_is_stale() {
    let database = Database::create().await;
    let (pool, db) = (database.pool(), database.db());
    execute(
        pool,
        "insert into worker_registry (worker_id, worker_type, status, last_heartbeat) values
             ('QUIET', 'executor', 'busy', now() - interval '4 minutes'),
             ('SILENT', 'executor', 'busy', now() - interval '6 minutes'),
             ('GONE', 'executor', 'offline', now() - interval '6 minutes')",
    )
    .await;
    assert_eq!(db.sweep().await.unwrap(), Swept { stale_workers: 1, ..Swept::default() });
    let states: Vec<(String, String)> =
        sqlx::query_as("select worker_id, status::text from worker_registry order by worker_id")
            .fetch_all(pool)
            .await
            .unwrap();
    let states: Vec<_> = states.iter().map(|(worker, status)| (worker.as_str(), status.as_str())).collect();
    assert_eq!(states, [("GONE", "offline"), ("QUIET", "busy"), ("SILENT", "stale")]);
    assert_eq!(db.sweep().await.unwrap(), Swept::default(), "said once");
}

#[tokio::test]
async fn one_host_sweeps_at_a_time() {
    let database = Database::create().await;
    let (pool, db) = (database.pool(), database.db());
    execute(pool, "insert into governance_tasks (title, task_type) values ('t', 'code')").await;
    assert_eq!(claim_on(&db, "EXECUTOR", &["code"], 1, &mut QueuePosition::default()).await.len(), 1);
    execute(pool, "update governance_tasks set lease_expires_at = now() - interval '1 s'").await;
    let mut other = pool.begin().await.unwrap();
    sqlx::query("select pg_advisory_xact_lock(hashtext('juggernaut sweep'))").execute(&mut *other).await.unwrap();
    let swept = tokio::time::timeout(Duration::from_secs(5), db.sweep()).await.expect("it does not wait");
    assert_eq!(swept.unwrap(), Swept::default());
    other.rollback().await.unwrap();
    assert_eq!(db.sweep().await.unwrap(), Swept { reclaimed: 1, ..Swept::default() });
}

/// A night without a host, or a forge that was away: all of it wakes in one look, not a thousand a tick.
#[tokio::test]
async fn whatever_is_due_is_done_in_one_look() {
    let database = Database::create().await;
    let (pool, db) = (database.pool(), database.db());
    let of_status = async |status: &str| count(pool, &format!("governance_tasks where status = '{status}'")).await;
    let many = i64::try_from(MANY).unwrap();
    execute(
        pool,
        format!(
            "insert into governance_tasks (title, task_type, status, wake_at)
             select 't', 'code', 'suspended', now() - interval '1 s' from generate_series(1, {MANY})"
        ),
    )
    .await;
    assert_eq!(db.wake_due_tasks().await.unwrap(), MANY);
    assert_eq!(of_status("pending").await, many);

    let mut position = QueuePosition::default();
    while !claim_on(&db, "EXECUTOR", &["code"], 1_000, &mut position).await.is_empty() {}
    execute(pool, "update governance_tasks set lease_expires_at = now() - interval '1 s'").await;
    assert_eq!(db.sweep().await.unwrap(), Swept { reclaimed: MANY, ..Swept::default() });
    assert_eq!(of_status("pending").await, many);
    assert_eq!(count(pool, "task_runs where end_cause = 'LeaseExpired'").await, many);

    execute(pool, "update governance_tasks set deadline_at = now() - interval '1 s'").await;
    assert_eq!(db.fail_late_tasks().await.unwrap(), MANY);
    assert_eq!(of_status("failed").await, many);
    agrees(&database).await;
}

/// Somebody holds a row, be it a person with `psql`: the other leases of the host are renewed all the same.
#[tokio::test]
async fn a_row_that_is_held_keeps_no_other_lease_from_being_renewed() {
    let database = Database::create().await;
    let (pool, db) = (database.pool(), database.db());
    execute(pool, "insert into governance_tasks (title, task_type) select 't', 'code' from generate_series(1, 3)")
        .await;
    let claims = claim_on(&db, "EXECUTOR", &["code"], 3, &mut QueuePosition::default()).await;
    let held: Vec<_> = claims.iter().map(|claim| (claim.task.id, claim.lease)).collect();
    let mut other = pool.begin().await.unwrap();
    let locked = held[1].0;
    sqlx::query("select from governance_tasks where id = $1 for update")
        .bind(locked.0)
        .execute(&mut *other)
        .await
        .unwrap();
    let lost = (locked, Lease(held[1].1.0 + 1));
    let asked = [held.clone(), vec![lost]].concat();
    let renewed = tokio::time::timeout(Duration::from_secs(5), db.renew_leases(&asked, Duration::from_hours(1)));
    let renewed = renewed.await.expect("it does not wait").unwrap();
    let all: HashSet<_> = held.iter().map(|(task, _)| *task).collect();
    assert_eq!(renewed.standing, all, "it is not lost for being held");
    assert_eq!(renewed.extended, HashSet::from([held[0].0, held[2].0]));
    other.rollback().await.unwrap();
    let renewed = db.renew_leases(&held, Duration::from_hours(1)).await.unwrap();
    assert_eq!((&renewed.standing, &renewed.extended), (&all, &all));
    let soon = "governance_tasks where lease_expires_at < now() + interval '50 minutes'";
    assert_eq!(count(pool, soon).await, 0);
}

/// A host that stands still in the middle of a sweep holds the lock of all sweeps: the server ends its session, which is
/// a lost connection like any other to it.
#[tokio::test]
async fn who_stands_still_keeps_no_lock() {
    let database = Database::create().await;
    let db = Db::connect(&DatabaseConfig { url: database.url().to_owned().into() }).await.unwrap();
    let setting = "select current_setting('idle_in_transaction_session_timeout')";
    let setting: String = sqlx::query_scalar(setting).fetch_one(db.pool()).await.unwrap();
    assert_eq!(setting, "20s");
    let mut stuck = db.pool().begin().await.unwrap();
    sqlx::query("select pg_advisory_xact_lock(hashtext('juggernaut sweep'))").execute(&mut *stuck).await.unwrap();
    sqlx::query("set local idle_in_transaction_session_timeout = 100").execute(&mut *stuck).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let free = "select pg_try_advisory_lock(hashtext('juggernaut sweep'))";
    assert!(sqlx::query_scalar::<_, bool>(free).fetch_one(database.pool()).await.unwrap());
    let error = sqlx::query("select 1").execute(&mut *stuck).await.unwrap_err();
    let error = DbError::from(error);
    assert!(error.is_passing(), "{error:?}");
}
