//! `juggernaut role`: what a reviewer of roles looks at. Needs no host, no database and no network. What their author
//! does with them is in [`role_work`] and [`role_run`].
//!
//! Invariant: what a manifest or a component says is made visible before it is printed, as JSON too.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use serde::Serialize;

use super::args::RoleCommand;
use super::output::{Output, note, visible};
use super::{role_run, role_work};
use crate::app;
use crate::config::Env;
use crate::manifest::{self, Change, Direction, Mismatch, Parameter};
use crate::sandbox::{RoleCheck, RoleReport};
use crate::text;

/// Exit status of `role diff` if a role may do more than before. 1 is an error, 2 a wrong call.
const GREW: u8 = 3;
/// Digits of a digest in a table; JSON has all.
const DIGEST_CHARS: usize = 16;

pub(super) async fn run(command: RoleCommand, env: Env<'_>, output: Output) -> Result<ExitCode> {
    match command {
        RoleCommand::New(arguments) => role_work::new(arguments, output),
        RoleCommand::Test(arguments) => role_work::test(arguments, output).await,
        RoleCommand::Run(arguments) => role_run::run(arguments, env, output).await,
        RoleCommand::Inspect { place } => inspect(&place, output),
        RoleCommand::Check { folder } => check(&folder, output),
        RoleCommand::Diff { old, new } => diff(&old, &new, output),
        RoleCommand::Lock { folder, check: false } => lock(&folder, output),
        RoleCommand::Lock { folder, check: true } => check_lock(&folder, output),
        RoleCommand::Schema => {
            json(&manifest::json_schema(), output)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

pub(super) fn json(value: &impl Serialize, output: Output) -> Result<()> {
    Ok(output.line(&text::visible_json(&serde_json::to_string_pretty(value)?))?)
}

pub(super) fn exit(passed: bool) -> ExitCode {
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn inspect(place: &Path, output: Output) -> Result<ExitCode> {
    let report = app::inspect(place)?;
    if output.json {
        json(&report, output)?;
    } else {
        print_report(&report, output)?;
    }
    Ok(exit(report.problems.is_empty()))
}

fn print_report(report: &RoleReport, output: Output) -> Result<()> {
    let RoleReport { role, component, component_sha256, manifest_sha256, manifest, imports, problems } = report;
    output.line(&format!("role       {}", visible(role.as_deref().unwrap_or("(no manifest beside it)"))))?;
    output.line(&format!("component  {} sha256:{component_sha256}", visible(&component.display().to_string())))?;
    if let Some(sha256) = manifest_sha256 {
        output.line(&format!("manifest   sha256:{sha256}"))?;
    }
    output.line("")?;
    let rows = imports.iter().map(|import| vec![visible(&import.name), import.verdict.to_owned()]).collect();
    output.table(&["IMPORT", "VERDICT"], rows)?;
    if !manifest.is_empty() {
        output.line("")?;
        let row = |section: &str, key: &str, value: &Parameter| {
            vec![section.to_owned(), key.to_owned(), visible(&value.to_string())]
        };
        let rows = manifest
            .iter()
            .flat_map(|section| section.parameters.iter().map(|(key, value)| row(&section.name, key, value)))
            .collect();
        output.table(&["SECTION", "PARAMETER", "VALUE"], rows)?;
    }
    for problem in problems {
        note(&format!("problem: {}", visible(problem)));
    }
    Ok(())
}

fn check(folder: &Path, output: Output) -> Result<ExitCode> {
    let checks = app::check(folder)?;
    let passed = checks.iter().all(|check| check.problems.is_empty());
    if output.json {
        json(&checks, output)?;
        return Ok(exit(passed));
    }
    for RoleCheck { role, world, granted, problems, component: _ } in &checks {
        let verdict = if problems.is_empty() { "ok" } else { "REFUSED" };
        let grants: Vec<&str> = granted.iter().map(|interface| interface.name()).collect();
        output.line(&format!("{role}: {verdict}; {}; grants {}", visible(world), grants.join(", ")))?;
        for problem in problems {
            note(&format!("  problem: {}", visible(problem)));
        }
    }
    Ok(exit(passed))
}

fn diff(old: &Path, new: &Path, output: Output) -> Result<ExitCode> {
    let diff = app::diff(old, new)?;
    if output.json {
        json(&diff, output)?;
    } else {
        if !diff.changes.is_empty() {
            output.table(&["AUTHORITY", "ROLE", "WHERE", "CHANGE", "NOTE"], diff.changes.iter().map(row).collect())?;
            output.line("")?;
        }
        let grew = "Authority grew: a role may do more than before. Review each line marked WIDENED.";
        let not = if diff.changes.is_empty() { "Nothing changed." } else { "Authority did not grow." };
        output.line(if diff.grew { grew } else { not })?;
    }
    Ok(if diff.grew { ExitCode::from(GREW) } else { ExitCode::SUCCESS })
}

fn row(change: &Change) -> Vec<String> {
    let Change { direction, role, place, before, after, note } = change;
    let direction = match direction {
        Direction::Widened => "WIDENED",
        Direction::Narrowed => "narrowed",
        Direction::Neutral => "neutral",
    };
    let shown = |text: &String| shorten(place, &visible(text));
    let what = match (before.as_ref().map(shown), after.as_ref().map(shown)) {
        (Some(before), Some(after)) => format!("{before} -> {after}"),
        (None, Some(after)) => format!("+ {after}"),
        (Some(before), None) => format!("- {before}"),
        (None, None) => String::new(),
    };
    vec![direction.to_owned(), visible(role), visible(place), what, visible(note.as_deref().unwrap_or_default())]
}

/// The beginning of a digest; all else is shown whole.
fn shorten(place: &str, text: &str) -> String {
    match (place, text.get(..DIGEST_CHARS)) {
        ("component" | "manifest", Some(beginning)) => format!("{beginning}…"),
        _ => text.to_owned(),
    }
}

fn lock(folder: &Path, output: Output) -> Result<ExitCode> {
    let (path, lock) = app::lock_roles(folder)?;
    if output.json {
        json(&lock, output)?;
    } else {
        let roles: Vec<&str> = lock.roles().collect();
        output.line(&format!("wrote {}: {}", visible(&path.display().to_string()), roles.join(", ")))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn check_lock(folder: &Path, output: Output) -> Result<ExitCode> {
    let mismatches: Vec<Mismatch> = app::check_lock(folder)?;
    if output.json {
        json(&mismatches, output)?;
    } else if mismatches.is_empty() {
        output.line("the roles are those of the lock")?;
    }
    for mismatch in &mismatches {
        note(&format!("problem: {}", visible(&mismatch.to_string())));
    }
    Ok(exit(mismatches.is_empty()))
}
