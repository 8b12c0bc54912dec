//! Whether the acceptance criteria of a goal are met by what its tasks have shown.
//!
//! A goal does nothing itself, so the host verifies a typed criterion of it where a task has the very same one and the
//! host verified it there; `merged` is shown by any task whose evidence is a merged pull request. Free text is attested by
//! whoever closes the goal, and marked so.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Answered, CriterionVerdict};
use crate::task::{Criterion, TaskId};

/// A criterion of a goal, answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoalCriterion {
    pub number: u32,
    pub kind: String,
    pub text: String,
    pub answered: Answered,
    /// The task that shows it.
    pub by: Option<TaskId>,
}

/// `children`: the completed tasks with their stored evidence. An error names the criterion that nothing shows.
pub fn judge_goal(criteria: &[Criterion], children: &[(TaskId, Value)]) -> Result<Vec<GoalCriterion>, String> {
    let answer = |(number, criterion): (u32, &Criterion)| {
        let (kind, text) = (criterion.kind().to_owned(), criterion.describe());
        let (answered, by) = match criterion {
            Criterion::FreeText { .. } => (Answered::Attested, None),
            Criterion::Merged => (Answered::Verified, children.iter().find(|(_, evidence)| is_merge(evidence))),
            typed => (Answered::Verified, children.iter().find(|(_, evidence)| verified(evidence, typed))),
        };
        let by = by.map(|(id, _)| *id);
        if answered == Answered::Verified && by.is_none() {
            return Err(format!(
                "criterion {number} of the goal ({text}) stands verified in the evidence of no task; a task needs the same \
                 criterion"
            ));
        }
        Ok(GoalCriterion { number, kind, text, answered, by })
    };
    (0u32..).zip(criteria).map(answer).collect()
}

fn is_merge(evidence: &Value) -> bool {
    evidence.get("kind").and_then(Value::as_str) == Some("merged_pull_request")
}

fn verified(evidence: &Value, wanted: &Criterion) -> bool {
    let stored = evidence.get("criteria").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    stored.iter().filter_map(|value| CriterionVerdict::deserialize(value).ok()).any(|verdict| {
        verdict.answered == Answered::Verified && verdict.kind == wanted.kind() && verdict.text == wanted.describe()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn typed_criteria_stand_on_the_evidence_of_a_task() {
        let wanted =
            Criterion::parse_list(&json!([{ "type": "check-green", "name": "ci" }, "nice", { "type": "merged" }]));
        let wanted = wanted.unwrap();
        let (check, merge) = (TaskId::generate(), TaskId::generate());
        let shown = |answered: &str, text: &str| {
            json!({ "kind": "test_results", "criteria": [
                { "number": 0, "kind": "check-green", "text": text, "answered": answered, "steps": [1] }
            ] })
        };
        let merged = (merge, json!({ "kind": "merged_pull_request", "criteria": [] }));
        let text = wanted[0].describe();
        let answers = judge_goal(&wanted, &[merged.clone(), (check, shown("verified", &text))]).unwrap();
        let by: Vec<_> = answers.iter().map(|answer| (answer.answered, answer.by)).collect();
        assert_eq!(
            by,
            [(Answered::Verified, Some(check)), (Answered::Attested, None), (Answered::Verified, Some(merge))]
        );
        // Another check, an attested one, none, and no merge.
        for children in [
            vec![merged.clone(), (check, shown("verified", "check \"other\" is green"))],
            vec![merged.clone(), (check, shown("attested", &text))],
            vec![merged],
            vec![(check, shown("verified", &text))],
        ] {
            assert!(judge_goal(&wanted, &children).unwrap_err().contains("of the goal"), "{children:?}");
        }
    }
}
