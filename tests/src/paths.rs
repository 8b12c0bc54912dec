//! Where things were built: `cargo xtask test` says it; otherwise they lie beside the running test binary.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The artefacts under test.
#[derive(Debug, Clone)]
pub struct Paths {
    /// Holds `juggernaut` and `forge`.
    pub bin_dir: PathBuf,
    /// `<role>/{<role>.wasm,capabilities.toml}` for each role of ours.
    pub roles: PathBuf,
    /// The same for each guest of `tests/guests`.
    pub guests: PathBuf,
}

impl Paths {
    pub fn get() -> &'static Self {
        static PATHS: OnceLock<Paths> = OnceLock::new();
        PATHS.get_or_init(|| {
            let test = std::env::current_exe().expect("the test's own path");
            let bin_dir = test.parent().and_then(Path::parent).expect("target/<profile>/deps/<test>").to_owned();
            let target = bin_dir.parent().expect("target/<profile>").to_owned();
            Self {
                bin_dir: named("JUGGERNAUT_TEST_BIN_DIR").unwrap_or(bin_dir),
                roles: named("JUGGERNAUT_TEST_ROLES").unwrap_or(target.join("roles")),
                guests: named("JUGGERNAUT_TEST_GUESTS").unwrap_or(target.join("guests")),
            }
        })
    }

    /// The host's binary.
    pub fn juggernaut(&self) -> PathBuf {
        let path = self.bin_dir.join("juggernaut");
        assert!(path.is_file(), "{} is not built; run `cargo xtask test`", path.display());
        path
    }

    /// What cargo and PostgreSQL's tools need to be found. A test that starts them passes it on, and nothing else.
    pub fn tool_env() -> Vec<(&'static str, &'static str)> {
        static VALUES: OnceLock<Vec<(&'static str, String)>> = OnceLock::new();
        let values = VALUES.get_or_init(|| {
            let set = |name| Some((name, named(name)?.into_os_string().into_string().ok()?));
            ["PATH", "HOME", "CARGO_HOME", "RUSTUP_HOME"].into_iter().filter_map(set).collect()
        });
        values.iter().map(|(name, value)| (*name, value.as_str())).collect()
    }

    /// Compiled components, kept between runs: their names are digests of what they were made from.
    pub fn component_cache(&self) -> PathBuf {
        self.bin_dir.join("it-component-cache")
    }
}

/// What random tests are to begin with instead of the time.
pub fn seed() -> Option<u64> {
    named("JUGGERNAUT_TEST_SEED").map(|seed| seed.to_string_lossy().parse().expect("JUGGERNAUT_TEST_SEED is a number"))
}

#[expect(clippy::disallowed_methods, reason = "the tests' own configuration, read in this one place")]
fn named(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).map(PathBuf::from)
}
