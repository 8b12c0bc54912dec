//! A call that waits for a person: what is asked, and how the run goes on or ends.
//!
//! Invariant: an approval is used up in the transaction that stores the intent of the call that it was given for.
//! Where it is not there yet the run ends without an intent, and comes to the call again when it resumes.

use std::borrow::Cow;

use tokio::sync::oneshot;

use super::calls::{Made, acknowledged};
use super::run::RunError;
use super::state::RunState;
use crate::approval::{
    ApprovalKind, Asked, Binding, ROLE_SAYS_BYTES_MAX, Request, SHOWN_BYTES_MAX, Use, cut, exact_digest,
};
use crate::crash::{self, Point};
use crate::journal::{Call, Message, NotDurable};
use crate::policy::Needed;
use crate::text::{visible, visible_block};

/// How often an approval may expire between being found and being used up.
const ASK_TRIES: u32 = 3;

/// What the approver sees.
#[derive(Debug, Clone)]
pub(super) struct Shown {
    /// Made by the host from what it will do.
    pub(super) text: String,
    /// Of what the arguments stand for in the world.
    pub(super) exact: [u8; 32],
    pub(super) role_says: Option<String>,
}

impl Shown {
    /// Where the arguments say all.
    pub(super) fn of_arguments(call: &Call) -> Self {
        let arguments = serde_json::to_string_pretty(&call.arguments).unwrap_or_else(|_| call.arguments.to_string());
        let text = format!("{}\n\nArguments:\n{}", name(call), quoted(&arguments));
        Self { text, exact: exact_digest([]), role_says: None }
    }
}

fn name(call: &Call) -> String {
    format!("{}.{}", call.interface, call.function)
}

/// One line of a text that somebody else wrote. Tabs stay: they are ordinary in code.
pub(super) fn line(text: &str) -> Cow<'_, str> {
    visible_block(text)
}

/// Such a text whole; the bar keeps any of its lines from passing for one of the host's.
pub(super) fn quoted(text: &str) -> String {
    text.split('\n').map(|part| format!("| {}\n", line(part))).collect()
}

impl RunState {
    /// Returns once the call's intent is durable and its approval is used up.
    pub(super) async fn approved(
        &mut self,
        made: &Made,
        unfinished: bool,
        needed: Needed,
        shown: Shown,
    ) -> Result<(), RunError> {
        let Needed { policies, risk, reasons } = needed;
        let action = name(&made.call);
        let binding = Binding {
            task: self.task.id,
            kind: ApprovalKind::Call,
            action: &action,
            arguments: &made.call.arguments,
            exact: shown.exact,
            versions: self.versions,
        };
        let digest = binding.digest();
        let clean = |texts: Vec<String>| texts.iter().map(|text| visible(text).into_owned()).collect();
        let request = Request {
            kind: ApprovalKind::Call,
            position: made.position,
            unfinished,
            action: action.clone(),
            risk,
            policies: clean(policies),
            reasons: clean(reasons),
            digest,
            versions: self.versions,
            arguments: made.call.arguments.clone(),
            shown: cut(shown.text, SHOWN_BYTES_MAX),
            role_says: shown.role_says.map(|text| cut(text, ROLE_SAYS_BYTES_MAX)),
        };
        for _ in 0..ASK_TRIES {
            match self.ask(request.clone()).await? {
                Asked::Waiting(approval) => return Err(RunError::WaitingApproval { approval, action }),
                Asked::Consumed if unfinished => return Ok(()),
                Asked::Consumed => return Err(RunError::Host(format!("{action} was approved for a step not begun"))),
                Asked::Approved(approval) => {
                    if self.consume(made, unfinished, Use { approval, digest }).await? {
                        return Ok(());
                    }
                }
            }
        }
        Err(RunError::Host(format!("the approval of {action} was lost {ASK_TRIES} times; look at `approval list`")))
    }

    async fn ask(&mut self, request: Request) -> Result<Asked, RunError> {
        let (reply, asked) = oneshot::channel();
        self.send(Message::Ask { request: Box::new(request), reply }).await?;
        match asked.await {
            Ok(Ok(asked)) => Ok(asked),
            Ok(Err(NotDurable::LeaseLost)) | Err(_) => Err(RunError::LeaseLost),
            Ok(Err(error @ (NotDurable::Storage(_) | NotDurable::NotApproved))) => {
                Err(RunError::Host(error.to_string()))
            }
        }
    }

    /// False where the approval is not good any more.
    async fn consume(&mut self, made: &Made, unfinished: bool, approval: Use) -> Result<bool, RunError> {
        let (reply, durable) = oneshot::channel();
        let Made { position, call, began_at } = made.clone();
        let message = if unfinished {
            Message::Consume { position, approval, reply }
        } else {
            Message::Intend { position, call, at: began_at, approval: Some(approval), reply: Some(reply) }
        };
        crash::point(Point::BeforeApprovalUse);
        self.send(message).await?;
        let used = acknowledged(durable).await?.is_some();
        crash::point(Point::AfterApprovalUse);
        Ok(used)
    }
}
