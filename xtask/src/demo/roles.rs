//! The folders of roles: one that a host runs, and one that no host would.
//!
//! Invariant: components and manifests are those that were built; only worlds and, for one role, the pairing are the
//! demo's own.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::Places;
use crate::build;
use crate::db::delete_directory;
use crate::workspace::Workspace;

const MANIFEST: &str = "capabilities.toml";
const WORLD: &str = "wit/world.wit";

/// Our roles and `prose` to run; `sockets`, and the hostile guest under the manifest of `prose`, to refuse.
pub(super) fn assemble(workspace: &Workspace, places: &Places) -> Result<()> {
    let guests = workspace.test_guests_dir();
    let worlds = places.sources.join("worlds");
    let (prose_world, sockets_world) = (worlds.join("prose.wit"), worlds.join("sockets.wit"));
    let prose_manifest = guests.join("prose").join(MANIFEST);

    delete_directory(&places.roles)?;
    for role in build::roles(workspace)? {
        let (name, into) = (role.dir_name(), places.roles.join(role.dir_name()));
        let built = workspace.roles_dir().join(&name);
        let component = format!("{name}.wasm");
        copy(&built.join(&component), &into.join(&component))?;
        copy(&built.join(MANIFEST), &into.join(MANIFEST))?;
    }
    let into = places.roles.join("prose");
    copy(&guests.join("prose/prose.wasm"), &into.join("prose.wasm"))?;
    copy(&prose_manifest, &into.join(MANIFEST))?;
    copy(&prose_world, &into.join(WORLD))?;

    delete_directory(&places.refused)?;
    let into = places.refused.join("sockets");
    copy(&guests.join("sockets/sockets.wasm"), &into.join("sockets.wasm"))?;
    copy(&guests.join("sockets").join(MANIFEST), &into.join(MANIFEST))?;
    copy(&sockets_world, &into.join(WORLD))?;
    let into = places.refused.join("overreach");
    copy(&guests.join("hostile/hostile.wasm"), &into.join("prose.wasm"))?;
    copy(&prose_manifest, &into.join(MANIFEST))?;
    copy(&prose_world, &into.join(WORLD))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).with_context(|| format!("could not create {}", folder.display()))?;
    }
    fs::copy(from, to).with_context(|| {
        format!("could not copy {} to {}; `cargo xtask demo` builds it", from.display(), to.display())
    })?;
    Ok(())
}
