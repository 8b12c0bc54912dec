//! Alerts, as runs see and change them.

use serde_json::Value;
use sqlx::PgConnection;

use super::{Applied, RecordError};
use crate::db::Db;
use crate::db::journal::RunKey;
use crate::records::{AlertChange, AlertQuery};

#[expect(clippy::unused_async, reason = "no look yet")]
pub(super) async fn look(_db: &Db, query: &AlertQuery) -> Result<Value, RecordError> {
    match *query {}
}

#[expect(clippy::unused_async, reason = "no change yet")]
pub(super) async fn apply(_tx: &mut PgConnection, _key: &RunKey, change: &AlertChange) -> Result<Applied, RecordError> {
    match *change {}
}
