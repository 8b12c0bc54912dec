//! Decides what a run may do.
//!
//! Invariant: pure. No I/O, no clock; the default is deny; only this module makes a [`Granted`].

pub mod action;
mod granted;

pub use granted::Granted;
