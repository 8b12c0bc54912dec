//! Alerts: raised by runs and by the host, settled by people.
//!
//! Invariant: what the host raises holds nothing that a guest wrote, and is of a kind that no role is granted. What a role
//! raises through its capability (`records::alerts`) is its own words, and says so in `raised_by`.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::{PgConnection, Postgres, Transaction};
use time::OffsetDateTime;
use time::serde::rfc3339;
use utoipa::ToSchema;
use uuid::Uuid;

use super::journal::RunKey;
use super::logs::{LogEntry, append};
use super::notices::{NoticeEvent, NoticeState};
use super::{Db, DbError, rows};
use crate::audit::{Event, EventKind};
use crate::journal::{Alert, Severity};
use crate::records::HOST_KINDS;
use crate::task::{LogLevel, TaskId};

/// Where an alert stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, ToSchema, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "alert_state", rename_all = "snake_case")]
#[clap(rename_all = "snake_case")]
pub enum AlertState {
    Open,
    /// Somebody looks after it; repeats still count.
    Acknowledged,
    /// Done with; a repeat is a new alert.
    Resolved,
}

impl AlertState {
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Acknowledged => "acknowledged",
            Self::Resolved => "resolved",
        }
    }

    /// Settling goes one way. The same again changes nothing.
    pub fn may_become(self, to: Self) -> bool {
        match (self, to) {
            (Self::Open | Self::Acknowledged, Self::Acknowledged)
            | (Self::Open | Self::Acknowledged | Self::Resolved, Self::Resolved) => true,
            (Self::Open | Self::Acknowledged | Self::Resolved, Self::Open) | (Self::Resolved, Self::Acknowledged) => {
                false
            }
        }
    }
}

/// An alert as people see it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AlertView {
    pub id: Uuid,
    pub severity: Severity,
    /// What kind of thing happened, for programs.
    pub kind: String,
    /// Alerts with the same fingerprint are one until it is resolved.
    pub fingerprint: String,
    pub title: String,
    #[schema(value_type = Object)]
    pub details: Value,
    pub task_id: Option<TaskId>,
    pub worker_id: Option<String>,
    /// The worker whose role raised it: then title and details are that role's words. None: the host raised it.
    pub raised_by: Option<String>,
    pub occurrences: i64,
    #[serde(with = "rfc3339")]
    pub first_seen_at: OffsetDateTime,
    #[serde(with = "rfc3339")]
    pub last_seen_at: OffsetDateTime,
    pub state: AlertState,
    pub acknowledged_by: Option<String>,
    #[serde(with = "rfc3339::option")]
    pub acknowledged_at: Option<OffsetDateTime>,
    pub resolved_by: Option<String>,
    #[serde(with = "rfc3339::option")]
    pub resolved_at: Option<OffsetDateTime>,
    /// What people are told last of it: that it was opened, got worse, or is resolved.
    #[schema(inline)]
    pub notice_event: Option<NoticeEvent>,
    /// Whether they have been told. `pending` for good where no host has a webhook.
    #[schema(inline)]
    pub notice_state: Option<NoticeState>,
    pub notice_attempts: Option<i32>,
    /// When they were told, or it was given up.
    #[serde(with = "rfc3339::option")]
    pub notice_ended_at: Option<OffsetDateTime>,
    /// Why the newest try failed.
    pub notice_error: Option<String>,
}

/// A place in the list of alerts, newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlertCursor {
    pub first_seen_at: OffsetDateTime,
    pub id: Uuid,
}

impl AlertCursor {
    /// Before the newest.
    pub const START: Self = Self { first_seen_at: time::macros::datetime!(9999-12-31 0:00 UTC), id: Uuid::max() };
}

/// Raises alerts within the caller's transaction, for a run or for the host itself.
pub async fn raise_all(
    transaction: &mut Transaction<'_, Postgres>,
    alerts: &[Alert],
    run: Option<&RunKey>,
) -> Result<(), DbError> {
    let mut alerts: Vec<&Alert> = alerts.iter().collect();
    // In one order, so that two transactions that raise the same alerts do not lock each other out.
    alerts.sort_by(|a, b| a.fingerprint.cmp(&b.fingerprint));
    for alert in alerts {
        raise(transaction, alert, run).await?;
    }
    Ok(())
}

