//! Plans, as they are given with a goal and as a model answers. The host checks what they say; here they are only read.

use juggernaut_guest::tasks_write::{Draft, Priority};
use serde::Deserialize;
use serde_json::{Value, json};

/// Types that a model may plan, with what their payloads hold. The manifest says the same of the types.
pub const TYPES: &[(&str, &str)] = &[
    (
        "code",
        "changes a repository: {\"repository\": \"owner/name\", \"base\": \"main\", \"instructions\": \"what to change\"}",
    ),
    ("test", "reads test results of a repository: {\"repository\": \"owner/name\", \"base\": \"main\"}"),
    ("verification", "checks named facts: {\"repository\": \"owner/name\", \"base\": \"main\"}"),
    (
        "documentation",
        "writes a document: {\"repository\": \"owner/name\", \"base\": \"main\", \"instructions\": \"what to write\"}",
    ),
    ("research", "finds out and cites sources: {\"question\": \"…\"}"),
    ("analysis", "calculates from this system's figures, and reports: {\"question\": \"…\"}"),
    ("report", "reports on this system: {\"question\": \"…\"}"),
    ("planning", "recommends what a person may approve: {}"),
];
/// Tasks that a model may plan at once.
pub const PLANNED_MAX: usize = 50;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    pub tasks: Vec<PlannedTask>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedTask {
    pub key: String,
    pub title: String,
    #[serde(default)]
    pub description: String,
    pub task_type: String,
    #[serde(default)]
    pub priority: Urgency,
    #[serde(default = "empty_object")]
    pub payload: Value,
    #[serde(default = "empty_list")]
    pub acceptance_criteria: Value,
    #[serde(default)]
    pub assigned_worker: Option<String>,
    #[serde(default)]
    pub depends_on: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Urgency {
    Critical,
    High,
    #[default]
    Medium,
    Low,
}

fn empty_object() -> Value {
    json!({})
}

fn empty_list() -> Value {
    json!([])
}

impl From<Urgency> for Priority {
    fn from(urgency: Urgency) -> Self {
        match urgency {
            Urgency::Critical => Self::Critical,
            Urgency::High => Self::High,
            Urgency::Medium => Self::Medium,
            Urgency::Low => Self::Low,
        }
    }
}

impl Plan {
    pub fn parse(json: &str) -> Result<Self, String> {
        let plan: Self = serde_json::from_str(json).map_err(|error| format!("it can not be read: {error}"))?;
        if plan.tasks.is_empty() {
            return Err("it has no tasks".to_owned());
        }
        Ok(plan)
    }

    pub fn drafts(&self) -> Vec<Draft> {
        let draft = |task: &PlannedTask| Draft {
            key: task.key.clone(),
            title: task.title.clone(),
            description: task.description.clone(),
            task_type: task.task_type.clone(),
            priority: task.priority.into(),
            payload: task.payload.to_string(),
            acceptance_criteria: task.acceptance_criteria.to_string(),
            assigned_worker: task.assigned_worker.clone(),
            depends_on: task.depends_on.clone(),
        };
        self.tasks.iter().map(draft).collect()
    }
}

/// JSON Schema of what a model has to answer.
pub fn schema() -> Value {
    let types: Vec<&str> = TYPES.iter().map(|(name, _)| *name).collect();
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["tasks"],
        "properties": { "tasks": {
            "type": "array", "minItems": 1, "maxItems": PLANNED_MAX,
            "items": {
                "type": "object",
                "additionalProperties": false,
                "required": ["key", "title", "description", "task_type", "priority", "payload", "acceptance_criteria", "depends_on"],
                "properties": {
                    "key": { "type": "string", "pattern": "^[A-Za-z0-9_.-]{1,64}$" },
                    "title": { "type": "string", "minLength": 1, "maxLength": 200 },
                    "description": { "type": "string" },
                    "task_type": { "enum": types },
                    "priority": { "enum": ["critical", "high", "medium", "low"] },
                    "payload": { "type": "object" },
                    "acceptance_criteria": { "type": "array", "maxItems": 50 },
                    "depends_on": { "type": "array", "items": { "type": "string" }, "maxItems": 100 }
                }
            }
        } }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_becomes_drafts() {
        let text = r#"{"tasks": [
            {"key": "a", "title": "A", "task_type": "code", "payload": {"repository": "demo/sample"}, "priority": "high"},
            {"key": "b", "title": "B", "task_type": "test", "depends_on": ["a"], "acceptance_criteria": ["nice"]}
        ]}"#;
        let drafts = Plan::parse(text).unwrap().drafts();
        assert_eq!(drafts[0].payload, r#"{"repository":"demo/sample"}"#);
        assert!(matches!((drafts[0].priority, drafts[1].priority), (Priority::High, Priority::Medium)));
        assert_eq!(
            (drafts[1].depends_on.as_slice(), drafts[1].acceptance_criteria.as_str()),
            (&["a".to_owned()][..], r#"["nice"]"#)
        );
    }

    #[test]
    fn what_is_no_plan_is_refused() {
        for (text, wanted) in [
            ("{", "can not be read"),
            ("{\"tasks\": []}", "no tasks"),
            ("{\"tasks\": [{\"key\": \"a\"}]}", "missing field `title`"),
            (
                "{\"tasks\": [{\"key\": \"a\", \"title\": \"A\", \"task_type\": \"code\", \"risk\": \"low\"}]}",
                "unknown field `risk`",
            ),
        ] {
            let problem = Plan::parse(text).unwrap_err();
            assert!(problem.contains(wanted), "{problem}");
        }
    }

    #[test]
    fn the_manifest_grants_every_type_that_a_model_is_offered() {
        let manifest = include_str!("../capabilities.toml");
        for (name, _) in TYPES {
            assert!(manifest.contains(&format!("\"{name}\"")), "{name}");
        }
    }
}
