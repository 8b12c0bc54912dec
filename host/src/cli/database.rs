//! Commands that work on the database itself: `migrate` and `token …`. Whoever has DATABASE_URL may do anything
//! anyway, and the first token has to come from somewhere.

use std::process::ExitCode;

use anyhow::Context as _;
use secrecy::ExposeSecret as _;
use serde::Serialize;

use super::args::TokenCommand;
use super::output::{Output, cell, note, time, time_or_dash};
use crate::config::{self, DatabaseConfig, Env};
use crate::db::Db;
use crate::db::tokens::{TokenCursor, TokenView};
use crate::http::{CreatedToken, Page};

/// Who stands in the execution log for what was done here.
const PRINCIPAL: &str = "command-line";
const TOKENS_SHOWN_MAX: u32 = 200;

pub(super) async fn connect() -> anyhow::Result<Db> {
    let config = DatabaseConfig::from_env(Env(&config::process))?;
    Db::connect(&config).await.context("DATABASE_URL: check that the database is running and may be reached from here")
}

pub(super) async fn migrate(output: Output) -> anyhow::Result<ExitCode> {
    connect().await?.migrate().await?;
    output.line(if output.json { "{\"migrated\":true}" } else { "the database is up to date" })?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn token(command: TokenCommand, output: Output) -> anyhow::Result<ExitCode> {
    let db = connect().await?;
    match command {
        TokenCommand::Create { principal, role, expires_days } => {
            let (token, secret) = db.create_token(&principal, role, expires_days, PRINCIPAL).await?;
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
    Ok(ExitCode::SUCCESS)
}

async fn list(db: &Db, output: Output) -> anyhow::Result<()> {
    let tokens = db.list_tokens(TokenCursor::START, TOKENS_SHOWN_MAX).await?;
    let full = tokens.len() >= usize::try_from(TOKENS_SHOWN_MAX)?;
    if output.json {
        print_json(output, &Page { items: tokens, next: None })?;
    } else {
        let headings = ["ID", "PRINCIPAL", "ROLE", "CREATED", "EXPIRES", "REVOKED", "LAST USED"];
        output.table(&headings, tokens.iter().map(row).collect())?;
    }
    if full {
        note(&format!("only the newest {TOKENS_SHOWN_MAX} are shown; GET /api/v1/tokens pages through all"));
    }
    Ok(())
}

fn row(token: &TokenView) -> Vec<String> {
    let TokenView { id, principal, role, created_at, expires_at, revoked_at, last_used_at } = token;
    vec![
        id.to_string(),
        cell(principal),
        role.to_string(),
        time(*created_at),
        time_or_dash(*expires_at),
        time_or_dash(*revoked_at),
        time_or_dash(*last_used_at),
    ]
}

fn print_json(output: Output, value: &impl Serialize) -> anyhow::Result<()> {
    output.line(&serde_json::to_string(value)?)?;
    Ok(())
}
