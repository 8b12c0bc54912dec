//! Claims and leases.
//!
//! Invariant: a claim is one short transaction; each write of a run names the lease that it was claimed with, and
//! zero rows mean that the lease is lost.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::macros::datetime;
use uuid::Uuid;

use super::{Db, DbError, approvals};
use crate::audit::{Event, EventKind};
use crate::task::{
    Attempt, Criterion, EvidenceKind, GoalId, Lease, Priority, Risk, Task, TaskId, TaskStatus, WorkerId,
};

/// How often a worker that claims from a long queue looks at it from its beginning. In between it goes on where it
/// stood: what it claimed stays in the index as dead entries until the next vacuum, and each claim would walk past all
/// of them. A task that is put back, and is older, waits this much longer.
const FROM_THE_START_EVERY: Duration = Duration::from_millis(250);

/// Before any task.
const BEGINNING: OffsetDateTime = datetime!(-4000-01-01 0:00 UTC);

/// Who claims, and what.
#[derive(Debug, Clone)]
pub struct ClaimRequest<'a> {
    pub worker_id: &'a WorkerId,
    pub worker_type: &'a str,
    pub task_types: &'a [String],
    pub lease: Duration,
    /// Most tasks to claim at once.
    pub tasks_max: u32,
    pub role: &'a str,
    pub component_sha256: &'a [u8; 32],
    pub manifest_sha256: &'a [u8; 32],
    /// Of both and the policies: a task whose start was approved begins only with what it was approved for.
    pub versions_sha256: &'a [u8; 32],
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

/// One run of entries of the queue's index: a type, whom the tasks are meant for (empty: anybody), a priority.
type Place = (String, String, Priority);

/// How far a worker has come in the queue.
#[derive(Debug, Default)]
pub struct QueuePosition {
    reached: HashMap<Place, (OffsetDateTime, Uuid)>,
    /// When a claim last looked at the queue from its beginning; none: the next one does.
    from_start_at: Option<Instant>,
    /// One that does is under way. The others go on where they stood meanwhile: its way may be long.
    starting: bool,
    /// How often that has been done. What a claim from before it found is no place to go on from.
    restarts: u64,
    /// The type that was served last, by priority. A claim of one task is one turn: without this the oldest type would
    /// have them all.
    served_last: HashMap<Priority, String>,
}

/// How a claim began to look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Beginning {
    restarts: u64,
    /// At the beginning of the queue, so that nothing stands before it.
    pub from_start: bool,
}

/// Where a claim begins to look, column by column.
#[derive(Debug, Default)]
pub struct Places {
    pub beginning: Beginning,
    types: Vec<String>,
    addressees: Vec<String>,
    priorities: Vec<Priority>,
    created_at: Vec<OffsetDateTime>,
    ids: Vec<Uuid>,
    /// Within a turn, who comes first.
    ranks: Vec<i32>,
}

impl QueuePosition {
    /// Where the next claim looks. Another may be under way: they do not wait for each other, and find different tasks.
    pub fn places(&mut self, request: &ClaimRequest<'_>) -> Places {
        let is_due = self.from_start_at.is_none_or(|at| at.elapsed() > FROM_THE_START_EVERY);
        let from_start = is_due && !self.starting;
        self.starting |= from_start;
        let mut addressees = vec!["", request.worker_type, &request.worker_id.0];
        addressees.dedup();
        let beginning = Beginning { restarts: self.restarts, from_start };
        let mut places = Places { beginning, ..Places::default() };
        for (name, addressee, priority) in request.task_types.iter().flat_map(|name| {
            addressees.iter().flat_map(move |addressee| Priority::ALL.iter().map(move |it| (name, *addressee, *it)))
        }) {
            places.ranks.push(self.rank(request.task_types, name, priority));
            let place = (name.clone(), addressee.to_owned(), priority);
            let reached = self.reached.get(&place).filter(|_| !from_start);
            let (created_at, id) = reached.copied().unwrap_or((BEGINNING, Uuid::nil()));
            places.types.push(place.0);
            places.addressees.push(place.1);
            places.priorities.push(priority);
            places.created_at.push(created_at);
            places.ids.push(id);
        }
        places
    }

    /// How far a type stands behind the one that was served last, which comes last itself.
    fn rank(&self, types: &[String], name: &str, priority: Priority) -> i32 {
        let number = |name: &String| types.iter().position(|it| it == name);
        let first = self.served_last.get(&priority).and_then(number).map_or(0, |last| last + 1);
        let mut from_first = types.iter().cycle().skip(first).take(types.len());
        from_first.position(|it| it == name).and_then(|rank| i32::try_from(rank).ok()).unwrap_or(i32::MAX)
    }

