//! Random sequences of operations on one task, through the host's own methods and a real database, compared after each
//! with the model.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

use juggernaut::approval::{ApprovalId, Asked, Use};
use juggernaut::db::journal::{Batch, RunKey};
use juggernaut::db::outcomes::Ending;
use juggernaut::db::queue::{Claimant, QueuePosition};
use juggernaut::db::{Db, DbError};
use juggernaut::journal::Effect;
use juggernaut::task::{Attempt, Lease, TaskId, TaskStatus, WorkerId};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use sqlx::PgPool;
use time::OffsetDateTime;
use tokio::runtime::{Builder, Runtime};
use uuid::Uuid;

use crate::approval_people::person;
use crate::approval_races::request;
use crate::audit::{agrees, is_true};
use crate::engine::{self, batch, execute, store};
use crate::model::{End, Model, Op, Outcome, Who};
use crate::support::Database;

/// No lease runs out by itself here.
const LEASE: Duration = Duration::from_hours(1);
const OPERATIONS_MAX: usize = 60;
const CASES: u32 = 96;
const SHRINKS_MAX: u32 = 300;
const DIGEST: [u8; 32] = [7; 32];

const VIEW: &str = "select json_build_object(
    'status', status, 'attempt', attempt, 'lease', lease, 'leases_lost', leases_lost, 'assigned', assigned_worker,
    'requested', requested_worker, 'started', started_at is not null, 'leased', lease_expires_at is not null,
    'wakes', wake_at is not null, 'evidence', evidence is not null,
    'completions', (select count(*) from execution_logs l where l.task_id = t.id and action = 'task_completed'),
    'waits_for_call', call_approval is not null, 'requires_approval', requires_approval,
    'steps', (select coalesce(json_agg(state order by position), '[]') from task_steps s
              where s.task_id = t.id and s.attempt = t.attempt),
    'lines', (select count(*) from execution_logs l where l.task_id = t.id and action = 'log'),
    'approvals', (select coalesce(json_agg(state order by requested_at, id), '[]') from approvals a
                  where a.task_id = t.id)
) from governance_tasks t where id = $1";

/// One task in the database, with what its workers remember of it.
struct Real<'a> {
    db: &'a Db,
    pool: &'a PgPool,
    task: TaskId,
    worker_type: String,
    workers: [String; 2],
    claims: Vec<RunKey>,
    approval: Option<ApprovalId>,
}

impl<'a> Real<'a> {
    async fn new(db: &'a Db, pool: &'a PgPool, leases_lost: i32) -> Self {
        // Of its own, so that nobody but its workers can claim it.
        let worker_type = format!("type-{}", Uuid::now_v7());
        let workers = ["A", "B"].map(|name| format!("{name}-{worker_type}"));
        let query = "insert into governance_tasks (title, task_type, assigned_worker, leases_lost)
                     values ('t', 'code', $1, $2) returning id";
        let id = sqlx::query_scalar(query).bind(&worker_type).bind(leases_lost).fetch_one(pool).await.unwrap();
        Self { db, pool, task: TaskId(id), worker_type, workers, claims: Vec::new(), approval: None }
    }

    async fn view(&self) -> Value {
        sqlx::query_scalar(VIEW).bind(self.task.0).fetch_one(self.pool).await.unwrap()
    }

    /// Somebody who never had a claim, before there is one.
    fn key(&self, model: &Model, who: Who) -> RunKey {
        let stranger =
            || RunKey { task: self.task, attempt: Attempt(1), lease: Lease(0), worker: WorkerId("nobody".to_owned()) };
        model.claim_of(who).map_or_else(stranger, |claim| self.claims[claim].clone())
    }

    async fn by_hand(&self, set: &str, condition: &str) {
        let statement = format!("update governance_tasks set {set} where id = '{}' and {condition}", self.task);
        execute(self.pool, statement).await;
    }

