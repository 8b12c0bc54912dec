//! Loading a role: its component is compiled and held against its manifest before anything of it runs.
//!
//! Invariant: a component that imports more than its manifest grants is refused here. The linker holds exactly the
//! granted interfaces besides, so that what this check missed could still not be linked.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use sha2::{Digest, Sha256};
use wasmtime::component::{Component, Linker};

use super::bindings::EveryCapabilityPre;
use super::engine::Sandbox;
use super::imports;
use super::state::RunState;
use crate::manifest::{self, Interface, Manifest, ManifestError};

/// Largest component that is loaded.
const COMPONENT_BYTES_MAX: u64 = 64 << 20;
const HOST_PACKAGE: &str = "juggernaut:host/";

/// A role that may run.
pub struct LoadedRole {
    pub manifest: Arc<Manifest>,
    pub component_sha256: [u8; 32],
    pub(super) pre: EveryCapabilityPre<RunState>,
}

impl std::fmt::Debug for LoadedRole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoadedRole")
            .field("role", &self.manifest.role.name)
            .field("component_sha256", &hex::encode(self.component_sha256))
            .finish_non_exhaustive()
    }
}

/// Why a role is not loaded.
#[derive(Debug, thiserror::Error)]
pub enum RoleError {
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error("component {path} can not be read: {cause}; `cargo xtask build` puts it there", path = path.display())]
    Unreadable { path: PathBuf, cause: std::io::Error },
    #[error("component {path} is {bytes} bytes; at most {COMPONENT_BYTES_MAX} are loaded", path = path.display())]
    TooLarge { path: PathBuf, bytes: u64 },
    #[error("{path} is not a WebAssembly component: {cause:#}; build it with `cargo build --target wasm32-wasip2`", path = path.display())]
    NotAComponent { path: PathBuf, cause: anyhow::Error },
    #[error("role `{role}` is refused:\n{}", .problems.iter().map(|problem| format!("  - {problem}")).collect::<Vec<_>>().join("\n"))]
    Refused { role: String, problems: Vec<String> },
    #[error("role `{role}` can not be linked: {cause:#}; it was built for another version of juggernaut:host")]
    Unlinkable { role: String, cause: anyhow::Error },
}

/// What a component imports, and what its manifest says of it.
#[derive(Debug, Clone, Serialize)]
pub struct RoleReport {
    pub role: Option<String>,
    pub component: PathBuf,
    pub component_sha256: String,
    pub manifest_sha256: Option<String>,
    pub imports: Vec<ImportReport>,
    pub problems: Vec<String>,
}

/// One import of a component.
#[derive(Debug, Clone, Serialize)]
pub struct ImportReport {
    pub name: String,
    /// `granted`, `always`, `wasi`, `not granted` or `forbidden`.
    pub verdict: &'static str,
}

impl LoadedRole {
    /// Loads `<directory>/capabilities.toml` and the component beside it.
    pub fn load(sandbox: &Sandbox, directory: &Path) -> Result<Self, RoleError> {
        let manifest = Manifest::read(&directory.join(manifest::FILE_NAME))?;
        let path = directory.join(format!("{}.wasm", manifest.role.name));
        let (component, component_sha256) = compile(sandbox, &path)?;
        let (_, problems) = judge_imports(sandbox, &component, Some(&manifest));
        let role = manifest.role.name.clone();
        if !problems.is_empty() {
            return Err(RoleError::Refused { role, problems });
        }
        let unlinkable = |cause: wasmtime::Error| RoleError::Unlinkable { role: role.clone(), cause: cause.into() };
        let mut linker = Linker::new(&sandbox.engine);
        imports::link(&mut linker, &manifest).map_err(unlinkable)?;
        let pre = linker.instantiate_pre(&component).map_err(unlinkable)?;
        let pre = EveryCapabilityPre::new(pre).map_err(unlinkable)?;
        Ok(Self { manifest: Arc::new(manifest), component_sha256, pre })
    }
}

