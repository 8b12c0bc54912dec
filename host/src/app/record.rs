//! A run that was made, as a fixture of `role test`: what a role author goes on from.
//!
//! Invariant: what is given out is a fixture. It was parsed before.

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::fixture::toml_of;
use crate::db::replay::RecordedAttempt;
use crate::journal::{self, Step};
use crate::task::Task;

const HEADER: &str = "# Recorded by `juggernaut role run`. Arguments that do not matter can be left out.\n";

/// Of an attempt that has ended.
pub(super) fn fixture(attempt: &RecordedAttempt, steps: &[Step]) -> Result<String> {
    let end = attempt.end.as_ref().context("the attempt has not ended")?;
    let expect = match end.cause.as_str() {
        // What the host made of the claim is not the role's doing.
        "Completed" | "EvidenceRefused" => "outcome = \"completed\"\n".to_owned(),
        "RoleFailed" => {
            format!("outcome = \"failed\"\nreason_contains = {}\n", toml::Value::String(end.reason.clone()))
        }
        cause => bail!("the attempt came to no end of its own ({cause}: {}), and is not recorded", end.reason),
    };
    let mut text = format!("{HEADER}\n[task]\n{}\n", task(&attempt.task)?);
    for step in steps {
        text.push_str(&call(step)?);
    }
    text.push_str(&format!("[expect]\n{expect}"));
    toml::from_str::<toml::Table>(&text).context("the run can not be written as TOML")?;
    Ok(text)
}

fn task(task: &Task) -> Result<String> {
    let fields = [
        ("id", json!(task.id)),
        ("title", json!(task.title)),
        ("description", json!(task.description)),
        ("task_type", json!(task.task_type)),
        ("risk", json!(task.risk)),
        ("payload", task.payload.clone()),
        ("acceptance_criteria", json!(task.criteria)),
        ("attempt", json!(task.attempt)),
        ("last_error", json!(task.last_error)),
        ("goal", json!(task.goal)),
    ];
    let mut lines = String::new();
    for (key, value) in fields {
        if has_null(&value) && !value.is_null() {
            bail!("the task's {key} holds null, which TOML can not say; write the fixture by hand");
        }
        if let Some(value) = toml_of(&value) {
            lines.push_str(&format!("{key} = {value}\n"));
        }
    }
    Ok(lines)
}

fn call(step: &Step) -> Result<String> {
    let Step { interface, function, arguments, outcome, .. } = step;
    let Some(outcome) = outcome else { return Ok(String::new()) };
    let arguments = toml_of(arguments).context("arguments are null")?;
    let result = readable(outcome.result.clone());
    let answer = match &result {
        unit if *unit == json!({ "ok": null }) => "answer = \"ok\"".to_owned(),
        // An apostrophe ends TOML's literal text; in JSON it stands within strings alone.
        nulls if has_null(nulls) => format!("answer_json = '''{}'''", nulls.to_string().replace('\'', "\\u0027")),
        plain => format!("answer = {}", toml_of(plain).context("an answer is null")?),
    };
    Ok(format!("[[call]]\ncall = \"{interface}.{function}\"\narguments = {arguments}\n{answer}\n\n"))
}

/// Bytes that are text as text; what follows from it is left out.
fn readable(mut result: Value) -> Value {
    let Some(fields) = result.get_mut("ok").and_then(Value::as_object_mut) else { return result };
    let base64 = fields.get("base64").and_then(Value::as_str);
    let Some(bytes) = base64.and_then(|base64| STANDARD.decode(base64).ok()) else { return result };
    let Ok(text) = String::from_utf8(bytes) else { return result };
    let follows = [
        ("base64", fields["base64"].clone()),
        ("bytes", json!(text.len())),
        ("sha256", journal::bytes_argument(text.as_bytes())["sha256"].clone()),
        ("sha", json!(journal::blob_sha(text.as_bytes()))),
        ("redirected_from", json!([])),
    ];
    let left = fields.iter().filter(|(key, value)| !follows.iter().any(|(name, said)| name == key && said == *value));
    let mut shown: Map<String, Value> = left.map(|(key, value)| (key.clone(), value.clone())).collect();
    shown.insert("text".to_owned(), text.into());
    json!({ "ok": shown })
}

fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.iter().any(has_null),
        Value::Object(fields) => fields.values().any(has_null),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}
