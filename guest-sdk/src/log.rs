//! Macros that write to the execution log, in the manner of `println!`.

use crate::bindings::juggernaut::host::task;

/// Used by the macros.
pub fn write(level: task::Level, message: &str) {
    task::log(level, message);
}

/// Something that only its author wants to know.
#[macro_export]
macro_rules! debug {
    ($($argument:tt)*) => { $crate::log::write($crate::Level::Debug, &format!($($argument)*)) };
}

/// Something that happened as it should.
#[macro_export]
macro_rules! info {
    ($($argument:tt)*) => { $crate::log::write($crate::Level::Info, &format!($($argument)*)) };
}

/// Something that an operator may want to look at.
#[macro_export]
macro_rules! warn {
    ($($argument:tt)*) => { $crate::log::write($crate::Level::Warn, &format!($($argument)*)) };
}

/// Something that went wrong.
#[macro_export]
macro_rules! error {
    ($($argument:tt)*) => { $crate::log::write($crate::Level::Error, &format!($($argument)*)) };
}
