//! Keys of requests that create tasks, so that a client which got no answer can send the same request again.

use std::time::Duration;

use sqlx::PgConnection;

use super::{Db, DbError};
use crate::task::TaskId;

/// How long a key is remembered.
pub const KEY_LIFETIME: Duration = Duration::from_hours(24);

/// A key that a client chose, and what it asked for with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestKey {
    /// 1 to 200 characters.
    pub key: String,
    pub request_sha256: [u8; 32],
}

impl Db {
    /// What an earlier request of this principal with this key created, in its order.
    pub async fn created_before(&self, principal: &str, key: &RequestKey) -> Result<Option<Vec<TaskId>>, DbError> {
        let found = sqlx::query!(
            r#"select request_sha256, tasks as "tasks: Vec<TaskId>" from request_keys where principal = $1 and key = $2"#,
            principal,
            key.key
        )
        .fetch_optional(self.pool())
        .await?;
        match found {
            None => Ok(None),
            Some(row) if row.request_sha256 == key.request_sha256 => Ok(Some(row.tasks)),
            Some(_) => Err(DbError::RequestKeyReused(key.key.clone())),
        }
    }

    /// Forgets keys past their time; returns how many.
    pub async fn forget_request_keys(&self) -> Result<u64, DbError> {
        let forgotten = sqlx::query!(
            "delete from request_keys where created_at < now() - make_interval(secs => $1)",
            KEY_LIFETIME.as_secs_f64()
        )
        .execute(self.pool())
        .await?;
        Ok(forgotten.rows_affected())
    }
}

/// Remembers the key with what is created in this transaction. Waits for another request with the same key, and fails
/// if that one came first.
pub(super) async fn remember(
    connection: &mut PgConnection,
    principal: &str,
    key: &RequestKey,
    tasks: &[TaskId],
) -> Result<(), DbError> {
    let ids: Vec<_> = tasks.iter().map(|task| task.0).collect();
    let first = sqlx::query!(
        "insert into request_keys (principal, key, request_sha256, tasks) values ($1, $2, $3, $4) on conflict do nothing",
        principal,
        key.key,
        &key.request_sha256,
        &ids
    )
    .execute(connection)
    .await?;
    if first.rows_affected() == 1 { Ok(()) } else { Err(DbError::RequestRepeated) }
}
