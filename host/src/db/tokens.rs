//! Bearer tokens of the API.
//!
//! Invariant: only the SHA-256 of a secret is stored; the secret itself exists once, in what [`Db::create_token`]
//! returns.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;
use time::{Duration, OffsetDateTime};
use utoipa::ToSchema;
use uuid::Uuid;

use super::logs::{LogEntry, append};
use super::{Db, DbError, rows};
use crate::audit::{Event, EventKind, micros};
use crate::task::LogLevel;

/// What every secret begins with, so that scanners find one that was committed by mistake.
pub const SECRET_PREFIX: &str = "jgt_";
const SECRET_BYTES: usize = 32;
/// Longest life that a token can be given.
pub const EXPIRES_DAYS_MAX: u32 = 3650;

/// Names that stand for no person: of the host itself, and of whoever writes rows by hand.
const RESERVED: &[&str] = &[Event::HOST, "sql", MADE_ON_DATABASE];

/// Who made a token, where somebody made it on the database itself. That is nobody who approves.
pub(super) const MADE_ON_DATABASE: &str = "database";

/// What a token's bearer may do; see `http::allows`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, ToSchema, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "token_role", rename_all = "snake_case")]
#[clap(rename_all = "snake_case")]
pub enum TokenRole {
    Viewer,
    Operator,
    Approver,
    Admin,
}

impl std::fmt::Display for TokenRole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Approver => "approver",
            Self::Admin => "admin",
        })
    }
}

/// A token in a list; never its secret.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TokenView {
    pub id: Uuid,
    pub principal: String,
    pub role: TokenRole,
    /// Who made it; `database` where it was made there, absent where that is not known.
    pub created_by: Option<String>,
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    pub expires_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    pub revoked_at: Option<OffsetDateTime>,
    /// Kept to the minute.
    #[serde(with = "time::serde::rfc3339::option")]
    pub last_used_at: Option<OffsetDateTime>,
}

/// Whose token a request bears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    pub name: String,
    pub role: TokenRole,
    pub token: Uuid,
}

/// Who makes a token.
#[derive(Clone, Copy, Debug)]
pub enum Maker<'a> {
    /// Somebody who has the database; stands under this name in the logs.
    Database(&'a str),
    /// The bearer of a token.
    Bearer(&'a Principal),
}

impl<'a> Maker<'a> {
    fn actor(self) -> &'a str {
        match self {
            Self::Database(name) => name,
            Self::Bearer(principal) => &principal.name,
        }
    }

    fn stored(self) -> (&'a str, Option<Uuid>) {
        match self {
            Self::Database(_) => (MADE_ON_DATABASE, None),
            Self::Bearer(principal) => (&principal.name, Some(principal.token)),
        }
    }
}

/// A token's place in the list, newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenCursor {
    pub created_at: OffsetDateTime,
    pub id: Uuid,
}

impl TokenCursor {
    /// Before the newest.
    pub const START: Self = Self { created_at: time::macros::datetime!(9999-12-31 0:00 UTC), id: Uuid::max() };
}

fn digest(secret: &str) -> Vec<u8> {
    Sha256::digest(secret.as_bytes()).to_vec()
}

