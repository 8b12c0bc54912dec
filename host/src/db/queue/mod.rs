//! Claims and leases.
//!
//! Invariant: a claim is one short transaction; each write of a run names the lease that it was claimed with, and
//! zero rows mean that the lease is lost.

mod handover;
mod position;

use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Db, DbError, approvals};
use crate::audit::{Event, EventKind};
use crate::task::{
    Attempt, Criterion, EvidenceKind, GoalId, Lease, Priority, Risk, Task, TaskId, TaskStatus, WorkerId,
};

pub use handover::{HandedOver, IdleWorkers};
pub use position::{Beginning, Places, QueuePosition};

/// Where tasks are looked up by their ids, their status is compared with this as a parameter: were it written in the
/// statement, the planner could read an index of all tasks in progress instead, and would where its statistics are from a
/// time without any. Such an index holds the dead entries of all claims since the last vacuum, and the join is quadratic.
pub(super) const CLAIMED: TaskStatus = TaskStatus::InProgress;

/// Who claims, and what.
#[derive(Debug, Clone)]
pub struct Claimant {
    pub worker_id: WorkerId,
    pub worker_type: String,
    pub task_types: Vec<String>,
    pub lease: Duration,
    pub role: String,
    pub component_sha256: [u8; 32],
    pub manifest_sha256: [u8; 32],
    /// Of both and the policies: a task whose start was approved begins only with what it was approved for.
    pub versions_sha256: [u8; 32],
}

impl Claimant {
    /// Whether it claims tasks of this type that are meant for this worker or worker type, or for anybody.
    fn takes(&self, task_type: &str, addressee: Option<&str>) -> bool {
        let is_meant =
            addressee.is_none_or(|name| name.is_empty() || name == self.worker_type || name == self.worker_id.0);
        is_meant && self.task_types.iter().any(|name| name == task_type)
    }

    /// What a claim is recorded as.
    fn claimed(&self, task: TaskId, attempt: Attempt, lease: Lease, resumed: bool) -> Event {
        let details = json!({
            "attempt": attempt, "lease": lease.0, "resumed": resumed, "role": self.role,
            "component_sha256": hex::encode(self.component_sha256), "manifest_sha256": hex::encode(self.manifest_sha256),
        });
        Event::moved(EventKind::TaskClaimed, task, TaskStatus::InProgress, &self.worker_id.0, details)
    }
}

/// A task that is this worker's until the lease runs out, and the attempt that begins or goes on with it.
#[derive(Debug, Clone)]
pub struct Claim {
    pub task: Task,
    pub lease: Lease,
    pub run: Run,
    place: ClaimedAt,
}

/// Where in the queue it was found.
#[derive(Debug, Clone)]
struct ClaimedAt {
    addressee: String,
    created_at: OffsetDateTime,
}

/// An attempt as it began.
#[derive(Debug, Clone)]
pub struct Run {
    pub started_at: OffsetDateTime,
    pub log_lines: u32,
    /// Whether the attempt has run before.
    pub resumed: bool,
}

/// What came of a renewal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Renewed {
    /// Claims that still stand.
    pub standing: HashSet<TaskId>,
    /// Of these, the ones whose lease is longer now.
    pub extended: HashSet<TaskId>,
}

impl Db {
    /// Claims pending tasks of the claimant's types, by priority, the types in turns, then by age, and begins their
    /// attempts. Never waits for another claimer.
    pub async fn claim_tasks(
        &self,
        claimant: &Claimant,
        tasks_max: u32,
        position: &mut QueuePosition,
    ) -> Result<Vec<Claim>, DbError> {
        let places = position.places(claimant);
        let beginning = places.beginning;
        let claimed = self.claim_from(claimant, tasks_max, places).await;
        match &claimed {
            Ok(claims) => position.found(claimant, tasks_max, beginning, claims),
            Err(_) => position.failed(beginning),
        }
        claimed
    }

