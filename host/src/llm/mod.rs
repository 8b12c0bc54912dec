//! Language models, over OpenRouter's chat completions: what is sent, one exchange with the service, and whether an answer
//! fits what was asked for.
//!
//! Invariants: the key is attached in `client` only, and goes to the configured address only; a request leaves for a
//! [`Granted<AskModel>`](crate::policy::Granted) alone; nothing that a model answers is carried out here or anywhere, it is data for
//! the role that asked. Who pays and who decides is not known here: `sandbox` asks policy and has each request reserved.

mod answer;
mod client;
mod prompt;
mod quote;
mod schema;
#[cfg(test)]
mod tests;

pub use answer::{Answer, Finish, Usage};
pub use client::{AskError, Estimate, Exchanged, Models};
pub use prompt::{Checked, Conversation, Message, Part, Request, Speaker, Tool, ToolCall};
