//! Does what the goal's description says, call by call, and tells in its log what came of each: `3 create: ok …`. The
//! description is a list of `{"call": NAME, …}`; `{KEY}` in a text is the id of the task that was created under that
//! key, and `{own}` is the planner's own.

use std::collections::BTreeMap;

use juggernaut_guest::tasks_read::{self, Filter, Priority};
use juggernaut_guest::tasks_write::{self, Draft};
use juggernaut_guest::{Assignment, Error, Evidence, Failure, goals, info};
use serde_json::{Value, json};

juggernaut_guest::role!(run);

/// Longest wait at a stretch.
const WAIT_MS: u64 = 60_000;

fn run(task: Assignment) -> Result<Evidence, Failure> {
    let goal = goals::given()?;
    let script: Vec<Value> =
        serde_json::from_str(&goal.description).map_err(|error| Failure::final_(error.to_string()))?;
    let mut planner = Planner { ids: BTreeMap::from([("own".to_owned(), task.id)]), closed: None };
    for (number, call) in script.iter().enumerate() {
        let name = call["call"].as_str().unwrap_or_default();
        match planner.make(name, call) {
            Ok(answer) => info!("{number} {name}: ok {answer}"),
            Err(error) => info!("{number} {name}: {error:?}"),
        }
    }
    match planner.closed {
        Some(children) => Ok(Evidence::tasks_created(children)),
        None => Err(Failure::final_("the script is over, and the goal is not closed")),
    }
}

struct Planner {
    ids: BTreeMap<String, String>,
    closed: Option<Vec<String>>,
}

impl Planner {
    fn make(&mut self, name: &str, call: &Value) -> Result<Value, Error> {
        let id = self.text(&call["id"]);
        let reason = || call["reason"].as_str().unwrap_or("for a test").to_owned();
        Ok(match name {
            "given" => {
                let goal = goals::given()?;
                json!({ "title": goal.title, "plan": goal.plan.is_some(), "replans_left": goal.replans_left })
            }
            "progress" => {
                let progress = goals::get_progress()?;
                json!({ "children": progress.children.len(), "ended": progress.ended })
            }
            "create" => json!(self.create(call)?),
            "create-many" => {
                let count = call["count"].as_u64().unwrap_or_default();
                let drafts: Vec<Draft> =
                    (0..count).map(|number| self.draft(&json!({ "key": format!("k{number}") }))).collect();
                json!(tasks_write::create(&drafts)?.len())
            }
            "create-often" => {
                let count = call["count"].as_u64().unwrap_or_default();
                let made = (0..count).filter(|number| {
                    let key = format!("often{number}");
                    tasks_write::create(&[self.draft(&json!({ "key": key }))]).is_ok()
                });
                json!(made.count())
            }
            "priority" => json!(tasks_write::set_priority(&id, Priority::Critical)?),
            "assign" => json!(tasks_write::assign(&id, call["worker"].as_str())?),
            "cancel" => json!(tasks_write::cancel(&id, &reason())?),
            "retry" => json!(tasks_write::retry(&id)?),
            "get" => json!(tasks_read::get(&id)?.title),
            "list" => {
                let goal = call["goal"].as_str().map(str::to_owned);
                let filter = Filter { status: None, task_type: None, goal, limit: 500 };
                json!(tasks_read::list_tasks(&filter)?.len())
            }
            "wait" => json!(goals::wait(number(call, "ended"), call["milliseconds"].as_u64().unwrap_or(WAIT_MS))?),
            "follow" => json!(follow()?),
            "replan" => json!(goals::replan(&reason(), &self.texts(&call["replaced"]))?),
            "complete" => {
                let closed = goals::complete(&reason(), &self.texts(&call["replaced"]))?;
                self.closed = Some(closed.children.clone());
                json!(closed.children.len())
            }
            "fail" => json!(goals::fail(&reason())?),
            _ => json!("no such call"),
        })
    }

    fn create(&mut self, call: &Value) -> Result<usize, Error> {
        let tasks = call["tasks"].as_array().cloned().unwrap_or_default();
        let drafts: Vec<Draft> = tasks.iter().map(|task| self.draft(task)).collect();
        let created = tasks_write::create(&drafts)?;
        let count = created.len();
        self.ids.extend(created.into_iter().map(|created| (created.key, created.id)));
        Ok(count)
    }

    /// Meant for nobody, unless it says otherwise, so that it waits.
    fn draft(&self, task: &Value) -> Draft {
        let text = |key: &str, default: &str| task[key].as_str().unwrap_or(default).to_owned();
        Draft {
            key: text("key", ""),
            title: text("title", "a task of the planner"),
            description: text("description", ""),
            task_type: text("task_type", "analysis"),
            priority: Priority::Medium,
            payload: task.get("payload").map_or_else(|| "{}".to_owned(), Value::to_string),
            acceptance_criteria: task.get("acceptance_criteria").map_or_else(|| "[]".to_owned(), Value::to_string),
            assigned_worker: match task.get("worker") {
                None => Some("nobody".to_owned()),
                Some(worker) => worker.as_str().map(str::to_owned),
            },
            depends_on: self.texts(&task["depends_on"]),
        }
    }

    fn texts(&self, list: &Value) -> Vec<String> {
        list.as_array().map(|list| list.iter().map(|text| self.text(text)).collect()).unwrap_or_default()
    }

    fn text(&self, text: &Value) -> String {
        let text = text.as_str().unwrap_or_default();
        let key = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        key.and_then(|key| self.ids.get(key)).cloned().unwrap_or_else(|| text.to_owned())
    }
}

fn number(call: &Value, key: &str) -> u32 {
    u32::try_from(call[key].as_u64().unwrap_or_default()).unwrap_or(u32::MAX)
}

/// Until every child has ended, one way or the other; says how often it looked.
fn follow() -> Result<u32, Error> {
    let mut looks = 1;
    loop {
        let progress = goals::get_progress()?;
        if progress.ended as usize == progress.children.len() {
            return Ok(looks);
        }
        goals::wait(progress.ended, WAIT_MS)?;
        looks += 1;
    }
}
