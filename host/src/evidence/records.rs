//! `decomposition`, `analysis`, `report`, `monitoring` and `planning`: what the host wrote into its own tables for a
//! call of this attempt. The journal holds what the host answered, so it is what a claim is held against.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::observed::text;
use super::{Refusal, refuse};
use crate::journal::Step;

/// Ids that one claim may name.
const NAMED_MAX: usize = 500;

/// A goal that this attempt closed as completed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GoalEvidence {
    pub goal: String,
    /// Tasks whose verified evidence closed it.
    pub children: Vec<String>,
    pub step: u32,
}

/// A report that this attempt stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StoredReport {
    pub id: String,
    pub sha256: String,
    pub step: u32,
}

/// What was measured, and what was raised because of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EvaluatedAlerts {
    pub measurements: Vec<u32>,
    pub raised: Vec<String>,
}

/// A recommendation that this attempt filed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FiledRecommendation {
    pub id: String,
    pub step: u32,
}

/// The answer of a successful call, and its step.
fn answers<'a>(steps: &'a [Step], interface: &str, function: &str) -> impl Iterator<Item = (u32, &'a Value)> {
    steps
        .iter()
        .filter(move |step| step.interface == interface && step.function == function)
        .filter_map(|step| Some((step.position, step.outcome.as_ref()?.ok()?)))
}

pub(super) fn goal(children: &[String], steps: &[Step]) -> Result<(GoalEvidence, BTreeSet<u32>), Refusal> {
    let Some((step, answer)) = answers(steps, "goals", "complete").next() else {
        return refuse("no call of this attempt closed the goal; call goals.complete once its tasks are completed");
    };
    let closed = answer.get("children").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let closed: Vec<String> = closed.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    let named: BTreeSet<&String> = children.iter().collect();
    if named != closed.iter().collect() {
        return refuse(format!(
            "the goal was closed by {} tasks, and the claim names {} others; name exactly those: {}",
            closed.len(),
            named.len(),
            closed.join(", ")
        ));
    }
    let goal = text(answer, "goal").unwrap_or_default().to_owned();
    Ok((GoalEvidence { goal, children: closed, step }, BTreeSet::from([step])))
}

pub(super) fn report(id: &str, sha256: &str, steps: &[Step]) -> Result<(StoredReport, BTreeSet<u32>), Refusal> {
    let stored = answers(steps, "reports", "store").find(|(_, answer)| text(answer, "id") == Some(id));
    let Some((step, answer)) = stored else {
        return refuse(format!("no call of this attempt stored a report {id:?}; call reports.store"));
    };
    if text(answer, "sha256") != Some(sha256) {
        return refuse(format!("report {id} has another digest than {sha256:?}"));
    }
    Ok((StoredReport { id: id.to_owned(), sha256: sha256.to_owned(), step }, BTreeSet::from([step])))
}

pub(super) fn alerts(
    measurements: &[u32],
    raised: &[String],
    steps: &[Step],
) -> Result<(EvaluatedAlerts, BTreeSet<u32>), Refusal> {
    if measurements.len() > NAMED_MAX || raised.len() > NAMED_MAX {
        return refuse(format!("the claim names more than {NAMED_MAX} measurements or alerts"));
    }
    let mut looked = BTreeSet::new();
    for (interface, function) in [("workers-read", "list-workers"), ("metrics-read", "measure")] {
        let made: BTreeSet<u32> = answers(steps, interface, function).map(|(position, _)| position).collect();
        let named: BTreeSet<u32> = measurements.iter().copied().filter(|position| made.contains(position)).collect();
        if named.is_empty() {
            return refuse(format!("the claim names no answered call of {interface}.{function} of this attempt"));
        }
        looked.extend(named);
    }
    if let Some(odd) = measurements.iter().find(|position| !looked.contains(position)) {
        return refuse(format!("step {odd} is no answered measurement of this attempt"));
    }
    let ids: Vec<(u32, &str)> =
        answers(steps, "alerts", "raise").filter_map(|(position, id)| Some((position, id.as_str()?))).collect();
    for id in raised {
        let Some((position, _)) = ids.iter().find(|(_, known)| known == id) else {
            return refuse(format!("no call of this attempt raised alert {id:?}"));
        };
        looked.insert(*position);
    }
    // What was raised and is kept silent about would be missing for whoever reads the evidence.
    if let Some((position, id)) = ids.iter().find(|(_, id)| !raised.iter().any(|named| named == id)) {
        return refuse(format!("step {position} raised alert {id}, which the claim does not name"));
    }
    Ok((EvaluatedAlerts { measurements: measurements.to_vec(), raised: raised.to_vec() }, looked))
}

