//! Folders of roles, put together for a test.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::Paths;
use crate::cluster::temporary;

const MANIFEST: &str = "capabilities.toml";

/// A roles folder that a test may change; removed with this value.
#[derive(Debug)]
pub struct RolesDir(TempDir);

impl RolesDir {
    /// The named roles and guests of the tests, each as it was built.
    pub fn with(names: &[&str]) -> Self {
        let roles = Self(temporary("roles-"));
        for name in names {
            let built = [Paths::get().roles.join(name), Paths::get().guests.join(name)];
            let from = built.iter().find(|dir| dir.join(MANIFEST).is_file());
            let from = from.unwrap_or_else(|| panic!("no role or guest {name} is built; run `cargo xtask test`"));
            fs::create_dir(roles.role(name)).expect("a folder");
            for file in [format!("{name}.wasm"), MANIFEST.to_owned()] {
                fs::copy(from.join(&file), roles.role(name).join(&file)).expect("a built file");
            }
        }
        roles
    }

    /// Guests that claim `analysis`, whose payload may be anything, instead of `code`.
    pub fn with_free_payload(names: &[&str]) -> Self {
        let roles = Self::with(names);
        for name in names {
            roles.edit(name, "task_types = [\"code\"]", "task_types = [\"analysis\"]");
        }
        roles
    }

    /// Writes `roles.lock` for what is there now, as a release does. A host is started with locked roles only.
    pub fn lock(&self) -> &Self {
        juggernaut::app::lock_roles(self.path()).expect("a lock of the roles");
        self
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The folder of one role.
    pub fn role(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub fn component(&self, name: &str) -> PathBuf {
        self.role(name).join(format!("{name}.wasm"))
    }

    pub fn manifest(&self, name: &str) -> PathBuf {
        self.role(name).join(MANIFEST)
    }

    /// Replaces a text of a manifest, which must be there.
    pub fn edit(&self, name: &str, from: &str, to: &str) -> &Self {
        let text = fs::read_to_string(self.manifest(name)).expect("a manifest");
        assert!(text.contains(from), "the manifest of {name} has no {from:?}:\n{text}");
        fs::write(self.manifest(name), text.replace(from, to)).expect("a manifest");
        self
    }
}
