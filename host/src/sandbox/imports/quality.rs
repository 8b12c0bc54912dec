//! The code quality requirements, held against each Python file before it is written.

use std::collections::BTreeSet;

use ::quality::{Refused, Report, Source};

use crate::github::GitHubError;
use crate::policy::action::PutFile;
use crate::repo::{Branch, Repository};
use crate::sandbox::calls::{Finding, GuestError};
use crate::sandbox::state::RunState;

/// What imports of a repository's own code begin with, as of when this run first wrote Python to a branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::sandbox) struct ImportRoots {
    repository: Repository,
    branch: Branch,
    roots: BTreeSet<String>,
}

impl ImportRoots {
    /// Top-level modules and packages, and those in `src/`: folders count that hold a Python file at any depth.
    fn add(&mut self, path: &str) {
        if !::quality::is_python(path, b"") {
            return;
        }
        for path in [Some(path), path.strip_prefix("src/")].into_iter().flatten() {
            let root = path.split(['/', '.']).next().unwrap_or_default();
            let enough = self.roots.len() >= ::quality::FIRST_PARTY_MAX;
            if !enough && !root.is_empty() && !self.roots.contains(root) {
                self.roots.insert(root.to_owned());
            }
        }
    }
}

impl RunState {
    /// Ok where the file may be written as far as its quality goes. Looks at the repository, changes nothing.
    pub(super) async fn check_quality(&mut self, file: &PutFile) -> Result<(), GuestError> {
        let exempt =
            self.manifest.grants.github_write.as_ref().is_some_and(|grant| {
                grant.as_ref().python_quality_off.iter().any(|off| off.as_ref() == &file.repository)
            });
        if exempt || !::quality::is_python(file.path.as_str(), &file.content) {
            return Ok(());
        }
        let source = Source {
            path: file.path.as_str().to_owned(),
            before: self.content_before(file).await?,
            after: file.content.clone(),
            first_party: self.import_roots(file).await?,
        };
        // It computes, and may take its time: not on a thread that others wait for.
        let checking = async { tokio::task::spawn_blocking(move || ::quality::check(source)).await };
        let checked = self.outside(checking).await.map_err(broken_off)?.map_err(broken_off)?;
        judge(file.path.as_str(), checked)
    }

    /// What the role says that it replaces. A file that is not there any more is for the write to run into.
    async fn content_before(&mut self, file: &PutFile) -> Result<Option<String>, GuestError> {
        if file.previous.is_none() {
            return Ok(None);
        }
        let (github, _) = self.github_and_base()?;
        let (repository, branch, path) = (file.repository.clone(), file.branch.clone(), file.path.clone());
        let look = async move { github.file(&repository, &path, branch.as_str()).await };
        match self.outside(look).await.map_err(broken_off)? {
            Ok(before) => Ok(Some(String::from_utf8_lossy(&before.content).into_owned())),
            Err(GitHubError::NotFound(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn import_roots(&mut self, file: &PutFile) -> Result<Vec<String>, GuestError> {
        let fits = |known: &ImportRoots| known.repository == file.repository && known.branch == file.branch;
        if !self.import_roots.as_ref().is_some_and(fits) {
            let (github, _) = self.github_and_base()?;
            let (repository, branch) = (file.repository.clone(), file.branch.clone());
            let look = async move { github.tree(&repository, branch.as_str()).await };
            let entries = match self.outside(look).await.map_err(broken_off)? {
                Ok(entries) => entries,
                // More files than can be listed: the file's own package is known in any case.
                Err(GitHubError::Invalid(_)) => Vec::new(),
                Err(error) => return Err(error.into()),
            };
            let (repository, branch) = (file.repository.clone(), file.branch.clone());
            let mut roots = ImportRoots { repository, branch, roots: BTreeSet::new() };
            for entry in &entries {
                roots.add(&entry.path);
            }
            self.import_roots = Some(roots);
        }
        let Some(known) = &mut self.import_roots else { return Ok(Vec::new()) };
        // Files that this run writes are the repository's too, the first one of a package as well.
        known.add(file.path.as_str());
        Ok(known.roots.iter().cloned().collect())
    }
}

fn judge(path: &str, checked: Result<Report, Refused>) -> Result<(), GuestError> {
    match checked {
        Ok(report) if report.findings.is_empty() => Ok(()),
        Ok(report) => Err(GuestError::Findings(handed_out(path, report))),
        Err(refused) => {
            let message = format!("{path} was not written, for its quality can not be checked: {refused}");
            Err(if refused.may_pass() { GuestError::Unavailable(message) } else { GuestError::Invalid(message) })
        }
    }
}

/// As many as a guest is given; where there are more, the last of them says how many.
fn handed_out(path: &str, Report { mut findings, more }: Report) -> Vec<Finding> {
    if let (1.., Some(last)) = (more, findings.last_mut()) {
        "more".clone_into(&mut last.rule);
        last.message = format!("and {} more findings from here on", more + 1);
    }
    let named = |::quality::Finding { line, rule, message }| Finding { path: path.to_owned(), rule, line, message };
    findings.into_iter().map(named).collect()
}

fn broken_off(error: impl std::fmt::Display) -> GuestError {
    GuestError::Unavailable(format!("the check of the code's quality broke off: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_are_what_imports_can_begin_with() {
        let mut known = ImportRoots {
            repository: Repository::parse("demo/sample").unwrap(),
            branch: Branch::parse("feature/x").unwrap(),
            roots: BTreeSet::new(),
        };
        let tree =
            ["setup.py", "core/a/b.py", "src/app/__init__.py", "src/one.pyi", "docs/x.md", "Makefile", ".hidden.py"];
        for path in tree {
            known.add(path);
        }
        assert_eq!(known.roots.into_iter().collect::<Vec<_>>(), ["app", "core", "one", "setup", "src"]);
    }

    #[test]
    fn the_last_finding_says_how_many_are_left_out() {
        let finding = |line| ::quality::Finding { line, rule: "T201".to_owned(), message: "`print` found".to_owned() };
        let report = |more| Report { findings: vec![finding(1), finding(2)], more };
        let Err(GuestError::Findings(all)) = judge("a.py", Ok(report(0))) else { panic!() };
        assert_eq!((all.len(), all[1].rule.as_str()), (2, "T201"));
        let Err(GuestError::Findings(cut)) = judge("a.py", Ok(report(400))) else { panic!() };
        assert_eq!((cut.len(), cut[0].rule.as_str(), cut[1].rule.as_str()), (2, "T201", "more"));
        assert_eq!(cut[1].message, "and 401 more findings from here on");
    }

    #[test]
    fn what_can_not_be_checked_is_not_written() {
        assert!(matches!(judge("a.py", Err(Refused::Slow)), Err(GuestError::Invalid(_))));
        assert!(matches!(judge("a.py", Err(Refused::Busy)), Err(GuestError::Unavailable(_))));
    }
}
