//! `roles.lock` on disk: written where a release is built, demanded where it is served.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};

use super::roles;
use crate::manifest::{LOCK_BYTES_MAX, LOCK_NAME, Mismatch, Pin, RolesLock, read_bounded};
use crate::sandbox::RoleFiles;

/// The host that serves the roles may be another user than the one that built them.
const LOCK_MODE: u32 = 0o644;

/// Writes the lock of a folder of roles: whole, or not at all. Returns its place and the roles.
pub fn lock_roles(folder: &Path) -> Result<(PathBuf, RolesLock)> {
    let pins = pins(folder)?;
    let lock = RolesLock::new(pins);
    let path = folder.join(LOCK_NAME);
    let write = || -> Result<()> {
        let permissions = Permissions::from_mode(LOCK_MODE);
        let mut file = tempfile::Builder::new().prefix(".roles.lock-").permissions(permissions).tempfile_in(folder)?;
        file.write_all(lock.to_text()?.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(&path)?;
        Ok(())
    };
    write().with_context(|| format!("{} can not be written; is the folder writable?", path.display()))?;
    Ok((path, lock))
}

/// What differs between a folder of roles and its lock.
pub fn check_lock(folder: &Path) -> Result<Vec<Mismatch>> {
    let lock = read(folder)?.ok_or_else(|| {
        anyhow!(
            "{} is missing; `juggernaut role lock {}` writes it",
            folder.join(LOCK_NAME).display(),
            folder.display()
        )
    })?;
    let found = pins(folder)?.into_iter().map(|(role, pin)| (role, Some(pin))).collect();
    Ok(lock.compare(&found))
}

/// An error unless these are the roles of the folder's lock.
pub(super) fn demand(folder: &Path, found: &BTreeMap<String, Option<Pin>>) -> Result<()> {
    let path = folder.join(LOCK_NAME);
    let Some(lock) = read(folder)? else {
        bail!(
            "{} is missing, and only pinned roles are served; `cargo xtask build` writes it where the release is built, \
             `juggernaut role lock {}` does for roles that you reviewed, and `juggernaut dev` needs none",
            path.display(),
            folder.display()
        );
    };
    let mismatches = lock.compare(found);
    if mismatches.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = mismatches.iter().map(|mismatch| format!("\n  - {mismatch}")).collect();
    bail!(
        "the roles in {} are not those of {}, so nothing is served:{}",
        folder.display(),
        path.display(),
        lines.concat()
    )
}

fn pins(folder: &Path) -> Result<BTreeMap<String, Pin>> {
    let pin = |(role, manifest)| {
        let files = RoleFiles::beside(manifest)?;
        Ok((role, Pin::new(&files.component_sha256, &files.manifest.sha256)))
    };
    roles::manifests(folder)?.into_iter().map(pin).collect()
}

fn read(folder: &Path) -> Result<Option<RolesLock>> {
    let path = folder.join(LOCK_NAME);
    let bytes = match read_bounded(&path, LOCK_BYTES_MAX) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        read => read.with_context(|| format!("{} can not be read", path.display()))?,
    };
    let not_understood = || format!("{} is not understood; `juggernaut role lock` writes it anew", path.display());
    let text = bytes
        .ok_or_else(|| anyhow!("it has more than {LOCK_BYTES_MAX} bytes"))
        .and_then(|bytes| Ok(String::from_utf8(bytes)?))
        .with_context(not_understood)?;
    let lock = RolesLock::parse(&text).map_err(|problem| anyhow!("{problem}")).with_context(not_understood)?;
    Ok(Some(lock))
}
