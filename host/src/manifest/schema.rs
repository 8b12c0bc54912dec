//! The keys of `capabilities.toml`.

use std::borrow::Cow;
use std::ops::{Range, RangeInclusive};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::records::{
    Alerts, Goals, Learnings, Llm, LogsRead, MetricsRead, Recommendations, Reports, TasksRead, TasksWrite, WorkersRead,
};
use super::{BranchPattern, Deploy, HttpFetch, HttpSend, Interface, RepositoryPattern};
use crate::repo::Repository;
use crate::text;

/// Longest description, in characters.
const DESCRIPTION_CHARS_MAX: usize = 200;

/// What a role of Juggernaut may import, with which parameters, within which limits. What is not granted here does not
/// exist for the role.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "capabilities.toml")]
pub(super) struct File {
    #[schemars(with = "Role")]
    pub(super) role: Spanned<Role>,
    #[schemars(with = "Limits")]
    pub(super) limits: Spanned<Limits>,
    #[serde(default)]
    pub(super) grants: Grants,
}

/// `[role]`: who this is and which tasks it may claim.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// Lower-case letters, digits and `-`; also the directory's name and the component's file name.
    #[schemars(regex(pattern = r"^[a-z0-9-]{1,63}$"))]
    pub name: String,
    /// `WORKER_TYPE` of the specification.
    #[schemars(regex(pattern = r"^[a-z0-9-]{1,63}$"))]
    pub worker_type: String,
    /// One line for reviewers.
    #[schemars(length(min = 1, max = DESCRIPTION_CHARS_MAX))]
    pub description: String,
    /// Task types that it may claim, at least one.
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    #[schemars(inner(regex(pattern = r"^[a-z0-9_-]{1,63}$")))]
    pub task_types: Vec<String>,
}

/// `[limits]`: what one run may use. Each has a ceiling that no manifest can raise.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Linear memory, MiB, 1 to 512.
    #[schemars(range(min = 1, max = 512))]
    pub memory_mib: u32,
    /// From start to outcome or suspension, milliseconds, 10 to 3,600,000.
    #[schemars(range(min = 10, max = 3_600_000))]
    pub wall_ms: u64,
    /// Journalled host calls of one attempt, 1 to 10,000.
    #[schemars(range(min = 1, max = 10_000))]
    pub host_calls: u32,
    /// Lines in the execution log of one attempt, 1 to 100,000.
    #[schemars(range(min = 1, max = 100_000))]
    pub log_lines: u32,
    /// Longest line, bytes, 80 to 65,536; what is longer is cut and marked.
    #[schemars(range(min = 80, max = 65_536))]
    pub log_line_bytes: u32,
    /// What one host call may carry into the host, KiB, 64 to 16,384.
    #[schemars(range(min = 64, max = 16_384))]
    pub call_kib: u32,
    /// Arguments and answers of all host calls of one attempt together, KiB, 64 to 1,048,576.
    #[schemars(range(min = 64, max = 1_048_576))]
    pub journal_kib: u32,
}

/// `[grants.<interface>]`: the capabilities, each with its parameters.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Grants {
    #[schemars(with = "Option<GithubRead>")]
    pub github_read: Option<Spanned<GithubRead>>,
    #[schemars(with = "Option<GithubWrite>")]
    pub github_write: Option<Spanned<GithubWrite>>,
    #[schemars(with = "Option<GithubMerge>")]
    pub github_merge: Option<Spanned<GithubMerge>>,
    #[schemars(with = "Option<Timer>")]
    pub timer: Option<Spanned<Timer>>,
    #[schemars(with = "Option<Scratch>")]
    pub scratch: Option<Spanned<Scratch>>,
    #[schemars(with = "Option<HttpFetch>")]
    pub http_fetch: Option<Spanned<HttpFetch>>,
    #[schemars(with = "Option<HttpSend>")]
    pub http_send: Option<Spanned<HttpSend>>,
    #[schemars(with = "Option<Llm>")]
    pub llm: Option<Spanned<Llm>>,
    #[schemars(with = "Option<TasksRead>")]
    pub tasks_read: Option<Spanned<TasksRead>>,
    #[schemars(with = "Option<TasksWrite>")]
    pub tasks_write: Option<Spanned<TasksWrite>>,
    #[schemars(with = "Option<Goals>")]
    pub goals: Option<Spanned<Goals>>,
    #[schemars(with = "Option<WorkersRead>")]
    pub workers_read: Option<Spanned<WorkersRead>>,
    #[schemars(with = "Option<MetricsRead>")]
    pub metrics_read: Option<Spanned<MetricsRead>>,
    #[schemars(with = "Option<LogsRead>")]
    pub logs_read: Option<Spanned<LogsRead>>,
    #[schemars(with = "Option<Alerts>")]
    pub alerts: Option<Spanned<Alerts>>,
    #[schemars(with = "Option<Learnings>")]
    pub learnings: Option<Spanned<Learnings>>,
    #[schemars(with = "Option<Reports>")]
    pub reports: Option<Spanned<Reports>>,
    #[schemars(with = "Option<Recommendations>")]
    pub recommendations: Option<Spanned<Recommendations>>,
    #[schemars(with = "Option<Deploy>")]
    pub deploy: Option<Spanned<Deploy>>,
}

