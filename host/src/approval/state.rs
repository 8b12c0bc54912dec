//! Where an approval stands. `approval_state_may_follow` in the database says the same.

use crate::task::database_enum;

database_enum! {
    /// Where an approval stands.
    ApprovalState = "approval_state" {
        Requested = "requested",
        Approved = "approved",
        Denied = "denied",
        Expired = "expired",
        Consumed = "consumed",
    }
}

impl ApprovalState {
    /// Whether an approval may go from this state to `next`.
    pub fn may_become(self, next: Self) -> bool {
        use ApprovalState::{Approved, Consumed, Denied, Expired, Requested};
        match (self, next) {
            (Requested, Approved | Denied | Expired) | (Approved, Consumed | Expired) => true,
            (Requested, Requested | Consumed)
            | (Approved, Requested | Approved | Denied)
            | (Denied | Expired | Consumed, Requested | Approved | Denied | Expired | Consumed) => false,
        }
    }
}

database_enum! {
    /// What an approval is for.
    ApprovalKind = "approval_kind" {
        /// Before the task first runs.
        Start = "start",
        /// At a host call.
        Call = "call",
        /// Of a criterion that only the role attests.
        Acceptance = "acceptance",
        /// Of changes that a role recommends. It outlives the task that asked for it.
        Recommendation = "recommendation",
    }
}
