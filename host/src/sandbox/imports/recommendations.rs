//! `recommendations`.
//!
//! Invariant: a task that is recommended was admitted as one that the run creates itself would be; that a person approves it
//! takes nothing from what policy forbids.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::tasks_read::task_id;
use super::tasks_write::{NAMED_MAX, argument, cut, planned};
use crate::journal::{Call, Effect};
use crate::manifest::Interface;
use crate::policy::{Beyond, Decision, Denied, Scope};
use crate::records::{
    Change, Filing, RECOMMENDED_MAX, RecommendationChange, RecommendationDraft, Recommended, RecommendedTask,
};
use crate::sandbox::bindings::juggernaut::host::recommendations::{
    AssignmentChange, Cancellation, Change as Wanted, Draft, Host, PriorityChange, Recommendation,
};
use crate::sandbox::calls::{CallError, GuestError};
use crate::sandbox::state::RunState;
use crate::task::{AdmittedTask, Priority};

/// What of a recommendation is no task to be made, in its order.
#[derive(Debug)]
struct Steering(Vec<Recommended>);

impl Host for RunState {
    async fn file(&mut self, recommendation: Recommendation) -> Result<String, CallError> {
        let Recommendation { title, rationale, changes } = recommendation;
        let call = Call {
            interface: "recommendations",
            function: "file",
            effect: Effect::Write,
            arguments: json!({
                "title": title, "rationale": rationale, "changes": changes.iter().map(shown).collect::<Vec<_>>(),
            }),
        };
        let beyond = self.beyond_recommended(&changes);
        // What the manifest does not grant needs no further look.
        let read = if beyond.is_empty() { read(changes) } else { Ok((Steering(Vec::new()), Vec::new())) };
        let (allowed, change) = match read {
            Err(invalid) => {
                let allowed =
                    self.judged(move |scope| scope.write_records(Interface::Recommendations, "file", beyond)).await;
                (allowed, Err(GuestError::Invalid(invalid)))
            }
            Ok((steering, tasks)) => match self.judged(move |scope| admitted(scope, beyond, tasks)).await {
                Err(denied) => (Err(denied), Err(GuestError::Invalid("denied".to_owned()))),
                Ok((decision, created)) => {
                    let all = steering.0.into_iter().chain(created).collect();
                    let draft = RecommendationDraft::new(&title, &rationale, all);
                    (Ok(decision), draft.map(|draft| self.filing(draft)).map_err(GuestError::Invalid))
                }
            },
        };
        self.change_if(call, allowed, change).await
    }
}

impl RunState {
    fn filing(&self, draft: RecommendationDraft) -> Change {
        let grant = self.manifest.grants.recommendations.as_ref();
        let filing = Filing {
            draft,
            recommendations_max: grant.map_or(0, |grant| grant.as_ref().recommendations_max),
            component: self.versions.component,
            manifest: self.versions.manifest,
            policy: self.versions.policy,
        };
        Change::Recommendations(RecommendationChange::File(Box::new(filing)))
    }

    /// What of the call the manifest does not grant. How much the attempt has filed before, the database counts.
    fn beyond_recommended(&self, changes: &[Wanted]) -> Beyond {
        let Some(grant) = self.manifest.grants.recommendations.as_ref().map(toml::Spanned::as_ref) else {
            return Beyond::new();
        };
        let types: BTreeSet<&str> = drafts(changes).map(|draft| draft.task_type.as_str()).collect();
        let odd = types.into_iter().filter(|name| !grant.task_types.iter().any(|granted| granted == name));
        let odd: Vec<String> = odd.take(NAMED_MAX).map(|name| format!("{:?}", cut(name))).collect();
        if odd.is_empty() {
            return Beyond::new();
        }
        vec![("task_types".to_owned(), format!("to recommend task type {} is not granted", odd.join(", ")))]
    }
}

fn drafts(changes: &[Wanted]) -> impl Iterator<Item = &Draft> {
    changes.iter().filter_map(|change| match change {
        Wanted::CreateTask(draft) => Some(draft),
        Wanted::SetPriority(_) | Wanted::Assign(_) | Wanted::Cancel(_) => None,
    })
}

/// A change as the journal has it.
fn shown(change: &Wanted) -> Value {
    match change {
        Wanted::SetPriority(PriorityChange { task, priority }) => {
            json!({ "set-priority": { "task": task, "priority": Priority::from(*priority) } })
        }
        Wanted::Assign(AssignmentChange { task, worker }) => json!({ "assign": { "task": task, "worker": worker } }),
        Wanted::Cancel(Cancellation { task, reason }) => json!({ "cancel": { "task": task, "reason": reason } }),
        Wanted::CreateTask(draft) => json!({ "create-task": argument(draft) }),
    }
}

/// Changes of tasks that there are, and tasks to be made.
fn read(changes: Vec<Wanted>) -> Result<(Steering, Vec<AdmittedTask>), String> {
    if changes.is_empty() || changes.len() > RECOMMENDED_MAX {
        return Err(format!("changes has {} entries; it must have 1 to {RECOMMENDED_MAX}", changes.len()));
    }
    let known = |id: &str| task_id(id).ok_or_else(|| format!("{:?} is no task's id", cut(id)));
    let mut steering = Vec::new();
    let mut create = Vec::new();
    for change in changes {
        match change {
            Wanted::SetPriority(PriorityChange { task, priority }) => {
                steering.push(Recommended::SetPriority { task: known(&task)?, priority: priority.into() });
            }
            Wanted::Assign(AssignmentChange { task, worker }) => {
                steering.push(Recommended::Assign { task: known(&task)?, worker });
            }
            Wanted::Cancel(Cancellation { task, reason }) => {
                steering.push(Recommended::Cancel { task: known(&task)?, reason });
            }
            Wanted::CreateTask(draft) => create.push(draft),
        }
    }
    let tasks = if create.is_empty() { Vec::new() } else { planned(create).map_err(|invalid| invalid.to_string())? };
    Ok((Steering(steering), tasks))
}

/// Policy's word on the call, and then on each task.
fn admitted(
    scope: Scope<'_>,
    beyond: Beyond,
    tasks: Vec<AdmittedTask>,
) -> Result<(Decision, Vec<Recommended>), Denied> {
    let decision = scope.write_records(Interface::Recommendations, "file", beyond)?;
    let judged = tasks.into_iter().map(|AdmittedTask { key, id, task }| {
        let admission = scope
            .admit(id, task.draft())
            .map_err(|Denied { policies, message }| Denied { policies, message: format!("task {key:?}: {message}") })?;
        let (draft, treatment) = (task.draft().clone(), admission.treatment());
        Ok(Recommended::Create(Box::new(RecommendedTask { id, key, draft, treatment })))
    });
    Ok((decision, judged.collect::<Result<_, Denied>>()?))
}
