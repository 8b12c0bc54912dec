//! Decisions of policy that belong to no transaction of their own.

use serde_json::json;

use super::{Db, DbError};
use crate::audit::{Event, EventKind};
use crate::policy::{Decision, Denied};
use crate::task::TaskId;

impl Db {
    /// Records what policy said of something that is not a host call: a task that somebody wanted to create, or to
    /// complete.
    pub async fn record_decision(
        &self,
        actor: &str,
        task: Option<TaskId>,
        what: &str,
        decided: &Result<Decision, Denied>,
    ) -> Result<(), DbError> {
        let event = decision(actor, what, decided);
        let event = match task {
            Some(task) => event.of(task),
            None => event,
        };
        self.begin_audited().await?.commit(vec![event]).await
    }
}

/// What the audit log says of a decision.
pub fn decision(actor: &str, what: &str, decided: &Result<Decision, Denied>) -> Event {
    let details = match decided {
        Ok(decision) => json!({ "call": what, "verdict": "allowed", "policies": decision.policies }),
        Err(denied) => {
            json!({ "call": what, "verdict": "denied", "policies": denied.policies, "message": denied.message })
        }
    };
    Event::new(EventKind::PolicyDecision, actor, details)
}
