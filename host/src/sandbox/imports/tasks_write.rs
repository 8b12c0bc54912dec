//! `tasks-write`.
//!
//! Invariant: what a run creates was admitted as what a person creates is, with the role as the one who asks; types and
//! numbers beyond the manifest are refused by policy, before anything is stored.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::tasks_read::task_id;
use crate::journal::{Call, Effect};
use crate::manifest::Interface;
use crate::policy::{Beyond, Decision, Denied, Scope};
use crate::records::{Change, TaskChange, TaskMade, TaskToCreate};
use crate::sandbox::bindings::juggernaut::host::tasks_read::Priority;
use crate::sandbox::bindings::juggernaut::host::tasks_write::{Created, Draft, Host};
use crate::sandbox::calls::{CallError, GuestError};
use crate::sandbox::state::RunState;
use crate::task::{self, AdmittedTask, Existing, InvalidPlan, PlannedTask, REASON_BYTES_MAX, TaskId, admit_plan};

/// Names of a call that a refusal repeats.
pub(super) const NAMED_MAX: usize = 10;
/// Longest name of a worker.
const WORKER_BYTES_MAX: usize = 128;

impl Host for RunState {
    async fn create(&mut self, drafts: Vec<Draft>) -> Result<Vec<Created>, CallError> {
        let call = call("create", json!({ "drafts": drafts.iter().map(argument).collect::<Vec<_>>() }));
        let beyond = self.beyond_tasks(&drafts);
        let tasks_max = self.manifest.grants.tasks_write.as_ref().map_or(0, |grant| grant.as_ref().tasks_max);
        // What the manifest does not grant needs no further look.
        let planned = if beyond.is_empty() { planned(drafts) } else { Ok(Vec::new()) };
        let (allowed, change) = match planned {
            Err(invalid) => {
                let allowed =
                    self.judged(move |scope| scope.write_records(Interface::TasksWrite, "create", beyond)).await;
                (allowed, Err(GuestError::Invalid(invalid.to_string())))
            }
            Ok(tasks) => match self.judged(move |scope| admitted(scope, beyond, tasks)).await {
                Ok((decision, tasks)) => (Ok(decision), Ok(Change::Tasks(TaskChange::Create { tasks, tasks_max }))),
                Err(denied) => {
                    let refused = GuestError::from(denied.clone());
                    (Err(denied), Err(refused))
                }
            },
        };
        let made = self.change_if::<Vec<TaskMade>>(call, allowed, change).await?;
        Ok(made.into_iter().map(|TaskMade { key, id }| Created { key, id }).collect())
    }

    async fn set_priority(&mut self, id: String, priority: Priority) -> Result<(), CallError> {
        let priority = task::Priority::from(priority);
        let call = call("set-priority", json!({ "id": id, "priority": priority }));
        let change = known(&id).map(|id| TaskChange::SetPriority { id, priority });
        self.steer(call, change).await
    }

    async fn assign(&mut self, id: String, worker: Option<String>) -> Result<(), CallError> {
        let call = call("assign", json!({ "id": id, "worker": worker }));
        let change = known(&id).and_then(|id| match worker {
            Some(worker)
                if worker.is_empty() || worker.len() > WORKER_BYTES_MAX || worker.chars().any(char::is_control) =>
            {
                Err(GuestError::Invalid(format!("a worker's type or id has 1 to {WORKER_BYTES_MAX} bytes")))
            }
            worker => Ok(TaskChange::Assign { id, worker }),
        });
        self.steer(call, change).await
    }

    async fn cancel(&mut self, id: String, reason: String) -> Result<(), CallError> {
        let reason = storable(reason);
        let call = call("cancel", json!({ "id": id, "reason": reason }));
        let change = known(&id).map(|id| TaskChange::Cancel { id, reason });
        self.steer(call, change).await
    }

    async fn retry(&mut self, id: String) -> Result<(), CallError> {
        let call = call("retry", json!({ "id": id }));
        let change = known(&id).map(|id| TaskChange::Retry { id });
        self.steer(call, change).await
    }
}

fn call(function: &'static str, arguments: Value) -> Call {
    Call { interface: "tasks-write", function, effect: Effect::Write, arguments }
}

