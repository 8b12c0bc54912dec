//! The part of the bench that needs a database driver, an HTTP client or the engine itself: `benches/engine`.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::build::{PROBE, Profile};
use crate::interrupt;
use crate::workspace::{Workspace, say};

#[derive(Debug)]
pub(super) struct Probe {
    program: PathBuf,
}

impl Probe {
    /// As it was built.
    pub(super) fn find(workspace: &Workspace, profile: Profile) -> Result<Probe> {
        let mut cargo = workspace.cargo(["build", "--locked", "--message-format=json"]);
        let output = crate::build::select_probe(&mut cargo, profile).stderr(Stdio::null()).output()?;
        let program = String::from_utf8_lossy(&output.stdout)
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|message| message["target"]["name"] == PROBE)
            .find_map(|message| message["executable"].as_str().map(PathBuf::from));
        Ok(Probe { program: program.context("cargo names no executable of the bench `engine`")? })
    }

    /// Measures one thing; what it found.
    pub(super) fn run(&self, what: &str, asked: &Value) -> Result<Value> {
        interrupt::check()?;
        say(&format!("probe {what}"))?;
        let mut probe = Command::new(&self.program);
        probe.arg(what).arg(asked.to_string()).stdin(Stdio::null()).stderr(Stdio::inherit());
        let output = probe.output().context("the bench `engine` does not run")?;
        if !output.status.success() {
            bail!("the bench `engine` ended {what} with {}; what it says is above", output.status);
        }
        serde_json::from_slice(&output.stdout).with_context(|| format!("the bench `engine` printed no JSON for {what}"))
    }
}
