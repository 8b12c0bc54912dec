//! Signed checkpoints of this process's chain.

use time::OffsetDateTime;

use crate::audit::{Checkpoint, micros};
use crate::db::{Db, DbError};

impl Db {
    /// Rows of this process's chain that no checkpoint covers yet.
    pub async fn audit_rows_unsigned(&self) -> i64 {
        let state = self.ledger.state.lock().await;
        let Some(known) = state.known else { return 0 };
        match &state.signed {
            Some(signed) if signed.chain == known.chain => known.seq - signed.seq,
            Some(_) | None => known.seq,
        }
    }

    /// Signs how far the chain has come. None if there is nothing new, or no key.
    pub async fn audit_checkpoint(&self) -> Result<Option<Checkpoint>, DbError> {
        let Some(key) = &self.ledger.key else { return Ok(None) };
        let mut state = self.ledger.state.lock().await;
        let checkpoint = match (&state.pending, state.known) {
            // The same again: it may have been stored after all, and the next one names its digest.
            (Some(pending), _) => pending.clone(),
            (None, Some(known)) => {
                let signed = state.signed.as_ref().filter(|signed| signed.chain == known.chain);
                if signed.is_some_and(|signed| signed.seq == known.seq) {
                    return Ok(None);
                }
                let previous = signed.map_or([0; 32], Checkpoint::digest);
                Checkpoint::sign(key, known, micros(OffsetDateTime::now_utc()), previous)
            }
            (None, None) => return Ok(None),
        };
        state.pending = Some(checkpoint.clone());
        drop(state);
        insert_checkpoint(&self.pool, &checkpoint).await?;
        let mut state = self.ledger.state.lock().await;
        state.pending = None;
        state.signed = Some(checkpoint.clone());
        Ok(Some(checkpoint))
    }
}

async fn insert_checkpoint(pool: &sqlx::PgPool, checkpoint: &Checkpoint) -> Result<(), DbError> {
    let at = OffsetDateTime::UNIX_EPOCH + time::Duration::microseconds(checkpoint.at);
    sqlx::query!(
        "insert into audit_checkpoints (chain, seq, hash, at, previous, key_id, signature)
        values ($1, $2, $3, $4, $5, $6, $7) on conflict do nothing",
        checkpoint.chain,
        checkpoint.seq,
        checkpoint.hash.as_slice(),
        at,
        checkpoint.previous.as_slice(),
        checkpoint.key_id.as_slice(),
        checkpoint.signature.as_slice()
    )
    .execute(pool)
    .await?;
    Ok(())
}
