//! What each key of a manifest means for a role's authority, for those who show manifests and compare them.
//!
//! Invariant: every key stands here exactly once. The structs are taken apart without `..`, and interfaces are matched
//! without `_`: a new key does not compile until somebody has said which change of it widens what the role may do.

use std::fmt;

use serde::ser::{Serialize, SerializeMap as _, SerializeStruct as _, Serializer};
use toml::Spanned;

use super::{
    BranchPattern, GithubMerge, GithubRead, GithubWrite, Grants, HostPattern, HttpFetch, HttpTarget, Interface, Limits,
    Manifest, PathPrefix, RepositoryPattern, Role, Scratch, Timer,
};
use crate::web::Method;

/// A value, by how it gives authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parameter {
    /// A number: more of it is more authority.
    Ceiling(u64),
    /// What any entry matches is allowed: each entry that no old one covers is more authority.
    AnyOf(Vec<Pattern>),
    /// A name that authority hangs on: another name is another authority, so that any change counts as wider.
    Identity(String),
    /// Words for people. No authority hangs on them.
    Note(String),
}

/// An entry of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    Repository(RepositoryPattern),
    Branch(BranchPattern),
    /// A method of addresses: host, method and path hold together.
    Web {
        method: Method,
        host: HostPattern,
        path: PathPrefix,
    },
    /// Matches itself alone.
    Exact(String),
}

impl Pattern {
    /// Whether all that the other one matches is matched by this one.
    pub fn covers(&self, other: &Self) -> bool {
        match self {
            Self::Repository(one) => matches!(other, Self::Repository(other) if one.covers(other)),
            Self::Branch(one) => matches!(other, Self::Branch(other) if one.covers(other)),
            Self::Web { method, host, path } => matches!(
                other,
                Self::Web { method: its_method, host: its_host, path: its_path }
                    if method == its_method && host.covers(its_host) && path.covers(its_path)
            ),
            Self::Exact(one) => matches!(other, Self::Exact(other) if one == other),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repository(pattern) => pattern.fmt(f),
            Self::Branch(pattern) => pattern.fmt(f),
            Self::Web { method, host, path } => write!(f, "{method} {host}{path}"),
            Self::Exact(text) => text.fmt(f),
        }
    }
}

impl fmt::Display for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ceiling(number) => number.fmt(f),
            Self::AnyOf(entries) => {
                let entries: Vec<String> = entries.iter().map(ToString::to_string).collect();
                f.write_str(&entries.join(", "))
            }
            Self::Identity(text) | Self::Note(text) => text.fmt(f),
        }
    }
}

impl Serialize for Parameter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Ceiling(number) => serializer.serialize_u64(*number),
            Self::AnyOf(entries) => serializer.collect_seq(entries.iter().map(ToString::to_string)),
            Self::Identity(text) | Self::Note(text) => serializer.serialize_str(text),
        }
    }
}

/// A table of the manifest: `role`, `limits` or `grants.<interface>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    pub name: String,
    pub parameters: Vec<(&'static str, Parameter)>,
}