/// Read files, pull requests and checks.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GithubRead {
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    pub repositories: Vec<RepositoryPattern>,
}

/// Write to the task's own branch and open its pull request.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GithubWrite {
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    pub repositories: Vec<RepositoryPattern>,
    /// Branches that it may write to. The task's own branch, `feature/TASK_ID`, must match besides.
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    pub branches: Vec<BranchPattern>,
    /// Branches that its pull requests may aim at.
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    pub bases: Vec<BranchPattern>,
    /// Repositories, "owner/name" each, whose Python files are written without a check of their quality.
    #[serde(default)]
    #[schemars(with = "Vec<RepositoryPattern>")]
    pub python_quality_off: Vec<Spanned<Repository>>,
}

impl GithubWrite {
    /// An exception that does not concern what is granted would mislead who reviews it.
    fn check_exceptions(&self) -> Result<(), Problem> {
        let uncovered = |off: &&Spanned<Repository>| !self.repositories.iter().any(|one| one.matches(off.as_ref()));
        match self.python_quality_off.iter().find(uncovered) {
            None => Ok(()),
            Some(off) => Err((
                off.span(),
                format!(
                    "github-write.python_quality_off names {}, which repositories does not grant; remove it",
                    off.as_ref()
                ),
            )),
        }
    }
}

/// Merge the task's pull request.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GithubMerge {
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    pub repositories: Vec<RepositoryPattern>,
    /// Branches that it may merge into.
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    pub bases: Vec<BranchPattern>,
}

/// Durable sleep.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Timer {
    /// Longest single sleep, seconds, 1 to 2,592,000 (30 days).
    #[schemars(range(min = 1, max = 2_592_000))]
    pub sleep_seconds_max: u64,
}

/// Files of the run.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scratch {
    /// All files together, KiB, 1 to 1,048,576.
    #[schemars(range(min = 1, max = 1_048_576))]
    pub quota_kib: u64,
    /// Number of files, 1 to 10,000.
    #[schemars(range(min = 1, max = 10_000))]
    pub files_max: u32,
}

/// The section, and a message that begins with the key that it is about, where it is about one.
type Problem = (Range<usize>, String);

impl File {
    pub(super) fn check(&self) -> Result<(), Problem> {
        check_role(self.role.as_ref()).map_err(|message| (self.role.span(), message))?;
        check_limits(self.limits.as_ref()).map_err(|message| (self.limits.span(), message))?;
        self.grants.check()
    }
}

