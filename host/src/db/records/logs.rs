//! The execution log, as runs see it.

use serde_json::Value;

use super::RecordError;
use crate::db::Db;
use crate::records::LogQuery;

#[expect(clippy::unused_async, reason = "no look yet")]
pub(super) async fn look(_db: &Db, query: &LogQuery) -> Result<Value, RecordError> {
    match *query {}
}
