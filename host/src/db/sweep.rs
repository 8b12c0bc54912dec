//! What any host may do for all: wake what is due, take back what a dead host held, keep the tables in shape.

use std::time::Duration;

use serde_json::json;
use sqlx::PgConnection;

use super::approvals::changed;
use super::attempts::{Ended, end_attempts};
use super::{Db, DbError};
use crate::audit::{Event, EventKind};
use crate::task::{TaskId, TaskStatus};

/// How often one attempt may lose its host before it is given up: a task that kills its host must not do so for ever.
pub const LEASES_LOST_MAX: i32 = 5;
/// Rows that one statement takes.
const ROWS_MAX: i64 = 1_000;
/// Statements after one another, as long as each is full: what came due together is done together, and the other work of
/// the sweeper is done between.
const ROUNDS_MAX: usize = 50;

/// What a sweep did.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Swept {
    pub reclaimed: u64,
    pub dead: u64,
    pub stale_workers: u64,
}

impl Db {
    /// Makes suspended tasks pending whose time has come and that wait for no other task.
    pub async fn wake_due_tasks(&self) -> Result<u64, DbError> {
        let mut all = 0;
        for _ in 0..ROUNDS_MAX {
            let woken = self.wake_some().await?;
            all += woken;
            if is_short(woken) {
                break;
            }
        }
        Ok(all)
    }

    async fn wake_some(&self) -> Result<u64, DbError> {
        let mut tx = self.begin_audited().await?;
        let woken = sqlx::query_scalar!(
            r#"update governance_tasks set status = 'pending'
               where id in (
                   select id from governance_tasks
                   where status = 'suspended' and wake_at <= now() and blocked_by = 0
                   order by wake_at limit $1 for update skip locked
               ) returning id"#,
            ROWS_MAX,
        )
        .fetch_all(&mut **tx)
        .await?;
        let count = woken.len() as u64;
        let events = woken
            .into_iter()
            .map(|id| Event::moved(EventKind::TaskWoken, TaskId(id), TaskStatus::Pending, Event::HOST, json!({})));
        tx.commit(events.collect()).await?;
        Ok(count)
    }

    /// Ends tasks whose deadline has passed; a run that is under way loses its claim with that. Returns how many.
    pub async fn fail_late_tasks(&self) -> Result<u64, DbError> {
        let mut all = 0;
        for _ in 0..ROUNDS_MAX {
            let failed = self.fail_some().await?;
            all += failed;
            if is_short(failed) {
                break;
            }
        }
        Ok(all)
    }

