//! The repository as git and the forge's own file show it: what happened, whoever says so.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

#[derive(Debug)]
pub(super) struct Repository {
    dir: PathBuf,
}

/// A commit on main.
#[derive(Debug)]
pub(super) struct Commit {
    pub(super) sha: String,
    pub(super) parents: usize,
    pub(super) subject: String,
}

impl Repository {
    pub(super) fn new(dir: PathBuf) -> Repository {
        Repository { dir }
    }

    fn git(&self, arguments: &[&str]) -> Result<String> {
        let output = Command::new("git")
            .arg("--git-dir")
            .arg(&self.dir)
            .args(arguments)
            .output()
            .context("could not run git; install it")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("`git {}` failed in {}: {}", arguments.join(" "), self.dir.display(), said.trim());
        }
        String::from_utf8(output.stdout).context("git printed what is not text")
    }

    pub(super) fn shown(&self) -> String {
        self.dir.display().to_string()
    }

    /// The number of this run: the first one finds the initial commit alone.
    pub(super) fn commits_on_main(&self) -> Result<u32> {
        Ok(self.git(&["rev-list", "--count", "main"])?.trim().parse()?)
    }

    /// Commits on main whose message names the task, newest first.
    pub(super) fn commits_of(&self, task: &str) -> Result<Vec<Commit>> {
        let grep = format!("--grep={task}");
        let log = self.git(&["log", "main", "--fixed-strings", &grep, "--format=%H%x09%P%x09%s"])?;
        log.lines()
            .map(|line| {
                let mut fields = line.splitn(3, '\t');
                let mut field = || fields.next().context("git log printed a line that is not understood");
                let (sha, parents, subject) = (field()?, field()?, field()?);
                let parents = parents.split_whitespace().count();
                Ok(Commit { sha: sha.to_owned(), parents, subject: subject.to_owned() })
            })
            .collect()
    }

    pub(super) fn file_on_main(&self, path: &str) -> Result<String> {
        self.git(&["show", &format!("main:{path}")])
    }

    pub(super) fn has_branch(&self, branch: &str) -> Result<bool> {
        let found = self.git(&["for-each-ref", "--format=%(refname)", &format!("refs/heads/{branch}")])?;
        Ok(!found.trim().is_empty())
    }

    /// Pull requests from a branch, in the forge's own file. Without one nothing was opened yet.
    pub(super) fn pull_requests_from(&self, branch: &str) -> Result<Vec<Value>> {
        let path = self.dir.join("forge/pulls.json");
        if !path.exists() {
            return Ok(Vec::new());
        }
        let text = fs::read_to_string(&path).with_context(|| format!("could not read {}", path.display()))?;
        let file: Value = serde_json::from_str(&text).with_context(|| format!("{} is no JSON", path.display()))?;
        let pulls = file["pulls"].as_array().with_context(|| format!("{} has no pulls", path.display()))?;
        Ok(pulls.iter().filter(|pull| pull["head"] == branch).cloned().collect())
    }
}
