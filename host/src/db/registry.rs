//! `worker_registry`: registration and heartbeats, with the statements of the specification.

use serde_json::json;

use super::{Db, DbError};
use crate::task::{HostId, TaskId, WorkerId, WorkerStatus};

impl Db {
    /// Registers a worker under `name`, or under `name-<part of the host's id>` while another live process has the
    /// name. Returns the name it got. The versions are what it would run tasks with ([`crate::approval::Versions`]).
    pub async fn register_worker(
        &self,
        name: &WorkerId,
        worker_type: &str,
        task_types: &[String],
        host: HostId,
        versions_sha256: &[u8; 32],
    ) -> Result<WorkerId, DbError> {
        let suffix: String = host.0.simple().to_string().chars().take(8).collect();
        for candidate in [name.clone(), WorkerId(format!("{name}-{suffix}"))] {
            let taken = sqlx::query!(
                r#"insert into worker_registry
                       (worker_id, worker_type, status, capabilities, last_heartbeat, host_id, versions_sha256)
                   values ($1, $2, 'active', $3, now(), $4, $5)
                   on conflict (worker_id) do update
                   set worker_type = excluded.worker_type, status = 'active', capabilities = excluded.capabilities,
                       last_heartbeat = now(), host_id = excluded.host_id, current_task_id = null,
                       registered_at = now(), versions_sha256 = excluded.versions_sha256
                   where worker_registry.host_id is not distinct from excluded.host_id
                       or worker_registry.status in ('offline', 'stale')
                       or worker_registry.last_heartbeat < now() - interval '5 minutes'
                       or worker_registry.host_id is null"#,
                candidate.0,
                worker_type,
                json!(task_types),
                host.0,
                versions_sha256.as_slice(),
            )
            .execute(self.pool())
            .await?;
            if taken.rows_affected() == 1 {
                return Ok(candidate);
            }
        }
        Err(DbError::corrupt("worker_registry: a second process has this host's id"))
    }

    /// The heartbeat of the specification.
    pub async fn heartbeat(
        &self,
        worker: &WorkerId,
        host: HostId,
        status: WorkerStatus,
        current_task: Option<TaskId>,
    ) -> Result<(), DbError> {
        sqlx::query!(
            r#"update worker_registry set last_heartbeat = now(), status = $3, current_task_id = $4
               where worker_id = $1 and host_id = $2"#,
            worker.0,
            host.0,
            status as WorkerStatus,
            current_task.map(|task| task.0),
        )
        .execute(self.pool())
        .await?;
        Ok(())
    }
}
