//! Names that come from outside: repositories, branches, paths.
//!
//! Invariant: a `RepoName` is safe as two path components below the root; a path accepted by `tree_path` names
//! an entry of a git tree and nothing else. Both are decided on the percent-decoded text.

use std::fmt;
use std::str::FromStr;

use crate::error::StoreError;

const NAME_BYTES_MAX: usize = 100;

/// `owner/name` of a repository.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RepoName {
    owner: String,
    name: String,
}

/// The text is not `owner/name`.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{0}` is not a repository name; write owner/name with letters, digits, `-`, `_` and `.`, neither part \
     beginning with a dot nor the name ending in .git"
)]
pub struct BadRepoName(String);

impl RepoName {
    pub fn new(owner: &str, name: &str) -> Result<Self, BadRepoName> {
        let suffix = std::path::Path::new(name).extension();
        if !component(owner) || !component(name) || suffix.is_some_and(|it| it == "git") {
            return Err(BadRepoName(format!("{owner}/{name}")));
        }
        Ok(Self { owner: owner.to_owned(), name: name.to_owned() })
    }

    pub fn owner(&self) -> &str {
        &self.owner
    }

    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for RepoName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

impl FromStr for RepoName {
    type Err = BadRepoName;

    fn from_str(text: &str) -> Result<Self, BadRepoName> {
        let (owner, name) = text.split_once('/').ok_or_else(|| BadRepoName(text.to_owned()))?;
        Self::new(owner, name)
    }
}

fn component(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !text.is_empty() && text.len() <= NAME_BYTES_MAX && !text.starts_with('.') && text.chars().all(allowed)
}

/// Refuses what git would not store, before git2 sees it.
pub(crate) fn tree_path(path: &str) -> Result<&str, StoreError> {
    if path.starts_with('/') {
        return Err(unprocessable("path cannot start with a slash"));
    }
    let bad = |part: &str| {
        part.is_empty()
            || part == "."
            || part == ".."
            || part.eq_ignore_ascii_case(".git")
            || part.contains(['\0', '\\'])
    };
    if path.split('/').any(bad) {
        return Err(unprocessable("path contains a malformed path component"));
    }
    Ok(path)
}

fn unprocessable(message: &str) -> StoreError {
    StoreError::Unprocessable(message.to_owned())
}

/// `*` stands for any run of characters, slashes included; everything else for itself.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("feature/*", "feature/a/b", true),
            ("feature/*", "main", false),
            ("*", "", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*a", "a", false),
            ("/repos/*/contents/*", "/repos/o/r/contents/x", true),
            ("exact", "exactly", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn repository_names() {
        for good in ["octo/hello", "a-b/c_d.e"] {
            assert_eq!(good.parse::<RepoName>().unwrap().to_string(), good);
        }
        for bad in ["", "x", "../x", "x/..", "x/y/z", "x/.git", "x/y.git", "/x", "x\0/y"] {
            assert!(bad.parse::<RepoName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn paths() {
        for bad in ["", "/etc", "a//b", "a/../b", "..", "a/.", ".git/x", "a/.GIT/x", "a\\b"] {
            assert!(tree_path(bad).is_err(), "{bad}");
        }
        assert!(tree_path("a/.gitignore").is_ok());
    }
}
