//! The workers, as runs see them.

use serde_json::{Value, json};

use super::RecordError;
use super::bounds::{looked, reading};
use crate::db::Db;
use crate::db::workers::STALE_AFTER_SECONDS;
use crate::records::{SeenWorker, WorkerQuery};
use crate::task::WorkerStatus;

const WORKERS_MAX: i64 = 500;

pub(super) async fn look(db: &Db, query: &WorkerQuery) -> Result<Value, RecordError> {
    let WorkerQuery::All = query;
    let mut tx = reading(db).await?;
    // Those that were heard of last: names of workers that are gone for good pile up.
    let rows = sqlx::query!(
        r#"select worker_id, worker_type, capabilities, current_task_id,
                  case when status <> $2 and last_heartbeat < now() - make_interval(secs => $3) then $4 else status end
                      as "status!: WorkerStatus",
                  greatest(extract(epoch from now() - last_heartbeat), 0)::bigint as "silent!"
           from worker_registry order by (status = $2), last_heartbeat desc, worker_id limit $1"#,
        WORKERS_MAX,
        WorkerStatus::Offline as WorkerStatus,
        STALE_AFTER_SECONDS,
        WorkerStatus::Stale as WorkerStatus,
    )
    .fetch_all(&mut *tx)
    .await
    .map_err(looked)?;
    let seen = rows.into_iter().map(|row| SeenWorker {
        id: row.worker_id,
        worker_type: row.worker_type,
        status: row.status.to_string(),
        task_types: names(&row.capabilities),
        current_task: row.current_task_id.map(|id| id.to_string()),
        silent_seconds: u64::try_from(row.silent).unwrap_or(0),
    });
    Ok(json!(seen.collect::<Vec<_>>()))
}

fn names(list: &Value) -> Vec<String> {
    let items = list.as_array().map(Vec::as_slice).unwrap_or_default();
    items.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}
