//! What the engine's statements read does not depend on what the planner last knew of the tables. A quiet host's table is
//! analysed while nothing is pending; the flood that comes then is planned for as if nothing were.

use std::time::{Duration, Instant};

use juggernaut::db::Db;
use juggernaut::db::commit::Write;
use juggernaut::db::journal::Batch;
use juggernaut::db::outcomes::Ending;
use juggernaut::db::queue::{Claim, QueuePosition};
use juggernaut::task::{Lease, TaskId};
use sqlx::PgPool;

use crate::engine::{claim_on, execute, host_db, key};
use crate::support::Database;

const PENDING: u32 = 20_000;
const CLAIMS: usize = 20;
const EACH: usize = 100;
const GROUP: usize = 10;
/// Index entries for each task that a statement is about: itself, in each index that the statement, its checks of foreign
/// keys and its triggers look into, some of them twice.
const ENTRIES_MAX: i64 = 20;

/// Analysed while nothing is pending; then `PENDING` come.
async fn flooded() -> Database {
    let database = Database::create().await;
    let load = "alter table governance_tasks set (autovacuum_enabled = off);
         insert into governance_tasks (title, task_type, status) select 't', 'code', 'cancelled' from generate_series(1, 2000)";
    execute(database.pool(), load).await;
    execute(database.pool(), "analyze governance_tasks").await;
    let load = format!(
        "insert into governance_tasks (title, task_type, created_at)
         select 't', 'code', now() - ({PENDING} - n) * interval '1 ms' from generate_series(1, {PENDING}) as n"
    );
    execute(database.pool(), load).await;
    database
}

/// Entries of the queue's indexes that were read so far. A connection counts for certain what it has done when it ends.
async fn entries_read(pool: &PgPool) -> i64 {
    let others = "select count(pg_terminate_backend(pid)) from pg_stat_activity
        where datname = current_database() and application_name = 'juggernaut'";
    let began = Instant::now();
    while sqlx::query_scalar::<_, i64>(others).fetch_one(pool).await.unwrap() > 0 {
        assert!(began.elapsed() < Duration::from_secs(30), "a connection does not end");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let read =
        "select coalesce(sum(idx_tup_read), 0)::bigint from pg_stat_user_indexes where relname = 'governance_tasks'";
    sqlx::query_scalar(read).fetch_one(pool).await.unwrap()
}

async fn claim_all(db: &Db) -> Vec<Claim> {
    let (mut position, mut claims) = (QueuePosition::default(), Vec::new());
    for _ in 0..CLAIMS {
        let found = claim_on(db, "EXECUTOR", &["code"], u32::try_from(EACH).unwrap(), &mut position).await;
        assert_eq!(found.len(), EACH);
        claims.extend(found);
    }
    claims
}

#[tokio::test]
async fn statements_of_the_engine_read_what_they_are_about() {
    let database = flooded().await;
    let pool = database.pool();
    let before = entries_read(pool).await;
    let claims = claim_all(&host_db(&database).await).await;
    let claimed = entries_read(pool).await;
    let held: Vec<(TaskId, Lease)> = claims.iter().map(|claim| (claim.task.id, claim.lease)).collect();
    let (db, few) = (host_db(&database).await, &held[..GROUP]);
    for _ in 0..10 {
        assert_eq!(db.renew_leases(few, Duration::from_mins(1)).await.unwrap().extended.len(), GROUP);
        assert_eq!(db.held_leases(few).await.unwrap().len(), GROUP);
    }
    let renewed = entries_read(pool).await;
    let db = host_db(&database).await;
    let ending = Ending::Failed { reason: "over".to_owned() };
    let ended = &claims[..10 * GROUP];
    for group in ended.chunks(GROUP) {
        let write = |claim| Write::ending(key(claim, "EXECUTOR"), Batch::default(), ending.clone(), "Test");
        let writes: Vec<Write> = group.iter().map(write).collect();
        let committed = db.commit_runs(&writes.iter().collect::<Vec<_>>()).await.unwrap();
        assert!(committed.outcomes.iter().all(Result::is_ok), "{committed:?}");
    }
    let after = entries_read(pool).await;
    let each = |read: i64, tasks: usize| read / i64::try_from(tasks).unwrap();
    let found = [
        ("a claim", each(claimed - before, claims.len())),
        ("a look after leases", each(renewed - claimed, 20 * GROUP)),
        ("the end of a claim", each(after - renewed, ended.len())),
    ];
    eprintln!("index entries read for each task: {found:?}");
    for (what, entries) in found {
        assert!((1..=ENTRIES_MAX).contains(&entries), "{what} read {entries} index entries for each task");
    }
}
