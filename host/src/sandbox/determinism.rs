//! The guest's clock and random numbers.
//!
//! Invariant: both are functions of the journal. The clock stands still while the guest computes, except for a
//! microsecond with each reading so that it never runs backwards, and moves to the recorded time with each host call.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use wasmtime_wasi::{HostMonotonicClock, HostWallClock};

use crate::task::{Attempt, TaskId};

const NANOS_PER_READING: u64 = 1_000;

/// Nanoseconds since 1970, shared by the run and the clocks that wasmtime holds.
#[derive(Clone, Debug)]
pub(super) struct GuestClock {
    now: Arc<AtomicU64>,
    start: u64,
}

impl GuestClock {
    pub(super) fn new(start: OffsetDateTime) -> Self {
        let start = nanos(start);
        Self { now: Arc::new(AtomicU64::new(start)), start }
    }

    /// Moves to the time of a recorded step; never back.
    pub(super) fn move_to(&self, at: OffsetDateTime) {
        self.now.fetch_max(nanos(at), Ordering::Relaxed);
    }

    fn read(&self) -> u64 {
        self.now.fetch_add(NANOS_PER_READING, Ordering::Relaxed)
    }
}

/// The time, as finely as the database keeps it: a replayed run reads the same clock as the first one.
pub(super) fn now() -> OffsetDateTime {
    let now = OffsetDateTime::now_utc();
    now.replace_nanosecond(now.microsecond() * 1_000).unwrap_or(now)
}

fn nanos(at: OffsetDateTime) -> u64 {
    u64::try_from(at.unix_timestamp_nanos()).unwrap_or(0)
}

impl HostWallClock for GuestClock {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(NANOS_PER_READING)
    }

    fn now(&self) -> Duration {
        Duration::from_nanos(self.read())
    }
}

impl HostMonotonicClock for GuestClock {
    fn resolution(&self) -> u64 {
        NANOS_PER_READING
    }

    fn now(&self) -> u64 {
        self.read().saturating_sub(self.start)
    }
}

/// The same numbers for each start of an attempt. Good for hash maps and jitter; a role holds no secrets to make.
pub(super) fn random(task: TaskId, attempt: Attempt, purpose: &str) -> StdRng {
    let mut hasher = Sha256::new();
    hasher.update(task.0.as_bytes());
    hasher.update(attempt.0.to_be_bytes());
    hasher.update(purpose.as_bytes());
    StdRng::from_seed(hasher.finalize().into())
}

#[cfg(test)]
mod tests {
    use rand::Rng;

    use super::*;

    #[test]
    fn the_clock_moves_with_the_journal_and_never_back() {
        let start = OffsetDateTime::UNIX_EPOCH + time::Duration::hours(1);
        let clock = GuestClock::new(start);
        let first = HostMonotonicClock::now(&clock);
        assert!(HostMonotonicClock::now(&clock) > first);
        clock.move_to(start + time::Duration::seconds(5));
        assert!(HostMonotonicClock::now(&clock) >= 5_000_000_000);
        clock.move_to(start);
        assert!(HostWallClock::now(&clock) >= Duration::from_secs(3605));
    }

    #[test]
    fn random_numbers_depend_on_task_attempt_and_purpose_only() {
        let task = TaskId::generate();
        let draw = |task, attempt, purpose| random(task, Attempt(attempt), purpose).next_u64();
        assert_eq!(draw(task, 1, "a"), draw(task, 1, "a"));
        assert_ne!(draw(task, 1, "a"), draw(task, 2, "a"));
        assert_ne!(draw(task, 1, "a"), draw(task, 1, "b"));
        assert_ne!(draw(task, 1, "a"), draw(TaskId::generate(), 1, "a"));
    }
}
