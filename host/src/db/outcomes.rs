//! How a claim ends. Each is one transaction: the last of the journal, the log line, and the task's new state, fenced.

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::{PgConnection, Postgres, Transaction};
use time::OffsetDateTime;

use super::journal::{Batch, RunKey, hold, write_batch};
use super::{Db, DbError, approvals};
use crate::approval::ApprovalId;
use crate::audit::{Event, EventKind, short};
use crate::crash::{self, Point};
use crate::task::{LogLevel, TaskId, TaskStatus};

/// What a claim ends with.
#[derive(Debug, Clone)]
pub enum Ending {
    /// `evidence` is what the host verified; `text` is the same for people.
    Completed { evidence: Value, text: String },
    /// Nothing but a change by a person would help.
    Failed { reason: String },
    /// The next attempt begins after the pause.
    Retry { reason: String, after: Duration },
    /// No attempts are left.
    DeadLetter { reason: String },
    /// The same attempt goes on at that time.
    Suspended { wake_at: OffsetDateTime, reason: String },
    /// The same attempt goes on at the call that waits, once somebody has approved it.
    WaitingApproval { approval: ApprovalId, reason: String },
    /// The same attempt goes on as soon as somebody claims it.
    Released { reason: String },
}

impl Ending {
    fn action(&self) -> &'static str {
        match self {
            Self::Completed { .. } => "task_completed",
            Self::Failed { .. } | Self::Retry { .. } | Self::DeadLetter { .. } => "task_error",
            Self::Suspended { .. } => "task_suspended",
            Self::WaitingApproval { .. } => "task_waiting_approval",
            Self::Released { .. } => "task_released",
        }
    }

    /// The same without U+0000, which PostgreSQL stores in no text: whoever slipped one in must not keep a run from
    /// ending.
    fn storable(&self) -> Self {
        let clean = |text: &String| text.replace('\0', "\u{2400}");
        match self {
            Self::Completed { evidence, text } => {
                Self::Completed { evidence: without_nul(evidence), text: clean(text) }
            }
            Self::Failed { reason } => Self::Failed { reason: clean(reason) },
            Self::Retry { reason, after } => Self::Retry { reason: clean(reason), after: *after },
            Self::DeadLetter { reason } => Self::DeadLetter { reason: clean(reason) },
            Self::Suspended { wake_at, reason } => Self::Suspended { wake_at: *wake_at, reason: clean(reason) },
            Self::WaitingApproval { approval, reason } => {
                Self::WaitingApproval { approval: *approval, reason: clean(reason) }
            }
            Self::Released { reason } => Self::Released { reason: clean(reason) },
        }
    }

    fn message(&self) -> String {
        match self {
            Self::Completed { text, .. } => text.clone(),
            Self::Failed { reason } | Self::Released { reason } | Self::WaitingApproval { reason, .. } => {
                reason.clone()
            }
            Self::Retry { reason, after } => format!("{reason} (next attempt in {:.1} s)", after.as_secs_f64()),
            Self::DeadLetter { reason } => format!("{reason} (no attempts left: dead letter)"),
            Self::Suspended { wake_at, reason } => format!("{reason}; suspended until {wake_at}"),
        }
    }

    fn event(&self, key: &RunKey, cause: &str) -> Event {
        let (kind, status) = match self {
            Self::Completed { .. } => (EventKind::TaskCompleted, TaskStatus::Completed),
            Self::Failed { .. } => (EventKind::TaskFailed, TaskStatus::Failed),
            Self::Retry { .. } => (EventKind::TaskRetried, TaskStatus::Suspended),
            Self::DeadLetter { .. } => (EventKind::TaskDeadLettered, TaskStatus::DeadLetter),
            Self::Suspended { .. } => (EventKind::TaskSuspended, TaskStatus::Suspended),
            Self::WaitingApproval { .. } => (EventKind::TaskWaitingApproval, TaskStatus::WaitingApproval),
            Self::Released { .. } => (EventKind::TaskReleased, TaskStatus::Pending),
        };
        let mut details = json!({ "attempt": key.attempt, "cause": cause });
        match self {
            Self::Completed { evidence, .. } => details["evidence"] = evidence.clone(),
            Self::Failed { reason }
            | Self::Retry { reason, .. }
            | Self::DeadLetter { reason }
            | Self::Suspended { reason, .. }
            | Self::WaitingApproval { reason, .. }
            | Self::Released { reason } => details["reason"] = json!(short(reason)),
        }
        Event::moved(kind, key.task, status, &key.worker.0, details)
    }

    fn level(&self) -> LogLevel {
        match self {
            Self::Completed { .. } | Self::Suspended { .. } | Self::WaitingApproval { .. } | Self::Released { .. } => {
                LogLevel::Info
            }
            Self::Retry { .. } => LogLevel::Warn,
            Self::Failed { .. } | Self::DeadLetter { .. } => LogLevel::Error,
        }
    }

    fn error_data(&self, error_type: &str) -> Option<Value> {
        match self {
            Self::Failed { reason } | Self::Retry { reason, .. } | Self::DeadLetter { reason } => {
                Some(json!({ "error_type": error_type, "details": reason }))
            }
            Self::Completed { .. } | Self::Suspended { .. } | Self::WaitingApproval { .. } | Self::Released { .. } => {
                None
            }
        }
    }
}