    /// The same for who keeps the position itself.
    pub async fn claim_from(&self, claimant: &Claimant, tasks_max: u32, places: Places) -> Result<Vec<Claim>, DbError> {
        let Places { beginning: _, types, addressees, priorities, created_at, ids, ranks } = places;
        let mut tx = self.begin_engine().await?;
        let rows = sqlx::query_file_as!(
            ClaimedRow,
            "src/db/queue/claim.sql",
            &types,
            &addressees,
            priorities as Vec<Priority>,
            &created_at,
            &ids,
            i64::from(tasks_max),
            claimant.worker_id.0,
            claimant.lease.as_secs_f64(),
            claimant.role,
            claimant.component_sha256.as_slice(),
            claimant.manifest_sha256.as_slice(),
            &ranks,
            claimant.versions_sha256.as_slice(),
        )
        .fetch_all(&mut **tx)
        .await?;
        let claimed =
            |row: &ClaimedRow| claimant.claimed(TaskId(row.id), Attempt(row.attempt), Lease(row.lease), row.resumed);
        let mut events: Vec<Event> = rows.iter().map(claimed).collect();
        let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
        // A claim uses up the approval of a start.
        if rows.iter().any(|row| row.consumed) {
            events.extend(approvals::changed(&mut tx, &ids).await?);
        }
        tx.commit(events).await?;
        Ok(rows.into_iter().map(ClaimedRow::into_claim).collect())
    }

    /// Extends the leases that are still held, all in one statement. Waits for nobody: a row that somebody else holds just
    /// then is left for the next time, so that no stuck transaction costs all the others their leases, and no two can be
    /// in each other's way.
    pub async fn renew_leases(&self, held: &[(TaskId, Lease)], lease: Duration) -> Result<Renewed, DbError> {
        let (ids, leases) = columns(held);
        let rows = sqlx::query!(
            r#"with standing as (
                   select t.id from governance_tasks as t
                   join unnest($1::uuid[], $2::bigint[]) as held (id, lease) on t.id = held.id and t.lease = held.lease
                   where t.status = $4
               ), free as (
                   select t.id from governance_tasks as t
                   join unnest($1::uuid[], $2::bigint[]) as held (id, lease) on t.id = held.id and t.lease = held.lease
                   where t.status = $4
                   for no key update of t skip locked
               ), extended as (
                   update governance_tasks as t set lease_expires_at = now() + make_interval(secs => $3)
                   where t.id = any (array(select id from free))
                   returning t.id
               )
               select s.id, e.id is not null as "extended!" from standing as s left join extended as e on e.id = s.id"#,
            &ids,
            &leases,
            lease.as_secs_f64(),
            CLAIMED as TaskStatus,
        )
        .fetch_all(&self.engine)
        .await?;
        let extended = rows.iter().filter(|row| row.extended).map(|row| TaskId(row.id)).collect();
        Ok(Renewed { standing: rows.into_iter().map(|row| TaskId(row.id)).collect(), extended })
    }

    /// Which of these claims still stand: a cancelled or reclaimed task is missing.
    pub async fn held_leases(&self, held: &[(TaskId, Lease)]) -> Result<HashSet<TaskId>, DbError> {
        let (ids, leases) = columns(held);
        let kept = sqlx::query_scalar!(
            r#"select t.id from governance_tasks as t
               join unnest($1::uuid[], $2::bigint[]) as held (id, lease) on t.id = held.id and t.lease = held.lease
               where t.status = $3"#,
            &ids,
            &leases,
            CLAIMED as TaskStatus,
        )
        .fetch_all(&self.engine)
        .await?;
        Ok(kept.into_iter().map(TaskId).collect())
    }
}

