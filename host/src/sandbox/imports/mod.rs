//! The host side of each WIT interface, one file each.
//!
//! Invariant: an interface reaches the linker only where the manifest grants it.

mod alerts;
mod answers;
mod convert;
mod deploy;
mod deploy_shown;
mod github_merge;
mod github_read;
mod github_write;
mod goals;
mod http_fetch;
mod http_send;
mod learnings;
mod llm;
mod llm_ask;
mod logs_read;
mod merge_facts;
mod merge_shown;
mod metrics_read;
mod quality;
mod recommendations;
mod reports;
mod scratch;
mod task;
mod tasks_read;
mod tasks_write;
mod timer;
mod wasi;
mod workers_read;

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
            Interface::HttpSend => host::http_send::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?,
            Interface::Llm => host::llm::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?,
            Interface::TasksRead => host::tasks_read::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?,
            Interface::TasksWrite => host::tasks_write::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?,
            Interface::Goals => host::goals::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?,
            Interface::WorkersRead => host::workers_read::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?,
            Interface::MetricsRead => host::metrics_read::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?,
            Interface::LogsRead => host::logs_read::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?,
            Interface::Alerts => host::alerts::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?,
            Interface::Learnings => host::learnings::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?,
            Interface::Reports => host::reports::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?,
            Interface::Recommendations => host::recommendations::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?,
            Interface::Deploy => host::deploy::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?,
        }
    }
    Ok(())
}
