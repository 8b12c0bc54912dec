//! How many tasks a worker may hold beyond those that run: enough to keep its slots busy while it claims and commits, and
//! none where runs last, so that no task waits here while another host is idle.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What lies in the queue runs within about this.
const LOOK_AHEAD: Duration = Duration::from_millis(100);
/// Most tasks that are held and do not run.
const QUEUED_MAX: usize = 512;
/// The newest run counts for this part of the mean.
const SHARE: u64 = 16;

/// The mean time that a run holds its slot.
#[derive(Debug)]
pub(super) struct Pace {
    mean_micros: AtomicU64,
}

impl Pace {
    /// Slow, until it is known to be quick.
    pub(super) fn new() -> Self {
        Self { mean_micros: AtomicU64::new(1_000_000) }
    }

    pub(super) fn ran(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX).min(1_000_000_000);
        let mean = self.mean_micros.load(Ordering::Relaxed);
        // Two runs that end at once may count as one: it is an estimate.
        self.mean_micros.store((mean * (SHARE - 1) + micros) / SHARE, Ordering::Relaxed);
    }

    /// Tasks to hold beyond those that run.
    pub(super) fn ahead(&self, slots: usize) -> usize {
        let mean = Duration::from_micros(self.mean_micros.load(Ordering::Relaxed).max(1));
        let each = usize::try_from(LOOK_AHEAD.as_micros() / mean.as_micros().max(1)).unwrap_or(QUEUED_MAX);
        each.saturating_mul(slots).min(QUEUED_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quick_runs_are_claimed_ahead_and_slow_ones_are_not() {
        let pace = Pace::new();
        assert_eq!(pace.ahead(16), 0, "nothing is known yet");
        (0..200).for_each(|_| pace.ran(Duration::from_micros(200)));
        assert_eq!(pace.ahead(16), QUEUED_MAX);
        (0..200).for_each(|_| pace.ran(Duration::from_millis(50)));
        assert!((16..=32).contains(&pace.ahead(16)), "{}", pace.ahead(16));
        (0..20).for_each(|_| pace.ran(Duration::from_secs(30)));
        assert_eq!(pace.ahead(16), 0);
    }
}
