//! Reports of runs, on their way into the table.

use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::bounds::one_more;
use super::{Applied, RecordError};
use crate::audit::{Event, EventKind, short};
use crate::db::journal::RunKey;
use crate::records::{ReportChange, ReportDraft, StoredAs};

pub(super) async fn apply(tx: &mut PgConnection, key: &RunKey, change: &ReportChange) -> Result<Applied, RecordError> {
    let ReportChange::Store { draft, reports_max } = change;
    one_more(tx, key, ("reports", "store"), ("reports_max", *reports_max)).await?;
    let ReportDraft { title, markdown, series } = draft;
    let (id, sha256) = (Uuid::now_v7(), draft.sha256());
    sqlx::query!(
        "insert into reports (id, task_id, attempt, worker_id, title, markdown, series, sha256)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
        id,
        key.task.0,
        key.attempt.0,
        key.worker.0.as_str(),
        title,
        markdown,
        json!(series),
        sha256,
    )
    .execute(tx)
    .await?;
    let details = json!({ "report": id, "sha256": sha256, "title": short(title), "bytes": draft.size() });
    let mut applied = Applied::new(json!(StoredAs { id: id.to_string(), sha256 }));
    applied.events.push(Event::new(EventKind::ReportStored, &key.worker.0, details).of(key.task));
    Ok(applied)
}
