//! Files the recommendations that its task's description lists, and says what came of each:
//! `[{"title": "…", "rationale": "…", "changes": [{"cancel": ID, "reason": "…"}, …], "times": 1}]`. Completes with the last
//! one that was filed.

use juggernaut_guest::recommendations::{
    self, AssignmentChange, Cancellation, Change, Draft, Priority, PriorityChange, Recommendation,
};
use juggernaut_guest::{Assignment, Error, Evidence, Failure, info};
use serde_json::{Value, json};

juggernaut_guest::role!(run);

fn run(task: Assignment) -> Result<Evidence, Failure> {
    let calls: Value = serde_json::from_str(&task.description).map_err(|error| Failure::final_(error.to_string()))?;
    let mut filed = None;
    for call in list(&calls) {
        let changes: Vec<Change> = list(&call["changes"]).iter().map(|it| change(it, &task.id)).collect();
        let times = call["times"].as_u64().unwrap_or(1) as usize;
        let changes = changes.iter().cycle().take(changes.len() * times).cloned().collect();
        let recommendation = Recommendation {
            title: text(&call["title"], "A recommendation"),
            rationale: text(&call["rationale"], "for a test"),
            changes,
        };
        match recommendations::file(&recommendation) {
            Ok(id) => {
                info!("ok {id}");
                filed = Some(id);
            }
            Err(Error::Denied(message)) => info!("denied {message}"),
            Err(Error::Invalid(message)) => info!("invalid {message}"),
            Err(error) => info!("{error:?}"),
        }
    }
    filed.map(Evidence::recommendation_filed).ok_or(Failure::final_("nothing was filed"))
}

fn change(change: &Value, own: &str) -> Change {
    let named = |key: &str| match change[key].as_str().unwrap_or_default() {
        "own" => own.to_owned(),
        id => id.to_owned(),
    };
    if change["cancel"].is_string() {
        return Change::Cancel(Cancellation { task: named("cancel"), reason: text(&change["reason"], "old") });
    }
    if change["raise"].is_string() {
        return Change::SetPriority(PriorityChange { task: named("raise"), priority: Priority::Critical });
    }
    if change["assign"].is_string() {
        let worker = change["worker"].as_str().map(str::to_owned);
        return Change::Assign(AssignmentChange { task: named("assign"), worker });
    }
    Change::CreateTask(Draft {
        key: text(&change["create"], "new"),
        title: text(&change["title"], "a recommended task"),
        description: text(&change["description"], ""),
        task_type: text(&change["task_type"], "analysis"),
        priority: Priority::Medium,
        payload: match change["padding"].as_u64() {
            Some(length) => json!({ "a": "x".repeat(length as usize) }).to_string(),
            None => change.get("payload").map_or_else(|| "{}".to_owned(), Value::to_string),
        },
        acceptance_criteria: "[]".to_owned(),
        assigned_worker: Some("nobody".to_owned()),
        depends_on: list(&change["depends_on"]).iter().map(|it| text(it, "")).collect(),
    })
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// As it stands, or as many letters as `{"length": N}` asks for.
fn text(value: &Value, default: &str) -> String {
    match (value.as_str(), value["length"].as_u64()) {
        (Some(text), _) => text.to_owned(),
        (None, Some(length)) => "x".repeat(length as usize),
        (None, None) => default.to_owned(),
    }
}
