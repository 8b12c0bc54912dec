//! Addresses on the web: one canonical form that policy judges and the client uses.
//!
//! Invariant: pure. What is judged and what is sent come from the same [`WebTarget`], so that there is no second way to
//! read a URL.

mod method;
mod path;
mod target;
#[cfg(test)]
mod tests;

pub use method::Method;
pub use target::{InvalidTarget, QUERY_BYTES_MAX, URL_BYTES_MAX, WebTarget};
