//! The workers, as runs see them.

use serde_json::Value;

use super::RecordError;
use crate::db::Db;
use crate::records::WorkerQuery;

#[expect(clippy::unused_async, reason = "no look yet")]
pub(super) async fn look(_db: &Db, query: &WorkerQuery) -> Result<Value, RecordError> {
    match *query {}
}