/// A claimed task as the statements give it.
struct ClaimedRow {
    id: Uuid,
    title: String,
    description: String,
    task_type: String,
    evidence_kind: EvidenceKind,
    priority: Priority,
    risk: Risk,
    risk_reasons: Value,
    payload: Value,
    acceptance_criteria: Value,
    attempt: i32,
    attempts_max: i32,
    error_message: Option<String>,
    goal_id: Option<Uuid>,
    lease: i64,
    created_at: OffsetDateTime,
    deadline_at: Option<OffsetDateTime>,
    requested_worker: Option<String>,
    run_started_at: OffsetDateTime,
    log_lines: i32,
    resumed: bool,
    /// Some claim of the statement used an approval up.
    consumed: bool,
}

impl ClaimedRow {
    fn into_claim(self) -> Claim {
        Claim {
            place: ClaimedAt { addressee: self.requested_worker.unwrap_or_default(), created_at: self.created_at },
            lease: Lease(self.lease),
            run: Run {
                started_at: self.run_started_at,
                log_lines: u32::try_from(self.log_lines).unwrap_or(0),
                resumed: self.resumed,
            },
            task: Task {
                id: TaskId(self.id),
                title: self.title,
                description: self.description,
                task_type: self.task_type,
                evidence_kind: self.evidence_kind,
                priority: self.priority,
                risk: self.risk,
                risk_reasons: serde_json::from_value(self.risk_reasons).unwrap_or_default(),
                payload: self.payload,
                criteria: criteria_as_stored(&self.acceptance_criteria),
                attempt: Attempt(self.attempt),
                attempts_max: u32::try_from(self.attempts_max).unwrap_or(1),
                last_error: self.error_message,
                goal: self.goal_id.map(GoalId),
            },
        }
    }
}

fn columns(held: &[(TaskId, Lease)]) -> (Vec<Uuid>, Vec<i64>) {
    held.iter().map(|(task, lease)| (task.0, lease.0)).unzip()
}

impl Claim {
    /// Whether they stood in one run of the queue: one type, one addressee, one priority.
    pub fn are_of_one_place(claims: &[Self]) -> bool {
        let Some(first) = claims.first().map(Self::stood_at) else { return true };
        claims.iter().all(|claim| claim.stood_at() == first)
    }

    fn stood_at(&self) -> (&str, &str, Priority) {
        (&self.task.task_type, &self.place.addressee, self.task.priority)
    }
}

#[cfg(test)]
impl Claimant {
    /// Of the type `w`.
    pub(crate) fn example() -> Self {
        Self {
            worker_id: WorkerId("W".to_owned()),
            worker_type: "w".to_owned(),
            task_types: vec!["code".to_owned(), "test".to_owned()],
            lease: Duration::from_mins(1),
            role: "w".to_owned(),
            component_sha256: [0; 32],
            manifest_sha256: [0; 32],
            versions_sha256: [0; 32],
        }
    }
}

#[cfg(test)]
impl Claim {
    /// Of some task.
    pub(crate) fn example(task_type: &str) -> Self {
        let task = Task {
            id: TaskId::generate(),
            title: "t".to_owned(),
            description: String::new(),
            task_type: task_type.to_owned(),
            evidence_kind: EvidenceKind::MergedPullRequest,
            priority: Priority::Medium,
            risk: Risk::Low,
            risk_reasons: Vec::new(),
            payload: json!({}),
            criteria: Vec::new(),
            attempt: Attempt::FIRST,
            attempts_max: 1,
            last_error: None,
            goal: None,
        };
        let now = OffsetDateTime::now_utc();
        Self {
            task,
            lease: Lease(1),
            run: Run { started_at: now, log_lines: 0, resumed: false },
            place: ClaimedAt { addressee: String::new(), created_at: now },
        }
    }
}

/// Criteria of a row that somebody may have written by hand. What is not a criterion is kept as text: it then has to
/// be attested, which is more than being dropped.
pub(super) fn criteria_as_stored(value: &Value) -> Vec<Criterion> {
    Criterion::parse_list(value).unwrap_or_else(|_| {
        let items = value.as_array().cloned().unwrap_or_default();
        items.into_iter().map(|item| Criterion::FreeText { text: item.to_string() }).collect()
    })
}
