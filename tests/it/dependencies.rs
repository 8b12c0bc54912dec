//! Tasks that wait: for others, and for a time.

use std::time::Duration;

use juggernaut::db::journal::Batch;
use juggernaut::db::outcomes::Ending;
use juggernaut::db::{Db, DbError};
use juggernaut::task::TaskId;
use serde_json::json;
use sqlx::PgPool;
use time::OffsetDateTime;

use crate::audit::{agrees, count};
use crate::engine::{self, admitted, batch, claim, end, execute, row, store};
use crate::support::{Database, LIMIT};

async fn create(db: &Db, worker: &str, depends_on: &[TaskId]) -> TaskId {
    let payload = json!({ "repository": "demo/sample", "instructions": "do it" });
    let draft = json!({
        "title": worker, "task_type": "code", "payload": payload, "depends_on": depends_on, "assigned_worker": worker,
    });
    engine::create(db, &admitted(draft)).await.id
}

/// Claims the worker's one task and completes it.
async fn complete(db: &Db, worker: &str) -> Result<(), DbError> {
    let (_, key) = claim(db, worker).await;
    end(db, &key, &batch(0), &completed()).await
}

fn completed() -> Ending {
    let evidence = json!({ "verdict": "verified", "steps": [{ "attempt": 1, "position": 0 }] });
    Ending::completed(&evidence, "done".to_owned()).unwrap()
}

async fn state(pool: &PgPool, task: TaskId) -> (String, i64) {
    let row = row(pool, task).await;
    (row["status"].as_str().unwrap().to_owned(), row["blocked_by"].as_i64().unwrap())
}

fn is(status: &str, blocked_by: i64) -> (String, i64) {
    (status.to_owned(), blocked_by)
}

