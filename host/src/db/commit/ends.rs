//! The tasks' part of a group commit: how claims end, and what their ends free.

use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{End, Write};
use crate::audit::{Event, EventKind};
use crate::db::DbError;
use crate::db::journal::RunKey;
use crate::db::outcomes::Ending;
use crate::db::queue::CLAIMED;
use crate::task::{TaskId, TaskStatus};
use time::OffsetDateTime;

/// Ends, column by column.
#[derive(Default)]
struct Columns<'a> {
    tasks: Vec<Uuid>,
    leases: Vec<i64>,
    statuses: Vec<TaskStatus>,
    evidence: Vec<Option<&'a str>>,
    texts: Vec<Option<&'a str>>,
    reasons: Vec<Option<&'a str>>,
    wake_at: Vec<Option<OffsetDateTime>>,
    /// Pause before the next attempt, seconds; none: the attempt is over, or goes on.
    retry_after: Vec<Option<f64>>,
}

impl<'a> Columns<'a> {
    fn push(&mut self, key: &RunKey, ending: &'a Ending) {
        let (mut evidence, mut text, mut reason, mut wake_at, mut retry_after) = (None, None, None, None, None);
        match ending {
            Ending::Completed { evidence: verified, text: people } => {
                (evidence, text) = (Some(verified.get()), Some(people.as_str()));
            }
            Ending::Failed { reason: why } | Ending::DeadLetter { reason: why } => reason = Some(why.as_str()),
            Ending::Retry { reason: why, after } => {
                (reason, retry_after) = (Some(why.as_str()), Some(after.as_secs_f64()));
            }
            Ending::Suspended { wake_at: at, reason: _ } | Ending::WaitingGoal { wake_at: at, ended: _ } => {
                wake_at = Some(*at);
            }
            Ending::Released { .. } => {}
            // Depends on whether it was decided meanwhile: see `wait`.
            Ending::WaitingApproval { .. } => return,
        }
        self.tasks.push(key.task.0);
        self.leases.push(key.lease.0);
        self.statuses.push(ending.status());
        self.evidence.push(evidence);
        self.texts.push(text);
        self.reasons.push(reason);
        self.wake_at.push(wake_at);
        self.retry_after.push(retry_after);
    }
}

fn ends<'a>(writes: &'a [&Write]) -> impl Iterator<Item = (&'a RunKey, &'a End)> {
    writes.iter().filter_map(|write| write.end.as_ref().map(|end| (&write.key, end)))
}

/// The tasks that wait for nothing else than what is completed here, which the trigger `governance_tasks_completed`
/// frees. Locks all that the trigger locks, in the same order.
pub(super) async fn lock_freed(connection: &mut PgConnection, writes: &[&Write]) -> Result<Vec<Event>, DbError> {
    let completed: Vec<Uuid> = ends(writes)
        .filter(|(_, end)| matches!(end.ending, Ending::Completed { .. }))
        .map(|(key, _)| key.task.0)
        .collect();
    if completed.is_empty() {
        return Ok(Vec::new());
    }
    let dependents = sqlx::query!(
        r#"select dependent.id, waits.on as "on!",
               (dependent.status = 'suspended' and dependent.wake_at is null
                   and dependent.blocked_by = cardinality(waits.on)) as "freed!"
           from governance_tasks as dependent
           cross join lateral (
               select array_agg(d.depends_on order by d.depends_on) as on from task_dependencies as d
               where d.task_id = dependent.id and d.depends_on = any ($1::uuid[])
           ) as waits
           where dependent.id in (select task_id from task_dependencies where depends_on = any ($1::uuid[]))
               and dependent.blocked_by > 0
           order by dependent.id for no key update of dependent"#,
        &completed,
    )
    .fetch_all(connection)
    .await?;
    let freed = dependents.into_iter().filter(|row| row.freed).map(|row| {
        let details = json!({ "completed": row.on });
        Event::moved(EventKind::TaskUnblocked, TaskId(row.id), TaskStatus::Pending, Event::HOST, details)
    });
    Ok(freed.collect())
}

