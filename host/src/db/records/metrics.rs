//! Figures over a window of time.

use serde_json::Value;

use super::RecordError;
use crate::db::Db;
use crate::records::MetricQuery;

#[expect(clippy::unused_async, reason = "no measurement yet")]
pub(super) async fn look(_db: &Db, query: &MetricQuery) -> Result<Value, RecordError> {
    match *query {}
}
