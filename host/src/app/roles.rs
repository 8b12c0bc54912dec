//! Finding roles: each folder with a manifest is one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use tracing::info;

use crate::config::WorkerConfig;
use crate::manifest;
use crate::sandbox::{LoadedRole, RoleCheck, RoleReport, Sandbox, SandboxConfig};

/// Roles that one process runs at most.
pub(super) const ROLES_MAX: usize = 16;

/// Loads the roles of the configured folder, or the one that `WORKER_TYPE` names.
pub(super) fn load(sandbox: &Sandbox, config: &WorkerConfig) -> Result<Vec<Arc<LoadedRole>>> {
    let folder = &config.roles_dir;
    let mut roles = Vec::new();
    for directory in directories(folder)? {
        let role = LoadedRole::load(sandbox, &directory)?;
        let wanted = config.worker_type.as_ref().is_none_or(|only| *only == role.manifest.role.worker_type);
        if wanted {
            info!(role = role.manifest.role.name, component = hex::encode(role.component_sha256), "role is loaded");
            roles.push(Arc::new(role));
        }
    }
    match &config.worker_type {
        Some(only) if roles.is_empty() => {
            bail!("WORKER_TYPE is {only:?}, and no role in {} has that worker_type", folder.display())
        }
        _ if roles.len() > ROLES_MAX => bail!("{} holds more than {ROLES_MAX} roles", folder.display()),
        _ => Ok(roles),
    }
}

fn directories(folder: &Path) -> Result<Vec<PathBuf>> {
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

/// An engine for the commands that look at components and run none.
pub fn sandbox_for_tools() -> Result<Sandbox> {
    Ok(Sandbox::new(&SandboxConfig { cache_dir: None, guests_max: 1, threads: 1 })?)
}

/// What a component imports, and what the manifest beside it says of that.
pub fn inspect(component: &Path) -> Result<RoleReport> {
    Ok(RoleReport::inspect(&sandbox_for_tools()?, component)?)
}

/// World, manifest and component of one role, or of each role in a folder, held against each other.
pub fn check(folder: &Path) -> Result<Vec<RoleCheck>> {
    let sandbox = sandbox_for_tools()?;
    let directories =
        if folder.join(manifest::FILE_NAME).is_file() { vec![folder.to_owned()] } else { directories(folder)? };
    directories.iter().map(|directory| Ok(RoleCheck::check(&sandbox, directory)?)).collect()
}
