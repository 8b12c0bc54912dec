//! Authority as a value.

use super::action::{ClosePullRequest, OpenPullRequest};
use crate::repo::{Branch, Repository};

/// Proof that policy allowed exactly this action. The clients' mutating methods take one and read their arguments
/// from it; only `policy` can make one.
#[derive(Debug)]
pub struct Granted<A>(A);

impl<A> Granted<A> {
    pub(super) fn new(action: A) -> Self {
        Self(action)
    }

    /// Tests of the clients have no policy to ask.
    #[cfg(test)]
    pub(crate) fn for_tests(action: A) -> Self {
        Self(action)
    }

    pub fn action(&self) -> &A {
        &self.0
    }

    pub fn into_action(self) -> A {
        self.0
    }
}

/// Leave to close again what one leave to open a pull request brought about. Made before that is used, because who may do
/// something may take just this back; it allows nothing that a run could ask for.
#[derive(Debug)]
pub struct TakingBack {
    repository: Repository,
    head: Branch,
}

impl Granted<OpenPullRequest> {
    pub fn taking_back(&self) -> TakingBack {
        TakingBack { repository: self.0.repository.clone(), head: self.0.head.clone() }
    }
}

impl TakingBack {
    /// Where, and of which branch.
    pub fn place(&self) -> (&Repository, &Branch) {
        (&self.repository, &self.head)
    }

    /// `number` is what the answer to the opening says.
    pub fn close(self, number: u64) -> Granted<ClosePullRequest> {
        Granted(ClosePullRequest { repository: self.repository, number })
    }
}
