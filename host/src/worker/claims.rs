//! When a worker looks into the queue, and where.

use std::time::{Duration, Instant};

use crate::db::DbError;
use crate::db::queue::{Beginning, Claim, Claimant, Places, QueuePosition};

/// Claims under way at once, where there is much to claim: one reads the queue while the other is committed.
const UNDER_WAY_MAX: usize = 2;
/// Pause after a failed claim: the database is away.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// What came of a claim.
#[derive(Debug)]
pub(super) struct Claimed {
    pub(super) wanted: usize,
    pub(super) beginning: Beginning,
    pub(super) asked_at: Instant,
    pub(super) claims: Result<Vec<Claim>, DbError>,
}

/// The queue as a worker sees it.
#[derive(Debug)]
pub(super) struct Queue {
    position: QueuePosition,
    /// There may be something that nobody has looked for.
    look: bool,
    /// The newest claim found all that it wanted, in one place. A claim locks as much as it wants in every place, so that one
    /// beside it would go past what the first gives up again: to tasks of less priority, where there are several.
    is_long: bool,
    failed: bool,
    /// Tasks that the claims under way may bring.
    coming: usize,
    under_way: usize,
}

impl Queue {
    pub(super) fn new() -> Self {
        Self { position: QueuePosition::default(), look: true, is_long: false, failed: false, coming: 0, under_way: 0 }
    }

    /// There may be something to claim.
    pub(super) fn look(&mut self) {
        self.look = true;
    }

    pub(super) fn coming(&self) -> usize {
        self.coming
    }

    /// Whether to claim now, if there is room for it. Beside another claim only where there is enough for both.
    pub(super) fn is_worth_a_claim(&self) -> bool {
        if self.under_way == 0 { self.look } else { self.is_long && self.under_way < UNDER_WAY_MAX }
    }

    /// Whether nothing was there when it was looked at, as far as is known.
    pub(super) fn is_empty(&self) -> bool {
        self.under_way == 0 && !self.look && !self.failed
    }

    /// A claim begins.
    pub(super) fn begin(&mut self, claimant: &Claimant, wanted: usize) -> Places {
        self.look = false;
        self.failed = false;
        self.coming += wanted;
        self.under_way += 1;
        self.position.places(claimant)
    }

    /// A claim has ended.
    pub(super) fn end(&mut self, claimant: &Claimant, claimed: &Claimed) {
        self.coming = self.coming.saturating_sub(claimed.wanted);
        self.under_way = self.under_way.saturating_sub(1);
        let Ok(claims) = &claimed.claims else {
            self.position.failed(claimed.beginning);
            (self.failed, self.is_long) = (true, false);
            return;
        };
        self.position.found(claimant, tasks(claimed.wanted), claimed.beginning, claims);
        let is_full = claims.len() == claimed.wanted;
        self.is_long = is_full && Claim::are_of_one_place(claims);
        // There may be more, or something before the place where it began.
        self.look |= is_full || !claimed.beginning.from_start;
    }

    /// How long to wait until something happens, before looking all the same.
    pub(super) fn pause(&self, poll: Duration) -> Duration {
        if self.failed { RETRY_PAUSE } else { poll }
    }
}

/// As the statement counts them.
pub(super) fn tasks(wanted: usize) -> u32 {
    u32::try_from(wanted).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: usize = 3;

    /// Begins a claim; what ends it is given how it ended: the types of what it found, or that it failed.
    fn begin(queue: &mut Queue) -> impl FnOnce(&mut Queue, Option<&[&str]>) + use<> {
        let beginning = queue.begin(&Claimant::example(), WANTED).beginning;
        move |queue, found| {
            let claims = match found {
                Some(types) => Ok(types.iter().map(|task_type| Claim::example(task_type)).collect()),
                None => Err(DbError::Unavailable("away".to_owned())),
            };
            let claimed = Claimed { wanted: WANTED, beginning, asked_at: Instant::now(), claims };
            queue.end(&Claimant::example(), &claimed);
        }
    }

    #[test]
    fn a_second_claim_begins_where_the_queue_is_long() {
        let mut queue = Queue::new();
        assert!(queue.is_worth_a_claim(), "nobody has looked yet");
        let first = begin(&mut queue);
        assert!(!queue.is_worth_a_claim(), "nobody knows whether there is more");
        first(&mut queue, Some(&["code"; WANTED]));
        assert!(queue.is_worth_a_claim());
        let second = begin(&mut queue);
        assert!(queue.is_worth_a_claim(), "beside the other");
        let third = begin(&mut queue);
        assert_eq!(queue.coming(), 2 * WANTED);
        assert!(!queue.is_worth_a_claim(), "two are enough");
        second(&mut queue, Some(&["code"]));
        assert!(!queue.is_worth_a_claim(), "the queue has an end");
        third(&mut queue, Some(&[]));
        assert_eq!(queue.coming(), 0);
        assert!(queue.is_worth_a_claim(), "something may have been put back before the place where they began");
        begin(&mut queue)(&mut queue, Some(&[]));
        assert!(!queue.is_worth_a_claim() && queue.is_empty(), "nothing is there");
        queue.look();
        assert!(!queue.is_empty());
        assert!(queue.is_worth_a_claim(), "something happened");
    }

    #[test]
    fn claims_from_several_places_come_one_after_the_other() {
        let mut queue = Queue::new();
        begin(&mut queue)(&mut queue, Some(&["code", "code", "test"]));
        assert!(queue.is_worth_a_claim());
        let _under_way = begin(&mut queue);
        assert!(!queue.is_worth_a_claim(), "it would go past what the first has locked and does not take");
    }

    #[test]
    fn a_failure_is_not_forgotten_for_the_claim_beside_it() {
        let mut queue = Queue::new();
        begin(&mut queue)(&mut queue, Some(&["code"; WANTED]));
        let (one, other) = (begin(&mut queue), begin(&mut queue));
        one(&mut queue, None);
        other(&mut queue, Some(&[]));
        assert_eq!(queue.pause(Duration::from_mins(1)), RETRY_PAUSE);
        assert!(queue.begin(&Claimant::example(), WANTED).beginning.from_start, "what failed stands before");
    }

    #[test]
    fn beside_a_claim_from_the_beginning_the_other_goes_on() {
        let mut queue = Queue::new();
        let from_start = |queue: &mut Queue| queue.begin(&Claimant::example(), WANTED).beginning.from_start;
        begin(&mut queue)(&mut queue, Some(&["code"; WANTED]));
        assert!(!from_start(&mut queue), "it has just been there");
        let mut queue = Queue::new();
        let first = begin(&mut queue);
        assert!(!from_start(&mut queue), "one is on that way");
        first(&mut queue, None);
        assert!(from_start(&mut queue), "it did not come to its end");
    }

    #[test]
    fn after_a_failure_the_database_has_a_moment() {
        let (mut queue, poll) = (Queue::new(), Duration::from_millis(10));
        assert_eq!(queue.pause(poll), poll);
        begin(&mut queue)(&mut queue, None);
        assert!(!queue.is_worth_a_claim() && !queue.is_empty());
        assert_eq!(queue.pause(poll), RETRY_PAUSE);
        queue.look();
        begin(&mut queue)(&mut queue, Some(&[]));
        assert_eq!(queue.pause(poll), poll);
    }
}
