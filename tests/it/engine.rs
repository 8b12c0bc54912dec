//! What tests of the engine share: they create, claim and end tasks through the host's own methods.

use std::time::Duration;

use juggernaut::config::DatabaseConfig;
use juggernaut::db::bulk::Admitted;
use juggernaut::db::commit::Write;
use juggernaut::db::journal::{Batch, RunKey, StepRow};
use juggernaut::db::outcomes::Ending;
use juggernaut::db::queue::{Claim, Claimant, IdleWorkers, QueuePosition};
use juggernaut::db::task_views::TaskSummary;
use juggernaut::db::{Db, DbError};
use juggernaut::journal::{Effect, LogLine, Outcome, Step};
use juggernaut::task::{LogLevel, NewTask, Risk, TaskId, Treatment, WorkerId};
use secrecy::SecretString;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};
use time::OffsetDateTime;

use crate::support::Database;

pub(crate) const LEASE: Duration = Duration::from_mins(1);

pub(crate) async fn claim_as(db: &Db, worker: &str, types: &[&str], tasks_max: u32) -> Vec<Claim> {
    claim_on(db, worker, types, tasks_max, &mut QueuePosition::default()).await
}

/// From where the worker stands.
pub(crate) async fn claim_on(
    db: &Db,
    worker: &str,
    types: &[&str],
    tasks_max: u32,
    position: &mut QueuePosition,
) -> Vec<Claim> {
    db.claim_tasks(&claimant(worker, types), tasks_max, position).await.unwrap()
}

/// With connections as the host has them.
pub(crate) async fn host_db(database: &Database) -> Db {
    Db::connect(&DatabaseConfig { url: SecretString::from(database.url()) }).await.unwrap()
}

/// A task of low risk that nobody has to approve.
pub(crate) fn admitted(draft: Value) -> Admitted {
    let task = NewTask::admit(serde_json::from_value(draft).unwrap()).unwrap();
    let treatment = Treatment { risk: Risk::Low, risk_reasons: vec![], start_reason: None, policies: vec![] };
    Admitted { id: TaskId::generate(), task, treatment }
}

/// While no worker is idle.
pub(crate) async fn create(db: &Db, task: &Admitted) -> TaskSummary {
    db.create_task(task, "tests", None, &IdleWorkers::default()).await.unwrap()
}

/// The first part of the worker's name is its type.
pub(crate) fn claimant(worker: &str, types: &[&str]) -> Claimant {
    Claimant {
        worker_id: WorkerId(worker.to_owned()),
        worker_type: worker.split('-').next().unwrap().to_lowercase(),
        task_types: types.iter().map(|it| (*it).to_owned()).collect(),
        lease: LEASE,
        role: "executor".to_owned(),
        component_sha256: [0; 32],
        manifest_sha256: [0; 32],
        versions_sha256: [0; 32],
    }
}

/// The one task that can be claimed.
pub(crate) async fn claim(db: &Db, worker: &str) -> (Claim, RunKey) {
    let mut claims = claim_as(db, worker, &["code"], 2).await;
    let claim = claims.pop().expect("a task to claim");
    assert!(claims.is_empty(), "there is more than one task to claim");
    let key = key(&claim, worker);
    (claim, key)
}

pub(crate) fn key(claim: &Claim, worker: &str) -> RunKey {
    let worker = WorkerId(worker.to_owned());
    RunKey { task: claim.task.id, attempt: claim.task.attempt, lease: claim.lease, worker }
}

pub(crate) async fn store(db: &Db, key: &RunKey, batch: &Batch) -> Result<(), DbError> {
    db.commit_run(&Write::new(key.clone(), batch.clone())).await
}

pub(crate) async fn end(db: &Db, key: &RunKey, batch: &Batch, ending: &Ending) -> Result<(), DbError> {
    db.commit_run(&Write::ending(key.clone(), batch.clone(), ending.clone(), "Test")).await
}

/// A finished step and a line of the log.
pub(crate) fn batch(position: u32) -> Batch {
    let at = OffsetDateTime::now_utc();
    let step = Step {
        position,
        interface: "github-read".to_owned(),
        function: "get-branch".to_owned(),
        effect: Effect::Read,
        digest: [0; 32],
        arguments: Value::Null,
        intended_at: at,
        outcome: Some(Outcome { result: json!({ "ok": "sha" }), at }),
    };
    let line = LogLine { level: LogLevel::Info, action: "log", message: format!("at {position}"), at };
    Batch { steps: vec![StepRow { step, arguments: json!({}) }], lines: vec![line], ..Batch::default() }
}

pub(crate) async fn execute(pool: &PgPool, statement: impl Into<String>) -> u64 {
    sqlx::raw_sql(AssertSqlSafe(statement.into())).execute(pool).await.unwrap().rows_affected()
}

pub(crate) async fn row(pool: &PgPool, task: TaskId) -> Value {
    let query = sqlx::query_scalar("select to_jsonb(t) from governance_tasks t where id = $1");
    query.bind(task.0).fetch_one(pool).await.unwrap()
}
