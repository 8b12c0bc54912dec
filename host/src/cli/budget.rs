//! `juggernaut budget …`

use std::process::ExitCode;

use super::client::Client;
use super::output::{Output, cell, visible};
use crate::db::models::{BudgetView, ModelSpending};

const MICRODOLLARS: u64 = 1_000_000;

pub(super) async fn show(client: &Client, output: Output) -> anyhow::Result<ExitCode> {
    let answer = client.get(&["budget"], &[]).await?;
    if output.json {
        output.line(&answer.text)?;
        return Ok(ExitCode::SUCCESS);
    }
    let BudgetView { day, tokens, tokens_max, microdollars, microdollars_max, models } = answer.parse()?;
    output.line(&format!("day     {} (UTC)", visible(&day)))?;
    output.line(&format!("tokens  {tokens} of {tokens_max}"))?;
    output.line(&format!("cost    {} of {}", dollars(microdollars), dollars(microdollars_max)))?;
    output.table(&["MODEL", "REQUESTS", "UNSETTLED", "TOKENS", "COST"], models.iter().map(row).collect())?;
    Ok(ExitCode::SUCCESS)
}

fn row(model: &ModelSpending) -> Vec<String> {
    let ModelSpending { model, requests, unsettled, tokens, microdollars } = model;
    vec![cell(model), requests.to_string(), unsettled.to_string(), tokens.to_string(), dollars(*microdollars)]
}

fn dollars(microdollars: u64) -> String {
    format!("${}.{:06}", microdollars / MICRODOLLARS, microdollars % MICRODOLLARS)
}
