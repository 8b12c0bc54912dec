//! Alerts, as runs see and change them.
//!
//! Invariant: a run sees and resolves only what runs raised, and its fingerprints stand behind its kind, which is none of
//! the host's: it can neither hide an alert of the host's nor settle one.

use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use super::bounds::{looked, one_more, reading};
use super::metrics::milliseconds;
use super::{Applied, RecordError};
use crate::audit::{Event, EventKind, short};
use crate::db::Db;
use crate::db::alerts::AlertState;
use crate::db::journal::RunKey;
use crate::records::{AlertChange, AlertDraft, AlertQuery, OpenAlert, Refused, Severity};

const OPEN_MAX: i64 = 500;

/// As the table has it. A kind has no slash.
fn stored(kind: &str, fingerprint: &str) -> String {
    format!("{kind}/{fingerprint}")
}

pub(super) async fn look(db: &Db, query: &AlertQuery) -> Result<Value, RecordError> {
    let AlertQuery::Open { kinds } = query;
    let mut tx = reading(db).await?;
    let rows = sqlx::query!(
        r#"select id, severity as "severity: Severity", kind, fingerprint, title, state as "state: AlertState",
                  occurrences, first_seen_at, last_seen_at
           from alerts where kind = any ($1) and state <> 'resolved' and raised_by is not null
           order by first_seen_at desc, id desc limit $2"#,
        kinds,
        OPEN_MAX,
    )
    .fetch_all(&mut *tx)
    .await
    .map_err(looked)?;
    let open = rows.into_iter().map(|row| OpenAlert {
        id: row.id.to_string(),
        severity: row.severity,
        fingerprint: (row.fingerprint.strip_prefix(&stored(&row.kind, ""))).unwrap_or(&row.fingerprint).to_owned(),
        kind: row.kind,
        title: row.title,
        acknowledged: row.state == AlertState::Acknowledged,
        occurrences: u64::try_from(row.occurrences).unwrap_or(0),
        first_seen_ms: milliseconds(row.first_seen_at),
        last_seen_ms: milliseconds(row.last_seen_at),
    });
    Ok(json!(open.collect::<Vec<_>>()))
}

pub(super) async fn apply(tx: &mut PgConnection, key: &RunKey, change: &AlertChange) -> Result<Applied, RecordError> {
    match change {
        AlertChange::Raise { draft, alerts_max } => {
            one_more(tx, key, ("alerts", "raise"), ("alerts_max", *alerts_max)).await?;
            raise(tx, key, draft).await
        }
        AlertChange::Resolve { kind, fingerprint } => resolve(tx, key, kind, fingerprint).await,
    }
}

async fn raise(tx: &mut PgConnection, key: &RunKey, draft: &AlertDraft) -> Result<Applied, RecordError> {
    let AlertDraft { severity, kind, fingerprint, title, details } = draft;
    let row = sqlx::query!(
        r#"insert into alerts (severity, kind, fingerprint, title, details, task_id, worker_id, raised_by)
           values ($1, $2, $3, $4, $5, $6, $7, $7)
           on conflict (fingerprint) where state <> 'resolved' do update
           set occurrences = alerts.occurrences + 1, last_seen_at = now(),
               severity = greatest(alerts.severity, excluded.severity), title = excluded.title,
               details = excluded.details, worker_id = excluded.worker_id
           where alerts.kind = excluded.kind and alerts.raised_by is not null
           returning id, occurrences"#,
        *severity as Severity,
        kind,
        stored(kind, fingerprint),
        title,
        details,
        key.task.0,
        key.worker.0.as_str(),
    )
    .fetch_optional(tx)
    .await?;
    let Some(row) = row else {
        let message = format!("an alert of the host's has the fingerprint {kind}/{fingerprint}; choose another one");
        return Err(Refused::Conflict(message).into());
    };
    let mut applied = Applied::new(json!(row.id.to_string()));
    let details = json!({
        "alert": row.id, "kind": kind, "severity": severity, "fingerprint": fingerprint, "title": short(title),
        "occurrences": row.occurrences,
    });
    applied.events.push(Event::new(EventKind::AlertRaised, &key.worker.0, details).of(key.task));
    Ok(applied)
}

async fn resolve(tx: &mut PgConnection, key: &RunKey, kind: &str, fingerprint: &str) -> Result<Applied, RecordError> {
    let found = sqlx::query!(
        r#"select id, state as "state: AlertState" from alerts
           where fingerprint = $1 and kind = $2 and state <> 'resolved' and raised_by is not null for update"#,
        stored(kind, fingerprint),
        kind,
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(found) = found else {
        let message = format!("no alert of kind {kind} is open under the fingerprint {fingerprint:?}");
        return Err(Refused::NotFound(message).into());
    };
    let id: Uuid = found.id;
    sqlx::query!(
        "update alerts set state = 'resolved', resolved_by = $2, resolved_at = now() where id = $1",
        id,
        key.worker.0.as_str(),
    )
    .execute(tx)
    .await?;
    let mut applied = Applied::new(Value::Null);
    let details = json!({ "alert": id, "from": found.state, "to": AlertState::Resolved });
    applied.events.push(Event::new(EventKind::AlertSettled, &key.worker.0, details).of(key.task));
    Ok(applied)
}
