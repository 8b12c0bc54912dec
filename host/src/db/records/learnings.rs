//! Learnings, as runs see and change them.

use serde_json::Value;
use sqlx::PgConnection;

use super::{Applied, RecordError};
use crate::db::Db;
use crate::db::journal::RunKey;
use crate::records::{LearningChange, LearningQuery};

#[expect(clippy::unused_async, reason = "no look yet")]
pub(super) async fn look(_db: &Db, _key: &RunKey, query: &LearningQuery) -> Result<Value, RecordError> {
    match *query {}
}

#[expect(clippy::unused_async, reason = "no change yet")]
pub(super) async fn apply(
    _tx: &mut PgConnection,
    _key: &RunKey,
    change: &LearningChange,
) -> Result<Applied, RecordError> {
    match *change {}
}
