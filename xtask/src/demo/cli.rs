//! The real command line, with `--json` where the demo reads what it says.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::Places;
use super::host::Address;

#[derive(Debug)]
pub(super) struct Cli {
    juggernaut: PathBuf,
    root: PathBuf,
    address: Address,
}

impl Cli {
    pub(super) fn new(places: &Places, address: &Address) -> Cli {
        Cli { juggernaut: places.juggernaut.clone(), root: places.root.clone(), address: address.clone() }
    }

    /// The same for somebody else.
    pub(super) fn with_token(&self, token: String) -> Cli {
        let address = Address { token, ..self.address.clone() };
        Cli { juggernaut: self.juggernaut.clone(), root: self.root.clone(), address }
    }

    fn run(&self, arguments: &[&str]) -> Result<Output> {
        Command::new(&self.juggernaut)
            .current_dir(&self.root)
            .arg("--json")
            .args(arguments)
            .env("JUGGERNAUT_URL", &self.address.url)
            .env("JUGGERNAUT_TOKEN", &self.address.token)
            .output()
            .with_context(|| format!("{} does not run", self.juggernaut.display()))
    }

    /// What the command prints; an error with its own words where it fails.
    pub(super) fn json(&self, arguments: &[&str]) -> Result<Value> {
        let output = self.run(arguments)?;
        let shown = arguments.join(" ");
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("`juggernaut {shown}` ended with {}: {}", output.status, said.trim());
        }
        serde_json::from_slice(&output.stdout).with_context(|| format!("`juggernaut {shown}` printed no JSON"))
    }

    /// `role check`: whether it passed, and what it says of each role.
    pub(super) fn role_check(&self, folder: &Path) -> Result<(Option<i32>, Vec<Value>)> {
        let folder = folder.to_string_lossy();
        let output = self.run(&["role", "check", &folder])?;
        let checks = serde_json::from_slice(&output.stdout).with_context(|| {
            let said = String::from_utf8_lossy(&output.stderr);
            format!("`juggernaut role check {folder}` printed no JSON: {}", said.trim())
        })?;
        Ok((output.status.code(), checks))
    }

    pub(super) fn task(&self, id: &str) -> Result<Value> {
        self.json(&["task", "show", id])
    }

    /// Journal or log of a task: at most one page in a task of this demo.
    pub(super) fn items(&self, kind: &str, id: &str) -> Result<Vec<Value>> {
        let page = self.json(&["task", kind, id])?;
        page["items"].as_array().cloned().with_context(|| format!("`juggernaut task {kind}` shows no items"))
    }
}
