//! The product through its front door: the real binary, a real database, real components, a real forge.

use juggernaut_tests as support;

mod api;
mod code_task;
mod crash;
mod lifecycle;
mod smoke;
