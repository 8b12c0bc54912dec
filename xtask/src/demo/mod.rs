//! The demo: one task from its creation to a merged pull request, with the real binaries and nothing from outside.
//!
//! Invariant: it uses only what `bin_dir` holds, so that it shows what was built and not what is installed.

use std::path::Path;

use anyhow::{Result, bail};

const BINARIES: [&str; 2] = ["juggernaut", "forge"];

/// Runs the scenario with the binaries in `bin_dir`.
pub(crate) fn run(bin_dir: &Path) -> Result<()> {
    for name in BINARIES {
        let path = bin_dir.join(name);
        if !path.is_file() {
            bail!(
                "{} does not exist; run `cargo xtask demo`, which builds it",
                path.display()
            );
        }
    }
    scenario()
}

fn scenario() -> Result<()> {
    bail!("the scenario of the demo is not written yet; it belongs in xtask/src/demo.rs")
}
