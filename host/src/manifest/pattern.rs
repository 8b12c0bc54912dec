//! The only wildcards that a manifest knows: `owner/*` for repositories and `prefix/*` for branches.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::repo::{BRANCH_BYTES_MAX, Branch, Repository};

/// `owner/name`, or `owner/*` for all repositories of one owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum RepositoryPattern {
    One(Repository),
    AllOf { owner: String },
}

impl RepositoryPattern {
    pub fn matches(&self, repository: &Repository) -> bool {
        match self {
            Self::One(one) => one == repository,
            Self::AllOf { owner } => owner == repository.owner(),
        }
    }

    /// Whether all that the other one matches is matched by this one.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (one, Self::One(repository)) => one.matches(repository),
            (Self::AllOf { owner }, Self::AllOf { owner: other }) => owner == other,
            (Self::One(_), Self::AllOf { .. }) => false,
        }
    }
}

impl JsonSchema for RepositoryPattern {
    fn schema_name() -> Cow<'static, str> {
        "RepositoryPattern".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "`owner/name`, or `owner/*` for all repositories of one owner. No wider wildcard exists.",
            "type": "string",
            "pattern": r"^[A-Za-z0-9_-]{1,39}/([A-Za-z0-9._-]{1,100}|\*)$",
        })
    }
}

impl TryFrom<String> for RepositoryPattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let probe = text.strip_suffix("/*").map(|owner| format!("{owner}/any"));
        let parsed = Repository::parse(probe.as_deref().unwrap_or(&text)).map_err(|_| {
            format!("repository {text:?} is neither \"owner/name\" nor \"owner/*\"; no wider wildcard is allowed")
        })?;
        Ok(match probe {
            Some(_) => Self::AllOf { owner: parsed.owner().to_owned() },
            None => Self::One(parsed),
        })
    }
}

impl fmt::Display for RepositoryPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(repository) => repository.fmt(f),
            Self::AllOf { owner } => write!(f, "{owner}/*"),
        }
    }
}

impl From<RepositoryPattern> for String {
    fn from(pattern: RepositoryPattern) -> Self {
        pattern.to_string()
    }
}

/// A branch, or `prefix/*` for all below a prefix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum BranchPattern {
    One(Branch),
    Below { prefix: String },
}

impl BranchPattern {
    pub fn matches(&self, branch: &Branch) -> bool {
        match self {
            Self::One(one) => one == branch,
            Self::Below { prefix } => {
                branch.as_str().strip_prefix(prefix.as_str()).is_some_and(|rest| rest.starts_with('/'))
            }
        }
    }

    /// Whether all that the other one matches is matched by this one.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (one, Self::One(branch)) => one.matches(branch),
            (Self::Below { prefix }, Self::Below { prefix: other }) => {
                other.strip_prefix(prefix.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
            (Self::One(_), Self::Below { .. }) => false,
        }
    }
}

impl JsonSchema for BranchPattern {
    fn schema_name() -> Cow<'static, str> {
        "BranchPattern".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A branch, or `prefix/*` for all below a prefix. No wider wildcard exists.",
            "type": "string",
            "pattern": r"^[A-Za-z0-9_][A-Za-z0-9._/-]*(/\*)?$",
            "maxLength": BRANCH_BYTES_MAX + 2,
        })
    }
}

impl TryFrom<String> for BranchPattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let prefix = text.strip_suffix("/*");
        let parsed = Branch::parse(prefix.unwrap_or(&text)).map_err(|_| {
            format!("branch {text:?} is neither a branch name nor \"prefix/*\"; no wider wildcard is allowed")
        })?;
        Ok(match prefix {
            Some(prefix) => Self::Below { prefix: prefix.to_owned() },
            None => Self::One(parsed),
        })
    }
}

impl fmt::Display for BranchPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(branch) => branch.fmt(f),
            Self::Below { prefix } => write!(f, "{prefix}/*"),
        }
    }
}

impl From<BranchPattern> for String {
    fn from(pattern: BranchPattern) -> Self {
        pattern.to_string()
    }
}
