//! What the `role` commands look at. Nothing of a role runs here.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;

use super::roles;
use crate::manifest::{self, ComponentVersion, Diff, Manifest, RoleVersion};
use crate::sandbox::{RoleCheck, RoleReport, Sandbox, SandboxConfig};

/// An engine for the commands that look at components and run none.
pub fn sandbox_for_tools() -> Result<Sandbox> {
    Ok(Sandbox::new(&SandboxConfig { cache_dir: None, guests_max: 1, threads: 1 })?)
}

/// What a role's directory or its component imports, and what the manifest says.
pub fn inspect(place: &Path) -> Result<RoleReport> {
    Ok(RoleReport::inspect(&sandbox_for_tools()?, place)?)
}

/// World, manifest and component of one role, or of each role in a folder, held against each other.
pub fn check(folder: &Path) -> Result<Vec<RoleCheck>> {
    let sandbox = sandbox_for_tools()?;
    let directories = if is_role(folder) { vec![folder.to_owned()] } else { roles::directories(folder)? };
    directories.iter().map(|directory| Ok(RoleCheck::check(&sandbox, directory)?)).collect()
}

/// What changed between two versions of a role, or of a folder of roles.
pub fn diff(old: &Path, new: &Path) -> Result<Diff> {
    let sandbox = sandbox_for_tools()?;
    Ok(manifest::compare(&versions(&sandbox, old)?, &versions(&sandbox, new)?))
}

fn versions(sandbox: &Sandbox, place: &Path) -> Result<BTreeMap<String, RoleVersion>> {
    let manifests = if is_role(place) {
        let manifest = Manifest::read(&place.join(manifest::FILE_NAME))?;
        BTreeMap::from([(manifest.role.name.clone(), manifest)])
    } else {
        roles::manifests(place)?
    };
    let version = |(name, manifest): (String, Manifest)| {
        let path = manifest.path.with_file_name(format!("{name}.wasm"));
        // In a checkout the roles are not built: their manifests are compared all the same.
        let component = if path.try_exists()? { Some(component(sandbox, &path)?) } else { None };
        Ok((name, RoleVersion { manifest, component }))
    };
    manifests.into_iter().map(version).collect()
}

fn component(sandbox: &Sandbox, path: &Path) -> Result<ComponentVersion> {
    let report = RoleReport::inspect(sandbox, path)?;
    let imports = report.imports.into_iter().map(|import| import.name).collect();
    Ok(ComponentVersion { sha256: report.component_sha256, imports })
}

fn is_role(folder: &Path) -> bool {
    folder.join(manifest::FILE_NAME).is_file()
}
