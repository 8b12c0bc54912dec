//! How far a worker has come in the queue: where its next claim begins to look.
//!
//! Invariant: nothing that could be claimed is passed over for longer than `FROM_THE_START_WITHIN`, or, where that is later,
//! until the claim that looked from the beginning before has ended.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use time::OffsetDateTime;
use time::macros::datetime;
use uuid::Uuid;

use super::{Claim, Claimant, ClaimedAt};
use crate::task::{Priority, Task};

/// How often a worker that claims from a long queue looks at it from its beginning, at most. In between it goes on where it
/// stood: what it claimed stays in the index as dead entries until the next vacuum, and each claim would walk past all
/// of them. A task that is put back, and is older, waits this much longer.
const FROM_THE_START_EVERY: Duration = Duration::from_millis(250);
/// Where the way past the dead entries has become long, it is gone for one part in so many of the time.
const FROM_THE_START_SHARE: u32 = 20;
/// But at least this often.
const FROM_THE_START_WITHIN: Duration = Duration::from_secs(3);

/// Before any task.
const BEGINNING: OffsetDateTime = datetime!(-4000-01-01 0:00 UTC);

/// One run of entries of the queue's index: a type, whom the tasks are meant for (empty: anybody), a priority.
type Place = (String, String, Priority);

/// How far a worker has come in the queue.
#[derive(Debug, Default)]
pub struct QueuePosition {
    reached: HashMap<Place, (OffsetDateTime, Uuid)>,
    /// When a claim looks at the queue from its beginning again; none: the next one does.
    from_start_at: Option<Instant>,
    /// One that does is under way since then. The others go on where they stood meanwhile: its way may be long.
    starting: Option<Instant>,
    /// How often that has been done. What a claim from before it found is no place to go on from.
    restarts: u64,
    /// The type that was served last, by priority. A claim of one task is one turn: without this the oldest type would
    /// have them all.
    served_last: HashMap<Priority, String>,
}

/// How a claim began to look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Beginning {
    restarts: u64,
    /// At the beginning of the queue, so that nothing stands before it.
    pub from_start: bool,
}

/// Where a claim begins to look, column by column.
#[derive(Debug, Default)]
pub struct Places {
    pub beginning: Beginning,
    pub(super) types: Vec<String>,
    pub(super) addressees: Vec<String>,
    pub(super) priorities: Vec<Priority>,
    pub(super) created_at: Vec<OffsetDateTime>,
    pub(super) ids: Vec<Uuid>,
    /// Within a turn, who comes first.
    pub(super) ranks: Vec<i32>,
}

impl QueuePosition {
    /// Where the next claim looks. Another may be under way: they do not wait for each other, and find different tasks.
    pub fn places(&mut self, claimant: &Claimant) -> Places {
        let now = Instant::now();
        let from_start = self.starting.is_none() && self.from_start_at.is_none_or(|at| at <= now);
        if from_start {
            self.starting = Some(now);
        }
        let mut addressees = vec!["", &claimant.worker_type, &claimant.worker_id.0];
        addressees.dedup();
        let beginning = Beginning { restarts: self.restarts, from_start };
        let mut places = Places { beginning, ..Places::default() };
        for (name, addressee, priority) in claimant.task_types.iter().flat_map(|name| {
            addressees.iter().flat_map(move |addressee| Priority::ALL.iter().map(move |it| (name, *addressee, *it)))
        }) {
            places.ranks.push(self.rank(&claimant.task_types, name, priority));
            let place = (name.clone(), addressee.to_owned(), priority);
            let reached = self.reached.get(&place).filter(|_| !from_start);
            let (created_at, id) = reached.copied().unwrap_or((BEGINNING, Uuid::nil()));
            places.types.push(place.0);
            places.addressees.push(place.1);
            places.priorities.push(priority);
            places.created_at.push(created_at);
            places.ids.push(id);
        }
        places
    }

    /// How far a type stands behind the one that was served last, which comes last itself.
    fn rank(&self, types: &[String], name: &str, priority: Priority) -> i32 {
        let number = |name: &String| types.iter().position(|it| it == name);
        let first = self.served_last.get(&priority).and_then(number).map_or(0, |last| last + 1);
        let mut from_first = types.iter().cycle().skip(first).take(types.len());
        from_first.position(|it| it == name).and_then(|rank| i32::try_from(rank).ok()).unwrap_or(i32::MAX)
    }

    /// The next claim begins with the type behind the one that had the last turn of this one.
    fn serve<'a>(&mut self, types: &[String], tasks: impl Iterator<Item = &'a Task>) {
        let mut turns: HashMap<(Priority, &str), u32> = HashMap::new();
        for task in tasks {
            *turns.entry((task.priority, task.task_type.as_str())).or_default() += 1;
        }
        for priority in Priority::ALL {
            let served = turns.iter().filter(|((of, _), _)| of == priority);
            let last = served.max_by_key(|((_, name), turn)| (**turn, self.rank(types, name, *priority)));
            if let Some(((_, name), _)) = last {
                self.served_last.insert(*priority, (*name).to_owned());
            }
        }
    }

    /// What a claim found, for those that begin after it.
    pub fn found(&mut self, claimant: &Claimant, tasks_max: u32, beginning: Beginning, claims: &[Claim]) {
        let goes_on = if beginning.restarts == self.restarts { claims } else { &[] };
        if beginning.from_start {
            self.reached.clear();
            self.restarts += 1;
            let took = self.starting.take().map_or(Duration::ZERO, |since| since.elapsed());
            self.from_start_at = Some(Instant::now() + until_from_start(took));
        }
        for Claim { task, place: ClaimedAt { addressee, created_at }, .. } in goes_on {
            let at = (*created_at, task.id.0);
            let place = (task.task_type.clone(), addressee.clone(), task.priority);
            let reached = self.reached.entry(place).or_insert(at);
            *reached = (*reached).max(at);
        }
        self.serve(&claimant.task_types, claims.iter().map(|claim| &claim.task));
        if claims.len() < tasks_max as usize {
            // There may be more before this position.
            self.restart();
        }
    }

    /// A claim failed: what it would have taken stands before what others found.
    pub fn failed(&mut self, beginning: Beginning) {
        if beginning.from_start {
            self.starting = None;
        }
        self.restart();
    }

    /// The next claim looks from the beginning.
    fn restart(&mut self) {
        self.from_start_at = None;
    }
}

/// How long after a claim from the beginning, which took so long, the next one is.
fn until_from_start(took: Duration) -> Duration {
    (took * FROM_THE_START_SHARE).clamp(FROM_THE_START_EVERY, FROM_THE_START_WITHIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_the_way_the_more_seldom_it_is_gone() {
        let after = |ms| until_from_start(Duration::from_millis(ms)).as_millis();
        assert_eq!([1, 65, 60_000].map(after), [250, 1_300, 3_000]);
    }
}
