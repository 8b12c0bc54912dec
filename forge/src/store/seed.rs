//! New repositories: from a map of files or from a directory.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use git2::build::TreeUpdateBuilder;
use git2::{FileMode, Repository, RepositoryInitOptions};
use serde::Deserialize;

use super::commit_files::forge_signature;
use super::{Meta, RepoName, Store, json, names};
use crate::clock;
use crate::error::StoreError;

const SEED_FILES_MAX: usize = 50_000;
const SEED_DEPTH_MAX: usize = 64;

/// A file of a new repository: its text, or its bytes in base64.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Content {
    Text(String),
    Bytes { base64: String },
}

struct SeedFile {
    path: String,
    bytes: Vec<u8>,
    mode: FileMode,
}

impl Store {
    pub(crate) fn create(
        &self,
        name: &RepoName,
        branch: &str,
        files: BTreeMap<String, Content>,
    ) -> Result<(), StoreError> {
        let mut seeds = Vec::with_capacity(files.len());
        for (path, content) in files {
            let bytes = match content {
                Content::Text(text) => text.into_bytes(),
                Content::Bytes { base64 } => STANDARD
                    .decode(base64)
                    .map_err(|_| StoreError::Unprocessable(format!("files.{path}.base64 is not valid Base64")))?,
            };
            names::tree_path(&path)?;
            let mode = FileMode::Blob;
            seeds.push(SeedFile { path, bytes, mode });
        }
        self.init(name, branch, seeds)
    }

    pub(crate) fn create_from_directory(
        &self,
        name: &RepoName,
        branch: &str,
        directory: &Path,
    ) -> Result<(), StoreError> {
        if !directory.is_dir() {
            return Err(StoreError::Unprocessable(format!(
                "{} is not a directory; give an existing one",
                directory.display()
            )));
        }
        let mut seeds = Vec::new();
        collect(directory, "", 0, &mut seeds)?;
        self.init(name, branch, seeds)
    }

    fn init(&self, name: &RepoName, branch: &str, files: Vec<SeedFile>) -> Result<(), StoreError> {
        let reference = format!("refs/heads/{branch}");
        if !git2::Reference::is_valid_name(&reference) {
            return Err(StoreError::Unprocessable(format!("{branch} is not a valid branch name")));
        }
        let lock = self.lock(name);
        let _guard = lock.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if self.repo(name).is_ok() {
            return Err(StoreError::custom("Repository", "name already exists on this account"));
        }
        let dir = self.dir(name);
        if dir.exists() {
            // Left by a forge that died while it made the repository; without metadata nobody can have used it.
            fs::remove_dir_all(&dir)?;
        }
        let mut options = RepositoryInitOptions::new();
        options.bare(true).mkpath(true).external_template(false).initial_head(branch);
        let git = Repository::init_opts(&dir, &options)?;
        fs::create_dir_all(dir.join("forge"))?;
        commit_seed(&git, &reference, files)?;
        let meta = Meta { default_branch: branch.to_owned(), created_at: clock::now(), ..Meta::default() };
        json::write(&dir.join("forge/repository.json"), &meta)
    }
}

fn commit_seed(git: &Repository, reference: &str, files: Vec<SeedFile>) -> Result<(), StoreError> {
    let empty = git.find_tree(git.treebuilder(None)?.write()?)?;
    let mut update = TreeUpdateBuilder::new();
    for SeedFile { path, bytes, mode } in files {
        update.upsert(path, git.blob(&bytes)?, mode);
    }
    let tree = git.find_tree(update.create_updated(git, &empty)?)?;
    let who = forge_signature()?;
    git.commit(Some(reference), &who, &who, "Initial commit", &tree, &[])?;
    Ok(())
}

/// Links are stored as links, never followed: a directory cannot pull in what lies outside of it.
fn collect(directory: &Path, prefix: &str, depth: usize, seeds: &mut Vec<SeedFile>) -> Result<(), StoreError> {
    let refuse = |why: &str| {
        Err(StoreError::Unprocessable(format!("{}: {why}; seed from a smaller directory", directory.display())))
    };
    if depth > SEED_DEPTH_MAX {
        return refuse("directories are nested too deeply");
    }
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let Ok(file_name) = entry.file_name().into_string() else {
            return refuse("a file name is not UTF-8");
        };
        if file_name == ".git" {
            continue;
        }
        let path = format!("{prefix}{file_name}");
        let kind = entry.file_type()?;
        if kind.is_dir() {
            collect(&entry.path(), &format!("{path}/"), depth + 1, seeds)?;
        } else if kind.is_symlink() {
            let bytes = fs::read_link(entry.path())?.as_os_str().as_bytes().to_vec();
            let mode = FileMode::Link;
            seeds.push(SeedFile { path, bytes, mode });
        } else if kind.is_file() {
            let executable = entry.metadata()?.permissions().mode() & 0o111 != 0;
            let mode = if executable { FileMode::BlobExecutable } else { FileMode::Blob };
            let bytes = fs::read(entry.path())?;
            seeds.push(SeedFile { path, bytes, mode });
        }
        if seeds.len() > SEED_FILES_MAX {
            return refuse("too many files");
        }
    }
    Ok(())
}