fn known(id: &str) -> Result<TaskId, GuestError> {
    task_id(id).ok_or_else(|| GuestError::NotFound("that is no task's id".to_owned()))
}

/// A text of the guest as it is stored: without U+0000, which PostgreSQL does not take, and not endless.
pub(super) fn storable(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(REASON_BYTES_MAX));
    text.replace('\0', "\u{2400}")
}

impl RunState {
    async fn steer(&mut self, call: Call, change: Result<TaskChange, GuestError>) -> Result<(), CallError> {
        let function = call.function;
        let allowed = self.judged(move |scope| scope.write_records(Interface::TasksWrite, function, Vec::new())).await;
        self.change_if(call, allowed, change.map(Change::Tasks)).await
    }

    /// What of the call the manifest does not grant. How many tasks the attempt has made before, the database counts.
    fn beyond_tasks(&self, drafts: &[Draft]) -> Beyond {
        let Some(grant) = self.manifest.grants.tasks_write.as_ref().map(toml::Spanned::as_ref) else {
            return Beyond::new();
        };
        let mut beyond = Beyond::new();
        if drafts.len() > grant.tasks_max as usize {
            let message = format!("{} tasks are more than tasks_max = {}", drafts.len(), grant.tasks_max);
            beyond.push(("tasks_max".to_owned(), message));
        }
        let types: BTreeSet<&str> = drafts.iter().map(|draft| draft.task_type.as_str()).collect();
        let odd = types.into_iter().filter(|name| !grant.task_types.iter().any(|granted| granted == name));
        let odd: Vec<String> = odd.take(NAMED_MAX).map(|name| format!("{:?}", cut(name))).collect();
        if !odd.is_empty() {
            beyond.push(("task_types".to_owned(), format!("task type {} is not granted", odd.join(", "))));
        }
        beyond
    }
}

pub(super) fn cut(name: &str) -> String {
    name.chars().take(80).collect()
}

pub(super) fn argument(draft: &Draft) -> Value {
    let Draft {
        key,
        title,
        description,
        task_type,
        priority,
        payload,
        acceptance_criteria,
        assigned_worker,
        depends_on,
    } = draft;
    json!({
        "key": key, "title": title, "description": description, "task_type": task_type,
        "priority": task::Priority::from(*priority), "payload": payload, "acceptance_criteria": acceptance_criteria,
        "assigned_worker": assigned_worker, "depends_on": depends_on,
    })
}

pub(super) fn planned(drafts: Vec<Draft>) -> Result<Vec<AdmittedTask>, InvalidPlan> {
    let tasks: Result<Vec<PlannedTask>, InvalidPlan> = drafts.into_iter().map(read).collect();
    admit_plan(tasks?, Existing::Named)
}

fn read(draft: Draft) -> Result<PlannedTask, InvalidPlan> {
    let Draft {
        key,
        title,
        description,
        task_type,
        priority,
        payload,
        acceptance_criteria,
        assigned_worker,
        depends_on,
    } = draft;
    let json = |name: &str, text: &str| {
        serde_json::from_str::<Value>(text)
            .map_err(|error| InvalidPlan::of(&key, format!("{name} is not JSON: {error}")))
    };
    let (payload, acceptance_criteria) =
        (json("payload", &payload)?, json("acceptance_criteria", &acceptance_criteria)?);
    Ok(PlannedTask {
        key,
        title,
        description,
        task_type,
        priority: priority.into(),
        payload,
        acceptance_criteria,
        assigned_worker,
        depends_on,
    })
}

/// Policy's word on the call, and then on each task.
fn admitted(
    scope: Scope<'_>,
    beyond: Beyond,
    tasks: Vec<AdmittedTask>,
) -> Result<(Decision, Vec<TaskToCreate>), Denied> {
    let decision = scope.write_records(Interface::TasksWrite, "create", beyond)?;
    let judged = tasks.into_iter().map(|AdmittedTask { key, id, task }| {
        let admission = scope
            .admit(id, task.draft())
            .map_err(|Denied { policies, message }| Denied { policies, message: format!("task {key:?}: {message}") })?;
        Ok(TaskToCreate { key, id, task, treatment: admission.treatment() })
    });
    Ok((decision, judged.collect::<Result<_, Denied>>()?))
}
