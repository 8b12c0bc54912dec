//! How long an idle system takes from the creation of a task to the first line of its run, and the least that any queue
//! over this database takes for the same: a row is inserted, somebody is notified, and it is claimed.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::postgres::PgListener;
use sqlx::types::Uuid;
use sqlx::types::time::OffsetDateTime;
use sqlx::{Connection as _, PgConnection, PgPool};

use super::quantiles::in_ms;
use super::{number, text};

/// Made and not counted: connections and plans are there afterwards.
const WARM_UP_SAMPLES: usize = 10;
/// Between two tasks, so that each finds the host idle.
const PAUSE: Duration = Duration::from_millis(30);
const LOOK_EVERY: Duration = Duration::from_millis(20);
const RUN_MAX: Duration = Duration::from_secs(10);
const CHANNEL: &str = "bench_floor";

/// The two take turns, so that whatever else the machine does meets both.
pub(super) async fn measure(asked: &Value) -> Value {
    let pool = PgPool::connect(text(asked, "database")).await.expect("the database");
    let samples = number(asked, "samples");
    let mut floor = Floor::new(text(asked, "database"), &pool).await;
    let host = Host::new(asked);
    let (mut runs, mut inserted, mut floors) = (Vec::new(), Vec::new(), Vec::new());
    for sample in 0..WARM_UP_SAMPLES + samples {
        tokio::time::sleep(PAUSE).await;
        let took = floor.sample().await;
        tokio::time::sleep(PAUSE).await;
        let ran = host.sample(&pool).await;
        tokio::time::sleep(PAUSE).await;
        let by_hand = insert(&mut floor.creator, &pool).await;
        if sample >= WARM_UP_SAMPLES {
            floors.push(took);
            runs.push(ran);
            inserted.push(by_hand);
        }
    }
    json!({
        "samples": samples, "create_to_run_ms": in_ms(&mut runs), "insert_to_run_ms": in_ms(&mut inserted),
        "floor_ms": in_ms(&mut floors),
    })
}

/// A task that is written by hand, as the floor's is: one statement inserts the row and notifies.
async fn insert(connection: &mut PgConnection, pool: &PgPool) -> Duration {
    let began = OffsetDateTime::now_utc();
    let task: Uuid = sqlx::query_scalar(
        r#"with task as (
            insert into governance_tasks (title, task_type, payload)
            values ('latency', 'verification', '{ "log": true }') returning id
        ) select id from task, lateral (select pg_notify('juggernaut_wake', '')) as woken"#,
    )
    .fetch_one(connection)
    .await
    .expect("a task");
    (first_line(pool, task).await - began).unsigned_abs()
}

struct Host {
    http: reqwest::Client,
    tasks: String,
    token: String,
    draft: Value,
}

impl Host {
    fn new(asked: &Value) -> Self {
        Self {
            http: reqwest::Client::new(),
            tasks: format!("{}/api/v1/tasks", text(asked, "url")),
            token: text(asked, "token").to_owned(),
            draft: json!({ "title": "latency", "task_type": "verification", "payload": { "log": true } }),
        }
    }

    /// From the request to create a task to the first line of its run. The host says when that was; both clocks are
    /// this machine's.
    async fn sample(&self, pool: &PgPool) -> Duration {
        let began = OffsetDateTime::now_utc();
        let request = self.http.post(&self.tasks).bearer_auth(&self.token).json(&self.draft);
        let answer = request.send().await.expect("an answer").error_for_status().expect("a task");
        let task: Value = answer.json().await.expect("JSON");
        let id: Uuid = task["id"].as_str().and_then(|id| id.parse().ok()).expect("the task's id");
        (first_line(pool, id).await - began).unsigned_abs()
    }
}

/// When the run wrote its first line, once the task has ended: the next sample finds nothing left to do.
async fn first_line(pool: &PgPool, task: Uuid) -> OffsetDateTime {
    let began = Instant::now();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let found: Option<OffsetDateTime> = sqlx::query_scalar(
            "select l.created_at from execution_logs l join governance_tasks t on t.id = l.task_id
            where l.task_id = $1 and l.action = 'log' and t.status = 'completed' order by l.id limit 1",
        )
        .bind(task)
        .fetch_optional(pool)
        .await
        .expect("the log");
        match found {
            Some(at) => return at,
            None => assert!(began.elapsed() < RUN_MAX, "task {task} is not completed"),
        }
    }
}

struct Floor {
    listener: PgListener,
    creator: PgConnection,
    claimer: PgConnection,
}

impl Floor {
    async fn new(url: &str, pool: &PgPool) -> Self {
        let copy = "create table if not exists bench_floor (like governance_tasks including all)";
        sqlx::query(copy).execute(pool).await.expect("a copy of the queue");
        let mut listener = PgListener::connect_with(pool).await.expect("a listener");
        listener.listen(CHANNEL).await.expect("to listen");
        let creator = PgConnection::connect(url).await.expect("a connection");
        let claimer = PgConnection::connect(url).await.expect("a connection");
        Self { listener, creator, claimer }
    }

    async fn sample(&mut self) -> Duration {
        let Self { listener, creator, claimer } = self;
        let began = Instant::now();
        let claimed = async {
            listener.recv().await.expect("a notification");
            claim(claimer).await;
            began.elapsed()
        };
        tokio::join!(create(creator), claimed).1
    }
}

/// One statement, one commit.
async fn create(connection: &mut PgConnection) {
    sqlx::query(
        "with task as (
            insert into bench_floor (title, task_type) values ('floor', 'verification') returning id
        ) select pg_notify('bench_floor', id::text) from task",
    )
    .execute(connection)
    .await
    .expect("a task");
}

async fn claim(connection: &mut PgConnection) {
    let claimed: Option<Uuid> = sqlx::query_scalar(
        "update bench_floor set status = 'in_progress', assigned_worker = 'bench', started_at = now(), lease = lease + 1,
            lease_expires_at = now() + interval '1 minute'
        where id = (
            select id from bench_floor where status = 'pending' and task_type = 'verification'
            order by priority, created_at, id limit 1 for update skip locked
        ) returning id",
    )
    .fetch_optional(connection)
    .await
    .expect("a claim");
    assert!(claimed.is_some(), "the task that was notified is not there");
}
