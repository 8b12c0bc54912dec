//! Runs a check where it can do no harm: on a deep stack of its own, with its panics caught and its time limited.
//!
//! A check that runs out of time can't be ended from outside; its place is taken until it ends by itself, so that at
//! most [`RUNNING_MAX`] of them ever use this machine.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// Checks at the same time.
const RUNNING_MAX: usize = 2;
/// Address space, of which only what is used becomes memory. `nesting` bounds how much that can be.
const STACK_BYTES: usize = 512 * 1024 * 1024;

static RUNNING: Mutex<usize> = Mutex::new(0);
static ENDED: Condvar = Condvar::new();

/// Why there is no answer. The file must not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It took longer than it may.
    Slow,
    /// Others held all places for as long as a check may take.
    Busy,
    /// The linter gave up.
    Panicked,
    /// The machine gives no thread.
    NoThread,
}

impl Refused {
    /// Whether the same file may pass later.
    pub fn may_pass(self) -> bool {
        matches!(self, Self::Busy | Self::NoThread)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Slow => "checking it takes too long; split it, or write it in simpler terms",
            Self::Busy => "too many files are being checked; try again later",
            Self::Panicked => "the linter can not cope with it; write it in simpler terms",
            Self::NoThread => "this machine has no memory or thread left to check it; try again later",
        })
    }
}

impl std::error::Error for Refused {}

struct Place;

impl Place {
    fn take(until: Instant) -> Option<Self> {
        let mut running = lock();
        while *running >= RUNNING_MAX {
            let left = until.checked_duration_since(Instant::now())?;
            running = ENDED.wait_timeout(running, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        *running += 1;
        Some(Self)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *lock() -= 1;
        ENDED.notify_one();
    }
}

fn lock() -> MutexGuard<'static, usize> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn run<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
    time_max: Duration,
) -> Result<T, Refused> {
    let until = Instant::now() + time_max;
    let place = Place::take(until).ok_or(Refused::Busy)?;
    let (answer, answered) = mpsc::sync_channel(1);
    let guarded = move || {
        let result = catch_unwind(AssertUnwindSafe(work));
        drop(place);
        // Nobody listens any more where it took too long.
        answer.send(result).unwrap_or_default();
    };
    let thread = thread::Builder::new().name("quality".to_owned()).stack_size(STACK_BYTES).spawn(guarded);
    thread.map_err(|_| Refused::NoThread)?;
    match answered.recv_timeout(until.saturating_duration_since(Instant::now())) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(_)) | Err(mpsc::RecvTimeoutError::Disconnected) => Err(Refused::Panicked),
        Err(mpsc::RecvTimeoutError::Timeout) => Err(Refused::Slow),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_slow_or_panics_is_refused_and_gives_its_place_back() {
        let slow = || thread::sleep(Duration::from_millis(300));
        assert_eq!(run(slow, Duration::from_millis(20)), Err(Refused::Slow));
        for _ in 0..2 * RUNNING_MAX {
            assert_eq!(
                run(|| std::panic::resume_unwind(Box::new(())), Duration::from_secs(20)),
                Err::<(), _>(Refused::Panicked)
            );
        }
        assert_eq!(run(|| 1, Duration::from_secs(20)), Ok(1));
    }
}
