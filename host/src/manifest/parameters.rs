//! What each key of a manifest means for a role's authority, for those who show manifests and compare them.
//!
//! Invariant: every key stands here exactly once. The structs are taken apart without `..`, and interfaces are matched
//! without `_`: a new key does not compile until somebody has said which change of it widens what the role may do.

use std::fmt;

use serde::ser::{Serialize, SerializeMap as _, SerializeStruct as _, Serializer};
use toml::Spanned;

use super::{
    Alerts, BranchPattern, Deploy, DeployTarget, GithubMerge, GithubRead, GithubWrite, Goals, Grants, HostPattern,
    HttpFetch, HttpSend, HttpTarget, Interface, Learnings, Limits, Llm, LogsRead, Manifest, MetricsRead, PathPrefix,
    Recommendations, Reports, RepositoryPattern, Role, Scratch, SendTarget, TaskScope, TasksRead, TasksWrite, Timer,
    WorkersRead,
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
    /// A workflow on a branch.
    Workflow {
        name: String,
        branch: BranchPattern,
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
            Self::Workflow { name, branch } => matches!(
                other,
                Self::Workflow { name: its_name, branch: its_branch } if name == its_name && branch.covers(its_branch)
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
            Self::Workflow { name, branch } => write!(f, "{name} on {branch}"),
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
        Interface::HttpSend => grants.http_send.as_ref().map(Spanned::as_ref).map(of_http_send),
        Interface::Llm => grants.llm.as_ref().map(Spanned::as_ref).map(of_llm),
        Interface::TasksRead => grants.tasks_read.as_ref().map(Spanned::as_ref).map(of_tasks_read),
        Interface::TasksWrite => grants.tasks_write.as_ref().map(Spanned::as_ref).map(of_tasks_write),
        Interface::Goals => grants.goals.as_ref().map(Spanned::as_ref).map(of_goals),
        Interface::WorkersRead => grants.workers_read.as_ref().map(Spanned::as_ref).map(of_workers_read),
        Interface::MetricsRead => grants.metrics_read.as_ref().map(Spanned::as_ref).map(of_metrics_read),
        Interface::LogsRead => grants.logs_read.as_ref().map(Spanned::as_ref).map(of_logs_read),
        Interface::Alerts => grants.alerts.as_ref().map(Spanned::as_ref).map(of_alerts),
        Interface::Learnings => grants.learnings.as_ref().map(Spanned::as_ref).map(of_learnings),
        Interface::Reports => grants.reports.as_ref().map(Spanned::as_ref).map(of_reports),
        Interface::Recommendations => grants.recommendations.as_ref().map(Spanned::as_ref).map(of_recommendations),
        Interface::Deploy => grants.deploy.as_ref().map(Spanned::as_ref).map(of_deploy),
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

fn of_http_send(grant: &HttpSend) -> Vec<(&'static str, Parameter)> {
    let HttpSend { request_kib_max, response_kib_max, timeout_ms_max, targets } = grant;
    let (mut entries, mut idempotent) = (Vec::new(), Vec::new());
    for SendTarget { host, methods, paths, idempotent: again } in targets.iter().map(Spanned::as_ref) {
        for method in methods {
            let of_method =
                paths.iter().map(|path| Pattern::Web { method: *method, host: host.clone(), path: path.clone() });
            if *again {
                idempotent.extend(of_method.clone());
            }
            entries.extend(of_method);
        }
    }
    vec![
        ("targets", Parameter::AnyOf(entries)),
        // What may be sent again.
        ("idempotent", Parameter::AnyOf(idempotent)),
        ("request_kib_max", Parameter::Ceiling((*request_kib_max).into())),
        ("response_kib_max", Parameter::Ceiling((*response_kib_max).into())),
        ("timeout_ms_max", Parameter::Ceiling(*timeout_ms_max)),
    ]
}

fn of_deploy(grant: &Deploy) -> Vec<(&'static str, Parameter)> {
    let Deploy { targets } = grant;
    let mut entries = Vec::new();
    for DeployTarget { repository, workflow, branches } in targets.iter().map(Spanned::as_ref) {
        let name = format!("{repository} {workflow}");
        entries.extend(branches.iter().map(|branch| Pattern::Workflow { name: name.clone(), branch: branch.clone() }));
    }
    vec![("targets", Parameter::AnyOf(entries))]
}

fn of_llm(grant: &Llm) -> Vec<(&'static str, Parameter)> {
    let Llm { models, answer_tokens_max, tokens_per_task_max, cost_microdollars_per_task_max, timeout_ms_max } = grant;
    vec![
        ("models", of_names(models)),
        ("answer_tokens_max", Parameter::Ceiling((*answer_tokens_max).into())),
        ("tokens_per_task_max", Parameter::Ceiling(*tokens_per_task_max)),
        ("cost_microdollars_per_task_max", Parameter::Ceiling(*cost_microdollars_per_task_max)),
        ("timeout_ms_max", Parameter::Ceiling(*timeout_ms_max)),
    ]
}

fn of_tasks_read(grant: &TasksRead) -> Vec<(&'static str, Parameter)> {
    let TasksRead { scope } = *grant;
    // All tasks hold those of the goal.
    let scopes = match scope {
        TaskScope::Goal => &[TaskScope::Goal][..],
        TaskScope::All => &[TaskScope::Goal, TaskScope::All],
    };
    let scopes = scopes.iter().map(|scope| Pattern::Exact(scope.name().to_owned()));
    vec![("scope", Parameter::AnyOf(scopes.collect()))]
}

fn of_tasks_write(grant: &TasksWrite) -> Vec<(&'static str, Parameter)> {
    let TasksWrite { task_types, tasks_max } = grant;
    vec![("task_types", of_names(task_types)), ("tasks_max", Parameter::Ceiling((*tasks_max).into()))]
}

fn of_goals(grant: &Goals) -> Vec<(&'static str, Parameter)> {
    let Goals { replans_max } = *grant;
    vec![("replans_max", Parameter::Ceiling(replans_max.into()))]
}

fn of_workers_read(grant: &WorkersRead) -> Vec<(&'static str, Parameter)> {
    let WorkersRead {} = grant;
    Vec::new()
}

fn of_metrics_read(grant: &MetricsRead) -> Vec<(&'static str, Parameter)> {
    let MetricsRead { window_hours_max } = *grant;
    vec![("window_hours_max", Parameter::Ceiling(window_hours_max.into()))]
}

fn of_logs_read(grant: &LogsRead) -> Vec<(&'static str, Parameter)> {
    let LogsRead { window_hours_max, lines_max } = *grant;
    vec![
        ("window_hours_max", Parameter::Ceiling(window_hours_max.into())),
        ("lines_max", Parameter::Ceiling(lines_max.into())),
    ]
}

fn of_alerts(grant: &Alerts) -> Vec<(&'static str, Parameter)> {
    let Alerts { kinds, alerts_max } = grant;
    vec![("kinds", of_names(kinds)), ("alerts_max", Parameter::Ceiling((*alerts_max).into()))]
}

fn of_learnings(grant: &Learnings) -> Vec<(&'static str, Parameter)> {
    let Learnings { learnings_max } = *grant;
    vec![("learnings_max", Parameter::Ceiling(learnings_max.into()))]
}

fn of_reports(grant: &Reports) -> Vec<(&'static str, Parameter)> {
    let Reports { reports_max, report_kib_max } = *grant;
    vec![
        ("reports_max", Parameter::Ceiling(reports_max.into())),
        ("report_kib_max", Parameter::Ceiling(report_kib_max.into())),
    ]
}

fn of_recommendations(grant: &Recommendations) -> Vec<(&'static str, Parameter)> {
    let Recommendations { recommendations_max, task_types } = grant;
    vec![
        ("recommendations_max", Parameter::Ceiling((*recommendations_max).into())),
        ("task_types", of_names(task_types)),
    ]
}

fn of_names(names: &[String]) -> Parameter {
    Parameter::AnyOf(names.iter().cloned().map(Pattern::Exact).collect())
}

fn of_repositories(patterns: &[RepositoryPattern]) -> Parameter {
    Parameter::AnyOf(patterns.iter().cloned().map(Pattern::Repository).collect())
}

fn of_branches(patterns: &[BranchPattern]) -> Parameter {
    Parameter::AnyOf(patterns.iter().cloned().map(Pattern::Branch).collect())
}
