//! A plan: tasks that name each other by keys, before they exist.
//!
//! Invariant: what comes out of [`admit_plan`] has no cycle, no dependency that nobody knows, and only tasks that passed
//! admission.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::new::{empty_list, empty_object, medium};
use super::{NewTask, Priority, Risk, TaskDraft, TaskId};

/// Tasks of one plan.
pub const PLAN_TASKS_MAX: usize = 500;
/// Longest key.
const KEY_CHARS_MAX: usize = 64;
/// Keys of a cycle that a message names.
const CYCLE_NAMED_MAX: usize = 10;
/// Of a key in a message, where it is too long to be one.
const KEY_SHOWN_CHARS_MAX: usize = 80;

/// A task of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlannedTask {
    /// Names it within the plan: 1 to 64 letters, digits, `_`, `-` or `.`.
    pub key: String,
    pub title: String,
    #[serde(default)]
    pub description: String,
    pub task_type: String,
    #[serde(default = "medium")]
    pub priority: Priority,
    #[serde(default = "empty_object")]
    pub payload: Value,
    #[serde(default = "empty_list")]
    pub acceptance_criteria: Value,
    #[serde(default)]
    pub assigned_worker: Option<String>,
    /// Keys of the plan. What is added to a goal may name tasks of the same goal by their ids, too.
    #[serde(default)]
    pub depends_on: Vec<String>,
}

/// What is to be done for a goal, in tasks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// 1 to 500.
    pub tasks: Vec<PlannedTask>,
}

/// A task of a plan that passed admission, with the id that it will have.
#[derive(Clone, Debug)]
pub struct AdmittedTask {
    pub key: String,
    pub id: TaskId,
    pub task: NewTask,
}

/// Why a plan is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", .key.as_ref().map(|key| format!("task {key:?}: ")).unwrap_or_default())]
pub struct InvalidPlan {
    /// The task at fault, if one is.
    pub key: Option<String>,
    pub message: String,
}

impl InvalidPlan {
    pub fn whole(message: impl Into<String>) -> Self {
        Self { key: None, message: message.into() }
    }

    pub fn of(key: &str, message: impl Into<String>) -> Self {
        Self { key: Some(key.chars().take(KEY_SHOWN_CHARS_MAX).collect()), message: message.into() }
    }
}

/// Whether a plan may name tasks that exist already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// By their ids. That they are tasks of the same goal is for the database to say.
    Named,
    None,
}

/// Checks a plan, and gives each task an id.
pub fn admit_plan(tasks: Vec<PlannedTask>, existing: Existing) -> Result<Vec<AdmittedTask>, InvalidPlan> {
    if tasks.is_empty() {
        return Err(InvalidPlan::whole("the plan has no tasks; it must have at least one"));
    }
    if tasks.len() > PLAN_TASKS_MAX {
        let message = format!("the plan has {} tasks; the limit is {PLAN_TASKS_MAX}", tasks.len());
        return Err(InvalidPlan::whole(message));
    }
    let numbers = numbers(&tasks)?;
    let ids: Vec<TaskId> = tasks.iter().map(|_| TaskId::generate()).collect();
    let mut within = Vec::with_capacity(tasks.len());
    let mut admitted = Vec::with_capacity(tasks.len());
    for (task, id) in tasks.iter().zip(&ids) {
        let mut inside = Vec::new();
        let mut depends_on = Vec::new();
        for name in &task.depends_on {
            match numbers.get(name.as_str()) {
                Some(number) => {
                    inside.push(*number);
                    depends_on.push(ids[*number]);
                }
                None => depends_on.push(existing_task(&task.key, name, existing)?),
            }
        }
        within.push(inside);
        admitted.push((id, depends_on));
    }
    refuse_cycle(&tasks, &within)?;
    let admitted: Vec<(TaskId, Vec<TaskId>)> = admitted.into_iter().map(|(id, depends_on)| (*id, depends_on)).collect();
    tasks.into_iter().zip(admitted).map(|(task, (id, depends_on))| admit(task, id, depends_on)).collect()
}

