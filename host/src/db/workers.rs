//! The registry of workers as people see it.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::{Db, DbError, rows};
use crate::task::{TaskId, WorkerId, WorkerStatus};

/// A worker without a heartbeat for this long is stale (specification, "Status Values").
pub const STALE_AFTER_SECONDS: f64 = 300.0;

/// A worker in a list.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct WorkerView {
    pub worker_id: WorkerId,
    pub worker_type: String,
    /// `stale` where the last heartbeat is older than 5 minutes, whatever the worker said of itself before.
    pub status: WorkerStatus,
    #[schema(value_type = Vec<String>)]
    pub capabilities: Value,
    #[serde(with = "time::serde::rfc3339")]
    pub last_heartbeat: OffsetDateTime,
    pub current_task_id: Option<TaskId>,
    #[serde(with = "time::serde::rfc3339")]
    pub registered_at: OffsetDateTime,
}

impl Db {
    /// Workers by id, after that id (empty: from the start).
    pub async fn workers(&self, after: &str, limit: u32) -> Result<Vec<WorkerView>, DbError> {
        let workers = sqlx::query_as!(
            WorkerView,
            r#"select worker_id as "worker_id: WorkerId", worker_type,
                case when status <> $3 and last_heartbeat < now() - make_interval(secs => $4) then $5 else status end
                    as "status!: WorkerStatus",
                capabilities, last_heartbeat, current_task_id as "current_task_id: TaskId", registered_at
            from worker_registry where worker_id > $1 order by worker_id limit $2"#,
            after,
            rows(limit),
            WorkerStatus::Offline as WorkerStatus,
            STALE_AFTER_SECONDS,
            WorkerStatus::Stale as WorkerStatus
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(workers)
    }
}
