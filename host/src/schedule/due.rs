//! Which firings are due, and which of them get a task.

use time::{Duration, OffsetDateTime};

use super::{Cron, MissedPolicy};

/// Tasks that one look creates at most, with [`MissedPolicy::All`].
pub const MADE_UP_MAX: usize = 10;
/// A firing that is older was missed: hosts look every second.
const LATE_AFTER: Duration = Duration::minutes(1);
/// Firings that are counted; of more it is only known that there were so many.
const COUNTED_MAX: u64 = 10_000;

/// What to do about a schedule whose time has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// Firings that get a task, oldest first.
    pub fire: Vec<OffsetDateTime>,
    /// How many do not.
    pub missed: u64,
    /// When it fires next; none: never again.
    pub next: Option<OffsetDateTime>,
}

/// Judges the firings from `from`, which is one, to `now`.
pub fn due(cron: &Cron, from: OffsetDateTime, now: OffsetDateTime, policy: MissedPolicy) -> Due {
    let newest = newest(cron, from, now);
    let on_time = |time: &&OffsetDateTime| now - **time < LATE_AFTER;
    let mut fire: Vec<_> = match policy {
        MissedPolicy::Skip => newest.iter().take(1).filter(on_time).copied().collect(),
        MissedPolicy::Once => newest.iter().take(1).copied().collect(),
        MissedPolicy::All => newest,
    };
    fire.reverse();
    let missed = count(cron, from, now).saturating_sub(fire.len() as u64);
    Due { fire, missed, next: cron.after(now) }
}

/// The newest firings, newest first.
fn newest(cron: &Cron, from: OffsetDateTime, now: OffsetDateTime) -> Vec<OffsetDateTime> {
    let before = |time: OffsetDateTime| cron.at_or_before(time).filter(|found| *found > from);
    // Whoever wrote `from` by hand need not have chosen a time of the expression's.
    let listed = std::iter::successors(before(now), |time| before(*time - Duration::seconds(1)));
    listed.chain([from]).take(MADE_UP_MAX).collect()
}

fn count(cron: &Cron, from: OffsetDateTime, now: OffsetDateTime) -> u64 {
    let following = std::iter::successors(Some(from), |time| cron.after(*time).filter(|next| *next <= now));
    following.zip(1..=COUNTED_MAX).count() as u64
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const FROM: OffsetDateTime = datetime!(2026-11-27 12:00 UTC);

    fn judged(now: OffsetDateTime, policy: MissedPolicy) -> (Vec<i64>, u64, OffsetDateTime) {
        let cron = Cron::parse("0 * * * *", now).unwrap();
        let Due { fire, missed, next } = due(&cron, FROM, now, policy);
        (fire.iter().map(|time| (*time - FROM).whole_hours()).collect(), missed, next.unwrap())
    }

    #[test]
    fn a_firing_on_time_is_one_task_whatever_the_policy() {
        let (now, next) = (datetime!(2026-11-27 12:00:01 UTC), datetime!(2026-11-27 13:00 UTC));
        for policy in MissedPolicy::ALL {
            assert_eq!(judged(now, *policy), (vec![0], 0, next), "{policy}");
        }
    }

    #[test]
    fn missed_firings_are_handled_as_configured() {
        let (now, next) = (datetime!(2026-11-27 15:30 UTC), datetime!(2026-11-27 16:00 UTC));
        assert_eq!(judged(now, MissedPolicy::Skip), (vec![], 4, next));
        assert_eq!(judged(now, MissedPolicy::Once), (vec![3], 3, next));
        assert_eq!(judged(now, MissedPolicy::All), (vec![0, 1, 2, 3], 0, next));
        // The newest is on time.
        let now = datetime!(2026-11-27 15:00:59 UTC);
        assert_eq!(judged(now, MissedPolicy::Skip), (vec![3], 3, next));
        let now = datetime!(2026-11-27 15:01 UTC);
        assert_eq!(judged(now, MissedPolicy::Skip), (vec![], 4, next));
    }

    #[test]
    fn what_is_made_up_for_and_what_is_counted_has_a_limit() {
        let now = datetime!(2026-11-28 12:30 UTC);
        let (fire, missed, _) = judged(now, MissedPolicy::All);
        assert_eq!((fire, missed), ((15..=24).collect(), 15));
        let cron = Cron::parse("* * * * *", now).unwrap();
        let year = due(&cron, FROM, FROM + Duration::days(365), MissedPolicy::Once);
        assert_eq!((year.fire.len(), year.missed), (1, COUNTED_MAX - 1));
    }

    #[test]
    fn a_time_that_was_written_by_hand_is_a_firing() {
        let cron = Cron::parse("0 0 1 1 *", FROM).unwrap();
        let now = FROM + Duration::seconds(5);
        let due = due(&cron, FROM, now, MissedPolicy::Skip);
        assert_eq!((due.fire, due.missed, due.next), (vec![FROM], 0, Some(datetime!(2027-01-01 0:00 UTC))));
    }
}