fn admit(task: PlannedTask, id: TaskId, depends_on: Vec<TaskId>) -> Result<AdmittedTask, InvalidPlan> {
    let PlannedTask {
        key,
        title,
        description,
        task_type,
        priority,
        payload,
        acceptance_criteria,
        assigned_worker,
        depends_on: _,
    } = task;
    let draft = TaskDraft {
        title,
        description,
        task_type,
        priority,
        risk: Risk::Low,
        payload,
        acceptance_criteria,
        assigned_worker,
        depends_on,
        attempts_max: super::new::three(),
        deadline_at: None,
    };
    match NewTask::admit(draft) {
        Ok(task) => Ok(AdmittedTask { key, id, task }),
        Err(invalid) => Err(InvalidPlan::of(&key, format!("{} {}", invalid.field, invalid.message))),
    }
}

/// The place of each key.
fn numbers(tasks: &[PlannedTask]) -> Result<HashMap<&str, usize>, InvalidPlan> {
    let plain = |char: char| char.is_ascii_alphanumeric() || matches!(char, '_' | '-' | '.');
    let mut numbers = HashMap::with_capacity(tasks.len());
    for (number, task) in tasks.iter().enumerate() {
        let key = task.key.as_str();
        if key.is_empty() || key.len() > KEY_CHARS_MAX || !key.chars().all(plain) {
            let message = format!("its key must be 1 to {KEY_CHARS_MAX} letters, digits, '_', '-' or '.'");
            return Err(InvalidPlan::of(key, message));
        }
        if numbers.insert(key, number).is_some() {
            return Err(InvalidPlan::of(key, "two tasks have this key; each needs one of its own"));
        }
    }
    Ok(numbers)
}

fn existing_task(key: &str, name: &str, existing: Existing) -> Result<TaskId, InvalidPlan> {
    let shown: String = name.chars().take(KEY_SHOWN_CHARS_MAX).collect();
    if existing == Existing::None {
        return Err(InvalidPlan::of(key, format!("it depends on {shown:?}, which is no key of the plan")));
    }
    let id = (name.len() == 36).then(|| name.parse().ok()).flatten();
    id.ok_or_else(|| {
        InvalidPlan::of(key, format!("it depends on {shown:?}, which is neither a key of this plan nor a task's id"))
    })
}

/// Takes away, again and again, what depends on nothing that is left. What remains has a cycle.
fn refuse_cycle(tasks: &[PlannedTask], within: &[Vec<usize>]) -> Result<(), InvalidPlan> {
    let mut waits: Vec<usize> = within.iter().map(Vec::len).collect();
    let mut dependents = vec![Vec::new(); tasks.len()];
    for (task, names) in within.iter().enumerate() {
        names.iter().for_each(|name| dependents[*name].push(task));
    }
    let mut free: Vec<usize> = (0..tasks.len()).filter(|task| waits[*task] == 0).collect();
    let mut left = tasks.len();
    while let Some(task) = free.pop() {
        left -= 1;
        for dependent in &dependents[task] {
            waits[*dependent] -= 1;
            if waits[*dependent] == 0 {
                free.push(*dependent);
            }
        }
    }
    let Some(start) = (left > 0).then(|| waits.iter().position(|waits| *waits > 0)).flatten() else {
        return Ok(());
    };
    let cycle = cycle_from(start, within, &waits);
    let named: Vec<&str> = cycle.iter().take(CYCLE_NAMED_MAX).map(|task| tasks[*task].key.as_str()).collect();
    let more = if cycle.len() > CYCLE_NAMED_MAX { " → …" } else { "" };
    let message = format!("the tasks depend on each other in a cycle: {}{more}; break it", named.join(" → "));
    Err(InvalidPlan::of(&tasks[cycle[0]].key, message))
}