#[tokio::test]
async fn a_diamond_opens_from_its_top() {
    let database = Database::create().await;
    let (pool, db) = (database.pool(), database.db());
    let top = create(&db, "TOP", &[]).await;
    let left = create(&db, "LEFT", &[top]).await;
    let right = create(&db, "RIGHT", &[top]).await;
    let bottom = create(&db, "BOTTOM", &[left, right]).await;
    assert_eq!(state(pool, top).await, is("pending", 0));
    assert_eq!(state(pool, left).await, is("suspended", 1));
    assert_eq!(state(pool, bottom).await, is("suspended", 2));
    db.wake_due_tasks().await.unwrap();
    assert_eq!(state(pool, left).await, is("suspended", 1), "time alone frees nobody");

    complete(&db, "TOP").await.unwrap();
    assert_eq!((state(pool, left).await, state(pool, right).await), (is("pending", 0), is("pending", 0)));
    assert_eq!(state(pool, bottom).await, is("suspended", 2));
    complete(&db, "LEFT").await.unwrap();
    assert_eq!(state(pool, bottom).await, is("suspended", 1));
    // A failed dependency frees nobody; completed after a retry, it does.
    let (_, key) = claim(&db, "RIGHT").await;
    end(&db, &key, &Batch::default(), &Ending::Failed { reason: "no".into() }).await.unwrap();
    assert_eq!(state(pool, bottom).await, is("suspended", 1));
    db.retry_task(right, "tests").await.unwrap();
    let (_, key) = claim(&db, "RIGHT").await;
    let evidence = json!({ "verdict": "verified", "steps": [{ "attempt": 2, "position": 0 }] });
    let ending = Ending::completed(&evidence, "done".into()).unwrap();
    end(&db, &key, &batch(0), &ending).await.unwrap();
    assert_eq!(state(pool, bottom).await, is("pending", 0));
    // What is completed already blocks nobody.
    let late = create(&db, "LATE", &[top, left]).await;
    assert_eq!(state(pool, late).await, is("pending", 0));
    assert_eq!(count(pool, "audit_log where kind = 'task_unblocked'").await, 3);
    agrees(&database).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_complete_at_once_free_the_third() {
    let database = Database::create().await;
    let (pool, db) = (database.pool(), database.db());
    create(&db, "LEFT", &[]).await;
    create(&db, "RIGHT", &[]).await;
    let ids: Vec<TaskId> =
        sqlx::query_scalar("select id from governance_tasks order by created_at").fetch_all(pool).await.unwrap();
    let bottom = create(&db, "BOTTOM", &ids).await;
    let (_, left_key) = claim(&db, "LEFT").await;
    store(&db, &left_key, &batch(0)).await.unwrap();

    // The first has decremented and not committed yet; the second one must wait for it and then see its result.
    let mut first = pool.begin().await.unwrap();
    let statement = "update governance_tasks set status = 'completed', completion_evidence = 'done',
                     evidence = '{\"verdict\": \"verified\", \"steps\": [{\"attempt\": 1, \"position\": 0}]}' where id = $1";
    sqlx::query(statement).bind(left_key.task.0).execute(&mut *first).await.unwrap();
    let other = Db::from_pool(database.another_pool(2));
    let second = tokio::spawn(async move { complete(&other, "RIGHT").await });
    let waiting =
        "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    let began = std::time::Instant::now();
    while sqlx::query_scalar::<_, i64>(waiting).fetch_one(pool).await.unwrap() == 0 {
        assert!(began.elapsed() < LIMIT && !second.is_finished(), "the second one does not wait for the first");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(state(pool, bottom).await, is("suspended", 2));
    first.commit().await.unwrap();
    second.await.unwrap().unwrap();
    assert_eq!(state(pool, bottom).await, is("pending", 0));
}

/// Two tasks that block the same ones complete at the same time, in whatever order those are found.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_that_wait_for_the_same_two_do_not_lock_them_out() {
    const ROUNDS: usize = 15;
    let database = Database::create().await;
    let (pool, db) = (database.pool(), database.db());
    let other = Db::from_pool(database.another_pool(4));
    // A queue so long that the database looks its rows up one by one.
    execute(
        pool,
        "insert into governance_tasks (title, task_type, assigned_worker)
         select 'filler', 'code', 'NOBODY' from generate_series(1, 20000); analyze governance_tasks",
    )
    .await;
    for round in 0..ROUNDS {
        let left = create(&db, "LEFT", &[]).await;
        let right = create(&db, "RIGHT", &[]).await;
        execute(
            pool,
            format!(
                "insert into governance_tasks (title, task_type, status, blocked_by, assigned_worker)
                 select 'round {round}', 'code', 'suspended', 2, 'NOBODY' from generate_series(1, 300);
                 insert into task_dependencies
                 select id, '{left}' from governance_tasks where title = 'round {round}' order by id;
                 insert into task_dependencies
                 select id, '{right}' from governance_tasks where title = 'round {round}' order by id desc"
            ),
        )
        .await;
        let (first, second) = tokio::join!(
            tokio::spawn({
                let db = db.clone();
                async move { complete(&db, "LEFT").await }
            }),
            tokio::spawn({
                let db = other.clone();
                async move { complete(&db, "RIGHT").await }
            }),
        );
        first.unwrap().unwrap();
        second.unwrap().unwrap();
        let query = "select count(*) from governance_tasks where title = $1 and status = 'pending' and blocked_by = 0";
        let freed: i64 = sqlx::query_scalar(query).bind(format!("round {round}")).fetch_one(pool).await.unwrap();
        assert_eq!(freed, 300);
    }
}

#[tokio::test]
async fn what_is_due_wakes_and_nothing_else() {
    let database = Database::create().await;
    let (pool, db) = (database.pool(), database.db());
    let ready = create(&db, "A", &[]).await;
    let early = create(&db, "B", &[]).await;
    for (worker, seconds) in [("A", -1), ("B", 3600)] {
        let (_, key) = claim(&db, worker).await;
        let wake_at = OffsetDateTime::now_utc() + time::Duration::seconds(seconds);
        end(&db, &key, &Batch::default(), &Ending::Suspended { wake_at, reason: "waits".to_owned() }).await.unwrap();
    }
    let blocked = create(&db, "C", &[early]).await;
    execute(pool, format!("update governance_tasks set wake_at = now() - interval '1 s' where id = '{blocked}'")).await;
    assert_eq!(db.wake_due_tasks().await.unwrap(), 1);
    assert_eq!(state(pool, ready).await, is("pending", 0));
    assert_eq!(row(pool, ready).await["attempt"], 1, "a suspension is no new attempt");
    assert_eq!(state(pool, early).await, is("suspended", 0));
    assert_eq!(state(pool, blocked).await, is("suspended", 1));
    assert_eq!(db.wake_due_tasks().await.unwrap(), 0);

    // Its time has come long ago; what it waits for frees it.
    execute(pool, format!("update governance_tasks set wake_at = now() where id = '{early}'")).await;
    assert_eq!(db.wake_due_tasks().await.unwrap(), 1);
    complete(&db, "B").await.unwrap();
    assert_eq!(state(pool, blocked).await, is("suspended", 0));
    assert_eq!(db.wake_due_tasks().await.unwrap(), 1);
    assert_eq!(state(pool, blocked).await, is("pending", 0));

    // A retry is the next attempt, after its pause.
    let (_, key) = claim(&db, "C").await;
    let ending = Ending::Retry { reason: "again".into(), after: Duration::from_mins(1) };
    end(&db, &key, &Batch::default(), &ending).await.unwrap();
    let retried = row(pool, blocked).await;
    assert_eq!((&retried["status"], &retried["attempt"]), (&json!("suspended"), &json!(2)));
    assert_eq!(db.wake_due_tasks().await.unwrap(), 0);
    assert_eq!(count(pool, "audit_log where kind = 'task_woken'").await, 3);
    agrees(&database).await;
}