fn check_role(role: &Role) -> Result<(), String> {
    let plain = |text: &str| {
        !text.is_empty()
            && text.len() <= 63
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    for (key, value) in [("name", &role.name), ("worker_type", &role.worker_type)] {
        if !plain(value) {
            return Err(format!("role.{key} {value:?} must be 1 to 63 lower-case letters, digits or '-'"));
        }
    }
    if role.task_types.is_empty() {
        return Err("role.task_types is empty: name at least one task type that the role may claim".to_owned());
    }
    for task_type in &role.task_types {
        if !plain(&task_type.replace('_', "-")) {
            return Err(format!(
                "role.task_types holds {task_type:?}; a task type is 1 to 63 lower-case letters, digits, '-' or '_'"
            ));
        }
    }
    check_description(&role.description)?;
    no_duplicates("role.task_types", &role.task_types)
}

/// A reviewer reads it, and nothing in it may deceive one.
fn check_description(description: &str) -> Result<(), String> {
    if !(1..=DESCRIPTION_CHARS_MAX).contains(&description.chars().count()) {
        return Err(format!(
            "role.description must have 1 to {DESCRIPTION_CHARS_MAX} characters: one line for reviewers"
        ));
    }
    if let Cow::Owned(shown) = text::visible(description) {
        return Err(format!(
            "role.description holds control or invisible characters: \"{shown}\"; write one line of plain text"
        ));
    }
    Ok(())
}

/// The same entry twice is a slip, and hides what a reviewer looks for.
pub(super) fn no_duplicates<T: PartialEq + std::fmt::Display>(key: &str, entries: &[T]) -> Result<(), String> {
    for (at, entry) in entries.iter().enumerate() {
        if entries[..at].contains(entry) {
            return Err(format!("{key} names {entry} twice; remove one of the two"));
        }
    }
    Ok(())
}

pub(super) fn within<T: PartialOrd + Copy + std::fmt::Display>(
    key: &str,
    value: T,
    range: &RangeInclusive<T>,
) -> Result<(), String> {
    if range.contains(&value) {
        Ok(())
    } else {
        Err(format!("{key} = {value} is out of range: {} to {}; no manifest can go beyond", range.start(), range.end()))
    }
}

fn check_limits(limits: &Limits) -> Result<(), String> {
    let Limits { memory_mib, wall_ms, host_calls, log_lines, log_line_bytes, call_kib, journal_kib } = *limits;
    within("limits.memory_mib", memory_mib, &(1..=512))?;
    within("limits.wall_ms", wall_ms, &(10..=3_600_000))?;
    within("limits.host_calls", host_calls, &(1..=10_000))?;
    within("limits.log_lines", log_lines, &(1..=100_000))?;
    within("limits.log_line_bytes", log_line_bytes, &(80..=65_536))?;
    within("limits.call_kib", call_kib, &(64..=16_384))?;
    within("limits.journal_kib", journal_kib, &(64..=1_048_576))
}

impl Grants {
    /// Where an interface is granted, if it is.
    pub(super) fn span(&self, interface: Interface) -> Option<Range<usize>> {
        match interface {
            Interface::GithubRead => self.github_read.as_ref().map(Spanned::span),
            Interface::GithubWrite => self.github_write.as_ref().map(Spanned::span),
            Interface::GithubMerge => self.github_merge.as_ref().map(Spanned::span),
            Interface::Timer => self.timer.as_ref().map(Spanned::span),
            Interface::Scratch => self.scratch.as_ref().map(Spanned::span),
            Interface::HttpFetch => self.http_fetch.as_ref().map(Spanned::span),
            Interface::HttpSend => self.http_send.as_ref().map(Spanned::span),
            Interface::Llm => self.llm.as_ref().map(Spanned::span),
            Interface::TasksRead => self.tasks_read.as_ref().map(Spanned::span),
            Interface::TasksWrite => self.tasks_write.as_ref().map(Spanned::span),
            Interface::Goals => self.goals.as_ref().map(Spanned::span),
            Interface::WorkersRead => self.workers_read.as_ref().map(Spanned::span),
            Interface::MetricsRead => self.metrics_read.as_ref().map(Spanned::span),
            Interface::LogsRead => self.logs_read.as_ref().map(Spanned::span),
            Interface::Alerts => self.alerts.as_ref().map(Spanned::span),
            Interface::Learnings => self.learnings.as_ref().map(Spanned::span),
            Interface::Reports => self.reports.as_ref().map(Spanned::span),
            Interface::Recommendations => self.recommendations.as_ref().map(Spanned::span),
            Interface::Deploy => self.deploy.as_ref().map(Spanned::span),
        }
    }

    fn check(&self) -> Result<(), Problem> {
        let Self { github_read, github_write, github_merge, timer, scratch, http_fetch, .. } = self;
        if let Some(read) = github_read {
            entries(read.span(), "github-read.repositories", &read.as_ref().repositories)?;
        }
        if let Some(write) = github_write {
            entries(write.span(), "github-write.repositories", &write.as_ref().repositories)?;
            entries(write.span(), "github-write.branches", &write.as_ref().branches)?;
            entries(write.span(), "github-write.bases", &write.as_ref().bases)?;
            write.as_ref().check_exceptions()?;
        }
        if let Some(merge) = github_merge {
            entries(merge.span(), "github-merge.repositories", &merge.as_ref().repositories)?;
            entries(merge.span(), "github-merge.bases", &merge.as_ref().bases)?;
        }
        if let Some(timer) = timer {
            within("timer.sleep_seconds_max", timer.as_ref().sleep_seconds_max, &(1..=2_592_000))
                .map_err(|message| (timer.span(), message))?;
        }
        if let Some(scratch) = scratch {
            let at = |message| (scratch.span(), message);
            within("scratch.quota_kib", scratch.as_ref().quota_kib, &(1..=1_048_576)).map_err(at)?;
            within("scratch.files_max", scratch.as_ref().files_max, &(1..=10_000)).map_err(at)?;
        }
        if let Some(fetch) = http_fetch {
            fetch.as_ref().check().map_err(|(span, message)| (span.unwrap_or_else(|| fetch.span()), message))?;
        }
        self.check_outward()?;
        self.check_records()
    }

    fn check_outward(&self) -> Result<(), Problem> {
        let Self { http_send, deploy, .. } = self;
        if let Some(send) = http_send {
            send.as_ref().check().map_err(|(span, message)| (span.unwrap_or_else(|| send.span()), message))?;
        }
        if let Some(deploy) = deploy {
            deploy.as_ref().check().map_err(|(span, message)| (span.unwrap_or_else(|| deploy.span()), message))?;
        }
        Ok(())
    }

    fn check_records(&self) -> Result<(), Problem> {
        macro_rules! each {
            ($($grant:ident),+ $(,)?) => {
                $(if let Some(grant) = &self.$grant {
                    grant.as_ref().check(grant.span())?;
                })+
            };
        }
        each!(llm, tasks_write, goals, metrics_read, logs_read, alerts, learnings, reports, recommendations);
        // Without anything that could be out of range.
        let Self { tasks_read: _, workers_read: _, .. } = self;
        Ok(())
    }
}

/// At least one, and each once.
pub(super) fn entries<T: PartialEq + std::fmt::Display>(
    span: Range<usize>,
    key: &str,
    entries: &[T],
) -> Result<(), Problem> {
    if entries.is_empty() {
        return Err((
            span,
            format!("{key} is empty: the grant would allow nothing; name what it may reach or remove it"),
        ));
    }
    no_duplicates(key, entries).map_err(|message| (span, message))
}
