//! Finding roles: each folder with a manifest is one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use tracing::info;

use super::lock;
use crate::config::WorkerConfig;
use crate::manifest::{self, Manifest, Pin};
use crate::sandbox::{LoadedRole, RoleFiles, Sandbox};

/// Roles that one process runs at most.
pub(super) const ROLES_MAX: usize = 16;

/// Whether roles must be those of `roles.lock`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pinning {
    Locked,
    /// Development: roles change with every build.
    Free,
}

/// Loads the roles of the configured folder, or the one that `WORKER_TYPE` names.
///
/// Invariant: nothing of a role is compiled before its bytes are held against the lock.
pub(super) fn load(sandbox: &Sandbox, config: &WorkerConfig, pinning: Pinning) -> Result<Vec<Arc<LoadedRole>>> {
    let folder = &config.roles_dir;
    let mut pins = BTreeMap::new();
    let mut wanted = Vec::new();
    for (name, manifest) in manifests(folder)? {
        let worker_type = &manifest.role.worker_type;
        if config.worker_type.as_ref().is_some_and(|only| only != worker_type) {
            pins.insert(name, None);
            continue;
        }
        if wanted.len() == ROLES_MAX {
            bail!("{} holds more than {ROLES_MAX} roles; run the others in another process", folder.display());
        }
        let files = RoleFiles::beside(manifest)?;
        pins.insert(name, Some(Pin::new(&files.component_sha256, &files.manifest.sha256)));
        wanted.push(files);
    }
    if let Some(only) = &config.worker_type
        && wanted.is_empty()
    {
        bail!("WORKER_TYPE is {only:?}, and no role in {} has that worker_type", folder.display());
    }
    match pinning {
        Pinning::Locked => lock::demand(folder, &pins)?,
        Pinning::Free => info!("development: the roles are not held against roles.lock"),
    }
    let mut roles = Vec::new();
    for files in wanted {
        let role = LoadedRole::load(sandbox, files)?;
        info!(role = role.manifest.role.name, component = hex::encode(role.component_sha256), "role is loaded");
        roles.push(Arc::new(role));
    }
    Ok(roles)
}

/// The manifests of a folder of roles, by the roles' names.
pub(super) fn manifests(folder: &Path) -> Result<BTreeMap<String, Manifest>> {
    let mut found: BTreeMap<String, Manifest> = BTreeMap::new();
    for directory in directories(folder)? {
        let manifest = Manifest::read(&directory.join(manifest::FILE_NAME))?;
        let name = manifest.role.name.clone();
        if let Some(other) = found.get(&name) {
            let (one, two) = (other.path.display(), manifest.path.display());
            bail!("{one} and {two} are both of the role `{name}`; rename one or remove it");
        }
        found.insert(name, manifest);
    }
    Ok(found)
}

/// The folders of roles, sorted.
pub(super) fn directories(folder: &Path) -> Result<Vec<PathBuf>> {
    let what = || {
        format!(
            "the roles folder {} can not be read; `cargo xtask build` makes target/roles, and JUGGERNAUT_ROLES names it",
            folder.display()
        )
    };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(what)? {
        let path = entry.with_context(what)?.path();
        if path.join(manifest::FILE_NAME).is_file() {
            found.push(path);
        }
    }
    if found.is_empty() {
        bail!("{} holds no role: a role is a folder with {} and its component", folder.display(), manifest::FILE_NAME);
    }
    found.sort();
    Ok(found)
}
