//! Tasks that come again and again: when, and what is done about times at which no host was there.
//!
//! Invariant: pure. No clock and no database: what time it is, is given.

mod cron;
mod draft;
mod due;

pub use cron::{Cron, InvalidCron};
pub use draft::{InvalidSchedule, NewSchedule, ScheduleDraft, admit_task};
pub use due::{Due, MADE_UP_MAX, due};

use crate::task::database_enum;

/// Schedules that there may be at the same time.
pub const SCHEDULES_MAX: i64 = 500;

database_enum! {
    /// Whether a schedule fires.
    ScheduleState = "schedule_state" {
        Active = "active",
        Paused = "paused",
    }
}

database_enum! {
    /// What is done about firings that no host was there for.
    MissedPolicy = "missed_policy" {
        /// Nothing: only a firing that is on time creates a task.
        Skip = "skip",
        /// One task for all of them.
        Once = "once",
        /// A task for each of the newest ones, up to a limit.
        All = "all",
    }
}
