//! What a step of the journal shows: the content that the host fetched or read, and when.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

use super::{Refusal, refuse};
use crate::journal::Step;
use crate::repo::Repository;
use crate::web::WebTarget;

/// Interfaces whose recorded results are observations of the world.
pub(super) const OBSERVING: &[&str] = &["github-read", "github-write", "github-merge", "http-fetch"];

/// Content that the host received in a step.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) body: Vec<u8>,
    pub(super) sha256: String,
    pub(super) at: OffsetDateTime,
    pub(super) origin: Origin,
}

/// Where content came from.
#[derive(Debug)]
pub(super) enum Origin {
    Web {
        method: String,
        status: u16,
        /// Where the answer came from, in its canonical form.
        url: String,
        /// What was asked for before, where it was redirected.
        redirected_from: Vec<String>,
    },
    File {
        repository: String,
        path: String,
        reference: String,
    },
}

impl Origin {
    /// What people can go to.
    pub(super) fn url(&self) -> String {
        match self {
            Self::Web { url, .. } => url.clone(),
            Self::File { repository, path, reference } => {
                format!("https://github.com/{repository}/blob/{reference}/{path}")
            }
        }
    }

    /// Whether a URL, in its canonical form, names it.
    pub(super) fn is_at(&self, asked: &str) -> bool {
        match self {
            Self::Web { url, redirected_from, .. } => url == asked || redirected_from.iter().any(|from| from == asked),
            Self::File { .. } => self.url() == asked,
        }
    }
}

/// Whether a step saw something of the world, or changed it.
pub(super) fn observes(step: &Step) -> bool {
    OBSERVING.contains(&step.interface.as_str())
}

/// The done step at that position. Positions count from 0 without gaps.
pub(super) fn step_at(steps: &[Step], position: u32) -> Option<&Step> {
    steps.get(position as usize).filter(|step| step.position == position && step.outcome.is_some())
}

/// The recorded result of a step that observed the world, `{"ok": …}` or `{"err": …}`.
pub(super) fn observation<'a>(steps: &'a [Step], position: u32, what: &str) -> Result<&'a Value, Refusal> {
    let Some(step) = step_at(steps, position) else {
        return refuse(format!("{what} names step {position}, which this attempt's journal has not"));
    };
    if !observes(step) {
        return refuse(format!(
            "{what} names step {position}, {}.{}, which observes nothing; name a call of {}",
            step.interface,
            step.function,
            OBSERVING.join(", ")
        ));
    }
    match &step.outcome {
        Some(outcome) => Ok(&outcome.result),
        None => refuse(format!("{what} names step {position}, which has no result")),
    }
}

/// The content of a successful fetch (any status) or read at that position.
pub(super) fn content(steps: &[Step], position: u32, what: &str) -> Result<Content, Refusal> {
    observation(steps, position, what)?;
    let Some(content) = step_at(steps, position).map(content_of) else {
        return refuse(format!("{what} names step {position}, which this attempt's journal has not"));
    };
    content.map_err(|problem| Refusal(format!("{what} names step {position}, {problem}")))
}

fn content_of(step: &Step) -> Result<Content, String> {
    let Some(outcome) = &step.outcome else { return Err("which has no result".to_owned()) };
    let name = format!("{}.{}", step.interface, step.function);
    let is_web = match name.as_str() {
        "http-fetch.fetch" => true,
        "github-read.get-file" => false,
        _ => return Err(format!("{name}, which is neither http-fetch.fetch nor github-read.get-file")),
    };
    let Some(ok) = outcome.ok() else { return Err("which failed".to_owned()) };
    let damaged = || format!("{name}, whose recorded result can not be read");
    let body = STANDARD.decode(text(ok, "base64").ok_or_else(damaged)?).map_err(|_| damaged())?;
    let argument = |key| text(&step.arguments, key).map(str::to_owned);
    let origin = if is_web {
        let from = ok.get("redirected_from").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        Origin::Web {
            method: argument("method").ok_or_else(damaged)?,
            status: ok.get("status").and_then(Value::as_u64).and_then(|it| it.try_into().ok()).ok_or_else(damaged)?,
            url: text(ok, "url").ok_or_else(damaged)?.to_owned(),
            redirected_from: from.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        }
    } else {
        // Of a very long path the journal keeps the beginning and a digest.
        let part = |key| argument(key).ok_or_else(|| format!("{name}, whose {key} is too long to be shown"));
        Origin::File { repository: part("repository")?, path: part("path")?, reference: part("reference")? }
    };
    Ok(Content { sha256: hex::encode(Sha256::digest(&body)), body, at: outcome.at, origin })
}

/// Hosts that a fetch met, redirects included.
pub fn hosts_of(steps: &[Step], position: u32) -> BTreeSet<String> {
    let Some(Ok(Content { origin: Origin::Web { url, redirected_from, .. }, .. })) =
        step_at(steps, position).map(content_of)
    else {
        return BTreeSet::new();
    };
    let host = |url: &String| WebTarget::parse(url).ok().map(|target| target.host().to_owned());
    std::iter::once(&url).chain(&redirected_from).filter_map(host).collect()
}

/// The newest fetch of a URL that was answered: its position and status.
pub(super) fn newest_fetch(steps: &[Step], canonical: &str) -> Option<(u32, u16)> {
    steps.iter().rev().find_map(|step| {
        if step.interface != "http-fetch" {
            return None;
        }
        let ok = step.outcome.as_ref()?.ok()?;
        let from = ok.get("redirected_from").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let is_it = text(ok, "url") == Some(canonical) || from.iter().any(|it| it.as_str() == Some(canonical));
        let status = ok.get("status").and_then(Value::as_u64).and_then(|status| u16::try_from(status).ok());
        if is_it { status.map(|status| (step.position, status)) } else { None }
    })
}

/// Whether a successful step named this file of a repository.
pub(super) fn touches(step: &Step, repository: &Repository, path: &str) -> bool {
    matches!(step.interface.as_str(), "github-read" | "github-write")
        && step.outcome.as_ref().is_some_and(|outcome| outcome.ok().is_some())
        && text(&step.arguments, "repository") == Some(&repository.to_string())
        && text(&step.arguments, "path") == Some(path)
}

/// A URL as `http-fetch` spells it, without its fragment, which is never sent. None where it would not be fetched.
pub(super) fn canonical(url: &str) -> Option<String> {
    let whole = url.split('#').next().unwrap_or_default();
    WebTarget::parse(whole).ok().map(|target| target.as_str().to_owned())
}

pub(super) fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str)
}
