//! The capabilities that exist, by the names of their WIT interfaces.

use std::fmt;

/// Version of the WIT package that this host serves.
pub const PACKAGE_VERSION: &str = "0.1.0";

/// Interfaces that each role has without a grant: they reach nothing outside the run.
pub const ALWAYS: &[&str] = &["types", "task", "outcomes"];

/// The least that a Rust guest on wasm32-wasip2 needs. No sockets, no filesystem.
pub const WASI_ALLOWED: &[&str] = &[
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure-seed",
    "wasi:random/random",
];

/// A capability: one WIT interface of `juggernaut:host`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Interface {
    GithubRead,
    GithubWrite,
    GithubMerge,
    Timer,
    Scratch,
    HttpFetch,
    HttpSend,
    Llm,
    TasksRead,
    TasksWrite,
    Goals,
    WorkersRead,
    MetricsRead,
    LogsRead,
    Alerts,
    Learnings,
    Reports,
    Recommendations,
    Deploy,
}

impl Interface {
    pub const ALL: &[Self] = &[
        Self::GithubRead,
        Self::GithubWrite,
        Self::GithubMerge,
        Self::Timer,
        Self::Scratch,
        Self::HttpFetch,
        Self::HttpSend,
        Self::Llm,
        Self::TasksRead,
        Self::TasksWrite,
        Self::Goals,
        Self::WorkersRead,
        Self::MetricsRead,
        Self::LogsRead,
        Self::Alerts,
        Self::Learnings,
        Self::Reports,
        Self::Recommendations,
        Self::Deploy,
    ];

    /// As in the WIT package and as the key under `[grants]`.
    pub fn name(self) -> &'static str {
        match self {
            Self::GithubRead => "github-read",
            Self::GithubWrite => "github-write",
            Self::GithubMerge => "github-merge",
            Self::Timer => "timer",
            Self::Scratch => "scratch",
            Self::HttpFetch => "http-fetch",
            Self::HttpSend => "http-send",
            Self::Llm => "llm",
            Self::TasksRead => "tasks-read",
            Self::TasksWrite => "tasks-write",
            Self::Goals => "goals",
            Self::WorkersRead => "workers-read",
            Self::MetricsRead => "metrics-read",
            Self::LogsRead => "logs-read",
            Self::Alerts => "alerts",
            Self::Learnings => "learnings",
            Self::Reports => "reports",
            Self::Recommendations => "recommendations",
            Self::Deploy => "deploy",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|interface| interface.name() == name)
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "juggernaut:host/{}@{PACKAGE_VERSION}", self.name())
    }
}
