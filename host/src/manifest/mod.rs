//! Capability manifests: what a role may import, with which parameters, within which limits.
//!
//! Invariant: parsing is strict. An unknown key, a wildcard wider than the schema allows or a value out of range is an
//! error that names file, line and remedy; nothing is ignored and nothing is granted by default.

mod diff;
mod interface;
mod lock;
mod outward;
mod parameters;
mod pattern;
mod published;
mod records;
mod schema;
mod web;

use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use toml::de::{DeTable, DeValue};

pub use diff::{Change, ComponentVersion, Diff, Direction, RoleVersion, compare};
pub use interface::{ALWAYS, Interface, PACKAGE_VERSION, WASI_ALLOWED};
pub use lock::{LOCK_BYTES_MAX, LOCK_NAME, Mismatch, Pin, RolesLock};
pub use outward::{Deploy, DeployTarget, HttpSend, SendTarget};
pub use parameters::{Parameter, Pattern, Section};
pub use pattern::{BranchPattern, RepositoryPattern};
pub use published::json_schema;
pub use records::{
    Alerts, Goals, Learnings, Llm, LogsRead, MetricsRead, Recommendations, Reports, TaskScope, TasksRead, TasksWrite,
    WorkersRead,
};
pub use schema::{GithubMerge, GithubRead, GithubWrite, Grants, Limits, Role, Scratch, Timer};
pub use web::{HostPattern, HttpFetch, HttpTarget, PathPrefix};

/// The file's name in a role's directory.
pub const FILE_NAME: &str = "capabilities.toml";
/// Largest manifest that is read.
pub const FILE_BYTES_MAX: u64 = 64 * 1024;

/// A role's manifest, checked.
#[derive(Clone, Debug)]
pub struct Manifest {
    pub path: PathBuf,
    pub role: Role,
    pub limits: Limits,
    pub grants: Grants,
    /// Of the file's bytes: part of what an approval or a run is bound to.
    pub sha256: [u8; 32],
    source: String,
}

/// What is wrong with a manifest, and where.
#[derive(Debug, Clone, thiserror::Error)]
pub struct ManifestError {
    pub path: PathBuf,
    /// Counted from 1; none where the file as a whole is meant.
    pub line: Option<usize>,
    pub message: String,
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.message)
    }
}

impl Manifest {
    pub fn read(path: &Path) -> Result<Self, ManifestError> {
        let whole = |message: String| ManifestError { path: path.to_owned(), line: None, message };
        let bytes = read_bounded(path, FILE_BYTES_MAX)
            .map_err(|error| whole(format!("can not be read: {error}; a role's directory needs this file")))?
            .ok_or_else(|| whole(format!("is too large; a manifest has at most {FILE_BYTES_MAX} bytes")))?;
        let source =
            String::from_utf8(bytes).map_err(|error| whole(format!("is not UTF-8: {error}; save it as UTF-8")))?;
        Self::parse(path, source)
    }

    pub fn parse(path: &Path, source: String) -> Result<Self, ManifestError> {
        let at = |offset: Option<usize>, message: String| ManifestError {
            path: path.to_owned(),
            line: offset.map(|offset| line_of(&source, offset)),
            message,
        };
        let file: schema::File = toml::from_str(&source)
            .map_err(|error| at(error.span().map(|span| span.start), remedy(error.message())))?;
        file.check().map_err(|(span, message)| {
            let offset = key_offset(&source, &message).unwrap_or(span.start);
            at(Some(offset), message)
        })?;
        let sha256 = Sha256::digest(source.as_bytes()).into();
        Ok(Self {
            path: path.to_owned(),
            role: file.role.into_inner(),
            limits: file.limits.into_inner(),
            grants: file.grants,
            sha256,
            source,
        })
    }

    /// Whether the manifest grants the interface.
    pub fn grants(&self, interface: Interface) -> bool {
        self.grants.span(interface).is_some()
    }

    /// The line that grants an interface.
    pub fn line_of_grant(&self, interface: Interface) -> Option<usize> {
        self.grants.span(interface).map(|span| line_of(&self.source, span.start))
    }

    /// An error about the manifest as a whole or the line of a grant.
    pub fn error(&self, interface: Option<Interface>, message: String) -> ManifestError {
        let line = interface.and_then(|interface| self.line_of_grant(interface));
        ManifestError { path: self.path.clone(), line, message }
    }
}

/// The bytes of a file, or none if there are more than these. Reads once, so that what is hashed is what is used.
pub fn read_bounded(path: &Path, bytes_max: u64) -> std::io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(bytes_max + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= bytes_max).then_some(bytes))
}

/// Where the key stands that a message begins with, such as `limits.memory_mib` or `timer.sleep_seconds_max`.
fn key_offset(source: &str, message: &str) -> Option<usize> {
    let (section, key) = message.split(' ').next()?.split_once('.')?;
    let root = DeTable::parse(source).ok()?;
    let grants = || table(root.get_ref(), "grants");
    let section = table(root.get_ref(), section).or_else(|| table(grants()?, section))?;
    section.iter().find(|(name, _)| name.get_ref() == key).map(|(name, _)| name.span().start)
}

fn table<'a, 'i>(table: &'a DeTable<'i>, name: &str) -> Option<&'a DeTable<'i>> {
    let (_, value) = table.iter().find(|(key, _)| key.get_ref() == name)?;
    match value.get_ref() {
        DeValue::Table(table) => Some(table),
        _ => None,
    }
}

fn line_of(source: &str, offset: usize) -> usize {
    source.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count() + 1
}

/// Adds to the parser's message what to do about it.
fn remedy(message: &str) -> String {
    if message.starts_with("unknown field") {
        format!("{message}; correct the spelling or remove the line: nothing unknown is ignored")
    } else if message.starts_with("missing field") {
        format!("{message}; add it: nothing has a default")
    } else {
        message.to_owned()
    }
}

#[cfg(test)]
mod schema_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod version_tests;
