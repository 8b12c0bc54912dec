//! What became of a mutation whose answer was lost, or whose host was.

use std::time::Duration;

use super::calls::{Mutation, StepName};
use super::run::RunError;
use super::state::RunState;
use crate::github::GitHub;

/// Tries to find out what became of a mutation whose answer was lost, and the pause before the second; it doubles.
const RECONCILE_TRIES: u32 = 4;
const RECONCILE_PAUSE: Duration = Duration::from_millis(500);

impl RunState {
    pub(super) async fn reconcile<M: Mutation>(
        &mut self,
        mutation: &M,
        github: &GitHub,
        step: &StepName,
    ) -> Result<Option<M::Output>, RunError> {
        let (mutation, github, step) = (mutation.clone(), github.clone(), step.clone());
        let name = step.to_string();
        let search = async move {
            let mut pause = RECONCILE_PAUSE;
            let mut answer = mutation.find(github.clone(), step.clone()).await;
            for _ in 1..RECONCILE_TRIES {
                if answer.is_ok() {
                    break;
                }
                tokio::time::sleep(pause).await;
                pause *= 2;
                answer = mutation.find(github.clone(), step.clone()).await;
            }
            answer
        };
        self.outside(search).await?.map_err(|error| RunError::Unreconciled { step: name, cause: error.to_string() })
    }
}
