//! What keeps a look short, and an attempt within its numbers.

use sqlx::{PgConnection, Postgres, Transaction};

use super::RecordError;
use crate::db::Db;
use crate::db::journal::RunKey;
use crate::records::Refused;

/// Longest that the server works on one look, milliseconds.
const LOOK_MS_MAX: &str = "set local statement_timeout = 5000";
/// `query_canceled`.
const CANCELED: &str = "57014";

/// A transaction that can only read, each of whose statements is short.
pub(super) async fn reading(db: &Db) -> Result<Transaction<'static, Postgres>, RecordError> {
    let mut tx = db.pool().begin_with("begin transaction read only").await?;
    sqlx::query(LOOK_MS_MAX).execute(&mut *tx).await?;
    Ok(tx)
}

/// A look that took too long is one that the role can ask less of.
pub(super) fn looked(error: sqlx::Error) -> RecordError {
    let canceled =
        error.as_database_error().and_then(sqlx::error::DatabaseError::code).is_some_and(|code| code == CANCELED);
    if canceled {
        let message = "that is too much to be looked through within 5 seconds; ask for a shorter window, or less";
        return Refused::Invalid(message.to_owned()).into();
    }
    error.into()
}

/// How often this attempt has made a call with success. The run's claim is held, so no other of its calls comes between.
async fn made(tx: &mut PgConnection, key: &RunKey, interface: &str, function: &str) -> Result<i64, RecordError> {
    let made = sqlx::query_scalar!(
        r#"select count(*) as "count!" from task_steps
           where task_id = $1 and attempt = $2 and interface = $3 and function = $4 and state = 'done'
               and result -> 'ok' is not null"#,
        key.task.0,
        key.attempt.0,
        interface,
        function,
    )
    .fetch_one(tx)
    .await?;
    Ok(made)
}

/// Refuses one more call than the manifest's `limit` allows an attempt.
pub(super) async fn one_more(
    tx: &mut PgConnection,
    key: &RunKey,
    (interface, function): (&str, &str),
    (limit, max): (&str, u32),
) -> Result<(), RecordError> {
    if made(tx, key, interface, function).await? < i64::from(max) {
        return Ok(());
    }
    let message = format!(
        "{interface}.{limit}: this attempt has made {max} calls of {interface}.{function} already, and its manifest grants no more"
    );
    Err(Refused::Denied(message).into())
}
