//! Firing: the task of a schedule whose time has come.
//!
//! Invariant: the row is held from the look at it to the commit, and `next_at` moves on in the transaction that creates the
//! task. So there is one firing over all hosts; a host that dies before the commit has done nothing, and one that dies
//! after it has done all. Nothing keeps a schedule from moving on but a database that is gone: what is wrong with one is in
//! its row and an alert.

use std::sync::Arc;

use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use crate::audit::{Event, EventKind, short};
use crate::crash::{self, Point};
use crate::db::alerts::raise_all;
use crate::db::audit::AuditedTx;
use crate::db::bulk::{Admitted, Origin, create_in};
use crate::db::decisions::decision;
use crate::db::logs::{LogEntry, append};
use crate::db::{Db, DbError};
use crate::journal::{Alert, Severity};
use crate::policy::{Policies, admit};
use crate::schedule::{Cron, Due, MissedPolicy, admit_task, due};
use crate::task::{LogLevel, TaskDraft, TaskId, TaskStatus};

/// Longest error that is kept.
const ERROR_CHARS_MAX: usize = 1_000;

/// What came of a schedule's time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Firing {
    Created(Vec<TaskId>),
    /// The task before has not ended.
    Overlaps,
    /// It was missed, and is not made up for.
    Missed,
    /// Policy or admission refused the task, or the schedule can not go on.
    Refused(String),
}

/// A schedule that was looked after.
#[derive(Clone, Debug)]
pub struct Fired {
    pub name: String,
    pub firing: Firing,
    /// There is something to claim now.
    pub claimable: bool,
}

/// A schedule whose time has come.
#[derive(Clone)]
struct Row {
    id: Uuid,
    name: String,
    cron: String,
    draft: Value,
    missed: MissedPolicy,
    may_overlap: bool,
    created_by: String,
    next_at: OffsetDateTime,
    last_status: Option<TaskStatus>,
    now: OffsetDateTime,
}

/// What is written of a firing.
struct Outcome {
    firing: Firing,
    /// Firings that this look was about and that got no task.
    misfires: u64,
    overlaps: u64,
    next: Option<OffsetDateTime>,
    claimable: bool,
    /// Of the tasks and decisions in it.
    events: Vec<Event>,
}

impl Outcome {
    fn of(firing: Firing, misfires: u64, next: Option<OffsetDateTime>) -> Self {
        Self { firing, misfires, overlaps: 0, next, claimable: false, events: Vec::new() }
    }
}

impl Db {
    /// Looks after one schedule whose time has come and that no other host holds; none if there is no such schedule.
    pub async fn fire_due_schedule(&self, policies: &Arc<Policies>) -> Result<Option<Fired>, DbError> {
        let mut tx = self.begin_audited().await?;
        let Some(row) = hold_due(&mut tx).await? else { return Ok(None) };
        let outcome = match Cron::parse(&row.cron, row.now) {
            Ok(cron) => {
                let Due { fire, missed, next } = due(&cron, row.next_at, row.now, row.missed);
                let left_out = fire.len() as u64;
                if fire.is_empty() {
                    Outcome::of(Firing::Missed, missed, next)
                } else if !row.may_overlap && row.last_status.is_some_and(|status| !status.is_final()) {
                    Outcome { overlaps: left_out, ..Outcome::of(Firing::Overlaps, missed, next) }
                } else {
                    let created = self.create(&mut tx, policies, &row, &fire).await?;
                    Outcome { next, misfires: missed + created.misfires, ..created }
                }
            }
            Err(error) => Outcome::of(Firing::Refused(format!("its expression {error}")), 0, None),
        };
        let fired = Fired { name: row.name.clone(), firing: outcome.firing.clone(), claimable: outcome.claimable };
        finish(tx, &row, outcome).await?;
        Ok(Some(fired))
    }

    /// The tasks of these firings, all or none. Only a database that is gone is an error here.
    async fn create(
        &self,
        tx: &mut AuditedTx<'_>,
        policies: &Arc<Policies>,
        row: &Row,
        fire: &[OffsetDateTime],
    ) -> Result<Outcome, DbError> {
        let refused = |why: String| Outcome::of(Firing::Refused(why), fire.len() as u64, None);
        let tasks = match admitted(policies, row, fire.len()).await {
            Ok(tasks) => tasks,
            Err(Refusal { why, event }) => {
                return Ok(Outcome { events: event.map(|event| *event).into_iter().collect(), ..refused(why) });
            }
        };
        // What the database refuses must not take the schedule's own row with it.
        let mut inner = (**tx).begin().await?;
        let created = insert(&mut inner, &tasks, row, fire, self.approval_rules().lifetime).await;
        match created {
            Ok((claimable, events)) => {
                inner.commit().await?;
                let ids = tasks.iter().map(|task| task.id).collect();
                Ok(Outcome { claimable, events, ..Outcome::of(Firing::Created(ids), 0, None) })
            }
            Err(error @ (DbError::Unavailable(_) | DbError::AuditRefused(_))) => Err(error),
            Err(error) => {
                inner.rollback().await?;
                Ok(refused(error.to_string()))
            }
        }
    }
}

async fn hold_due(tx: &mut PgConnection) -> Result<Option<Row>, DbError> {
    let row = sqlx::query_as!(
        Row,
        r#"select id, name, cron, draft, missed as "missed: MissedPolicy", may_overlap, created_by, next_at as "next_at!",
            (select status from governance_tasks as t where t.id = s.last_task) as "last_status: TaskStatus", now() as "now!"
        from schedules as s
        where state = 'active' and next_at <= now()
        order by next_at limit 1 for update of s skip locked"#
    );
    Ok(row.fetch_optional(tx).await?)
}