impl RoleReport {
    /// Looks at a component, with the manifest beside it if there is one.
    pub fn inspect(sandbox: &Sandbox, component: &Path) -> Result<Self, RoleError> {
        let beside = component.with_file_name(manifest::FILE_NAME);
        let manifest = if beside.exists() { Some(Manifest::read(&beside)?) } else { None };
        let (compiled, sha256) = compile(sandbox, component)?;
        let (imports, problems) = judge_imports(sandbox, &compiled, manifest.as_ref());
        Ok(Self {
            role: manifest.as_ref().map(|manifest| manifest.role.name.clone()),
            component: component.to_owned(),
            component_sha256: hex::encode(sha256),
            manifest_sha256: manifest.as_ref().map(|manifest| hex::encode(manifest.sha256)),
            imports,
            problems,
        })
    }
}

fn compile(sandbox: &Sandbox, path: &Path) -> Result<(Component, [u8; 32]), RoleError> {
    let unreadable = |cause| RoleError::Unreadable { path: path.to_owned(), cause };
    let bytes = std::fs::metadata(path).map_err(unreadable)?.len();
    if bytes > COMPONENT_BYTES_MAX {
        return Err(RoleError::TooLarge { path: path.to_owned(), bytes });
    }
    let binary = std::fs::read(path).map_err(unreadable)?;
    let sha256 = Sha256::digest(&binary).into();
    let component = Component::from_binary(&sandbox.engine, &binary)
        .map_err(|cause| RoleError::NotAComponent { path: path.to_owned(), cause: cause.into() })?;
    Ok((component, sha256))
}

fn judge_imports(
    sandbox: &Sandbox,
    component: &Component,
    manifest: Option<&Manifest>,
) -> (Vec<ImportReport>, Vec<String>) {
    let mut problems = Vec::new();
    let component_type = component.component_type();
    let mut imports: Vec<_> = component_type
        .imports(&sandbox.engine)
        .map(|(name, _)| {
            let (verdict, problem) = judge_import(name, manifest);
            problems.extend(problem);
            ImportReport { name: name.to_owned(), verdict }
        })
        .collect();
    imports.sort_by(|a, b| a.name.cmp(&b.name));
    if component_type.get_export(&sandbox.engine, "run").is_none() {
        problems.push("it does not export `run`; write `juggernaut_guest::role!(your_function);`".to_owned());
    }
    (imports, problems)
}

fn judge_import(name: &str, manifest: Option<&Manifest>) -> (&'static str, Option<String>) {
    let (interface, version) = name.split_once('@').unwrap_or((name, ""));
    if let Some(short) = interface.strip_prefix(HOST_PACKAGE) {
        return judge_host_import(name, short, version, manifest);
    }
    // The guest's toolchain names a patch release of WASI of its own; within 0.2 they are compatible.
    if manifest::WASI_ALLOWED.contains(&interface) && version.starts_with("0.2.") {
        return ("wasi", None);
    }
    let remedy = match interface.split('/').next() {
        Some("wasi:filesystem") => "remove the use of std::fs, or use the `scratch` capability for files of the run",
        Some("wasi:sockets") => "remove the use of std::net: roles reach the network only through granted capabilities",
        Some("wasi:http") => "remove it: roles reach the network only through granted capabilities",
        _ => "remove the dependency that needs it",
    };
    ("forbidden", Some(format!("it imports {name}, which no role may import; {remedy}")))
}

fn judge_host_import(
    name: &str,
    short: &str,
    version: &str,
    manifest: Option<&Manifest>,
) -> (&'static str, Option<String>) {
    if version != manifest::PACKAGE_VERSION {
        let problem = format!("it imports {name}; this host serves version {}: rebuild it", manifest::PACKAGE_VERSION);
        return ("not granted", Some(problem));
    }
    if manifest::ALWAYS.contains(&short) {
        return ("always", None);
    }
    match (Interface::from_name(short), manifest) {
        (None, _) => ("forbidden", Some(format!("it imports {name}, which this host does not have; remove the call"))),
        (Some(_), None) => ("not granted", Some(format!("it imports {name}, and there is no manifest beside it"))),
        (Some(interface), Some(manifest)) if manifest.grants(interface) => ("granted", None),
        (Some(_), Some(manifest)) => (
            "not granted",
            Some(format!(
                "it imports {name}, which {} does not grant; add a section [grants.{short}] or remove the call",
                manifest.path.display()
            )),
        ),
    }
}
