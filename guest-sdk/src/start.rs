//! Between the component's export and the role's function.

use crate::bindings::Outcome;
use crate::bindings::juggernaut::host::outcomes;
use crate::bindings::juggernaut::host::task::{self, Assignment, Level};
use crate::{Evidence, Failure};

/// Runs a role. A panic writes its message and location to the execution log before it ends the attempt.
pub fn start(run: fn(Assignment) -> Result<Evidence, Failure>) -> Outcome {
    std::panic::set_hook(Box::new(|panic| {
        task::log(Level::Error, &panic.to_string());
    }));
    match run(task::given()) {
        Ok(evidence) => Outcome::Completed(evidence.into()),
        Err(Failure { reason, retriable }) => Outcome::Failed(outcomes::Failure { reason, retriable }),
    }
}
