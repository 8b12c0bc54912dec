//! The rules: pure, from what was seen to what is recommended.

use std::collections::BTreeMap;

use crate::payload::Settings;

const HOUR_MS: u64 = 3_600_000;

/// A priority, the lowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    Low,
    Medium,
    High,
    Critical,
}

impl Rank {
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// A task that has not begun. Its words are no part of it: no rule reads them.
#[derive(Clone, Debug)]
pub struct Seen {
    pub id: String,
    pub task_type: String,
    pub rank: Rank,
    pub worker: Option<String>,
    pub depends_on: Vec<String>,
    pub created_at_ms: u64,
}

/// How tasks of a type ended.
#[derive(Clone, Debug)]
pub struct Ended {
    pub task_type: String,
    pub completed: f64,
    pub failed: f64,
}

/// Tasks of a type that wait.
#[derive(Clone, Debug)]
pub struct Queued {
    pub task_type: String,
    pub count: f64,
}

#[derive(Clone, Debug, Default)]
pub struct Observed {
    pub now_ms: u64,
    pub pending: Vec<Seen>,
    /// Those that wait for others.
    pub blocked: Vec<Seen>,
    /// Live ones: id, type, and the types of tasks that they take.
    pub workers: Vec<(String, String, Vec<String>)>,
    pub ended: Vec<Ended>,
    pub queued: Vec<Queued>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Advice {
    Raise { task: String, from: Rank, to: Rank, blocks: usize, waits_hours: u64 },
    Unassign { task: String, worker: String },
}

/// What should be changed, the most pressing first.
pub fn advise(settings: &Settings, observed: &Observed) -> Vec<Advice> {
    let mut advice = raise(settings, observed);
    advice.extend(observed.pending.iter().filter_map(|task| unassign(task, observed)));
    advice.truncate(settings.changes_max);
    advice
}

/// What others wait for has at least the highest of their priorities; what is low and old, or waited for, is medium.
fn raise(settings: &Settings, observed: &Observed) -> Vec<Advice> {
    let mut blocks: BTreeMap<&str, (usize, Rank)> = BTreeMap::new();
    for task in &observed.blocked {
        for on in &task.depends_on {
            let (count, rank) = blocks.entry(on).or_insert((0, Rank::Low));
            *count += 1;
            *rank = (*rank).max(task.rank);
        }
    }
    let mut raised: Vec<(Rank, usize, u64, Advice)> = Vec::new();
    for task in &observed.pending {
        let (count, highest) = blocks.get(task.id.as_str()).copied().unwrap_or((0, Rank::Low));
        let waits_hours = observed.now_ms.saturating_sub(task.created_at_ms) / HOUR_MS;
        let mut to = task.rank.max(highest);
        if task.rank == Rank::Low && (count > 0 || waits_hours >= settings.wait_hours) {
            to = to.max(Rank::Medium);
        }
        if to > task.rank {
            let advice = Advice::Raise { task: task.id.clone(), from: task.rank, to, blocks: count, waits_hours };
            raised.push((to, count, waits_hours, advice));
        }
    }
    raised.sort_by_key(|one| std::cmp::Reverse((one.0, one.1, one.2)));
    raised.into_iter().map(|(.., advice)| advice).collect()
}

/// A task that is meant for a worker that is not there, where another one could take it.
fn unassign(task: &Seen, observed: &Observed) -> Option<Advice> {
    let worker = task.worker.as_ref()?;
    let there = observed.workers.iter().any(|(id, kind, _)| id == worker || kind == worker);
    let others = observed.workers.iter().any(|(_, _, types)| types.contains(&task.task_type));
    (!there && others).then(|| Advice::Unassign { task: task.id.clone(), worker: worker.clone() })
}

/// A type of tasks, and how many of those that wait are expected to fail.
#[derive(Clone, Debug, PartialEq)]
pub struct TypeRisk {
    pub task_type: String,
    pub waiting: f64,
    /// None where nothing of it ended within the window.
    pub failure_rate: Option<f64>,
    pub has_worker: bool,
}

impl TypeRisk {
    /// Expected failures; of what nobody has tried yet, half.
    pub fn exposure(&self) -> f64 {
        self.waiting * self.failure_rate.unwrap_or(0.5)
    }
}

/// The riskiest first.
pub fn risks(observed: &Observed) -> Vec<TypeRisk> {
    let mut waiting: BTreeMap<&str, f64> = BTreeMap::new();
    for queued in &observed.queued {
        *waiting.entry(&queued.task_type).or_default() += queued.count;
    }
    let rate = |task_type: &str| {
        let ended = observed.ended.iter().find(|ended| ended.task_type == task_type)?;
        let all = ended.completed + ended.failed;
        (all > 0.0).then(|| ended.failed / all)
    };
    let mut risks: Vec<TypeRisk> = waiting
        .into_iter()
        .map(|(task_type, waiting)| TypeRisk {
            task_type: task_type.to_owned(),
            waiting,
            failure_rate: rate(task_type),
            has_worker: observed.workers.iter().any(|(.., types)| types.iter().any(|takes| takes == task_type)),
        })
        .collect();
    risks.sort_by(|left, right| right.exposure().total_cmp(&left.exposure()));
    risks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(id: &str, rank: Rank, hours: u64) -> Seen {
        Seen {
            id: id.to_owned(),
            task_type: "code".to_owned(),
            rank,
            worker: None,
            depends_on: Vec::new(),
            created_at_ms: (100 - hours) * HOUR_MS,
        }
    }

    fn observed(pending: Vec<Seen>, blocked: Vec<Seen>) -> Observed {
        Observed { now_ms: 100 * HOUR_MS, pending, blocked, ..Observed::default() }
    }

    fn ranks(advice: &[Advice]) -> Vec<(&str, Rank)> {
        let of = |advice| match advice {
            &Advice::Raise { ref task, to, .. } => Some((task.as_str(), to)),
            Advice::Unassign { .. } => None,
        };
        advice.iter().filter_map(of).collect()
    }

    #[test]
    fn what_others_wait_for_and_what_is_old_is_raised() {
        let waits = |rank, on: &str| Seen { depends_on: vec![on.to_owned()], ..task("w", rank, 1) };
        let pending = vec![
            task("young", Rank::Low, 1),
            task("old", Rank::Low, 30),
            task("old-medium", Rank::Medium, 90),
            task("blocks", Rank::Low, 1),
            task("blocks-critical", Rank::Medium, 1),
        ];
        let blocked = vec![waits(Rank::Low, "blocks"), waits(Rank::Critical, "blocks-critical")];
        let advice = advise(&Settings::default(), &observed(pending, blocked));
        let wanted = [("blocks-critical", Rank::Critical), ("blocks", Rank::Medium), ("old", Rank::Medium)];
        assert_eq!(ranks(&advice), wanted);
    }

    #[test]
    fn a_task_for_a_worker_that_is_gone_is_for_any() {
        let meant = |id: &str, worker: &str| Seen { worker: Some(worker.to_owned()), ..task(id, Rank::High, 1) };
        let mut seen = observed(vec![meant("a", "gone"), meant("b", "executor"), meant("c", "EXECUTOR_1")], vec![]);
        assert_eq!(advise(&Settings::default(), &seen), [], "nobody else could take it");
        seen.workers = vec![("EXECUTOR_1".to_owned(), "executor".to_owned(), vec!["code".to_owned()])];
        let advice = advise(&Settings::default(), &seen);
        assert_eq!(advice, [Advice::Unassign { task: "a".to_owned(), worker: "gone".to_owned() }]);
    }

    #[test]
    fn no_more_is_recommended_than_was_asked_for() {
        let pending = (0..9).map(|number| task(&number.to_string(), Rank::Low, 50)).collect();
        let settings = Settings { changes_max: 4, ..Settings::default() };
        assert_eq!(advise(&settings, &observed(pending, vec![])).len(), 4);
    }

    #[test]
    fn risk_is_what_waits_times_what_fails() {
        let mut seen = observed(vec![], vec![]);
        let queued = |name: &str, count| Queued { task_type: name.to_owned(), count };
        seen.queued = vec![queued("code", 10.0), queued("test", 4.0), queued("code", 10.0), queued("new", 2.0)];
        let ended = |name: &str, completed, failed| Ended { task_type: name.to_owned(), completed, failed };
        seen.ended = vec![ended("code", 9.0, 1.0), ended("test", 0.0, 5.0), ended("new", 0.0, 0.0)];
        let risks = risks(&seen);
        let shown: Vec<_> = risks.iter().map(|risk| (risk.task_type.as_str(), risk.exposure())).collect();
        assert_eq!(shown, [("test", 4.0), ("code", 2.0), ("new", 1.0)]);
    }
}
