//! The header `Idempotency-Key`: a request that creates tasks can be sent again by a client that got no answer.

use axum::extract::FromRequestParts;
use axum::http::HeaderName;
use axum::http::request::Parts;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::problem::Problem;
use crate::db::request_keys::RequestKey;
use crate::db::{Db, DbError};
use crate::task::TaskId;

pub(crate) const KEY_HEADER: &str = "idempotency-key";
/// In the answer to a request that was sent before.
pub(super) const REPLAYED_HEADER: HeaderName = HeaderName::from_static("idempotency-replayed");
const KEY_CHARS_MAX: usize = 200;

/// The key, if the client sends one.
#[derive(Debug)]
pub(super) struct IdempotencyKey(Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let mut keys = parts.headers.get_all(KEY_HEADER).iter();
        let Some(key) = keys.next() else { return Ok(Self(None)) };
        let text = key.to_str().unwrap_or_default();
        let fits = (1..=KEY_CHARS_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if keys.next().is_none() && fits {
            Ok(Self(Some(text.to_owned())))
        } else {
            Err(Problem::bad_key(KEY_CHARS_MAX))
        }
    }
}

impl IdempotencyKey {
    /// With what is asked for.
    pub(super) fn of(self, asked: &impl Serialize) -> Result<Option<RequestKey>, Problem> {
        let Some(key) = self.0 else { return Ok(None) };
        let text = serde_json::to_vec(asked).map_err(|error| Problem::internal(error.to_string()))?;
        Ok(Some(RequestKey { key, request_sha256: Sha256::digest(text).into() }))
    }
}

/// What the same request has created before.
pub(super) async fn created_before(
    db: &Db,
    principal: &str,
    key: Option<&RequestKey>,
) -> Result<Option<Vec<TaskId>>, Problem> {
    match key {
        None => Ok(None),
        Some(key) => Ok(db.created_before(principal, key).await?),
    }
}

/// The outcome of a creation; where the same request was quicker, what that one created.
pub(super) async fn first_or_before<T>(
    db: &Db,
    principal: &str,
    key: Option<&RequestKey>,
    created: Result<T, DbError>,
) -> Result<Result<T, Vec<TaskId>>, Problem> {
    match created {
        Ok(created) => Ok(Ok(created)),
        Err(error @ DbError::RequestRepeated) => match created_before(db, principal, key).await? {
            Some(before) => Ok(Err(before)),
            None => Err(error.into()),
        },
        Err(error) => Err(error.into()),
    }
}