pub(super) fn recommendation(id: &str, steps: &[Step]) -> Result<(FiledRecommendation, BTreeSet<u32>), Refusal> {
    let filed = answers(steps, "recommendations", "file").find(|(_, answer)| answer.as_str() == Some(id));
    let Some((step, _)) = filed else {
        return refuse(format!("no call of this attempt filed recommendation {id:?}; call recommendations.file"));
    };
    Ok((FiledRecommendation { id: id.to_owned(), step }, BTreeSet::from([step])))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use time::OffsetDateTime;

    use super::*;
    use crate::journal::{Effect, Outcome};

    fn step(position: u32, interface: &str, function: &str, result: Value) -> Step {
        Step {
            position,
            interface: interface.to_owned(),
            function: function.to_owned(),
            effect: Effect::Write,
            digest: [0; 32],
            arguments: json!({}),
            intended_at: OffsetDateTime::UNIX_EPOCH,
            outcome: Some(Outcome { result, at: OffsetDateTime::UNIX_EPOCH }),
        }
    }

    #[test]
    fn a_goal_is_closed_by_exactly_its_children() {
        let closed = json!({ "ok": { "goal": "g", "children": ["a", "b"] } });
        let steps = [
            step(0, "goals", "complete", json!({ "err": { "conflict": "not yet" } })),
            step(1, "goals", "complete", closed),
        ];
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let (evidence, looked) = goal(&names(&["b", "a"]), &steps).unwrap();
        assert_eq!((evidence.goal.as_str(), evidence.step), ("g", 1));
        assert_eq!(looked, BTreeSet::from([1]));
        for odd in [&["a"][..], &["a", "b", "c"], &[]] {
            assert!(goal(&names(odd), &steps).is_err(), "{odd:?}");
        }
        assert!(goal(&names(&["a", "b"]), &steps[..1]).is_err());
    }

    #[test]
    fn a_report_and_a_recommendation_are_those_of_this_attempt() {
        let steps = [
            step(0, "reports", "store", json!({ "ok": { "id": "r", "sha256": "s" } })),
            step(1, "recommendations", "file", json!({ "ok": "x" })),
        ];
        assert_eq!(report("r", "s", &steps).unwrap().0.step, 0);
        assert!(report("r", "other", &steps).is_err() && report("q", "s", &steps).is_err());
        assert_eq!(recommendation("x", &steps).unwrap().0.step, 1);
        assert!(recommendation("r", &steps).is_err());
    }

    #[test]
    fn a_watch_measures_both_and_keeps_nothing_silent() {
        let steps = [
            step(0, "workers-read", "list-workers", json!({ "ok": [] })),
            step(1, "metrics-read", "measure", json!({ "ok": {} })),
            step(2, "metrics-read", "measure", json!({ "err": { "invalid": "x" } })),
            step(3, "alerts", "raise", json!({ "ok": "id" })),
        ];
        let raised = ["id".to_owned()];
        assert_eq!(alerts(&[0, 1], &raised, &steps).unwrap().1, BTreeSet::from([0, 1, 3]));
        for (measurements, raised) in [
            (&[0][..], &raised[..]),
            (&[1], &raised),
            (&[0, 2], &raised),
            (&[0, 1, 3], &raised),
            (&[0, 1, 9], &raised),
            (&[0, 1], &[]),
            (&[0, 1], &["id".to_owned(), "other".to_owned()]),
        ] {
            assert!(alerts(measurements, raised, &steps).is_err(), "{measurements:?} {raised:?}");
        }
    }
}