fn without_nul(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(text.replace('\0', "\u{2400}")),
        Value::Array(items) => items.iter().map(without_nul).collect(),
        Value::Object(fields) => fields.iter().map(|(key, value)| (key.clone(), without_nul(value))).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

impl Db {
    /// Ends a claim. `LeaseLost` means that it had ended already, and nothing was written.
    pub async fn end_claim(
        &self,
        key: &RunKey,
        batch: &Batch,
        ending: &Ending,
        error_type: &str,
    ) -> Result<(), DbError> {
        let ending = &ending.storable();
        let mut transaction = self.begin_audited().await?;
        hold(&mut transaction, key).await?;
        write_batch(&mut transaction, key, batch).await?;
        sqlx::query!(
            r#"insert into execution_logs (task_id, worker_id, attempt, action, level, message, error_data)
               values ($1, $2, $3, $4, $5, $6, $7)"#,
            Some(key.task.0) as Option<uuid::Uuid>,
            key.worker.0,
            key.attempt.0,
            ending.action(),
            ending.level() as LogLevel,
            ending.message(),
            ending.error_data(error_type),
        )
        .execute(&mut **transaction)
        .await?;
        let freed = match ending {
            Ending::Completed { .. } => lock_freed(&mut transaction, key).await?,
            Ending::Failed { .. }
            | Ending::Retry { .. }
            | Ending::DeadLetter { .. }
            | Ending::Suspended { .. }
            | Ending::WaitingApproval { .. }
            | Ending::Released { .. } => Vec::new(),
        };
        let ended = set_state(&mut transaction, key, ending).await?;
        if ended == 0 {
            return Err(DbError::LeaseLost);
        }
        let mut events = batch.events(key);
        // Its end closes what was open, and what it waits for may have been decided meanwhile.
        events.extend(approvals::changed(&mut transaction, &[key.task.0]).await?);
        let mut moved = ending.event(key, error_type);
        if let Ending::WaitingApproval { .. } = ending {
            moved = moved.at(status(&mut transaction, key).await?);
        }
        events.push(moved);
        events.extend(freed);
        crash::point(Point::EndingUncommitted);
        transaction.commit(events).await?;
        Ok(())
    }
}

async fn status(connection: &mut PgConnection, key: &RunKey) -> Result<TaskStatus, DbError> {
    let status =
        sqlx::query_scalar!(r#"select status as "status: TaskStatus" from governance_tasks where id = $1"#, key.task.0)
            .fetch_one(connection)
            .await?;
    Ok(status)
}

/// The tasks that wait for nothing else than this one, which the trigger `governance_tasks_completed` frees. Locks all
/// that the trigger locks, in the same order.
async fn lock_freed(connection: &mut PgConnection, key: &RunKey) -> Result<Vec<Event>, DbError> {
    let dependents = sqlx::query!(
        r#"select dependent.id,
               (dependent.status = 'suspended' and dependent.blocked_by = 1 and dependent.wake_at is null) as "freed!"
           from governance_tasks as dependent
           where dependent.id in (select task_id from task_dependencies where depends_on = $1) and dependent.blocked_by > 0
           order by dependent.id for no key update"#,
        key.task.0,
    )
    .fetch_all(connection)
    .await?;
    let freed = dependents.into_iter().filter(|row| row.freed).map(|row| {
        let details = json!({ "completed": key.task });
        Event::moved(EventKind::TaskUnblocked, TaskId(row.id), TaskStatus::Pending, Event::HOST, details)
    });
    Ok(freed.collect())
}

async fn set_state(transaction: &mut Transaction<'_, Postgres>, key: &RunKey, ending: &Ending) -> Result<u64, DbError> {
    let (task, lease) = (key.task.0, key.lease.0);
    let query = match ending {
        Ending::Completed { evidence, text } => sqlx::query!(
            r#"update governance_tasks set status = 'completed', completed_at = now(), evidence = $3,
                      completion_evidence = $4, error_message = null
               where id = $1 and lease = $2 and status = 'in_progress'"#,
            task,
            lease,
            evidence,
            text,
        ),
        Ending::Failed { reason } => sqlx::query!(
            r#"update governance_tasks set status = 'failed', completed_at = now(), error_message = $3
               where id = $1 and lease = $2 and status = 'in_progress'"#,
            task,
            lease,
            reason,
        ),
        Ending::DeadLetter { reason } => sqlx::query!(
            r#"update governance_tasks set status = 'dead_letter', completed_at = now(), error_message = $3
               where id = $1 and lease = $2 and status = 'in_progress'"#,
            task,
            lease,
            reason,
        ),
        Ending::Retry { reason, after } => sqlx::query!(
            r#"update governance_tasks set status = 'suspended', wake_at = now() + make_interval(secs => $4),
                      attempt = attempt + 1, leases_lost = 0, error_message = $3
               where id = $1 and lease = $2 and status = 'in_progress'"#,
            task,
            lease,
            reason,
            after.as_secs_f64(),
        ),
        Ending::Suspended { wake_at, reason: _ } => sqlx::query!(
            r#"update governance_tasks set status = 'suspended', wake_at = $3
               where id = $1 and lease = $2 and status = 'in_progress'"#,
            task,
            lease,
            wake_at,
        ),
        // Decided meanwhile, either way: the run finds out when it comes to the call again.
        Ending::WaitingApproval { approval, reason } => sqlx::query!(
            r#"update governance_tasks as t
               set status = case when open.waits then 'waiting_approval' else 'pending' end::task_status,
                   requires_approval = t.requires_approval or open.waits,
                   call_approval = case when open.waits then $4::uuid end,
                   approval_reason = $3
               from (select exists (select from approvals where id = $4 and state = 'requested') as waits) as open
               where t.id = $1 and t.lease = $2 and t.status = 'in_progress'"#,
            task,
            lease,
            reason,
            approval.0,
        ),
        Ending::Released { .. } => sqlx::query!(
            "update governance_tasks set status = 'pending' where id = $1 and lease = $2 and status = 'in_progress'",
            task,
            lease,
        ),
    };
    Ok(query.execute(&mut **transaction).await?.rows_affected())
}