    /// `model` is as before the operation.
    async fn apply(&mut self, model: &Model, op: Op) -> Outcome {
        let (db, task) = (self.db, self.task);
        match op {
            Op::Claim(worker) => return self.claim(model, worker).await,
            Op::Read(who) => return self.store(model, who, batch(number(model.positions().0))).await,
            Op::Intend(who) => return self.store(model, who, intent(number(model.positions().0))).await,
            Op::Settle(who) => return self.store(model, who, batch(number(model.positions().1))).await,
            Op::Use(who) => {
                let position = number(model.positions().0);
                let used = Use { approval: self.approval.unwrap_or_else(ApprovalId::generate), digest: DIGEST };
                let batch = Batch { uses: vec![(position, used)], ..batch(position) };
                return self.store(model, who, batch).await;
            }
            Op::Ask(who) => return self.ask(model, who).await,
            Op::Renew(who) => {
                let key = self.key(model, who);
                let held = db.held_leases(&[(task, key.lease)]).await.unwrap();
                let renewed = db.renew_leases(&[(task, key.lease)], LEASE).await.unwrap();
                assert_eq!((&renewed.standing, &renewed.extended), (&held, &held));
                return if held.contains(&task) { Outcome::Done } else { Outcome::LeaseLost };
            }
            Op::End(who, end) => return self.end(model, who, end).await,
            Op::LeaseRunsOut => {
                self.by_hand("lease_expires_at = now() - interval '1 s'", "status = 'in_progress'").await;
            }
            Op::Sweep => drop(db.sweep().await.unwrap()),
            Op::TimePasses => self.by_hand("wake_at = now()", "wake_at is not null").await,
            Op::Wake => drop(db.wake_due_tasks().await.unwrap()),
            Op::Cancel => return refused(db.cancel_task(task, "tests").await),
            Op::Retry => return refused(db.retry_task(task, "tests").await),
            Op::Approve | Op::Deny => {
                let Some(approval) = self.approval else { return Outcome::Refused };
                return refused(match op {
                    Op::Approve => db.approve(approval, &person(db, "ann@example.org").await, None).await,
                    _ => db.deny(approval, "ann@example.org", "no").await,
                });
            }
            Op::ApprovalRunsOut => {
                let query = "update approvals set expires_at = now() - interval '1 s'
                             where task_id = $1 and state in ('requested', 'approved')";
                sqlx::query(query).bind(task.0).execute(self.pool).await.unwrap();
                db.sweep_approvals().await.unwrap();
            }
            Op::Sql(to) => {
                let query = sqlx::query("update governance_tasks set status = $2 where id = $1").bind(task.0).bind(to);
                return query.execute(self.pool).await.map_or(Outcome::Refused, |_| Outcome::Done);
            }
        }
        Outcome::Done
    }

    /// A claim, and the beginning of its run.
    async fn claim(&mut self, model: &Model, worker: usize) -> Outcome {
        let worker_id = WorkerId(self.workers[worker].clone());
        let claimant = Claimant {
            worker_type: self.worker_type.clone(),
            lease: LEASE,
            ..engine::claimant(&worker_id.0, &["code"])
        };
        let claims = self.db.claim_tasks(&claimant, 2, &mut QueuePosition::default()).await.unwrap();
        let Some(claim) = claims.first() else { return Outcome::Refused };
        assert_eq!((claims.len(), claim.task.id), (1, self.task));
        let key = RunKey { task: self.task, attempt: claim.task.attempt, lease: claim.lease, worker: worker_id };
        assert_eq!(claim.run.resumed, model.begun, "whether the attempt had run");
        self.claims.push(key);
        Outcome::Done
    }

    async fn store(&self, model: &Model, who: Who, batch: Batch) -> Outcome {
        match store(self.db, &self.key(model, who), &batch).await {
            Ok(()) => Outcome::Done,
            Err(DbError::LeaseLost) => Outcome::LeaseLost,
            Err(_) => Outcome::Refused,
        }
    }

    async fn ask(&mut self, model: &Model, who: Who) -> Outcome {
        match self.db.ask_approval(&self.key(model, who), &request(DIGEST)).await {
            Ok(Asked::Waiting(id) | Asked::Approved(id)) => {
                self.approval = Some(id);
                Outcome::Done
            }
            Err(DbError::LeaseLost) => Outcome::LeaseLost,
            other => panic!("{other:?}"),
        }
    }

    async fn end(&self, model: &Model, who: Who, end: End) -> Outcome {
        let key = self.key(model, who);
        let reason = || "a test".to_owned();
        let later = Duration::from_hours(1);
        let completed = |step: Option<usize>| {
            let steps: Vec<_> = step.iter().map(|step| json!({ "attempt": key.attempt, "position": step })).collect();
            Ending::completed(&json!({ "verdict": "verified", "steps": steps }), reason()).unwrap()
        };
        let ending = match end {
            End::Complete => completed(model.done_step()),
            End::CompleteByProse => completed(Some(OPERATIONS_MAX)),
            End::Fail => Ending::Failed { reason: reason() },
            End::Again => Ending::Retry { reason: reason(), after: later },
            End::DeadLetter => Ending::DeadLetter { reason: reason() },
            End::Suspend => Ending::Suspended { wake_at: OffsetDateTime::now_utc() + later, reason: reason() },
            End::Wait => {
                let approval = self.approval.unwrap_or_else(ApprovalId::generate);
                Ending::WaitingApproval { approval, reason: reason() }
            }
            End::Release => Ending::Released { reason: reason() },
        };
        match engine::end(self.db, &key, &Batch::default(), &ending).await {
            Ok(()) => Outcome::Done,
            Err(DbError::LeaseLost) => Outcome::LeaseLost,
            Err(_) => Outcome::Refused,
        }
    }
}

fn number(position: usize) -> u32 {
    u32::try_from(position).unwrap()
}

/// A mutation that has begun.
fn intent(position: u32) -> Batch {
    let mut batch = batch(position);
    for row in &mut batch.steps {
        row.step.effect = Effect::Write;
        row.step.outcome = None;
    }
    batch
}

fn refused<T>(result: Result<T, DbError>) -> Outcome {
    result.map_or(Outcome::Refused, |_| Outcome::Done)
}

/// Kinds of operations with what came of them.
type Seen = BTreeSet<(String, Outcome)>;

