//! Loading policies, and the commands that review them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use serde::Serialize;
use tracing::info;

use crate::manifest::{self, Manifest};
use crate::policy::case::{Case, CaseCall, CaseFile, CaseTask, Explained, Verdict, explain};
use crate::policy::{Authority, Policies};

/// Cases that one call of `policy test` decides.
const CASES_MAX: usize = 10_000;

/// The operator's policies, or those of this binary.
pub(super) fn load(folder: Option<&Path>) -> Result<Policies> {
    let policies = validated(folder)?;
    info!(policies = hex::encode(policies.digest()), "policies are valid");
    Ok(policies)
}

/// The same for the commands that review them.
pub fn validated(folder: Option<&Path>) -> Result<Policies> {
    Ok(match folder {
        Some(folder) => Policies::load(folder).with_context(|| format!("policies in {}", folder.display()))?,
        None => Policies::shipped()?,
    })
}

/// Ids of shipped policies that a set does not hold.
pub fn not_in_force(policies: &Policies) -> Result<Vec<String>> {
    let holds = |id: &str| policies.summaries().iter().any(|summary| summary.id == id);
    let shipped = Policies::shipped()?;
    Ok(shipped.summaries().iter().filter(|summary| !holds(&summary.id)).map(|summary| summary.id.clone()).collect())
}

/// Decides one call of a role.
pub fn explain_call(policies: Policies, role: &Path, task: &CaseTask, call: &CaseCall) -> Result<Explained> {
    let authority = authority(Arc::new(policies), role)?;
    explain(&authority, task, call).map_err(anyhow::Error::msg)
}

fn authority(policies: Arc<Policies>, role: &Path) -> Result<Authority> {
    let manifest = Manifest::read(&role.join(manifest::FILE_NAME))?;
    Ok(Authority::new(policies, Arc::new(manifest))?)
}

/// One case, decided.
#[derive(Debug, Serialize)]
pub struct Tested {
    pub file: PathBuf,
    pub name: String,
    pub passed: bool,
    pub expected: Verdict,
    #[serde(flatten)]
    pub explained: Explained,
    /// Policies that the case expects and the answer does not name.
    pub missing: Vec<String>,
}

/// Decides every case of the files in a folder.
pub fn test_cases(policies: Policies, folder: &Path) -> Result<Vec<Tested>> {
    let policies = Arc::new(policies);
    let unreadable = || format!("{} can not be read", folder.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(unreadable)? {
        let path = entry.with_context(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    files.sort();
    let mut tested = Vec::new();
    for file in files {
        let CaseFile { role, task, case } = CaseFile::read(&file).map_err(anyhow::Error::msg)?;
        let authority = authority(Arc::clone(&policies), &file.with_file_name("").join(role))?;
        for case in case {
            if tested.len() == CASES_MAX {
                bail!("{} holds more than {CASES_MAX} cases", folder.display());
            }
            tested.push(test_case(&authority, &file, task.as_ref(), case)?);
        }
    }
    if tested.is_empty() {
        bail!("{} holds no cases: a case is a [[case]] of a .toml file", folder.display());
    }
    Ok(tested)
}

fn test_case(authority: &Authority, file: &Path, task: Option<&CaseTask>, case: Case) -> Result<Tested> {
    let Case { name, task: own, call, expect, policies } = case;
    let place = || format!("{}: case {name:?}", file.display());
    let task = own.as_ref().or(task).with_context(|| format!("{} has no task, nor has its file", place()))?;
    let explained = explain(authority, task, &call).map_err(anyhow::Error::msg).with_context(place)?;
    let missing: Vec<String> = policies.into_iter().filter(|id| !explained.policies.contains(id)).collect();
    let passed = explained.verdict == expect && missing.is_empty();
    Ok(Tested { file: file.to_owned(), name, passed, expected: expect, explained, missing })
}
