//! Files of this run, empty at each start. Grant `[grants.scratch]`. No call of it is journalled.
//!
//! ```no_run
//! # fn run() -> Result<(), juggernaut_guest::Failure> {
//! use juggernaut_guest::scratch;
//!
//! scratch::write("parts/1.txt", b"first")?;
//! scratch::write("parts/2.txt", b"second")?;
//! let mut whole = Vec::new();
//! for path in scratch::list_files()? {
//!     whole.extend(scratch::read(&path)?);
//!     scratch::remove(&path)?;
//! }
//! # Ok(())
//! # }
//! ```

pub use crate::bindings::juggernaut::host::scratch::*;
