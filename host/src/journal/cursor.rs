//! Where a run stands in its journal.

use super::{Call, Outcome, Step};

/// What is known of a call before it is made.
#[derive(Debug)]
pub enum Next {
    /// Made before: this is what the guest was given.
    Recorded(u32, Outcome),
    /// Begun before, by a host that died or lost its connection: find out before acting.
    Unfinished(u32, Step),
    /// Never made.
    Fresh(u32),
}

/// The run made another call than its journal says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the role is not deterministic: step {position} was {recorded} in the journal, and is {made} now; a role may depend \
     only on its task, its host calls and the clock and random numbers that the host gives it"
)]
pub struct Diverged {
    pub position: u32,
    pub recorded: String,
    pub made: String,
}

/// Recorded steps, and the position of the next call.
#[derive(Debug, Default)]
pub struct Cursor {
    recorded: std::collections::VecDeque<Step>,
    next: u32,
}

impl Cursor {
    /// `steps` in order of position, without gaps.
    pub fn new(steps: Vec<Step>) -> Self {
        Self { recorded: steps.into(), next: 0 }
    }

    /// Calls made so far, replayed ones included.
    pub fn calls(&self) -> u32 {
        self.next
    }

    /// The position of the newest call.
    pub fn last(&self) -> Option<u32> {
        self.next.checked_sub(1)
    }

    /// A run may end only when it has made every call that its journal holds.
    pub fn ended(&self) -> Result<(), Diverged> {
        match self.recorded.front() {
            None => Ok(()),
            Some(step) => Err(Diverged {
                position: step.position,
                recorded: describe(&step.interface, &step.function, &step.arguments),
                made: "the end of the run".to_owned(),
            }),
        }
    }

    pub fn advance(&mut self, call: &Call) -> Result<Next, Diverged> {
        let position = self.next;
        let next = match self.recorded.front() {
            None => Next::Fresh(position),
            Some(step) => {
                check(step, position, call)?;
                match self.recorded.pop_front() {
                    Some(Step { outcome: Some(outcome), .. }) => Next::Recorded(position, outcome),
                    Some(step) => Next::Unfinished(position, step),
                    None => Next::Fresh(position),
                }
            }
        };
        self.next += 1;
        Ok(next)
    }
}

fn check(step: &Step, position: u32, call: &Call) -> Result<(), Diverged> {
    let same = step.position == position
        && step.interface == call.interface
        && step.function == call.function
        && step.digest == call.digest();
    if same {
        return Ok(());
    }
    Err(Diverged {
        position,
        recorded: describe(&step.interface, &step.function, &step.arguments),
        made: call.describe(),
    })
}

pub(super) fn describe(interface: &str, function: &str, arguments: &serde_json::Value) -> String {
    let arguments: String = arguments.to_string().chars().take(200).collect();
    format!("{interface}.{function} {arguments}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use time::OffsetDateTime;

    use super::*;
    use crate::journal::Effect;

    fn call(path: &str) -> Call {
        Call { interface: "github-read", function: "get-file", effect: Effect::Read, arguments: json!({"path": path}) }
    }

    fn step(position: u32, path: &str, done: bool) -> Step {
        let call = call(path);
        let at = OffsetDateTime::UNIX_EPOCH;
        Step {
            position,
            interface: call.interface.to_owned(),
            function: call.function.to_owned(),
            effect: call.effect,
            digest: call.digest(),
            arguments: call.arguments,
            intended_at: at,
            outcome: done.then(|| Outcome { result: json!({"ok": path}), at }),
        }
    }

    #[test]
    fn recorded_calls_are_fed_back_then_new_ones_are_made() {
        let mut cursor = Cursor::new(vec![step(0, "a", true), step(1, "b", false)]);
        assert_eq!(cursor.ended().unwrap_err().made, "the end of the run");
        assert!(
            matches!(cursor.advance(&call("a")), Ok(Next::Recorded(0, outcome)) if outcome.ok() == Some(&json!("a")))
        );
        assert!(matches!(cursor.advance(&call("b")), Ok(Next::Unfinished(1, _))));
        assert!(cursor.ended().is_ok());
        assert!(matches!(cursor.advance(&call("c")), Ok(Next::Fresh(2))));
        assert_eq!(cursor.last(), Some(2));
    }

    #[test]
    fn another_call_than_the_recorded_one_ends_the_run() {
        let mut cursor = Cursor::new(vec![step(0, "a", true)]);
        let diverged = cursor.advance(&call("b")).unwrap_err();
        assert_eq!(diverged.position, 0);
        assert!(diverged.to_string().contains("not deterministic"), "{diverged}");
    }
}