/// Why a schedule's task is not created, and the decision, where policy made one.
struct Refusal {
    why: String,
    event: Option<Box<Event>>,
}

impl From<String> for Refusal {
    fn from(why: String) -> Self {
        Self { why, event: None }
    }
}

/// Asks admission and policy anew, in the name of the schedule's creator: who made the schedule made its tasks.
async fn admitted(policies: &Arc<Policies>, row: &Row, count: usize) -> Result<Vec<Admitted>, Refusal> {
    let (policies, creator, draft) = (Arc::clone(policies), row.created_by.clone(), row.draft.clone());
    // Apart from the threads that serve everybody: a payload may hold a megabyte that has to be read.
    let asked = tokio::task::spawn_blocking(move || admit_all(&policies, &creator, draft, count));
    asked.await.map_err(|failed| Refusal::from(format!("policy was not asked: {failed}")))?
}

fn admit_all(policies: &Policies, creator: &str, draft: Value, count: usize) -> Result<Vec<Admitted>, Refusal> {
    let draft: TaskDraft = serde_json::from_value(draft).map_err(|error| format!("its task is not one: {error}"))?;
    let task = admit_task(draft).map_err(|invalid| invalid.to_string())?;
    let one = |_| {
        let id = TaskId::generate();
        match admit(policies, creator, id, task.draft()) {
            Ok(admission) => Ok(Admitted { id, task: task.clone(), treatment: admission.treatment() }),
            Err(denied) => {
                let why = denied.to_string();
                let event = decision(creator, "task.create", &Err(denied));
                Err(Refusal { why, event: Some(Box::new(event)) })
            }
        }
    };
    (0..count).map(one).collect()
}

async fn insert(
    tx: &mut PgConnection,
    tasks: &[Admitted],
    row: &Row,
    fire: &[OffsetDateTime],
    approval_lifetime: std::time::Duration,
) -> Result<(bool, Vec<Event>), DbError> {
    let (created, events) = create_in(tx, tasks, Origin::of(&row.created_by), approval_lifetime).await?;
    for (task, at) in tasks.iter().zip(fire) {
        let entry = LogEntry {
            task_id: Some(task.id),
            worker_id: None,
            action: "schedule_fired".to_owned(),
            level: LogLevel::Info,
            message: format!("Fired by the schedule {} for {}", row.name, text(*at)),
            metadata: json!({ "schedule": row.id, "for": text(*at) }),
            error_data: None,
            attempt: None,
        };
        append(tx, &entry).await?;
    }
    Ok((created.iter().any(|task| task.status == TaskStatus::Pending), events))
}

/// Moves the schedule on, and commits.
async fn finish(mut tx: AuditedTx<'_>, row: &Row, outcome: Outcome) -> Result<(), DbError> {
    let Outcome { firing, misfires, overlaps, next, claimable: _, mut events } = outcome;
    let (tasks, refused) = match &firing {
        Firing::Created(tasks) => (tasks.as_slice(), None),
        Firing::Refused(why) => (&[][..], Some(why.chars().take(ERROR_CHARS_MAX).collect::<String>())),
        Firing::Overlaps | Firing::Missed => (&[][..], None),
    };
    let tried = matches!(firing, Firing::Created(_) | Firing::Refused(_));
    sqlx::query!(
        "update schedules
        set next_at = $2, state = case when $2::timestamptz is null then 'paused' else state end::schedule_state,
            misfires = misfires + $3, overlapped = overlapped + $4, fired = fired + $5,
            last_fired_at = case when $5 > 0 then now() else last_fired_at end, last_task = coalesce($6, last_task),
            last_error = case when $8 then $7 else last_error end
        where id = $1",
        row.id,
        next as Option<OffsetDateTime>,
        i64::try_from(misfires).unwrap_or(i64::MAX),
        i64::try_from(overlaps).unwrap_or(i64::MAX),
        i64::try_from(tasks.len()).unwrap_or(i64::MAX),
        tasks.last().map(|task| task.0) as Option<Uuid>,
        refused.as_deref(),
        tried
    )
    .execute(&mut **tx)
    .await?;
    if let Some(why) = &refused {
        raise_all(&mut tx, &[alert(row, why, next)], None).await?;
    }
    let details = json!({
        "schedule": row.id, "name": row.name, "outcome": name_of(&firing), "tasks": tasks, "misfires": misfires,
        "overlaps": overlaps, "next_at": next.map(OffsetDateTime::unix_timestamp), "error": refused.as_deref().map(short),
    });
    events.push(Event::new(EventKind::ScheduleFired, Event::HOST, details));
    crash::point(Point::FiringUncommitted);
    tx.commit(events).await?;
    crash::point(Point::AfterFiring);
    Ok(())
}

fn name_of(firing: &Firing) -> &'static str {
    match firing {
        Firing::Created(_) => "created",
        Firing::Overlaps => "overlaps",
        Firing::Missed => "missed",
        Firing::Refused(_) => "refused",
    }
}

fn alert(row: &Row, why: &str, next: Option<OffsetDateTime>) -> Alert {
    let ends = if next.is_none() { ", and is paused" } else { "" };
    Alert {
        severity: Severity::Warning,
        kind: "schedule-refused",
        fingerprint: format!("schedule-refused:{}", row.id),
        title: format!("The schedule {} could not create its task{ends}", row.name),
        details: json!({ "schedule": row.id, "name": row.name, "created_by": row.created_by, "error": short(why) }),
        occurrences: 1,
    }
}

fn text(time: OffsetDateTime) -> String {
    time.format(&Rfc3339).unwrap_or_default()
}
