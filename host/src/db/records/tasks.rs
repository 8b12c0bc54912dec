//! Tasks, as runs see and change them.

use serde_json::Value;
use sqlx::PgConnection;

use super::{Applied, RecordError};
use crate::db::Db;
use crate::db::journal::RunKey;
use crate::records::{TaskChange, TaskQuery};

#[expect(clippy::unused_async, reason = "no look yet")]
pub(super) async fn look(_db: &Db, _key: &RunKey, query: &TaskQuery) -> Result<Value, RecordError> {
    match *query {}
}

#[expect(clippy::unused_async, reason = "no change yet")]
pub(super) async fn apply(
    _db: &Db,
    _tx: &mut PgConnection,
    _key: &RunKey,
    change: &TaskChange,
) -> Result<Applied, RecordError> {
    match *change {}
}
