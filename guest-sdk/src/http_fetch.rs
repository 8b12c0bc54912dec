//! Looking at the web: GET and HEAD over https. Grant `[grants.http-fetch]`, with one table for each host.
//!
//! ```no_run
//! # fn run() -> Result<juggernaut_guest::Evidence, juggernaut_guest::Failure> {
//! use juggernaut_guest::http_fetch::{self, Method, Request};
//! use juggernaut_guest::{Check, Evidence, Failure, task};
//!
//! let page = http_fetch::get("https://example.com/status")?;
//! let step = task::last_step().unwrap_or_default();
//! // A status is an answer, not an error.
//! if page.status >= 500 {
//!     return Err(Failure::retriable(format!("{} answers {}", page.url, page.status)));
//! }
//! let headers = vec![("accept".to_owned(), "application/json".to_owned())];
//! let head = http_fetch::fetch(&Request { method: Method::Head, url: page.url.clone(), headers })?;
//! juggernaut_guest::info!("{} headers", head.headers.len());
//! let status = page.status.to_string();
//! Ok(Evidence::verification_report([Check::value("status", step, "/ok/status", "200", status)]))
//! # }
//! ```

pub use crate::bindings::juggernaut::host::http_fetch::*;

/// A GET without headers.
pub fn get(url: impl Into<String>) -> Result<Response, Error> {
    fetch(&Request { method: Method::Get, url: url.into(), headers: Vec::new() })
}
