//! `goals`.

use std::time::Duration;

use serde_json::{Value, json};

use super::tasks_read::task_id;
use super::tasks_write::storable;
use crate::journal::{Call, Effect};
use crate::manifest::Interface;
use crate::policy::{Decision, Denied};
use crate::records::{Change, ChildSeen, GoalChange, GoalClosed, GoalGiven, GoalProgress, GoalQuery, Query};
use crate::sandbox::bindings::juggernaut::host::goals::{Child, Closed, Goal, GoalState, Host, Progress};
use crate::sandbox::calls::{CallError, GuestError};
use crate::sandbox::state::RunState;
use crate::task::{self, TaskId};

/// Longest wait.
const WAIT_MAX: Duration = Duration::from_hours(30 * 24);
/// Tasks that one call may name as replaced.
const REPLACED_MAX: usize = 500;

impl Host for RunState {
    async fn given(&mut self) -> Result<Goal, CallError> {
        let call = call("given", Effect::Read, json!({}));
        let allowed = self.may_read_goals("given").await;
        let query = Query::Goals(GoalQuery::Given { replans_max: self.replans_max() });
        let GoalGiven { id, title, description, acceptance_criteria, plan, state, replans_left } =
            self.look(call, allowed, query).await?;
        Ok(Goal {
            id,
            title,
            description,
            acceptance_criteria: acceptance_criteria.to_string(),
            plan: plan.map(|plan| plan.to_string()),
            state: state.into(),
            replans_left,
        })
    }

    async fn get_progress(&mut self) -> Result<Progress, CallError> {
        let call = call("get-progress", Effect::Read, json!({}));
        let allowed = self.may_read_goals("get-progress").await;
        let GoalProgress { children, ended } = self.look(call, allowed, Query::Goals(GoalQuery::Progress)).await?;
        Ok(Progress { children: children.into_iter().map(Into::into).collect(), ended })
    }

    async fn wait(&mut self, ended: u32, milliseconds: u64) -> Result<(), CallError> {
        let call = call("wait", Effect::Wait, json!({ "ended": ended, "milliseconds": milliseconds }));
        let allowed = self.may_read_goals("wait").await;
        let duration = Duration::from_millis(milliseconds);
        let duration = if duration <= WAIT_MAX {
            Ok(duration)
        } else {
            Err(GuestError::Invalid(format!("{milliseconds} ms is longer than 30 days")))
        };
        self.wait_for_goal(call, allowed, ended, duration).await
    }

    async fn replan(&mut self, reason: String, replaced: Vec<String>) -> Result<(), CallError> {
        let reason = storable(reason);
        let call = call("replan", Effect::Write, json!({ "reason": reason, "replaced": replaced }));
        let replans_max = self.replans_max();
        let change = named(&replaced).map(|replaced| GoalChange::Replan { reason, replaced, replans_max });
        self.change_goal(call, change).await
    }

    async fn complete(&mut self, summary: String, replaced: Vec<String>) -> Result<Closed, CallError> {
        let summary = storable(summary);
        let call = call("complete", Effect::Write, json!({ "summary": summary, "replaced": replaced }));
        let change = named(&replaced).map(|replaced| GoalChange::Complete { summary, replaced });
        let GoalClosed { goal, children } = self.change_goal(call, change).await?;
        Ok(Closed { goal, children })
    }

    async fn fail(&mut self, reason: String) -> Result<(), CallError> {
        let reason = storable(reason);
        let call = call("fail", Effect::Write, json!({ "reason": reason }));
        let allowed = self.judged(|scope| scope.write_records(Interface::Goals, "fail", Vec::new())).await;
        self.change(call, allowed, Change::Goals(GoalChange::Fail { reason })).await
    }
}

fn call(function: &'static str, effect: Effect, arguments: Value) -> Call {
    Call { interface: "goals", function, effect, arguments }
}

fn named(ids: &[String]) -> Result<Vec<TaskId>, GuestError> {
    if ids.len() > REPLACED_MAX {
        return Err(GuestError::Invalid(format!("more than {REPLACED_MAX} tasks are named as replaced")));
    }
    let known = |id: &String| task_id(id).ok_or_else(|| GuestError::NotFound("that is no task's id".to_owned()));
    ids.iter().map(known).collect()
}

impl RunState {
    fn replans_max(&self) -> u32 {
        self.manifest.grants.goals.as_ref().map_or(0, |grant| grant.as_ref().replans_max)
    }

    async fn may_read_goals(&mut self, function: &'static str) -> Result<Decision, Denied> {
        self.judged(move |scope| scope.read_records(Interface::Goals, function, Vec::new())).await
    }

    async fn change_goal<T: serde::de::DeserializeOwned>(
        &mut self,
        call: Call,
        change: Result<GoalChange, GuestError>,
    ) -> Result<T, CallError> {
        let function = call.function;
        let allowed = self.judged(move |scope| scope.write_records(Interface::Goals, function, Vec::new())).await;
        self.change_if(call, allowed, change.map(Change::Goals)).await
    }
}

impl From<ChildSeen> for Child {
    fn from(child: ChildSeen) -> Self {
        let ChildSeen { id, title, task_type, status, error_message, depends_on, replaced } = child;
        Self { id, title, task_type, status: status.into(), error_message, depends_on, replaced }
    }
}

impl From<task::GoalState> for GoalState {
    fn from(state: task::GoalState) -> Self {
        match state {
            task::GoalState::Open => Self::Open,
            task::GoalState::Completed => Self::Completed,
            task::GoalState::Failed => Self::Failed,
            task::GoalState::Cancelled => Self::Cancelled,
        }
    }
}
