//! Runs roles as WebAssembly components.
//!
//! A role is loaded once ([`LoadedRole`]): its component is compiled, its imports are held against its manifest, and a
//! linker with exactly the granted interfaces is built. A run ([`Sandbox::run`]) is a fresh instance with its own store
//! and limits. Every host call goes through `calls`: decide, record the intent, act, record the result.
//!
//! Invariant: no SQL here. What a run writes down leaves as `journal::Message`s over a bounded channel; before an
//! outside effect the reply to the message is the durable acknowledgement.
//!
//! Invariant: guests run on a runtime of their own; what talks to the network runs on the host's. A spinning guest
//! starves neither timers nor heartbeats nor HTTP.

mod approval;
mod bindings;
mod calls;
mod decisions;
mod determinism;
mod engine;
mod errors;
mod imports;
mod late;
mod leaks;
mod limits;
mod log;
mod output;
mod reconcile;
mod records;
mod role;
mod run;
mod script;
mod state;
mod world;

pub use engine::{Sandbox, SandboxConfig, SandboxError};
pub use role::{LoadedRole, RoleError, RoleFiles, RoleReport};
pub use run::{RunEnd, RunError, RunInput, RunMode};
pub use script::{Script, ScriptedCall, Times, answer_example, difference, plural};
pub use state::Services;
pub use world::RoleCheck;
