//! What runs have kept of reports.

use sqlx::PgConnection;

use super::{Applied, RecordError};
use crate::db::journal::RunKey;
use crate::records::ReportChange;

#[expect(clippy::unused_async, reason = "no change yet")]
pub(super) async fn apply(
    _tx: &mut PgConnection,
    _key: &RunKey,
    change: &ReportChange,
) -> Result<Applied, RecordError> {
    match *change {}
}
