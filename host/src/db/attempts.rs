//! Attempts that end otherwise than by their run: a person, the clock or a silent host ends them.

use sqlx::PgConnection;
use uuid::Uuid;

use super::DbError;

/// Why an attempt ended, where its run did not say so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Cancelled,
    DeadlinePassed,
    LeaseExpired,
}

impl Ended {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Cancelled => "Cancelled",
            Self::DeadlinePassed => "DeadlinePassed",
            Self::LeaseExpired => "LeaseExpired",
        }
    }
}

/// Says so in the newest attempts of these tasks, whose rows the caller has locked and changed already. An attempt whose
/// run had come to its end, and waited for somebody else's word on it, keeps what the run came to.
pub(super) async fn end_attempts(connection: &mut PgConnection, tasks: &[Uuid], cause: &str) -> Result<(), DbError> {
    sqlx::query!(
        r#"update task_runs as r
           set ended_at = now(),
               end_cause = case when r.end_cause in ('NeedsAcceptance', 'Unverifiable') then r.end_cause else $2 end,
               end_reason = case when t.status in ('failed', 'dead_letter') then t.error_message end
           from governance_tasks as t
           where t.id = any ($1) and r.task_id = t.id and r.attempt = t.attempt"#,
        tasks,
        cause,
    )
    .execute(connection)
    .await?;
    Ok(())
}
