//! `juggernaut learning …`

use std::process::ExitCode;

use super::args::LearningCommand;
use super::client::Client;
use super::output::{Output, cell, note, time, visible};
use crate::db::learnings::LearningView;
use crate::http::Page;

pub(super) async fn run(client: &Client, command: LearningCommand, output: Output) -> anyhow::Result<ExitCode> {
    let (words, tag, limit, cursor) = match command {
        LearningCommand::Search { words, tag, limit, cursor } => (Some(words.join(" ")), tag, limit, cursor),
        LearningCommand::List { tag, limit, cursor } => (None, tag, limit, cursor),
    };
    let query = [("q", words), ("tag", tag), ("limit", Some(limit.to_string())), ("cursor", cursor)];
    let query: Vec<_> = query.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    let answer = client.get(&["learnings"], &query).await?;
    if output.json {
        output.line(&answer.text)?;
        return Ok(ExitCode::SUCCESS);
    }
    let page: Page<LearningView> = answer.parse()?;
    let rows = page.items.iter().map(row).collect();
    output.table(&["ID", "CATEGORY", "IMPACT", "USES", "CREATED", "TAGS", "TITLE", "DESCRIPTION"], rows)?;
    if let Some(next) = page.next {
        note(&format!("there is more: add --cursor {}", visible(&next)));
    }
    Ok(ExitCode::SUCCESS)
}

fn row(learning: &LearningView) -> Vec<String> {
    let tags = learning.tags.as_array().map(Vec::as_slice).unwrap_or_default();
    let tags: Vec<_> = tags.iter().filter_map(|tag| tag.as_str()).collect();
    vec![
        learning.id.to_string(),
        cell(&learning.category),
        learning.impact_score.map_or_else(|| "-".to_owned(), |score| format!("{score:.2}")),
        learning.uses.to_string(),
        time(learning.created_at),
        cell(&tags.join(", ")),
        cell(&learning.title),
        cell(&learning.description),
    ]
}