async fn compare(db: &Db, pool: &PgPool, leases_lost: i32, ops: &[Op], seen: &RefCell<Seen>) {
    let mut real = Real::new(db, pool, leases_lost).await;
    let mut model = Model::new(&real.worker_type, real.workers.clone(), leases_lost);
    for (at, op) in ops.iter().enumerate() {
        let came = real.apply(&model, *op).await;
        let expected = model.apply(*op);
        assert_eq!(came, expected, "operation {at}, {op:?}, of {ops:?}");
        seen.borrow_mut().insert((kind(*op), came));
        assert_eq!(real.view().await, model.view(), "after operation {at}, {op:?}, of {ops:?}");
    }
}

/// Without who does it.
fn kind(op: Op) -> String {
    match op {
        Op::End(_, end) => format!("{end:?}"),
        op => format!("{op:?}").split('(').next().unwrap_or_default().to_owned(),
    }
}

fn who() -> impl Strategy<Value = Who> {
    prop_oneof![4 => Just(Who::Newest), 1 => any::<u8>().prop_map(Who::Older)]
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![
        2 => Just(End::Complete),
        1 => Just(End::CompleteByProse),
        2 => Just(End::Fail),
        2 => Just(End::Again),
        2 => Just(End::DeadLetter),
        2 => Just(End::Suspend),
        3 => Just(End::Wait),
        2 => Just(End::Release),
    ]
}

/// Weighted so that tasks get somewhere.
fn op_of_hosts() -> impl Strategy<Value = Op> {
    prop_oneof![
        12 => (0..2_usize).prop_map(Op::Claim),
        3 => who().prop_map(Op::Read),
        2 => who().prop_map(Op::Intend),
        2 => who().prop_map(Op::Settle),
        6 => who().prop_map(Op::Ask),
        6 => who().prop_map(Op::Use),
        2 => who().prop_map(Op::Renew),
        10 => (who(), end()).prop_map(|(who, end)| Op::End(who, end)),
        2 => Just(Op::LeaseRunsOut),
        3 => Just(Op::Sweep),
        3 => Just(Op::TimePasses),
        4 => Just(Op::Wake),
        1 => Just(Op::Cancel),
        3 => Just(Op::Retry),
        7 => Just(Op::Approve),
        1 => Just(Op::Deny),
        1 => Just(Op::ApprovalRunsOut),
    ]
}

/// With statements past the host, too, where `by_hand` says so.
fn op(by_hand: bool) -> BoxedStrategy<Op> {
    if !by_hand {
        return op_of_hosts().boxed();
    }
    // Waiting for an approval by hand makes the host ask for the task's start, which is no part of the model.
    let statuses: Vec<_> =
        TaskStatus::ALL.iter().copied().filter(|status| *status != TaskStatus::WaitingApproval).collect();
    prop_oneof![12 => op_of_hosts(), 1 => proptest::sample::select(statuses).prop_map(Op::Sql)].boxed()
}

/// Returns the database, for a last look at its audit log.
fn random_cases(by_hand: bool) -> (Runtime, Database, Seen) {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let database = runtime.block_on(Database::create());
    // One connection: what was refused is rolled back when its connection is back in the pool, and until then claims,
    // wake-ups and sweeps on another one would pass over the row that it still locks.
    let pool = runtime.block_on(async { database.another_pool(1) });
    let db = Db::from_pool(pool.clone());
    // Failing sequences are shrunk and printed; nothing is kept in files.
    let config = Config { cases: CASES, max_shrink_iters: SHRINKS_MAX, failure_persistence: None, ..Config::default() };
    let cases = (0..=5_i32, prop::collection::vec(op(by_hand), 1..=OPERATIONS_MAX));
    let seen = RefCell::new(Seen::new());
    let result = TestRunner::new(config).run(&cases, |(leases_lost, ops)| {
        runtime.block_on(compare(&db, &pool, leases_lost, &ops, &seen));
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    (runtime, database, seen.into_inner())
}

/// What never happens in a run of hundreds of operations would be no test of it.
fn bites(seen: &Seen) {
    let ends = ["Complete", "Fail", "Again", "DeadLetter", "Suspend", "Wait", "Release"];
    let runs = ["Read", "Intend", "Settle", "Ask", "Use", "Renew"];
    let people = ["Claim", "Cancel", "Retry", "Approve"];
    let missing: Vec<_> = ends
        .iter()
        .chain(&runs)
        .flat_map(|kind| [(*kind, Outcome::Done), (*kind, Outcome::LeaseLost)])
        .chain(people.iter().flat_map(|kind| [(*kind, Outcome::Done), (*kind, Outcome::Refused)]))
        .filter(|(kind, outcome)| !seen.contains(&((*kind).to_owned(), *outcome)))
        .collect();
    assert!(missing.is_empty(), "the cases never came to {missing:?}");
}

#[test]
fn a_task_goes_the_ways_of_the_model_alone() {
    let (runtime, database, seen) = random_cases(false);
    bites(&seen);
    runtime.block_on(agrees(&database));
}

#[test]
fn whatever_people_write_by_hand() {
    let (runtime, database, _) = random_cases(true);
    runtime.block_on(is_true(&database));
}
