//! Tokens of the API. For admins; the first one is made by `juggernaut token create`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ApiState;
use super::access::{ManageTokens, May};
use super::cursor::{Page, decode, encode};
use super::extract::{ApiJson, ApiQuery, TokenPath, page_limit};
use super::logs::PageQuery;
use super::problem::Problem;
use crate::db::tokens::{EXPIRES_DAYS_MAX, Maker, TokenCursor, TokenRole, TokenView};

/// A token as somebody asks for it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenDraft {
    /// 1 to 63 letters, digits, `.`, `_`, `@` or `-`; begins with a letter or digit.
    pub principal: String,
    pub role: TokenRole,
    /// 1 to 3650; never if unset.
    #[serde(default)]
    pub expires_days: Option<u32>,
}

/// A new token. The only time that its secret is shown.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CreatedToken {
    #[serde(flatten)]
    pub token: TokenView,
    /// What goes behind `Authorization: Bearer`.
    pub secret: String,
}

/// Create a token
#[utoipa::path(post, path = "/tokens", tag = "tokens", request_body = TokenDraft,
    responses((status = 201, description = "The token and, this once, its secret", body = CreatedToken)))]
pub(super) async fn create_token(
    State(state): State<ApiState>,
    caller: May<ManageTokens>,
    ApiJson(draft): ApiJson<TokenDraft>,
) -> Result<(StatusCode, Json<CreatedToken>), Problem> {
    let TokenDraft { principal, role, expires_days } = draft;
    if expires_days.is_some_and(|days| days == 0 || days > EXPIRES_DAYS_MAX) {
        let message = format!("must be 1 to {EXPIRES_DAYS_MAX}, or absent");
        return Err(Problem::invalid_field("expires_days", &message, format!("expires_days {message}")));
    }
    let (token, secret) =
        state.db.create_token(&principal, role, expires_days, Maker::Bearer(&caller.principal)).await?;
    Ok((StatusCode::CREATED, Json(CreatedToken { token, secret: secret.expose_secret().to_owned() })))
}

/// List tokens, newest first, without their secrets
#[utoipa::path(get, path = "/tokens", tag = "tokens", params(PageQuery),
    responses((status = 200, description = "A page of tokens", body = Page<TokenView>)))]
pub(super) async fn list_tokens(
    State(state): State<ApiState>,
    _caller: May<ManageTokens>,
    ApiQuery(PageQuery { cursor, limit }): ApiQuery<PageQuery>,
) -> Result<Json<Page<TokenView>>, Problem> {
    let limit = page_limit(limit)?;
    let after = match cursor {
        None => TokenCursor::START,
        Some(cursor) => {
            let (created_at, id) = decode(&cursor)?;
            TokenCursor { created_at, id }
        }
    };
    let tokens = state.db.list_tokens(after, limit + 1).await?;
    Ok(Json(Page::cut(tokens, limit, |token| encode(token.created_at, token.id))))
}

/// Revoke a token
#[utoipa::path(delete, path = "/tokens/{id}", tag = "tokens", params(("id" = Uuid, Path, description = "The token's id")),
    responses((status = 200, description = "The revoked token", body = TokenView)))]
pub(super) async fn revoke_token(
    State(state): State<ApiState>,
    caller: May<ManageTokens>,
    TokenPath(id): TokenPath,
) -> Result<Json<TokenView>, Problem> {
    Ok(Json(state.db.revoke_token(&id.to_string(), &caller.principal.name).await?))
}
