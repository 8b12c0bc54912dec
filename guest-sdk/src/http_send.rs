//! Sending to the web: what changes something elsewhere.
//!
//! ```
//! use juggernaut_guest::{Assignment, Check, Evidence, Failure, http_send, task};
//!
//! fn run(given: Assignment) -> Result<Evidence, Failure> {
//!     let body = serde_json::json!({ "text": format!("{} has begun", given.title) });
//!     let answer = http_send::post_json("https://hooks.example.org/v1/notes", &body)?;
//!     let step = task::last_step().unwrap_or_default();
//!     let status = answer.status.to_string();
//!     Ok(Evidence::verification_report([Check::value("noted", step, "/ok/status", "201", status)]))
//! }
//! # juggernaut_guest::role!(run);
//! # fn main() {}
//! ```
//!
//! Whatever status it has, an answer is an answer: [`send`] succeeds with it, and redirects are not followed. An
//! [`Error::Unavailable`](crate::Error::Unavailable) says that nothing was sent; sending again is the role's own decision.
//! Where nobody knows what became of the request the role is not told at all: the host sends it again under the same
//! `Idempotency-Key` to a target with `idempotent = true`, and otherwise fails the task for a person to find out.
//!
//! Each attempt of a task begins anew, and sends again what an earlier one has sent, under another key. After a call that
//! must not happen twice, fail with [`Failure::final_`](crate::Failure::final_).

pub use crate::bindings::juggernaut::host::http_send::*;

/// A POST of JSON.
pub fn post_json(url: impl Into<String>, body: &impl serde::Serialize) -> Result<Response, Error> {
    let body = serde_json::to_vec(body).map_err(|error| Error::Invalid(error.to_string()))?;
    let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    send(&Request { method: Method::Post, url: url.into(), headers, body })
}
