//! Each decision of policy on a call leaves for the audit log, in the transaction of the step that it is about.

use std::sync::Arc;

use serde::Serialize;

use super::calls::{CallError, GuestError, Made};
use super::run::RunError;
use super::state::RunState;
use crate::egress::FetchError;
use crate::github::GitHubError;
use crate::journal::{Call, Decided, Message, Verdict};
use crate::policy::{Assessment, Authority, DEFAULT_DENY, Decision, Denied, Scope};
use crate::repo::Repository;
use crate::task::{Risk, Target, Task};

/// How a look at the world fails.
pub(super) trait Failed: Into<GuestError> + Send + 'static {
    /// What denied it, where that came to be seen only while it was done: a redirect, or the address that a name has.
    fn denied_by(&self) -> &[String] {
        &[]
    }
}

impl Failed for GitHubError {}

impl Failed for FetchError {
    fn denied_by(&self) -> &[String] {
        match self {
            Self::Denied(denied) => &denied.policies,
            Self::Invalid(_) | Self::Unavailable(_) => &[],
        }
    }
}

/// Who asks, and for which task: as it is at one call.
pub(super) struct Standing {
    authority: Arc<Authority>,
    task: Arc<Task>,
    risk: Assessment,
    target: Option<Target>,
}

impl Standing {
    pub(super) fn scope(&self) -> Scope<'_> {
        self.authority.over(&self.task, &self.risk, self.target.as_ref())
    }
}

impl RunState {
    fn scope(&self) -> Scope<'_> {
        self.authority.over(&self.task, &self.risk, self.target.as_ref())
    }

    pub(super) fn standing(&self) -> Standing {
        Standing {
            authority: Arc::clone(&self.authority),
            task: Arc::clone(&self.task),
            risk: self.risk.clone(),
            target: self.target.clone(),
        }
    }

    /// Asks policy, in a task of its own on the guests' threads. A host call is on a fiber's stack, and there every
    /// answer would be a denial.
    pub(super) async fn judged<T: Send + 'static>(
        &mut self,
        ask: impl FnOnce(Scope<'_>) -> Result<T, Denied> + Send + 'static,
    ) -> Result<T, Denied> {
        let standing = self.standing();
        let answer = tokio::spawn(async move { ask(standing.scope()) }).await;
        answer.unwrap_or_else(|broken| {
            let message = format!("policy could not be asked: {broken}");
            Err(Denied { policies: vec![DEFAULT_DENY.to_owned()], message })
        })
    }

    pub(super) async fn may_read(&mut self, repository: &Repository) -> Result<Decision, Denied> {
        // The most frequent question of all: what is known needs no other stack.
        if let Some(known) = self.scope().read_known(repository) {
            return Ok(known);
        }
        let repository = repository.clone();
        self.judged(move |scope| scope.read(&repository)).await
    }

    /// Policy's answer on its way into the call: what a denial stood on is kept for the record.
    pub(super) fn ruled<T>(&mut self, answer: Result<T, Denied>) -> Result<T, GuestError> {
        answer.map_err(|denied| {
            self.denied_by.clone_from(&denied.policies);
            denied.into()
        })
    }

    /// Of a call that only reads.
    pub(super) async fn decided(
        &mut self,
        position: u32,
        call: &Call,
        allowed: &Result<Decision, Denied>,
    ) -> Result<(), RunError> {
        let (verdict, policies) = match allowed {
            Ok(decision) => (Verdict::Allowed, decision.policies.clone()),
            Err(denied) => (Verdict::Denied, denied.policies.clone()),
        };
        self.record_decision(position, call, verdict, policies, self.risk.level).await
    }

    /// What was allowed as it was asked for, and denied on the way, is a denial beside the permission.
    pub(super) async fn denied_outside<T, E: Failed>(
        &mut self,
        position: u32,
        call: &Call,
        acted: &Result<T, E>,
    ) -> Result<(), RunError> {
        let policies = acted.as_ref().err().map(Failed::denied_by).unwrap_or_default();
        if policies.is_empty() {
            return Ok(());
        }
        self.record_decision(position, call, Verdict::Denied, policies.to_vec(), self.risk.level).await
    }

    /// Ends a mutation that was not decided in its favour. What the world refused, policy never judged.
    pub(super) async fn denied<T: Serialize>(&mut self, made: Made, error: GuestError) -> Result<T, CallError> {
        let policies = std::mem::take(&mut self.denied_by);
        if !policies.is_empty() {
            let level = self.risk.level;
            self.record_decision(made.position, &made.call, Verdict::Denied, policies, level).await?;
        }
        self.finish(made, Err(error)).await
    }

    pub(super) async fn record_decision(
        &mut self,
        position: u32,
        call: &Call,
        verdict: Verdict,
        policies: Vec<String>,
        risk: Risk,
    ) -> Result<(), RunError> {
        let call = format!("{}.{}", call.interface, call.function);
        self.send(Message::Decided(Decided { position, call, verdict, policies, risk })).await
    }
}
