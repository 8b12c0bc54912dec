//! `scratch`: files of this run, over a capability directory, with a quota. Not journalled: it starts empty and holds
//! only what the run itself put there, so a replay makes the same answers.

use std::collections::BTreeMap;
use std::io::ErrorKind;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::manifest::Scratch;
use crate::repo::RepoPath;
use crate::sandbox::bindings::juggernaut::host::scratch::Host;
use crate::sandbox::calls::{CallError, GuestError};
use crate::sandbox::run::RunError;
use crate::sandbox::state::RunState;

const PATH_BYTES_MAX: usize = 255;

/// The files of one run. The guest's paths are only keys: on disk each file is named by the digest of its path, so
/// that no path, however made, names anything else, and no folders can be piled up.
pub(in crate::sandbox) struct ScratchFiles {
    quota: Option<Scratch>,
    /// Made at the first write, removed with the run.
    folder: Option<(TempDir, Dir)>,
    sizes: BTreeMap<String, u64>,
}

impl ScratchFiles {
    pub(in crate::sandbox) fn new(quota: Option<Scratch>) -> Self {
        Self { quota, folder: None, sizes: BTreeMap::new() }
    }

    fn folder(&mut self) -> std::io::Result<&Dir> {
        if self.folder.is_none() {
            let folder = tempfile::Builder::new().prefix("juggernaut-scratch-").tempdir()?;
            let dir = Dir::open_ambient_dir(folder.path(), ambient_authority())?;
            self.folder = Some((folder, dir));
        }
        self.folder.as_ref().map(|(_, dir)| dir).ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn read(&mut self, path: &str) -> Result<Vec<u8>, CallError> {
        self.known(path)?;
        Ok(self.folder().and_then(|dir| dir.read(file_name(path))).map_err(disk)?)
    }

    fn write(&mut self, path: String, content: &[u8]) -> Result<(), CallError> {
        let Some(Scratch { quota_kib, files_max }) = self.quota.clone() else {
            return Err(GuestError::Denied("the manifest grants no scratch".to_owned()).into());
        };
        let before = self.sizes.get(&path).copied();
        if before.is_none() && self.sizes.len() >= files_max as usize {
            return Err(GuestError::Invalid(format!("scratch.files_max = {files_max} files exist already")).into());
        }
        let others: u64 = self.sizes.values().sum::<u64>() - before.unwrap_or(0);
        let bytes = content.len() as u64;
        if others + bytes > quota_kib * 1024 {
            let message = format!("{bytes} bytes more would exceed scratch.quota_kib = {quota_kib}");
            return Err(GuestError::Invalid(message).into());
        }
        self.folder().and_then(|dir| dir.write(file_name(&path), content)).map_err(disk)?;
        self.sizes.insert(path, bytes);
        Ok(())
    }

    fn remove(&mut self, path: &str) -> Result<(), CallError> {
        self.known(path)?;
        self.folder().and_then(|dir| dir.remove_file(file_name(path))).map_err(disk)?;
        self.sizes.remove(path);
        Ok(())
    }

    fn known(&self, path: &str) -> Result<(), GuestError> {
        if self.sizes.contains_key(path) {
            return Ok(());
        }
        Err(GuestError::NotFound(format!("there is no file {path:?} in this run's scratch")))
    }
}

fn file_name(path: &str) -> String {
    hex::encode(Sha256::digest(path.as_bytes()))
}

/// A full or broken disk is the host's trouble; the guest can do nothing about it.
#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err takes")]
fn disk(error: std::io::Error) -> RunError {
    RunError::Host(format!("scratch: {error}"))
}

fn checked(path: &str) -> Result<String, CallError> {
    let path = RepoPath::parse(path)?;
    if path.as_str().len() > PATH_BYTES_MAX {
        return Err(GuestError::Invalid(format!("path is longer than {PATH_BYTES_MAX} bytes")).into());
    }
    Ok(path.into())
}

impl Host for RunState {
    async fn read(&mut self, path: String) -> Result<Vec<u8>, CallError> {
        self.scratch.read(&checked(&path)?)
    }

    async fn write(&mut self, path: String, content: Vec<u8>) -> Result<(), CallError> {
        self.scratch.write(checked(&path)?, &content)
    }

    async fn remove(&mut self, path: String) -> Result<(), CallError> {
        self.scratch.remove(&checked(&path)?)
    }

    async fn list_files(&mut self) -> Result<Vec<String>, CallError> {
        Ok(self.scratch.sizes.keys().cloned().collect())
    }
}