async fn raise(
    transaction: &mut Transaction<'_, Postgres>,
    alert: &Alert,
    run: Option<&RunKey>,
) -> Result<(), DbError> {
    let Alert { severity, kind, fingerprint, title, details, occurrences } = alert;
    debug_assert!(HOST_KINDS.contains(kind), "add {kind:?} to records::HOST_KINDS, or a role could be granted it");
    sqlx::query!(
        r#"insert into alerts (severity, kind, fingerprint, title, details, task_id, worker_id, occurrences)
           values ($1, $2, $3, $4, $5, $6, $7, $8)
           on conflict (fingerprint) where state <> 'resolved' do update
           set occurrences = alerts.occurrences + excluded.occurrences, last_seen_at = now(),
               severity = greatest(alerts.severity, excluded.severity), details = excluded.details,
               worker_id = excluded.worker_id"#,
        *severity as Severity,
        kind,
        fingerprint,
        title,
        details,
        run.map(|run| run.task.0) as Option<Uuid>,
        run.map(|run| run.worker.0.as_str()),
        i64::from(*occurrences),
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

impl Db {
    /// Raises an alert of the host itself.
    pub async fn raise_alert(&self, alert: &Alert) -> Result<(), DbError> {
        let mut transaction = self.begin_audited().await?;
        raise(&mut transaction, alert, None).await?;
        let details = json!({ "kind": alert.kind, "severity": alert.severity, "title": alert.title });
        transaction.commit(vec![Event::new(EventKind::AlertRaised, Event::HOST, details)]).await
    }

    /// Alerts, newest first, from just after the cursor.
    pub async fn list_alerts(
        &self,
        state: Option<AlertState>,
        severity: Option<Severity>,
        after: AlertCursor,
        limit: u32,
    ) -> Result<Vec<AlertView>, DbError> {
        let alerts = sqlx::query_file_as!(
            AlertView,
            "src/db/list_alerts.sql",
            state as Option<AlertState>,
            severity as Option<Severity>,
            after.first_seen_at,
            after.id,
            rows(limit),
            None::<Uuid> as Option<Uuid>
        )
        .fetch_all(self.pool())
        .await?;
        Ok(alerts)
    }

    /// Acknowledges or resolves an alert in the name of `by`. Who was first stays.
    pub async fn settle_alert(&self, id: Uuid, to: AlertState, by: &str) -> Result<AlertView, DbError> {
        let mut transaction = self.begin_audited().await?;
        let from =
            sqlx::query_scalar!(r#"select state as "state: AlertState" from alerts where id = $1 for update"#, id)
                .fetch_optional(&mut **transaction)
                .await?
                .ok_or(DbError::UnknownAlert(id))?;
        if !from.may_become(to) {
            return Err(DbError::SettledAlert(id));
        }
        let resolves = to == AlertState::Resolved;
        sqlx::query!(
            "update alerts set state = $2,
                acknowledged_by = case when $4 then acknowledged_by else coalesce(acknowledged_by, $3) end,
                acknowledged_at = case when $4 then acknowledged_at else coalesce(acknowledged_at, now()) end,
                resolved_by = case when $4 then coalesce(resolved_by, $3) end,
                resolved_at = case when $4 then coalesce(resolved_at, now()) end
            where id = $1",
            id,
            to as AlertState,
            by,
            resolves
        )
        .execute(&mut **transaction)
        .await?;
        let alert = show(&mut transaction, id).await?;
        if from != to {
            let (action, verb) =
                if resolves { ("alert_resolved", "resolved") } else { ("alert_acknowledged", "acknowledged") };
            let entry = LogEntry {
                task_id: alert.task_id,
                worker_id: None,
                action: action.to_owned(),
                level: LogLevel::Info,
                message: format!("Alert {id} {verb} by {by}: {}", alert.title),
                metadata: json!({ "principal": by, "alert": id }),
                error_data: None,
                attempt: None,
            };
            append(&mut transaction, &entry).await?;
        }
        let details = json!({ "alert": id, "from": from, "to": to });
        transaction.commit(vec![Event::new(EventKind::AlertSettled, by, details)]).await?;
        Ok(alert)
    }
}

/// One alert, as the list has it.
async fn show(connection: &mut PgConnection, id: Uuid) -> Result<AlertView, DbError> {
    let alert = sqlx::query_file_as!(
        AlertView,
        "src/db/list_alerts.sql",
        None::<AlertState> as Option<AlertState>,
        None::<Severity> as Option<Severity>,
        AlertCursor::START.first_seen_at,
        AlertCursor::START.id,
        1,
        Some(id) as Option<Uuid>
    );
    alert.fetch_optional(connection).await?.ok_or(DbError::UnknownAlert(id))
}

#[cfg(test)]
mod tests {
    use super::AlertState::{Acknowledged, Open, Resolved};

    #[test]
    fn an_alert_is_settled_one_way() {
        for (from, allowed) in
            [(Open, [false, true, true]), (Acknowledged, [false, true, true]), (Resolved, [false, false, true])]
        {
            assert_eq!([Open, Acknowledged, Resolved].map(|to| from.may_become(to)), allowed, "{from:?}");
        }
    }
}
