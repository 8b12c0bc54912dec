//! The states of the specification. Each enum is a database enum of the same name and spelling.

/// Declares an enum that is spelt the same in the database, in JSON and on the command line.
macro_rules! database_enum {
    ($(#[$meta:meta])* $name:ident = $type_name:literal { $($(#[$variant_meta:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[derive(serde::Serialize, serde::Deserialize, sqlx::Type, utoipa::ToSchema, clap::ValueEnum)]
        #[serde(rename_all = "snake_case")]
        #[sqlx(type_name = $type_name, rename_all = "snake_case")]
        #[clap(rename_all = "snake_case")]
        pub enum $name { $($(#[$variant_meta])* $variant),+ }

        impl $name {
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}
pub(crate) use database_enum;

database_enum! {
    /// Where a task stands.
    TaskStatus = "task_status" {
        Pending = "pending",
        InProgress = "in_progress",
        WaitingApproval = "waiting_approval",
        Suspended = "suspended",
        Completed = "completed",
        Failed = "failed",
        Cancelled = "cancelled",
        DeadLetter = "dead_letter",
    }
}

impl TaskStatus {
    /// Whether a task may go from this status to `next`. `task_status_may_follow` in the database says the same.
    pub fn may_become(self, next: Self) -> bool {
        use TaskStatus::{Cancelled, Completed, DeadLetter, Failed, InProgress, Pending, Suspended, WaitingApproval};
        match (self, next) {
            (Pending, InProgress | WaitingApproval | Suspended | Failed | Cancelled)
            | (InProgress, Pending | WaitingApproval | Suspended | Completed | Failed | Cancelled | DeadLetter)
            | (WaitingApproval, Pending | Failed | Cancelled)
            | (Suspended, Pending | Failed | Cancelled | DeadLetter)
            | (Failed | Cancelled | DeadLetter, Pending) => true,
            (Pending, Pending | Completed | DeadLetter)
            | (InProgress, InProgress)
            | (WaitingApproval, InProgress | WaitingApproval | Suspended | Completed | DeadLetter)
            | (Suspended, InProgress | WaitingApproval | Suspended | Completed)
            | (Completed, _)
            | (
                Failed | Cancelled | DeadLetter,
                InProgress | WaitingApproval | Suspended | Completed | Failed | Cancelled | DeadLetter,
            ) => false,
        }
    }

    /// Whether nothing happens to the task any more unless a person acts.
    pub fn is_final(self) -> bool {
        match self {
            Self::Completed | Self::Failed | Self::Cancelled | Self::DeadLetter => true,
            Self::Pending | Self::InProgress | Self::WaitingApproval | Self::Suspended => false,
        }
    }
}

database_enum! {
    /// Order of the claim: critical first.
    Priority = "task_priority" { Critical = "critical", High = "high", Medium = "medium", Low = "low" }
}

database_enum! {
    /// Ordered from harmless to dangerous, so that the greater of two assessments counts.
    Risk = "risk_level" { Low = "low", Medium = "medium", High = "high", Critical = "critical" }
}

impl Risk {
    /// Whether a person has to approve before anything runs (specification, "Risk Assessment"). High risk runs, and
    /// waits at the calls that matter.
    pub fn needs_start_approval(self) -> bool {
        match self {
            Self::Low | Self::Medium | Self::High => false,
            Self::Critical => true,
        }
    }
}

database_enum! {
    /// Derived by the host from heartbeats and claims.
    WorkerStatus = "worker_status" {
        Active = "active", Idle = "idle", Busy = "busy", Stale = "stale", Offline = "offline",
    }
}

database_enum! {
    /// Severity of a line in the execution log.
    LogLevel = "log_level" { Debug = "debug", Info = "info", Warn = "warn", Error = "error" }
}

database_enum! {
    /// What a task of some type must show (`task_types.evidence`).
    EvidenceKind = "evidence_kind" {
        MergedPullRequest = "merged_pull_request",
        TestResults = "test_results",
        VerificationReport = "verification_report",
        CitedSummary = "cited_summary",
        Document = "document",
        TasksCreated = "tasks_created",
        ReportStored = "report_stored",
        AlertsEvaluated = "alerts_evaluated",
        RecommendationFiled = "recommendation_filed",
    }
}