/// 256 random bits, as text.
pub fn new_secret() -> Result<SecretString, DbError> {
    let mut bytes = [0_u8; SECRET_BYTES];
    getrandom::fill(&mut bytes)
        .map_err(|error| DbError::Unavailable(format!("the system has no random numbers: {error}")))?;
    Ok(SecretString::from(format!("{SECRET_PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))))
}

impl Db {
    /// Revokes every live token of a principal.
    pub async fn revoke_tokens_of(&self, principal: &str) -> Result<u64, DbError> {
        let mut tx = self.begin_audited().await?;
        let revoked = sqlx::query_scalar!(
            "update api_tokens set revoked_at = now() where principal = $1 and revoked_at is null returning id",
            principal
        )
        .fetch_all(&mut **tx)
        .await?;
        let count = revoked.len() as u64;
        let events = revoked.into_iter().map(|id| revoked_event(id, principal, principal));
        tx.commit(events.collect()).await?;
        Ok(count)
    }

    /// Makes a token. Its secret is in the answer and nowhere else.
    pub async fn create_token(
        &self,
        principal: &str,
        role: TokenRole,
        expires_days: Option<u32>,
        maker: Maker<'_>,
    ) -> Result<(TokenView, SecretString), DbError> {
        let by = maker.actor();
        let (created_by, created_with) = maker.stored();
        if RESERVED.iter().any(|reserved| principal.eq_ignore_ascii_case(reserved)) {
            return Err(DbError::ReservedPrincipal(principal.to_owned()));
        }
        let secret = new_secret()?;
        let expires_at = expires_days
            .map(|days| OffsetDateTime::now_utc() + Duration::days(i64::from(days.clamp(1, EXPIRES_DAYS_MAX))));
        let mut tx = self.begin_audited().await?;
        let token = sqlx::query_as!(
            TokenView,
            r#"insert into api_tokens (principal, role, secret_sha256, expires_at, created_by, created_with)
            values ($1, $2, $3, $4, $5, $6)
            returning id, principal, role as "role: TokenRole", created_by, created_at, expires_at, revoked_at,
                last_used_at"#,
            principal,
            role as TokenRole,
            digest(secret.expose_secret()),
            expires_at,
            created_by,
            created_with
        )
        .fetch_one(&mut **tx)
        .await?;
        let message = format!("Token {} with role {role} created for {principal} by {by}", token.id);
        log(&mut tx, "token_created", message, token.id, by).await?;
        let details = json!({
            "token": token.id, "principal": principal, "role": role, "expires_at": token.expires_at.map(micros),
        });
        tx.commit(vec![Event::new(EventKind::TokenCreated, by, details)]).await?;
        Ok((token, secret))
    }

    /// Whose token this is; none if nobody's, or expired or revoked.
    pub async fn authenticate(&self, secret: &str) -> Result<Option<Principal>, DbError> {
        let found = sqlx::query!(
            r#"select id, principal, role as "role: TokenRole",
                (last_used_at is null or last_used_at < now() - interval '1 minute') as "touch!"
            from api_tokens
            where secret_sha256 = $1 and revoked_at is null and (expires_at is null or expires_at > now())"#,
            digest(secret)
        )
        .fetch_optional(&self.pool)
        .await?;
        let Some(token) = found else {
            return Ok(None);
        };
        // At most one write a minute, and repeated in the condition: requests that come together write once.
        if token.touch {
            sqlx::query!(
                "update api_tokens set last_used_at = now()
                where id = $1 and (last_used_at is null or last_used_at < now() - interval '1 minute')",
                token.id
            )
            .execute(&self.pool)
            .await?;
        }
        Ok(Some(Principal { name: token.principal, role: token.role, token: token.id }))
    }

    /// Tokens, newest first, revoked and expired ones too.
    pub async fn list_tokens(&self, after: TokenCursor, limit: u32) -> Result<Vec<TokenView>, DbError> {
        let tokens = sqlx::query_as!(
            TokenView,
            r#"select id, principal, role as "role: TokenRole", created_by, created_at, expires_at, revoked_at, last_used_at
            from api_tokens where (created_at, id) < ($1::timestamptz, $2::uuid)
            order by created_at desc, id desc limit $3"#,
            after.created_at,
            after.id,
            rows(limit)
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(tokens)
    }

    /// Revokes the one token whose id begins with these hexadecimal digits. Doing it again changes nothing.
    pub async fn revoke_token(&self, id_or_prefix: &str, by: &str) -> Result<TokenView, DbError> {
        let prefix = id_or_prefix.to_ascii_lowercase();
        let unknown = || DbError::UnknownToken(id_or_prefix.chars().take(36).collect());
        if prefix.is_empty()
            || prefix.len() > 36
            || !prefix.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
        {
            return Err(unknown());
        }
        let ids = sqlx::query_scalar!("select id from api_tokens where starts_with(id::text, $1) limit 2", prefix)
            .fetch_all(&self.pool)
            .await?;
        let id = match ids.as_slice() {
            [] => return Err(unknown()),
            [id] => *id,
            _ => return Err(DbError::AmbiguousToken(prefix)),
        };
        let mut tx = self.begin_audited().await?;
        let token = sqlx::query_as!(
            TokenView,
            r#"update api_tokens set revoked_at = coalesce(revoked_at, now()) where id = $1
            returning id, principal, role as "role: TokenRole", created_by, created_at, expires_at, revoked_at,
                last_used_at"#,
            id
        )
        .fetch_optional(&mut **tx)
        .await?
        .ok_or_else(unknown)?;
        let message = format!("Token {id} of {} revoked by {by}", token.principal);
        log(&mut tx, "token_revoked", message, id, by).await?;
        tx.commit(vec![revoked_event(id, &token.principal, by)]).await?;
        Ok(token)
    }
}

fn revoked_event(token: Uuid, principal: &str, by: &str) -> Event {
    Event::new(EventKind::TokenRevoked, by, json!({ "token": token, "principal": principal }))
}

async fn log(tx: &mut PgConnection, action: &str, message: String, token: Uuid, by: &str) -> Result<(), DbError> {
    let entry = LogEntry {
        task_id: None,
        worker_id: None,
        action: action.to_owned(),
        level: LogLevel::Info,
        message,
        metadata: json!({ "principal": by, "token": token }),
        error_data: None,
        attempt: None,
    };
    append(tx, &entry).await?;
    Ok(())
}