    async fn fail_some(&self) -> Result<u64, DbError> {
        let mut tx = self.begin_audited().await?;
        let failed = sqlx::query!(
            r#"with late as (
                   select id, status, assigned_worker from governance_tasks
                   where deadline_at <= now() and status in ('pending', 'in_progress', 'waiting_approval', 'suspended')
                   order by deadline_at limit $1 for update skip locked
               ), failed as (
                   update governance_tasks as t
                   set status = 'failed', completed_at = now(),
                       error_message = format('its deadline, %s, has passed', t.deadline_at)
                   from late where t.id = late.id
                   returning t.id, t.attempt, t.error_message, late.status as "from", late.assigned_worker
               ), logged as (
                   insert into execution_logs (task_id, worker_id, attempt, action, level, message, error_data)
                   select id, case when "from" = 'in_progress' then assigned_worker end, attempt, 'task_error', 'error',
                       format('Task failed: %s', error_message),
                       jsonb_build_object('error_type', 'DeadlinePassed', 'details', error_message)
                   from failed
               )
               select id, attempt, "from" as "from: TaskStatus" from failed"#,
            ROWS_MAX,
        )
        .fetch_all(&mut **tx)
        .await?;
        let ids: Vec<_> = failed.iter().map(|task| task.id).collect();
        if ids.is_empty() {
            return Ok(0);
        }
        end_attempts(&mut tx, &ids, Ended::DeadlinePassed.name()).await?;
        let mut events: Vec<_> = failed
            .into_iter()
            .map(|task| {
                let details = json!({ "attempt": task.attempt, "from": task.from, "cause": "DeadlinePassed" });
                Event::moved(EventKind::TaskFailed, TaskId(task.id), TaskStatus::Failed, Event::HOST, details)
            })
            .collect();
        // What waited for an approval waits no more: the trigger closed it.
        events.extend(changed(&mut tx, &ids).await?);
        tx.commit(events).await?;
        Ok(ids.len() as u64)
    }

    /// Takes back tasks whose lease ran out, and marks workers that have been silent for 5 minutes. One host at a
    /// time does it; the others find the lock taken and return at once.
    pub async fn sweep(&self) -> Result<Swept, DbError> {
        let mut all = Swept::default();
        for _ in 0..ROUNDS_MAX {
            let swept = self.sweep_some().await?;
            all.reclaimed += swept.reclaimed;
            all.dead += swept.dead;
            all.stale_workers += swept.stale_workers;
            if is_short(swept.reclaimed + swept.dead) {
                break;
            }
        }
        Ok(all)
    }

    async fn sweep_some(&self) -> Result<Swept, DbError> {
        let mut transaction = self.begin_audited().await?;
        let mine = sqlx::query_scalar!(r#"select pg_try_advisory_xact_lock(hashtext('juggernaut sweep')) as "mine!""#)
            .fetch_one(&mut **transaction)
            .await?;
        if !mine {
            return Ok(Swept::default());
        }
        let mut moved = take_back(&mut transaction).await?;
        let ids: Vec<_> = moved.iter().filter_map(|event| event.task).map(|task| task.0).collect();
        if !ids.is_empty() {
            end_attempts(&mut transaction, &ids, Ended::LeaseExpired.name()).await?;
        }
        let stale = sqlx::query!(
            r#"update worker_registry set status = 'stale'
               where status not in ('stale', 'offline') and last_heartbeat < now() - interval '5 minutes'"#,
        )
        .execute(&mut **transaction)
        .await?;
        let dead = moved.iter().filter(|event| event.kind == EventKind::TaskDeadLettered).count() as u64;
        let reclaimed = moved.len() as u64 - dead;
        // What waited for an approval waits no more: the trigger closed it.
        moved.extend(changed(&mut transaction, &ids).await?);
        transaction.commit(moved).await?;
        Ok(Swept { reclaimed, dead, stale_workers: stale.rows_affected() })
    }

    /// Creates the log's next partitions and drops those past their retention.
    pub async fn maintain_logs(&self, keep: Duration) -> Result<Vec<String>, DbError> {
        let dropped = sqlx::query_scalar!(
            r#"select execution_logs_maintain(make_interval(secs => $1)) as "name!""#,
            keep.as_secs_f64()
        )
        .fetch_all(self.pool())
        .await?;
        Ok(dropped)
    }
}

/// Whether a statement found less than it may take.
fn is_short(rows: u64) -> bool {
    rows < ROWS_MAX.unsigned_abs()
}

/// Takes back the tasks of silent hosts, or gives them up, and says so in the execution log.
async fn take_back(connection: &mut PgConnection) -> Result<Vec<Event>, DbError> {
    let moved = sqlx::query!(
        r#"with expired as (
               select id, assigned_worker, leases_lost from governance_tasks
               where status = 'in_progress' and lease_expires_at < now()
               order by lease_expires_at limit $1 for update skip locked
           ), moved as (
               update governance_tasks as t
               set status = case when e.leases_lost >= $2 then 'dead_letter' else 'pending' end::task_status,
                   leases_lost = t.leases_lost + 1,
                   completed_at = case when e.leases_lost >= $2 then now() end,
                   error_message = case when e.leases_lost >= $2
                       then 'the host went away ' || t.leases_lost + 1 || ' times while it ran this task'
                       else t.error_message end
               from expired as e where t.id = e.id
               returning t.id, t.attempt, t.status, e.assigned_worker
           ), logged as (
               insert into execution_logs (task_id, worker_id, attempt, action, level, message)
               select id, assigned_worker, attempt, 'lease_expired', 'warn',
                   'the worker went silent; the task ' || case when status = 'pending'
                       then 'is taken up again' else 'is given up' end
               from moved
           )
           select id, attempt, status as "status: TaskStatus", assigned_worker from moved"#,
        ROWS_MAX,
        LEASES_LOST_MAX,
    )
    .fetch_all(connection)
    .await?;
    let event = |id, attempt: i32, status, worker: Option<String>| {
        let kind =
            if status == TaskStatus::DeadLetter { EventKind::TaskDeadLettered } else { EventKind::TaskReclaimed };
        let details = json!({ "attempt": attempt, "worker": worker, "reason": "its lease ran out" });
        Event::moved(kind, TaskId(id), status, Event::HOST, details)
    };
    Ok(moved.into_iter().map(|row| event(row.id, row.attempt, row.status, row.assigned_worker)).collect())
}
