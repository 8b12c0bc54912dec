//! The host side of each WIT interface, one file each.
//!
//! Invariant: an interface reaches the linker only where the manifest grants it.

mod answers;
mod convert;
mod github_merge;
mod github_read;
mod github_write;
mod http_fetch;
mod merge_facts;
mod merge_shown;
mod quality;
mod scratch;
mod task;
mod timer;
mod wasi;

pub(super) use answers::EXAMPLES;
pub(super) use convert::run_end;
pub(super) use quality::ImportRoots;
pub(super) use scratch::ScratchFiles;

use wasmtime::component::{HasSelf, Linker};

use super::bindings::juggernaut::host;
use super::state::RunState;
use crate::manifest::{Interface, Manifest};

/// Links what every role has, and what this one is granted.
pub(super) fn link(linker: &mut Linker<RunState>, manifest: &Manifest) -> wasmtime::Result<()> {
    wasi::link(linker)?;
    host::types::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?;
    host::task::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?;
    for interface in Interface::ALL.iter().copied().filter(|interface| manifest.grants(*interface)) {
        match interface {
            Interface::GithubRead => host::github_read::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?,
            Interface::GithubWrite => host::github_write::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?,
            Interface::GithubMerge => host::github_merge::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?,
            Interface::Timer => host::timer::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?,
            Interface::Scratch => host::scratch::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?,
            Interface::HttpFetch => host::http_fetch::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?,
            Interface::HttpSend => wasmtime::bail!("this host can not link {interface} yet"),
            Interface::Llm => wasmtime::bail!("this host can not link {interface} yet"),
            Interface::TasksRead => wasmtime::bail!("this host can not link {interface} yet"),
            Interface::TasksWrite => wasmtime::bail!("this host can not link {interface} yet"),
            Interface::Goals => wasmtime::bail!("this host can not link {interface} yet"),
            Interface::WorkersRead => wasmtime::bail!("this host can not link {interface} yet"),
            Interface::MetricsRead => wasmtime::bail!("this host can not link {interface} yet"),
            Interface::LogsRead => wasmtime::bail!("this host can not link {interface} yet"),
            Interface::Alerts => wasmtime::bail!("this host can not link {interface} yet"),
            Interface::Learnings => wasmtime::bail!("this host can not link {interface} yet"),
            Interface::Reports => wasmtime::bail!("this host can not link {interface} yet"),
            Interface::Recommendations => wasmtime::bail!("this host can not link {interface} yet"),
            Interface::Deploy => wasmtime::bail!("this host can not link {interface} yet"),
        }
    }
    Ok(())
}
