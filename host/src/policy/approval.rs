//! Which allowed actions wait for a person.

use sha2::{Digest, Sha256};

use super::Granted;
use crate::task::Risk;

/// Policy's word for an action: it may be done, and perhaps only after somebody approved it.
#[derive(Debug)]
pub struct Ruling<A> {
    pub grant: Granted<A>,
    /// None where it may be done unattended.
    pub needs: Option<Needed>,
}

impl<A> Ruling<A> {
    pub fn unattended(grant: Granted<A>) -> Self {
        Self { grant, needs: None }
    }
}

/// Why an action waits for approval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needed {
    /// Ids of the policies that ask.
    pub policies: Vec<String>,
    pub risk: Risk,
    pub reasons: Vec<String>,
}

/// Whether a call with authority that matters waits for a person.
pub fn needed_for_call(risk: Risk) -> Option<Needed> {
    match risk {
        Risk::Low | Risk::Medium => None,
        Risk::High | Risk::Critical => Some(Needed {
            policies: vec![format!("approve-{risk}-risk")],
            risk,
            reasons: vec![format!("the task's risk is {risk}")],
        }),
    }
}

/// Names the rules in force: an approval is good only under those that it was asked under.
pub fn digest() -> [u8; 32] {
    Sha256::digest(b"unversioned").into()
}