/// Walks along dependencies that were never freed, until it comes to a task for the second time.
fn cycle_from(start: usize, within: &[Vec<usize>], waits: &[usize]) -> Vec<usize> {
    let mut path = vec![start];
    let mut at = start;
    // What is left waits for something that is left, so there is always a next one.
    while let Some(next) = within[at].iter().copied().find(|next| waits[*next] > 0) {
        if let Some(seen) = path.iter().position(|task| *task == next) {
            path.drain(..seen);
            path.push(next);
            break;
        }
        path.push(next);
        at = next;
    }
    path
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plan(tasks: &[(&str, &[&str])]) -> Vec<PlannedTask> {
        let task = |(key, depends_on): &(&str, &[&str])| {
            let value = json!({ "key": key, "title": key, "task_type": "analysis", "depends_on": depends_on });
            serde_json::from_value(value).unwrap()
        };
        tasks.iter().map(task).collect()
    }

    fn refused(tasks: &[(&str, &[&str])], existing: Existing) -> String {
        admit_plan(plan(tasks), existing).unwrap_err().to_string()
    }

    #[test]
    fn keys_become_ids() {
        let admitted = admit_plan(plan(&[("b", &["a"]), ("a", &[]), ("c", &["a", "b"])]), Existing::None).unwrap();
        let ids: Vec<TaskId> = admitted.iter().map(|task| task.id).collect();
        assert_eq!(admitted[0].task.draft().depends_on, [ids[1]]);
        assert_eq!(admitted[2].task.draft().depends_on, [ids[1], ids[0]]);
        let other = TaskId::generate();
        let admitted = admit_plan(plan(&[("a", &[&other.to_string()])]), Existing::Named).unwrap();
        assert_eq!(admitted[0].task.draft().depends_on, [other]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (tasks, wanted) in [
            (&[("a", &["a"][..])][..], "task \"a\": the tasks depend on each other in a cycle: a → a"),
            (&[("x", &["a"]), ("a", &["b"]), ("b", &["c"]), ("c", &["a"])], "in a cycle: a → b → c → a"),
            (&[("a", &["nobody"])], "task \"a\": it depends on \"nobody\", which is no key"),
            (&[("a", &[]), ("a", &[])], "task \"a\": two tasks have this key"),
            (&[("a b", &[])], "task \"a b\": its key must be"),
            (&[("", &[])], "its key must be"),
            (&[], "has no tasks"),
        ] {
            let problem = refused(tasks, Existing::None);
            assert!(problem.contains(wanted), "{problem}");
        }
        let id = TaskId::generate().to_string();
        assert!(refused(&[("a", &[&id])], Existing::None).contains("no key of the plan"));
        assert!(refused(&[("a", &["nobody"])], Existing::Named).contains("nor a task's id"));
        let many: Vec<_> = (0..=PLAN_TASKS_MAX).map(|number| format!("k{number}")).collect();
        let many: Vec<(&str, &[&str])> = many.iter().map(|key| (key.as_str(), &[][..])).collect();
        assert!(refused(&many, Existing::None).contains("the limit is 500"));
        let mut tasks = plan(&[("a", &[])]);
        tasks[0].title = "two\nlines".to_owned();
        assert!(
            admit_plan(tasks, Existing::None).unwrap_err().to_string().contains("task \"a\": title must not contain")
        );
    }

    #[test]
    fn a_long_chain_is_no_cycle() {
        let keys: Vec<String> = (0..PLAN_TASKS_MAX).map(|number| format!("k{number}")).collect();
        let before: Vec<Vec<&str>> = (0..PLAN_TASKS_MAX)
            .map(|number| number.checked_sub(1).map(|it| keys[it].as_str()).into_iter().collect())
            .collect();
        let mut chain: Vec<(&str, &[&str])> =
            keys.iter().zip(&before).map(|(key, before)| (key.as_str(), before.as_slice())).collect();
        chain.reverse();
        assert_eq!(admit_plan(plan(&chain), Existing::None).unwrap().len(), PLAN_TASKS_MAX);
    }
}
