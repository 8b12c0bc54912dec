//! Each decision of policy on a call leaves for the audit log, in the transaction of the step that it is about.

use serde::Serialize;

use super::calls::{CallError, GuestError, Made};
use super::run::RunError;
use super::state::RunState;
use crate::journal::{Call, Decided, Message, Verdict};
use crate::policy::{Decision, Denied};
use crate::task::Risk;

impl RunState {
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
