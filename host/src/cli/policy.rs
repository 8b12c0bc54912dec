//! `policy check|explain|test`: what reviewers ask. Works offline.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::args::{ExplainArguments, PolicyCommand};
use super::output::{Output, note, visible};
use super::task::read_json;
use crate::app;
use crate::config;
use crate::policy::case::{CaseCall, Explained};

pub(super) fn run(command: PolicyCommand, output: Output) -> Result<ExitCode> {
    match command {
        PolicyCommand::Check { folder } => check(folder, output),
        PolicyCommand::Explain(arguments) => explain(arguments, output),
        PolicyCommand::Test { cases, policies } => test(&cases, policies, output),
    }
}

fn folder_or_env(folder: Option<PathBuf>) -> Option<PathBuf> {
    folder.or_else(|| config::policies_dir(config::Env(&config::process)))
}

fn check(folder: Option<PathBuf>, output: Output) -> Result<ExitCode> {
    let policies = app::validated(folder_or_env(folder).as_deref())?;
    let gone = app::not_in_force(&policies)?;
    let digest = hex::encode(policies.digest());
    if output.json {
        let report = json!({ "sha256": digest, "policies": policies.summaries(), "not_in_force": gone });
        output.line(&serde_json::to_string_pretty(&report)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows = policies.summaries().iter();
    let rows = rows.map(|policy| vec![policy.effect.to_owned(), visible(&policy.id), visible(&policy.file)]).collect();
    output.table(&["EFFECT", "ID", "FILE"], rows)?;
    output.line(&format!("{} policies are valid; sha256:{digest}", policies.summaries().len()))?;
    for id in gone {
        note(&format!("warning: shipped policy {id} is not in force: a file of the folder replaces the one it is in"));
    }
    Ok(ExitCode::SUCCESS)
}

/// A name alone, or the whole call.
fn parse_call(text: &str) -> Result<CaseCall> {
    if text.trim_start().starts_with('{') {
        return serde_json::from_str(text).context("--call is JSON, but not that of a call: call, arguments, facts");
    }
    Ok(CaseCall { call: text.to_owned(), arguments: Value::Null, facts: Value::Null })
}

fn explain(arguments: ExplainArguments, output: Output) -> Result<ExitCode> {
    let ExplainArguments { role, call, task, policies } = arguments;
    let policies = app::validated(folder_or_env(policies).as_deref())?;
    let mut call = parse_call(&call)?;
    let task = serde_json::from_value(read_json(&task)?).context("the file is no task")?;
    default_arguments(&mut call, &task);
    let explained = app::explain_call(policies, &role, &task, &call)?;
    if output.json {
        output.line(&serde_json::to_string_pretty(&explained)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let Explained { verdict, policies, message, risk, reasons } = explained;
    output.line(&format!("decision  {}", serde_json::to_value(verdict)?.as_str().unwrap_or_default()))?;
    output.line(&format!("policies  {}", visible(&policies.join(", "))))?;
    output.line(&format!("because   {}", visible(&message)))?;
    output.line(&format!("risk      {risk}"))?;
    for reason in reasons {
        output.line(&format!("          {}", visible(&reason)))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Where a call names no repository or base, the task's own is meant.
fn default_arguments(call: &mut CaseCall, task: &crate::policy::case::CaseTask) {
    if call.arguments.is_null() {
        call.arguments = json!({});
    }
    let Some(arguments) = call.arguments.as_object_mut() else { return };
    for key in ["repository", "base"] {
        if let (false, Some(value)) = (arguments.contains_key(key), task.draft.payload.get(key)) {
            arguments.insert(key.to_owned(), value.clone());
        }
    }
}

fn test(cases: &Path, policies: Option<PathBuf>, output: Output) -> Result<ExitCode> {
    let tested = app::test_cases(app::validated(folder_or_env(policies).as_deref())?, cases)?;
    let failed = tested.iter().filter(|case| !case.passed).count();
    if output.json {
        output.line(&serde_json::to_string_pretty(&tested)?)?;
    } else {
        for case in tested.iter().filter(|case| !case.passed) {
            let Explained { verdict, policies, message, .. } = &case.explained;
            let missing = if case.missing.is_empty() {
                String::new()
            } else {
                format!("; {} not among them", case.missing.join(", "))
            };
            note(&format!(
                "FAILED {}: {}: expected {:?}, is {verdict:?} by {}{missing}: {}",
                case.file.display(),
                visible(&case.name),
                case.expected,
                policies.join(", "),
                visible(message)
            ));
        }
        output.line(&format!("{} cases, {failed} failed", tested.len()))?;
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
