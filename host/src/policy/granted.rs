//! Authority as a value.

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
