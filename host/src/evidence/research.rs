//! `research`: a summary that stands on sources which this attempt fetched.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::observed::{Origin, canonical, content};
use super::{Refusal, World, refuse};

/// Less is no summary.
const SUMMARY_CHARS_MIN: usize = 80;
const SUMMARY_WORDS_MIN: usize = 12;
const SOURCES_MAX: usize = 50;

/// What a summary stands on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CitationEvidence {
    pub sources: Vec<Source>,
}

/// A source as the host received it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    pub step: u32,
    pub url: String,
    /// Of the body.
    pub sha256: String,
    pub bytes: usize,
    #[serde(with = "time::serde::rfc3339")]
    pub fetched_at: OffsetDateTime,
}

pub(super) fn judge(
    summary: &str,
    sources: &[u32],
    world: &World,
) -> Result<(CitationEvidence, BTreeSet<u32>), Refusal> {
    check_summary(summary)?;
    if sources.is_empty() || sources.len() > SOURCES_MAX {
        return refuse(format!("a cited summary names 1 to {SOURCES_MAX} sources, not {}", sources.len()));
    }
    let mut steps = BTreeSet::new();
    let mut judged = Vec::new();
    let mut origins = Vec::new();
    for position in sources {
        if !steps.insert(*position) {
            return refuse(format!("source {position} is named twice"));
        }
        let (source, origin) = source(*position, world)?;
        judged.push(source);
        origins.push(origin);
    }
    for cited in urls(summary) {
        let fetched = canonical(cited).is_some_and(|url| origins.iter().any(|origin| origin.is_at(&url)));
        if !fetched {
            return refuse(format!(
                "the summary cites {cited}, which is none of its sources; fetch it and name the step, or leave it out"
            ));
        }
    }
    Ok((CitationEvidence { sources: judged }, steps))
}

fn check_summary(summary: &str) -> Result<(), Refusal> {
    let chars = summary.chars().filter(|character| !character.is_whitespace()).count();
    let words: BTreeSet<String> = summary
        .split(|character: char| !character.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect();
    if chars >= SUMMARY_CHARS_MIN && words.len() >= SUMMARY_WORDS_MIN {
        return Ok(());
    }
    let said: String = summary.trim().chars().take(SUMMARY_CHARS_MIN).collect();
    refuse(format!(
        "{said:?} is no summary: write what was found, in at least {SUMMARY_CHARS_MIN} characters and \
         {SUMMARY_WORDS_MIN} different words"
    ))
}

fn source(position: u32, world: &World) -> Result<(Source, Origin), Refusal> {
    let content = content(&world.steps, position, "the list of sources")?;
    match &content.origin {
        Origin::Web { status, .. } if !(200..300).contains(status) => {
            return refuse(format!("source {position} was answered with {status}; cite what was found"));
        }
        Origin::Web { method, .. } if !method.eq_ignore_ascii_case("get") => {
            return refuse(format!("source {position} was asked for with {method}, so nothing of it was read"));
        }
        Origin::Web { .. } | Origin::File { .. } => {}
    }
    if content.body.is_empty() {
        return refuse(format!("source {position} is empty"));
    }
    if world.own_files.contains(&content.sha256) {
        return refuse(format!("source {position} was written by this task itself"));
    }
    let source = Source {
        step: position,
        url: content.origin.url(),
        sha256: content.sha256,
        bytes: content.body.len(),
        fetched_at: content.at,
    };
    Ok((source, content.origin))
}

/// The http and https URLs of a text, without the punctuation around them.
fn urls(text: &str) -> Vec<&str> {
    let ends = |character: char| {
        character.is_whitespace() || character.is_control() || matches!(character, '<' | '>' | '"' | '`' | '|' | '\\')
    };
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(start) = scheme(rest) {
        let from = &rest[start..];
        let end = from.find(ends).unwrap_or(from.len());
        found.push(trimmed(&from[..end]));
        rest = &from[end..];
    }
    found
}

/// Where the next URL begins, in any case of letters.
fn scheme(text: &str) -> Option<usize> {
    text.match_indices("://").find_map(|(at, _)| {
        let before = &text.as_bytes()[..at];
        ["https", "http"].iter().find_map(|scheme| {
            let start = at.checked_sub(scheme.len())?;
            before[start..].eq_ignore_ascii_case(scheme.as_bytes()).then_some(start)
        })
    })
}

/// Without what closes a sentence, a bracket or a quotation.
fn trimmed(mut url: &str) -> &str {
    loop {
        let unbalanced = |open: char, close: char| url.matches(close).count() > url.matches(open).count();
        let cut = match url.chars().next_back() {
            Some('.' | ',' | ';' | ':' | '!' | '?' | '\'' | '*' | '_' | '”' | '’' | '»') => true,
            Some(')') => unbalanced('(', ')'),
            Some(']') => unbalanced('[', ']'),
            Some('}') => unbalanced('{', '}'),
            Some(_) | None => false,
        };
        let Some(last) = url.chars().next_back().filter(|_| cut) else { return url };
        url = &url[..url.len() - last.len_utf8()];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_found_in_prose() {
        let text = "See (https://a.example/x_(y)), <HTTP://b.example/>. [c](https://c.example/d?e=f). ftp://no xhttps://d.example";
        assert_eq!(
            urls(text),
            ["https://a.example/x_(y)", "HTTP://b.example/", "https://c.example/d?e=f", "https://d.example"]
        );
        assert!(urls("no url: // http:/ https//").is_empty());
        assert_eq!(urls("日本https://e.example/ö。"), ["https://e.example/ö。"]);
    }
}