impl Serialize for Section {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Map<'a>(&'a [(&'static str, Parameter)]);
        impl Serialize for Map<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut map = serializer.serialize_map(Some(self.0.len()))?;
                for (key, value) in self.0 {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }
        let mut section = serializer.serialize_struct("Section", 2)?;
        section.serialize_field("section", &self.name)?;
        section.serialize_field("parameters", &Map(&self.parameters))?;
        section.end()
    }
}

impl Manifest {
    /// Everything that it says, in the order of the schema.
    pub fn sections(&self) -> Vec<Section> {
        let Self { path: _, role, limits, grants, sha256: _, source: _ } = self;
        let mut sections = vec![
            Section { name: "role".to_owned(), parameters: of_role(role) },
            Section { name: "limits".to_owned(), parameters: of_limits(limits) },
        ];
        sections.extend(Interface::ALL.iter().filter_map(|interface| {
            let parameters = of_grant(grants, *interface)?;
            Some(Section { name: format!("grants.{}", interface.name()), parameters })
        }));
        sections
    }
}

fn of_role(role: &Role) -> Vec<(&'static str, Parameter)> {
    let Role { name, worker_type, description, task_types } = role;
    vec![
        ("name", Parameter::Identity(name.clone())),
        // It may claim the tasks that are assigned to this type.
        ("worker_type", Parameter::Identity(worker_type.clone())),
        ("description", Parameter::Note(description.clone())),
        ("task_types", Parameter::AnyOf(task_types.iter().cloned().map(Pattern::Exact).collect())),
    ]
}

fn of_limits(limits: &Limits) -> Vec<(&'static str, Parameter)> {
    let Limits { memory_mib, wall_ms, host_calls, log_lines, log_line_bytes, call_kib, journal_kib } = *limits;
    vec![
        ("memory_mib", Parameter::Ceiling(memory_mib.into())),
        ("wall_ms", Parameter::Ceiling(wall_ms)),
        ("host_calls", Parameter::Ceiling(host_calls.into())),
        ("log_lines", Parameter::Ceiling(log_lines.into())),
        ("log_line_bytes", Parameter::Ceiling(log_line_bytes.into())),
        ("call_kib", Parameter::Ceiling(call_kib.into())),
        ("journal_kib", Parameter::Ceiling(journal_kib.into())),
    ]
}

/// The parameters of a grant; none if it is not granted.
fn of_grant(grants: &Grants, interface: Interface) -> Option<Vec<(&'static str, Parameter)>> {
    match interface {
        Interface::GithubRead => grants.github_read.as_ref().map(Spanned::as_ref).map(of_github_read),
        Interface::GithubWrite => grants.github_write.as_ref().map(Spanned::as_ref).map(of_github_write),
        Interface::GithubMerge => grants.github_merge.as_ref().map(Spanned::as_ref).map(of_github_merge),
        Interface::Timer => grants.timer.as_ref().map(Spanned::as_ref).map(of_timer),
        Interface::Scratch => grants.scratch.as_ref().map(Spanned::as_ref).map(of_scratch),
        Interface::HttpFetch => grants.http_fetch.as_ref().map(Spanned::as_ref).map(of_http_fetch),
    }
}

fn of_github_read(grant: &GithubRead) -> Vec<(&'static str, Parameter)> {
    let GithubRead { repositories } = grant;
    vec![("repositories", of_repositories(repositories))]
}

fn of_github_write(grant: &GithubWrite) -> Vec<(&'static str, Parameter)> {
    let GithubWrite { repositories, branches, bases, python_quality_off } = grant;
    let unchecked =
        python_quality_off.iter().map(|one| Pattern::Repository(RepositoryPattern::One(one.as_ref().clone())));
    vec![
        ("repositories", of_repositories(repositories)),
        ("branches", of_branches(branches)),
        ("bases", of_branches(bases)),
        // More unchecked repositories: wider.
        ("python_quality_off", Parameter::AnyOf(unchecked.collect())),
    ]
}

fn of_github_merge(grant: &GithubMerge) -> Vec<(&'static str, Parameter)> {
    let GithubMerge { repositories, bases } = grant;
    vec![("repositories", of_repositories(repositories)), ("bases", of_branches(bases))]
}

fn of_timer(grant: &Timer) -> Vec<(&'static str, Parameter)> {
    let Timer { sleep_seconds_max } = *grant;
    vec![("sleep_seconds_max", Parameter::Ceiling(sleep_seconds_max))]
}

fn of_scratch(grant: &Scratch) -> Vec<(&'static str, Parameter)> {
    let Scratch { quota_kib, files_max } = *grant;
    vec![("quota_kib", Parameter::Ceiling(quota_kib)), ("files_max", Parameter::Ceiling(files_max.into()))]
}

fn of_http_fetch(grant: &HttpFetch) -> Vec<(&'static str, Parameter)> {
    let HttpFetch { response_kib_max, timeout_ms_max, targets } = grant;
    let mut entries = Vec::new();
    for HttpTarget { host, methods, paths } in targets.iter().map(Spanned::as_ref) {
        for method in methods {
            entries.extend(paths.iter().map(|path| Pattern::Web {
                method: *method,
                host: host.clone(),
                path: path.clone(),
            }));
        }
    }
    vec![
        ("targets", Parameter::AnyOf(entries)),
        ("response_kib_max", Parameter::Ceiling((*response_kib_max).into())),
        ("timeout_ms_max", Parameter::Ceiling(*timeout_ms_max)),
    ]
}

fn of_repositories(patterns: &[RepositoryPattern]) -> Parameter {
    Parameter::AnyOf(patterns.iter().cloned().map(Pattern::Repository).collect())
}

fn of_branches(patterns: &[BranchPattern]) -> Parameter {
    Parameter::AnyOf(patterns.iter().cloned().map(Pattern::Branch).collect())
}
