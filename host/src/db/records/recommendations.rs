//! What runs have kept of recommendations.

use sqlx::PgConnection;

use super::{Applied, RecordError};
use crate::db::Db;
use crate::db::journal::RunKey;
use crate::records::RecommendationChange;

#[expect(clippy::unused_async, reason = "no change yet")]
pub(super) async fn apply(
    _db: &Db,
    _tx: &mut PgConnection,
    _key: &RunKey,
    change: &RecommendationChange,
) -> Result<Applied, RecordError> {
    match *change {}
}
