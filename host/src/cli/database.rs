//! Commands that work on the database itself: `migrate` and `token …`. Whoever has DATABASE_URL may do anything
//! anyway, and the first token has to come from somewhere.

use std::process::ExitCode;

use anyhow::Context as _;
use secrecy::ExposeSecret as _;
use serde::Serialize;
use serde_json::json;

use super::args::TokenCommand;
use super::output::{Output, cell, note, time, time_or_dash};
use crate::audit::{Event, EventKind, SigningKey};
use crate::config::{self, AuditKey, DatabaseConfig, Env};
use crate::db::tokens::{Maker, TokenCursor, TokenView};
use crate::db::{Db, Readiness};
use crate::http::{CreatedToken, Page};
use crate::task::HostId;

/// Who stands in the execution log for what was done here.
const PRINCIPAL: &str = "command-line";
const TOKENS_SHOWN_MAX: u32 = 200;

pub(super) async fn connect() -> anyhow::Result<Db> {
    let env = Env(&config::process);
    let config = DatabaseConfig::from_env(env)?;
    let key = match AuditKey::if_set(env)? {
        Some(AuditKey::Seed(seed)) => Some(SigningKey::from_seed(&seed)?),
        Some(AuditKey::Ephemeral) | None => None,
    };
    let db = Db::connect(&config)
        .await
        .context("DATABASE_URL: check that the database is running and may be reached from here")?;
    Ok(db.audited_by(HostId::generate(), key))
}

pub(super) async fn migrate(output: Output) -> anyhow::Result<ExitCode> {
    let db = connect().await?;
    let before = db.is_ready().await?;
    db.migrate().await?;
    if let Readiness::MigrationsMissing { newest_applied, newest_known } = before {
        let details = json!({ "from": newest_applied, "to": newest_known });
        db.record(vec![Event::new(EventKind::Migrated, PRINCIPAL, details)]).await?;
        db.audit_checkpoint().await?;
    }
    output.line(if output.json { "{\"migrated\":true}" } else { "the database is up to date" })?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn token(command: TokenCommand, output: Output) -> anyhow::Result<ExitCode> {
    let db = connect().await?;
    match command {
        TokenCommand::Create { principal, role, expires_days } => {
            let (token, secret) = db.create_token(&principal, role, expires_days, Maker::Database(PRINCIPAL)).await?;
            let secret = secret.expose_secret().to_owned();
            if output.json {
                print_json(output, &CreatedToken { token, secret })?;
            } else {
                note(&format!("token {} for {principal}, {role}; it is shown this once:", token.id));
                output.line(&secret)?;
            }
        }
        TokenCommand::List => list(&db, output).await?,
        TokenCommand::Revoke { id } => {
            let token = db.revoke_token(&id, PRINCIPAL).await?;
            if output.json {
                print_json(output, &token)?;
            } else {
                output.line(&format!("revoked {} of {}", token.id, cell(&token.principal)))?;
            }
        }
    }
    db.audit_checkpoint().await?;
    Ok(ExitCode::SUCCESS)
}

async fn list(db: &Db, output: Output) -> anyhow::Result<()> {
    let tokens = db.list_tokens(TokenCursor::START, TOKENS_SHOWN_MAX).await?;
    let full = tokens.len() >= usize::try_from(TOKENS_SHOWN_MAX)?;
    if output.json {
        print_json(output, &Page { items: tokens, next: None })?;
    } else {
        let headings = ["ID", "PRINCIPAL", "ROLE", "CREATED", "BY", "EXPIRES", "REVOKED", "LAST USED"];
        output.table(&headings, tokens.iter().map(row).collect())?;
    }
    if full {
        note(&format!("only the newest {TOKENS_SHOWN_MAX} are shown; GET /api/v1/tokens pages through all"));
    }
    Ok(())
}

fn row(token: &TokenView) -> Vec<String> {
    let TokenView { id, principal, role, created_by, created_at, expires_at, revoked_at, last_used_at } = token;
    vec![
        id.to_string(),
        cell(principal),
        role.to_string(),
        time(*created_at),
        cell(created_by.as_deref().unwrap_or("-")),
        time_or_dash(*expires_at),
        time_or_dash(*revoked_at),
        time_or_dash(*last_used_at),
    ]
}

fn print_json(output: Output, value: &impl Serialize) -> anyhow::Result<()> {
    output.line(&serde_json::to_string(value)?)?;
    Ok(())
}
