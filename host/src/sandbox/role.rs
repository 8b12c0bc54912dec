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
use crate::manifest::{self, Interface, Manifest, ManifestError, Section};

/// Largest component that is loaded.
const COMPONENT_BYTES_MAX: u64 = 64 << 20;
const HOST_PACKAGE: &str = "juggernaut:host/";

/// The files of a role.
///
/// Invariant: they are read once. What is held against `roles.lock`, what is compiled and what a run records as its
/// digests are the same bytes.
pub struct RoleFiles {
    pub manifest: Manifest,
    pub component_sha256: [u8; 32],
    path: PathBuf,
    component: Vec<u8>,
}

impl std::fmt::Debug for RoleFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RoleFiles").field("component", &self.path).finish_non_exhaustive()
    }
}

impl RoleFiles {
    /// Reads `<directory>/capabilities.toml` and the component beside it.
    pub fn read(directory: &Path) -> Result<Self, RoleError> {
        Self::beside(Manifest::read(&directory.join(manifest::FILE_NAME))?)
    }

    /// Reads the component that lies beside a manifest.
    pub fn beside(manifest: Manifest) -> Result<Self, RoleError> {
        let path = manifest.path.with_file_name(format!("{}.wasm", manifest.role.name));
        Self::of(manifest, path)
    }

    /// Reads a component that lies anywhere.
    pub fn of(manifest: Manifest, path: PathBuf) -> Result<Self, RoleError> {
        let (component, component_sha256) = read_component(&path)?;
        Ok(Self { manifest, component_sha256, path, component })
    }
}

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
    #[error("component {path} is too large; at most {COMPONENT_BYTES_MAX} bytes are loaded: strip it", path = path.display())]
    TooLarge { path: PathBuf },
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
    /// What the manifest says: the role, its limits, and each grant with its parameters.
    pub manifest: Vec<Section>,
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
    /// Compiles a component and holds it against its manifest.
    pub fn load(sandbox: &Sandbox, files: RoleFiles) -> Result<Self, RoleError> {
        let RoleFiles { manifest, component_sha256, path, component } = files;
        let component = compile(sandbox, &path, &component)?;
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
    /// Looks at a role's directory, or at a component with the manifest beside it if there is one.
    pub fn inspect(sandbox: &Sandbox, place: &Path) -> Result<Self, RoleError> {
        let (manifest, component) = if place.is_dir() {
            let manifest = Manifest::read(&place.join(manifest::FILE_NAME))?;
            let component = place.join(format!("{}.wasm", manifest.role.name));
            (Some(manifest), component)
        } else {
            let beside = place.with_file_name(manifest::FILE_NAME);
            (if beside.exists() { Some(Manifest::read(&beside)?) } else { None }, place.to_owned())
        };
        let (binary, sha256) = read_component(&component)?;
        let compiled = compile(sandbox, &component, &binary)?;
        let (imports, problems) = judge_imports(sandbox, &compiled, manifest.as_ref());
        Ok(Self {
            role: manifest.as_ref().map(|manifest| manifest.role.name.clone()),
            component,
            component_sha256: hex::encode(sha256),
            manifest_sha256: manifest.as_ref().map(|manifest| hex::encode(manifest.sha256)),
            manifest: manifest.as_ref().map(Manifest::sections).unwrap_or_default(),
            imports,
            problems,
        })
    }
}

fn read_component(path: &Path) -> Result<(Vec<u8>, [u8; 32]), RoleError> {
    let binary = manifest::read_bounded(path, COMPONENT_BYTES_MAX)
        .map_err(|cause| RoleError::Unreadable { path: path.to_owned(), cause })?
        .ok_or_else(|| RoleError::TooLarge { path: path.to_owned() })?;
    let sha256 = Sha256::digest(&binary).into();
    Ok((binary, sha256))
}

fn compile(sandbox: &Sandbox, path: &Path, binary: &[u8]) -> Result<Component, RoleError> {
    Component::from_binary(&sandbox.engine, binary)
        .map_err(|cause| RoleError::NotAComponent { path: path.to_owned(), cause: cause.into() })
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
