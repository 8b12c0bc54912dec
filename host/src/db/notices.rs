//! The notifier's outbox. Its rows are made by a trigger, with the alert that they are about.
//!
//! Invariant: one host at a time sends a notice. Taking it moves its next try past the time that sending may take; what came
//! of it is stored only for the try that it is of.

use std::time::Duration;

use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

use super::alerts::AlertState;
use super::{Db, DbError};
use crate::audit::{Event, EventKind, short};
use crate::journal::Severity;
use crate::task::{TaskId, database_enum};

/// A notice that could not be sent for so long is about what people know by now.
const AGE_HOURS_MAX: i32 = 24;
/// Rows that one statement ends.
const ROWS_MAX: i64 = 1_000;
const ERROR_CHARS_MAX: usize = 500;

database_enum! {
    /// What people are told.
    NoticeEvent = "notice_event" {
        Opened = "opened",
        /// It is worse than before.
        Escalated = "escalated",
        Resolved = "resolved",
    }
}

database_enum! {
    /// Whether people have been told.
    NoticeState = "notice_state" {
        /// To be sent, perhaps again.
        Pending = "pending",
        Delivered = "delivered",
        /// Given up.
        Failed = "failed",
        /// Below the severity that people are told of.
        Skipped = "skipped",
        /// Nobody could be told in time.
        Expired = "expired",
    }
}

/// A notice to send, with the alert as it is now.
#[derive(Clone, Debug)]
pub struct Notice {
    pub id: i64,
    pub event: NoticeEvent,
    /// This try, counted from 1.
    pub attempt: i32,
    pub alert: Uuid,
    pub severity: Severity,
    pub kind: String,
    pub title: String,
    pub details: Value,
    pub task: Option<TaskId>,
    pub worker: Option<String>,
    pub occurrences: i64,
    pub state: AlertState,
    pub first_seen_at: OffsetDateTime,
    pub last_seen_at: OffsetDateTime,
    pub acknowledged_by: Option<String>,
    pub resolved_by: Option<String>,
}

impl Db {
    /// Takes the notice that has been due the longest, for so long as sending it may take.
    pub async fn take_notice(&self, lease: Duration) -> Result<Option<Notice>, DbError> {
        let notice = sqlx::query_as!(
            Notice,
            r#"with due as (
                select id from alert_notices where state = 'pending' and next_at <= now()
                order by next_at, id limit 1 for update skip locked
            ), taken as (
                update alert_notices as n set attempts = attempts + 1, next_at = now() + make_interval(secs => $1)
                from due where n.id = due.id
                returning n.id, n.alert_id, n.event, n.attempts
            )
            select taken.id, event as "event: NoticeEvent", attempts as attempt, a.id as alert,
                severity as "severity: Severity", kind, title, details, task_id as "task: TaskId", worker_id as worker,
                occurrences, state as "state: AlertState", first_seen_at, last_seen_at, acknowledged_by, resolved_by
            from taken join alerts as a on a.id = taken.alert_id"#,
            lease.as_secs_f64()
        )
        .fetch_optional(self.pool())
        .await?;
        Ok(notice)
    }

    /// Ends notices that are due and not to be sent: below the severity, too old, or tried so often by hosts that did not
    /// come to say what came of it. Returns how many.
    pub async fn end_unsendable_notices(&self, from: Severity, attempts_max: i32) -> Result<u64, DbError> {
        let ended = sqlx::query!(
            r#"with due as (
                select n.id, a.severity from alert_notices as n join alerts as a on a.id = n.alert_id
                where n.state = 'pending' and n.next_at <= now()
                    and (a.severity < $1 or n.attempts >= $2 or n.created_at < now() - make_interval(hours => $3))
                order by n.next_at limit $4 for update of n skip locked
            )
            update alert_notices as n
            set ended_at = now(), state = case
                when due.severity < $1 then 'skipped' when n.attempts >= $2 then 'failed' else 'expired' end::notice_state
            from due where n.id = due.id"#,
            from as Severity,
            attempts_max,
            AGE_HOURS_MAX,
            ROWS_MAX
        )
        .execute(self.pool())
        .await?;
        Ok(ended.rows_affected())
    }

    /// People have been told.
    pub async fn notice_delivered(&self, notice: &Notice, status: u16) -> Result<(), DbError> {
        self.end_notice(notice, NoticeState::Delivered, Some(status), None).await
    }

    /// They have not, and it is not tried again.
    pub async fn notice_failed(&self, notice: &Notice, status: Option<u16>, error: &str) -> Result<(), DbError> {
        self.end_notice(notice, NoticeState::Failed, status, Some(error)).await
    }

    /// They have not, and it is tried again after this pause.
    pub async fn notice_again(
        &self,
        notice: &Notice,
        status: Option<u16>,
        error: &str,
        pause: Duration,
    ) -> Result<(), DbError> {
        sqlx::query!(
            "update alert_notices
            set next_at = now() + make_interval(secs => $3), last_status = $4, last_error = $5
            where id = $1 and attempts = $2 and state = 'pending'",
            notice.id,
            notice.attempt,
            pause.as_secs_f64(),
            status.map(i32::from),
            shortened(error)
        )
        .execute(self.pool())
        .await?;
        Ok(())
    }

    async fn end_notice(
        &self,
        notice: &Notice,
        state: NoticeState,
        status: Option<u16>,
        error: Option<&str>,
    ) -> Result<(), DbError> {
        let mut tx = self.begin_audited().await?;
        let ended = sqlx::query!(
            "update alert_notices set state = $3, ended_at = now(), last_status = $4, last_error = $5
            where id = $1 and attempts = $2 and state = 'pending'",
            notice.id,
            notice.attempt,
            state as NoticeState,
            status.map(i32::from),
            error.map(shortened)
        )
        .execute(&mut **tx)
        .await?;
        // Another host took it meanwhile, and says itself what came of it.
        if ended.rows_affected() == 0 {
            return Ok(());
        }
        let details = json!({
            "alert": notice.alert, "event": notice.event, "notice": notice.id, "state": state,
            "attempts": notice.attempt, "status": status, "error": error.map(short),
        });
        tx.commit(vec![Event::new(EventKind::AlertNotified, Event::HOST, details)]).await
    }
}

fn shortened(error: &str) -> String {
    error.chars().take(ERROR_CHARS_MAX).collect()
}