pub(super) async fn set_states(connection: &mut PgConnection, writes: &[&Write]) -> Result<(), DbError> {
    let mut columns = Columns::default();
    // In the order of their ids, like everybody who locks several tasks and waits: nobody else may have locked these.
    let mut ends: Vec<_> = ends(writes).collect();
    ends.sort_unstable_by_key(|(key, _)| key.task);
    for (key, end) in ends {
        columns.push(key, &end.ending);
        if let Ending::WaitingApproval { .. } = end.ending {
            wait(connection, key, &end.ending).await?;
        }
    }
    if columns.tasks.is_empty() {
        return Ok(());
    }
    let count = columns.tasks.len();
    let Columns { tasks, leases, statuses, evidence, texts, reasons, wake_at, retry_after } = columns;
    let ended = sqlx::query!(
        r#"update governance_tasks as t
           set status = e.status,
               completed_at = case when e.status in ('completed', 'failed', 'dead_letter') then now() else t.completed_at end,
               evidence = coalesce(e.evidence::jsonb, t.evidence),
               completion_evidence = coalesce(e.text, t.completion_evidence),
               error_message = case when e.status = 'completed' then null else coalesce(e.reason, t.error_message) end,
               wake_at = coalesce(e.wake_at, now() + make_interval(secs => e.retry_after)),
               attempt = case when e.retry_after is null then t.attempt else t.attempt + 1 end,
               leases_lost = case when e.retry_after is null then t.leases_lost else 0 end,
               waits_for_goal = false
           from unnest($1::uuid[], $2::bigint[], $3::task_status[], $4::text[], $5::text[], $6::text[],
                       $7::timestamptz[], $8::double precision[])
               as e (id, lease, status, evidence, text, reason, wake_at, retry_after)
           where t.id = e.id and t.lease = e.lease and t.status = $9"#,
        &tasks,
        &leases,
        statuses as Vec<TaskStatus>,
        &evidence as &[Option<&str>],
        &texts as &[Option<&str>],
        &reasons as &[Option<&str>],
        &wake_at as &[Option<OffsetDateTime>],
        &retry_after as &[Option<f64>],
        CLAIMED as TaskStatus,
    )
    .execute(connection)
    .await?;
    if ended.rows_affected() == count as u64 { Ok(()) } else { Err(DbError::LeaseLost) }
}

/// Says in the attempts why they ended. One that completed its task is said by the task: the most frequent end costs no
/// row more.
pub(super) async fn end_attempts(connection: &mut PgConnection, writes: &[&Write]) -> Result<(), DbError> {
    let (mut tasks, mut attempts, mut causes, mut reasons) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (key, End { ending, cause }) in ends(writes) {
        if !matches!(ending, Ending::Completed { .. }) {
            tasks.push(key.task.0);
            attempts.push(key.attempt.0);
            causes.push(*cause);
            reasons.push(ending.failure());
        }
    }
    if tasks.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        r#"update task_runs as r set ended_at = now(), end_cause = e.cause, end_reason = e.reason
           from unnest($1::uuid[], $2::integer[], $3::text[], $4::text[]) as e (task_id, attempt, cause, reason)
           where r.task_id = e.task_id and r.attempt = e.attempt"#,
        &tasks,
        &attempts,
        &causes as &[&str],
        &reasons as &[Option<&str>],
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Of those that wait for tasks of their goal. What ended until now is counted again, by a statement that begins after the
/// planning task's row was locked: a note (`goal_notes`) about it may have been read while the run was under way. What
/// ends from now on leaves a note that is read after this transaction.
pub(super) async fn wait_for_goals(connection: &mut PgConnection, writes: &[&Write]) -> Result<(), DbError> {
    for (key, end) in ends(writes) {
        let Ending::WaitingGoal { ended, .. } = end.ending else { continue };
        sqlx::query!(
            r#"update governance_tasks as t
               set waits_for_goal = true,
                   wake_at = case when (
                       select count(*) from governance_tasks as c
                       where c.goal_id = t.goal_id and c.id <> t.id
                           and c.status in ('completed', 'failed', 'cancelled', 'dead_letter')
                   ) > $2 then now() else t.wake_at end
               where t.id = $1"#,
            key.task.0,
            i64::from(ended),
        )
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// Decided meanwhile, either way: the run finds out when it comes to the call again.
async fn wait(connection: &mut PgConnection, key: &RunKey, ending: &Ending) -> Result<(), DbError> {
    let Ending::WaitingApproval { approval, reason } = ending else { return Ok(()) };
    let waits = sqlx::query!(
        r#"update governance_tasks as t
           set status = case when open.waits then 'waiting_approval' else 'pending' end::task_status,
               requires_approval = t.requires_approval or open.waits,
               call_approval = case when open.waits then $4::uuid end,
               approval_reason = $3
           from (select exists (select from approvals where id = $4 and state = 'requested') as waits) as open
           where t.id = $1 and t.lease = $2 and t.status = 'in_progress'"#,
        key.task.0,
        key.lease.0,
        reason,
        approval.0,
    )
    .execute(connection)
    .await?;
    if waits.rows_affected() == 1 { Ok(()) } else { Err(DbError::LeaseLost) }
}

/// One for each end.
pub(super) async fn events(connection: &mut PgConnection, writes: &[&Write]) -> Result<Vec<Event>, DbError> {
    let mut events = Vec::new();
    for (key, end) in ends(writes) {
        // Whether it waits depends on whether it was decided meanwhile.
        let waits = matches!(end.ending, Ending::WaitingApproval { .. });
        let status = if waits { status(connection, key).await? } else { end.ending.status() };
        events.push(end.ending.event(key, end.cause, status));
    }
    Ok(events)
}

async fn status(connection: &mut PgConnection, key: &RunKey) -> Result<TaskStatus, DbError> {
    let status =
        sqlx::query_scalar!(r#"select status as "status: TaskStatus" from governance_tasks where id = $1"#, key.task.0)
            .fetch_one(connection)
            .await?;
    Ok(status)
}
