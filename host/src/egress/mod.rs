//! The way out to the web: what no role may reach is refused here, whatever its manifest says.
//!
//! Invariants: a connection is made only to an address that the guard judged, for that connection; each URL of a chain
//! of redirects is judged anew, by policy and by the guard; answers are bounded in size and time and never decompressed;
//! nothing of the host's (secrets, proxies, cookies) is in a request.

mod client;
mod deliver;
mod guard;
mod headers;
mod resolver;
#[cfg(test)]
mod tests;

pub use client::{Fetch, FetchError, Fetched, WebClient};
pub use deliver::{Delivered, Delivery, DeliveryError};
pub use guard::{Guard, Loopback, Refusal};
pub use headers::RequestHeaders;
