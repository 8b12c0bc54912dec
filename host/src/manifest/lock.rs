//! `roles.lock`: the digests of the roles of a release.
//!
//! Invariant: pure. Whoever compares passes the digests of the bytes that it then uses, so that nothing can change
//! between the look and the use.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::PACKAGE_VERSION;

/// The file's name, at the root of a folder of roles.
pub const LOCK_NAME: &str = "roles.lock";
/// Largest lock that is read.
pub const LOCK_BYTES_MAX: u64 = 64 * 1024;
const VERSION: u32 = 1;
const HEADER: &str = "\
# The roles of this release, by the SHA-256 of their files. Written by `juggernaut role lock` where the release is built;
# `juggernaut serve` starts with exactly these. Do not edit: a digest that nobody reviewed pins nothing.

";

/// The pins of all roles of a folder, by their names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RolesLock {
    version: u32,
    #[serde(default)]
    roles: BTreeMap<String, Pin>,
}

/// What is pinned of a role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    component_sha256: Sha256Hex,
    manifest_sha256: Sha256Hex,
    /// Version of the WIT package `juggernaut:host` that the host served which locked it.
    host_package: String,
}

impl Pin {
    pub fn new(component_sha256: &[u8; 32], manifest_sha256: &[u8; 32]) -> Self {
        Self {
            component_sha256: Sha256Hex(hex::encode(component_sha256)),
            manifest_sha256: Sha256Hex(hex::encode(manifest_sha256)),
            host_package: PACKAGE_VERSION.to_owned(),
        }
    }
}

/// 64 lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
struct Sha256Hex(String);

impl TryFrom<String> for Sha256Hex {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            Ok(Self(text))
        } else {
            Err(format!("{text:?} is no SHA-256: 64 lower-case hexadecimal digits"))
        }
    }
}

/// A difference between a lock and the roles that were found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "difference")]
pub enum Mismatch {
    /// The folder holds a role that the lock does not name.
    NotLocked {
        role: String,
    },
    /// The lock names a role that the folder does not hold.
    Gone {
        role: String,
    },
    Component {
        role: String,
        expected: String,
        found: String,
    },
    Manifest {
        role: String,
        expected: String,
        found: String,
    },
    HostPackage {
        role: String,
        expected: String,
        found: String,
    },
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLocked { role } => write!(
                f,
                "role `{role}` is in the folder and not in {LOCK_NAME}: nobody released it; remove its folder, or review \
                 it (`juggernaut role inspect`) and lock it"
            ),
            Self::Gone { role } => write!(
                f,
                "role `{role}` is in {LOCK_NAME} and not in the folder; put its folder back, or lock the folder without it"
            ),
            Self::Component { role, expected, found } => write!(
                f,
                "role `{role}`: its component is not the locked one; expected sha256:{expected}, found sha256:{found}; put \
                 the locked component back, or review the new one (`juggernaut role diff`) and lock it"
            ),
            Self::Manifest { role, expected, found } => write!(
                f,
                "role `{role}`: its manifest is not the locked one; expected sha256:{expected}, found sha256:{found}; put \
                 the locked manifest back, or review the new one (`juggernaut role diff`) and lock it"
            ),
            Self::HostPackage { role, expected, found } => write!(
                f,
                "role `{role}` was locked for juggernaut:host@{expected}, and this host serves {found}; build and lock the \
                 roles together with the host"
            ),
        }
    }
}

impl RolesLock {
    pub fn new(roles: BTreeMap<String, Pin>) -> Self {
        Self { version: VERSION, roles }
    }

    pub fn roles(&self) -> impl Iterator<Item = &str> {
        self.roles.keys().map(String::as_str)
    }

    /// Strictly: a lock that is not understood whole pins nothing.
    pub fn parse(text: &str) -> Result<Self, String> {
        let lock: Self = toml::from_str(text).map_err(|error| error.message().to_owned())?;
        if lock.version != VERSION {
            return Err(format!("its version is {}, and this host reads version {VERSION}", lock.version));
        }
        Ok(lock)
    }

    /// Sorted by role; the same roles give the same bytes.
    pub fn to_text(&self) -> Result<String, toml::ser::Error> {
        Ok(format!("{HEADER}{}", toml::to_string(self)?))
    }

    /// Holds the lock against the roles of a folder; a role without a pin is there and will not be loaded.
    pub fn compare(&self, found: &BTreeMap<String, Option<Pin>>) -> Vec<Mismatch> {
        let mut mismatches = Vec::new();
        for (role, pin) in found {
            match (self.roles.get(role), pin) {
                (None, _) => mismatches.push(Mismatch::NotLocked { role: role.clone() }),
                (Some(expected), Some(pin)) => expected.compare(role, pin, &mut mismatches),
                (Some(_), None) => {}
            }
        }
        let gone = self.roles.keys().filter(|role| !found.contains_key(*role));
        mismatches.extend(gone.map(|role| Mismatch::Gone { role: role.clone() }));
        mismatches
    }
}

impl Pin {
    fn compare(&self, role: &str, found: &Self, mismatches: &mut Vec<Mismatch>) {
        let Self { component_sha256, manifest_sha256, host_package } = self;
        let role = || role.to_owned();
        if *component_sha256 != found.component_sha256 {
            let (expected, found) = (component_sha256.0.clone(), found.component_sha256.0.clone());
            mismatches.push(Mismatch::Component { role: role(), expected, found });
        }
        if *manifest_sha256 != found.manifest_sha256 {
            let (expected, found) = (manifest_sha256.0.clone(), found.manifest_sha256.0.clone());
            mismatches.push(Mismatch::Manifest { role: role(), expected, found });
        }
        if *host_package != found.host_package {
            let (expected, found) = (host_package.clone(), found.host_package.clone());
            mismatches.push(Mismatch::HostPackage { role: role(), expected, found });
        }
    }
}
