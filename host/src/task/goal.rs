//! Goals: what people want, before a role splits it into tasks.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::new::{check_criteria, check_description, check_title, empty_list, has_nul, medium};
use super::plan::{Existing, Plan, admit_plan};
use super::{Criterion, InvalidTask, Priority, database_enum};

/// Tasks of one goal, the planning task apart: all plans together.
pub const GOAL_TASKS_MAX: usize = 1_000;
/// New plans that a goal may allow.
const REPLANS_MAX: u32 = 20;
/// Longest plan, as JSON: what a request may carry, and a little less than the column takes.
const PLAN_BYTES_MAX: usize = 2 * 1024 * 1024;

database_enum! {
    /// Where a goal stands.
    GoalState = "goal_state" {
        /// Somebody plans it and follows its tasks.
        Open = "open",
        Completed = "completed",
        Failed = "failed",
        Cancelled = "cancelled",
    }
}

/// A goal as somebody asks for it.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GoalDraft {
    /// 1 to 200 characters, no control characters.
    pub title: String,
    /// At most 64 KiB.
    #[serde(default)]
    pub description: String,
    /// Strings, or typed criteria. A typed one is met by a task of the goal that has the very same, verified; a string is
    /// attested by the planner. At most 50.
    #[serde(default = "empty_list")]
    pub acceptance_criteria: Value,
    #[serde(default = "medium")]
    pub priority: Priority,
    /// What is to be done, where that is known: no model is asked then.
    #[serde(default)]
    pub plan: Option<Plan>,
    /// New plans after a failure, 0 to 20; 3 if unset. The planning role's manifest may allow fewer.
    #[serde(default = "replans")]
    pub replans_max: u32,
}

fn replans() -> u32 {
    3
}

/// A goal that passed admission. Only [`NewGoal::admit`] makes one.
#[derive(Clone, Debug)]
pub struct NewGoal {
    draft: GoalDraft,
}

impl NewGoal {
    pub fn admit(draft: GoalDraft) -> Result<Self, InvalidTask> {
        let invalid = |field, message: String| InvalidTask { field, message };
        check_title(&draft.title)?;
        check_description(&draft.description)?;
        if has_nul(&draft.acceptance_criteria) {
            let message = "a string contains U+0000, which PostgreSQL can not store".to_owned();
            return Err(invalid("acceptance_criteria", message));
        }
        let criteria = check_criteria(&draft.acceptance_criteria)?;
        if draft.replans_max > REPLANS_MAX {
            return Err(invalid("replans_max", format!("must be 0 to {REPLANS_MAX}")));
        }
        if let Some(plan) = &draft.plan {
            let bytes = serde_json::to_string(plan).map_or(usize::MAX, |text| text.len());
            if bytes > PLAN_BYTES_MAX {
                return Err(invalid("plan", format!("is {bytes} bytes as JSON; the limit is {PLAN_BYTES_MAX}")));
            }
            admit_plan(plan.tasks.clone(), Existing::None).map_err(|error| invalid("plan", error.to_string()))?;
            if let Some(open) = unanswered(&criteria, plan) {
                return Err(invalid("plan", format!("no task of it has the goal's criterion {:?}", open.describe())));
            }
        }
        Ok(Self { draft })
    }

    pub fn draft(&self) -> &GoalDraft {
        &self.draft
    }

    /// The types that its plan names.
    pub fn task_types(&self) -> Vec<String> {
        let mut types: Vec<String> =
            self.draft.plan.iter().flat_map(|plan| &plan.tasks).map(|task| task.task_type.clone()).collect();
        types.sort_unstable();
        types.dedup();
        types
    }
}

/// A typed criterion that no task of the plan could meet.
fn unanswered<'a>(criteria: &'a [Criterion], plan: &Plan) -> Option<&'a Criterion> {
    let of_tasks: Vec<Criterion> = (plan.tasks.iter())
        .flat_map(|task| Criterion::parse_list(&task.acceptance_criteria).unwrap_or_default())
        .collect();
    criteria.iter().find(|criterion| match criterion {
        Criterion::FreeText { .. } => false,
        // The evidence of a `code` task is that it is merged.
        Criterion::Merged => !plan.tasks.iter().any(|task| task.task_type == "code"),
        typed => !of_tasks.contains(typed),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn admit(draft: Value) -> Result<NewGoal, InvalidTask> {
        NewGoal::admit(serde_json::from_value(draft).unwrap())
    }

    #[test]
    fn a_goal_is_admitted_with_its_plan() {
        let goal = admit(json!({ "title": "T", "acceptance_criteria": ["nice"] })).unwrap();
        assert_eq!((goal.draft().replans_max, goal.draft().priority), (3, Priority::Medium));
        let check = json!({ "type": "check-green", "name": "ci" });
        let task = json!({ "key": "a", "title": "A", "task_type": "analysis", "acceptance_criteria": [check] });
        let with =
            |criteria: Value| json!({ "title": "T", "acceptance_criteria": criteria, "plan": { "tasks": [task] } });
        assert_eq!(admit(with(json!([check, "nice"]))).unwrap().task_types(), ["analysis"]);
        for (draft, field, wanted) in [
            (with(json!([{ "type": "merged" }])), "plan", "no task of it has the goal's criterion"),
            (with(json!([{ "type": "check-green", "name": "other" }])), "plan", "check \"other\" is green"),
            (json!({ "title": "T", "plan": { "tasks": [] } }), "plan", "has no tasks"),
            (json!({ "title": " " }), "title", "empty"),
            (json!({ "title": "T", "replans_max": 21 }), "replans_max", "0 to 20"),
            (json!({ "title": "T", "description": "\0" }), "description", "U+0000"),
            (json!({ "title": "T", "acceptance_criteria": ["\0"] }), "acceptance_criteria", "U+0000"),
        ] {
            let invalid = admit(draft).unwrap_err();
            assert_eq!(invalid.field, field);
            assert!(invalid.message.contains(wanted), "{invalid}");
        }
    }
}