    /// The next claim begins with the type behind the one that had the last turn of this one.
    fn serve<'a>(&mut self, types: &[String], tasks: impl Iterator<Item = &'a Task>) {
        let mut turns: HashMap<(Priority, &str), u32> = HashMap::new();
        for task in tasks {
            *turns.entry((task.priority, task.task_type.as_str())).or_default() += 1;
        }
        for priority in Priority::ALL {
            let served = turns.iter().filter(|((of, _), _)| of == priority);
            let last = served.max_by_key(|((_, name), turn)| (**turn, self.rank(types, name, *priority)));
            if let Some(((_, name), _)) = last {
                self.served_last.insert(*priority, (*name).to_owned());
            }
        }
    }

    /// What a claim found, for those that begin after it.
    pub fn found(&mut self, request: &ClaimRequest<'_>, beginning: Beginning, claims: &[Claim]) {
        let goes_on = if beginning.restarts == self.restarts { claims } else { &[] };
        if beginning.from_start {
            self.reached.clear();
            self.restarts += 1;
            self.starting = false;
            self.from_start_at = Some(Instant::now());
        }
        for Claim { task, place: ClaimedAt { addressee, created_at }, .. } in goes_on {
            let at = (*created_at, task.id.0);
            let place = (task.task_type.clone(), addressee.clone(), task.priority);
            let reached = self.reached.entry(place).or_insert(at);
            *reached = (*reached).max(at);
        }
        self.serve(request.task_types, claims.iter().map(|claim| &claim.task));
        if claims.len() < request.tasks_max as usize {
            // There may be more before this position.
            self.restart();
        }
    }

    /// A claim failed: what it would have taken stands before what others found.
    pub fn failed(&mut self, beginning: Beginning) {
        self.starting &= !beginning.from_start;
        self.restart();
    }

    /// The next claim looks from the beginning.
    fn restart(&mut self) {
        self.from_start_at = None;
    }
}

impl Db {
    /// Claims pending tasks of the given types, by priority, the types in turns, then by age, and begins their
    /// attempts. Never waits for another claimer.
    pub async fn claim_tasks(
        &self,
        request: &ClaimRequest<'_>,
        position: &mut QueuePosition,
    ) -> Result<Vec<Claim>, DbError> {
        let places = position.places(request);
        let beginning = places.beginning;
        let claimed = self.claim_from(request, places).await;
        match &claimed {
            Ok(claims) => position.found(request, beginning, claims),
            Err(_) => position.failed(beginning),
        }
        claimed
    }

    /// The same for who keeps the position itself.
    pub async fn claim_from(&self, request: &ClaimRequest<'_>, places: Places) -> Result<Vec<Claim>, DbError> {
        let Places { beginning: _, types, addressees, priorities, created_at, ids, ranks } = places;
        let mut tx = self.begin_engine().await?;
        let rows = sqlx::query_file!(
            "src/db/claim.sql",
            &types,
            &addressees,
            priorities as Vec<Priority>,
            &created_at,
            &ids,
            i64::from(request.tasks_max),
            request.worker_id.0,
            request.lease.as_secs_f64(),
            request.role,
            request.component_sha256.as_slice(),
            request.manifest_sha256.as_slice(),
            &ranks,
            request.versions_sha256.as_slice(),
        )
        .fetch_all(&mut **tx)
        .await?;
        let (component, manifest) = (hex::encode(request.component_sha256), hex::encode(request.manifest_sha256));
        let claimed = rows.iter().map(|row| {
            let details = json!({
                "attempt": row.attempt, "lease": row.lease, "resumed": row.resumed, "role": request.role,
                "component_sha256": component, "manifest_sha256": manifest,
            });
            Event::moved(EventKind::TaskClaimed, TaskId(row.id), TaskStatus::InProgress, &request.worker_id.0, details)
        });
        let mut events: Vec<Event> = claimed.collect();
        let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
        // A claim uses up the approval of a start.
        if rows.iter().any(|row| row.consumed) {
            events.extend(approvals::changed(&mut tx, &ids).await?);
        }
        tx.commit(events).await?;
        let claims = rows.into_iter().map(|row| Claim {
            place: ClaimedAt { addressee: row.requested_worker.unwrap_or_default(), created_at: row.created_at },
            lease: Lease(row.lease),
            run: Run {
                started_at: row.run_started_at,
                log_lines: u32::try_from(row.log_lines).unwrap_or(0),
                resumed: row.resumed,
            },
            task: Task {
                id: TaskId(row.id),
                title: row.title,
                description: row.description,
                task_type: row.task_type,
                evidence_kind: row.evidence_kind,
                priority: row.priority,
                risk: row.risk,
                risk_reasons: serde_json::from_value(row.risk_reasons).unwrap_or_default(),
                payload: row.payload,
                criteria: criteria_as_stored(&row.acceptance_criteria),
                attempt: Attempt(row.attempt),
                attempts_max: u32::try_from(row.attempts_max).unwrap_or(1),
                last_error: row.error_message,
                goal: row.goal_id.map(GoalId),
            },
        });
        Ok(claims.collect())
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
                   where t.status = 'in_progress' and t.id = any ($1::uuid[])
               ), free as (
                   select t.id from governance_tasks as t
                   join unnest($1::uuid[], $2::bigint[]) as held (id, lease) on t.id = held.id and t.lease = held.lease
                   where t.status = 'in_progress' and t.id = any ($1::uuid[])
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
        )
        .fetch_all(self.pool())
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
               where t.status = 'in_progress'"#,
            &ids,
            &leases,
        )
        .fetch_all(self.pool())
        .await?;
        Ok(kept.into_iter().map(TaskId).collect())
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
