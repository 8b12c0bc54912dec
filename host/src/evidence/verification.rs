//! `verification`: what was looked at, expected and found. The host looks into the journal again, and says what passed.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::observed::{content, observation};
use super::{Refusal, World, refuse};
use crate::journal::Step;
use crate::task::{ClaimedCheck, Observation};

/// Checks of one report.
const CHECKS_MAX: usize = 100;
const NAME_BYTES_MAX: usize = 200;
const VALUE_BYTES_MAX: usize = 4096;
const POINTER_BYTES_MAX: usize = 512;
const NEEDLE_BYTES_MAX: usize = 1000;

/// A report that the host went through.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReportEvidence {
    pub checks: Vec<CheckedFact>,
}

/// One check, found again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CheckedFact {
    pub name: String,
    pub step: u32,
    pub observation: Observation,
    pub expected: String,
    pub actual: String,
    /// Whether the two are the same.
    pub passed: bool,
}

pub(super) fn judge(checks: &[ClaimedCheck], world: &World) -> Result<(ReportEvidence, BTreeSet<u32>), Refusal> {
    if checks.is_empty() || checks.len() > CHECKS_MAX {
        return refuse(format!("a verification report has 1 to {CHECKS_MAX} checks, not {}", checks.len()));
    }
    let (mut names, mut steps) = (BTreeSet::new(), BTreeSet::new());
    let mut judged = Vec::new();
    for ClaimedCheck { name, step, observation, expected, actual } in checks {
        if name.trim().is_empty() || name.len() > NAME_BYTES_MAX {
            return refuse(format!("a check's name has 1 to {NAME_BYTES_MAX} bytes; name each check"));
        }
        if !names.insert(name) {
            return refuse(format!("two checks are named {name:?}"));
        }
        if expected.len() > VALUE_BYTES_MAX || actual.len() > VALUE_BYTES_MAX {
            return refuse(format!("check {name:?}: expected and actual have at most {VALUE_BYTES_MAX} bytes"));
        }
        let found = look(name, *step, observation, &world.steps)?;
        if found != *actual {
            return refuse(format!("check {name:?} claims to have found {actual:?}, and step {step} shows {found:?}"));
        }
        steps.insert(*step);
        judged.push(CheckedFact {
            name: name.clone(),
            step: *step,
            observation: observation.clone(),
            expected: expected.clone(),
            passed: found == *expected,
            actual: found,
        });
    }
    Ok((ReportEvidence { checks: judged }, steps))
}

/// What the journal shows.
pub(super) fn look(name: &str, step: u32, what: &Observation, steps: &[Step]) -> Result<String, Refusal> {
    let what_for = format!("check {name:?}");
    match what {
        Observation::Value(pointer) => {
            let result = observation(steps, step, &what_for)?;
            if pointer.len() > POINTER_BYTES_MAX {
                return refuse(format!("{what_for}: a pointer has at most {POINTER_BYTES_MAX} bytes"));
            }
            let Some(value) = result.pointer(pointer) else {
                return refuse(format!("{what_for}: {pointer:?} points at nothing in the result of step {step}"));
            };
            // Measured before it is written out: a result may be large.
            let too_large =
                || refuse(format!("{what_for}: the value at {pointer:?} is larger than {VALUE_BYTES_MAX} bytes"));
            if crate::journal::weight(value) > 16 * VALUE_BYTES_MAX {
                return too_large();
            }
            let shown = match value {
                Value::String(text) => text.clone(),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                    value.to_string()
                }
            };
            if shown.len() > VALUE_BYTES_MAX { too_large() } else { Ok(shown) }
        }
        Observation::BodyContains(needle) => {
            if needle.is_empty() || needle.len() > NEEDLE_BYTES_MAX {
                return refuse(format!("{what_for}: the text to look for has 1 to {NEEDLE_BYTES_MAX} bytes"));
            }
            let body = content(steps, step, &what_for)?.body;
            Ok(contains(&body, needle).to_string())
        }
    }
}

/// As text: what is no UTF-8 contains no text that anybody meant.
fn contains(body: &[u8], needle: &str) -> bool {
    String::from_utf8_lossy(body).contains(needle)
}
