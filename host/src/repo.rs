//! Names of what lies in a repository, checked where they enter.
//!
//! Invariant: a value of these types is safe to put into a URL path part by part, and says one thing only: no `..`,
//! no empty part, no second spelling. Everything that a guest passes goes through here before anything else looks.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Longest accepted path, in bytes.
pub const PATH_BYTES_MAX: usize = 4096;
/// Longest accepted branch name, in bytes.
pub const BRANCH_BYTES_MAX: usize = 255;

/// Why a name is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {value:?} {problem}")]
pub struct InvalidName {
    pub what: &'static str,
    pub value: String,
    pub problem: &'static str,
}

fn refuse<T>(what: &'static str, value: &str, problem: &'static str) -> Result<T, InvalidName> {
    let value = value.chars().take(80).collect();
    Err(InvalidName { what, value, problem })
}

/// `owner/name`. GitHub compares both without regard to case, and so do we: kept in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Repository {
    owner: String,
    name: String,
}

impl Repository {
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let what = "repository";
        let Some((owner, name)) = text.split_once('/') else {
            return refuse(what, text, "is not owner/name");
        };
        let owner_fits = !owner.is_empty()
            && owner.len() <= 39
            && owner.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        let name_fits = !name.is_empty()
            && name.len() <= 100
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
        if !owner_fits || !name_fits {
            return refuse(what, text, "is not owner/name in letters, digits, '-', '_' (and '.' in the name)");
        }
        if name == "." || name == ".." || has_extension(name, "git") {
            return refuse(what, text, "is not a name that GitHub gives out");
        }
        Ok(Self { owner: owner.to_ascii_lowercase(), name: name.to_ascii_lowercase() })
    }

    pub fn owner(&self) -> &str {
        &self.owner
    }

    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

impl TryFrom<String> for Repository {
    type Error = InvalidName;
    fn try_from(text: String) -> Result<Self, InvalidName> {
        Self::parse(&text)
    }
}

impl From<Repository> for String {
    fn from(repository: Repository) -> Self {
        repository.to_string()
    }
}

/// A branch without `refs/heads/`, within git's own rules for references and a few more.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Branch(String);

impl Branch {
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let what = "branch";
        if text.is_empty() || text.len() > BRANCH_BYTES_MAX {
            return refuse(what, text, "is empty or longer than 255 bytes");
        }
        if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/')) {
            return refuse(what, text, "may hold only letters, digits, '-', '_', '.' and '/'");
        }
        if text.starts_with("refs/") || text == "HEAD" {
            return refuse(what, text, "must be the plain branch name, without refs/heads/");
        }
        let bad_part = |part: &str| {
            part.is_empty()
                || part.starts_with(['.', '-'])
                || part.ends_with('.')
                || part.contains("..")
                || has_extension(part, "lock")
        };
        if text.split('/').any(bad_part) {
            return refuse(what, text, "has a part that git does not allow");
        }
        Ok(Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Branch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<String> for Branch {
    type Error = InvalidName;
    fn try_from(text: String) -> Result<Self, InvalidName> {
        Self::parse(&text)
    }
}

impl From<Branch> for String {
    fn from(branch: Branch) -> Self {
        branch.0
    }
}

/// A path of a file in a repository: relative, `/` between its parts, one spelling.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RepoPath(String);

impl RepoPath {
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let what = "path";
        if text.is_empty() || text.len() > PATH_BYTES_MAX {
            return refuse(what, text, "is empty or longer than 4096 bytes");
        }
        if text.chars().any(|c| c.is_control() || c == '\\' || is_invisible(c)) {
            return refuse(what, text, "holds a control character, a backslash or an invisible character");
        }
        if text.split('/').any(|part| part.is_empty() || part == "." || part == "..") {
            return refuse(what, text, "must be relative, without empty parts, '.' and '..'");
        }
        Ok(Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn parts(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }
}

impl fmt::Display for RepoPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<String> for RepoPath {
    type Error = InvalidName;
    fn try_from(text: String) -> Result<Self, InvalidName> {
        Self::parse(&text)
    }
}

impl From<RepoPath> for String {
    fn from(path: RepoPath) -> Self {
        path.0
    }
}

/// A git object id: 40 lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sha(String);

impl Sha {
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        if text.len() != 40 || !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return refuse("sha", text, "is not 40 lower-case hexadecimal digits");
        }
        Ok(Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Sha {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<String> for Sha {
    type Error = InvalidName;
    fn try_from(text: String) -> Result<Self, InvalidName> {
        Self::parse(&text)
    }
}

impl From<Sha> for String {
    fn from(sha: Sha) -> Self {
        sha.0
    }
}

fn has_extension(name: &str, extension: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, last)| last.eq_ignore_ascii_case(extension))
}

/// Zero-width and bidirectional characters: they make one path look like another.
pub fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{00ad}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_spelling() {
        for good in ["octo/hello", "Octo-Org/hello.world", "a/_b"] {
            assert!(Repository::parse(good).is_ok(), "{good}");
        }
        for bad in
            ["", "hello", "a/b/c", "a/..", "a/.", "../b", "a/b.git", "a b/c", "a/b%2e", "a/ü", "a/b\n", "/b", "a/"]
        {
            assert!(Repository::parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(Repository::parse("Octo/Hello"), Repository::parse("octo/hello"));
    }

    #[test]
    fn branches_keep_to_gits_rules() {
        for good in ["main", "feature/0199-a", "release/1.2"] {
            assert!(Branch::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "refs/heads/main",
            "a..b",
            "a//b",
            "/a",
            "a/",
            ".a",
            "a/.b",
            "a.lock",
            "a b",
            "a~1",
            "a^",
            "a:b",
            "HEAD",
            "-a",
            "a.",
            "ä",
            "%2e",
        ] {
            assert!(Branch::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn paths_stay_inside_the_repository() {
        for good in ["a.py", "core/memory.py", ".gitignore", "ä/ö.md", "a b.txt", "%2e%2e/x", "..a/b"] {
            assert!(RepoPath::parse(good).is_ok(), "{good}");
        }
        for bad in
            ["", "/a", "a/", "a//b", "../a", "a/../b", "./a", "a/.", "a\\b", "a\u{202e}b", "a\0b", "a\nb", "a\u{200b}"]
        {
            assert!(RepoPath::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn shas_are_whole_and_lower_case() {
        assert!(Sha::parse(&"a1".repeat(20)).is_ok());
        for bad in ["", "abc", &"A1".repeat(20), &"g1".repeat(20), &"a1".repeat(21)] {
            assert!(Sha::parse(bad).is_err(), "{bad:?}");
        }
    }
}
