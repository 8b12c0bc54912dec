//! What is wrong, judged from what was measured.
//!
//! Invariant: pure. The same thing that is wrong has the same kind and fingerprint in each run; nothing that changes from run
//! to run is in them.

use serde_json::{Value, json};

use crate::thresholds::Thresholds;

/// From here on nearly everything fails.
const FAILURE_RATE_CRITICAL: f64 = 0.9;
const RUNNING_CRITICAL: u64 = 3;
const ERRORS_CRITICAL: u64 = 5;

/// What was measured. None: it can not be, and nothing is said of it.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    pub workers: Vec<Worker>,
    pub running: Vec<Running>,
    pub ended: Vec<Ended>,
    pub errors: Vec<ErrorGroup>,
    pub pending: Vec<Pending>,
    pub budget: Option<Vec<Budget>>,
}

#[derive(Clone, Debug)]
pub struct Worker {
    pub id: String,
    pub offline: bool,
    pub silent_seconds: u64,
    pub current_task: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Running {
    pub task: String,
    pub task_type: String,
    pub worker: String,
    pub seconds: u64,
}

#[derive(Clone, Debug)]
pub struct Ended {
    pub task_type: String,
    pub completed: u64,
    pub failed: u64,
}

#[derive(Clone, Debug)]
pub struct ErrorGroup {
    pub fingerprint: String,
    pub task_type: String,
    pub count: u64,
    /// Of a stranger.
    pub sample: String,
}

#[derive(Clone, Debug)]
pub struct Pending {
    pub task_type: String,
    pub count: u64,
    pub oldest_seconds: u64,
}

#[derive(Clone, Debug)]
pub struct Budget {
    /// `tokens` or `cost`.
    pub name: String,
    pub spent: f64,
    pub limit: f64,
}

/// How soon somebody has to look; the gravest last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gravity {
    Warning,
    Critical,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    pub gravity: Gravity,
    pub kind: &'static str,
    pub fingerprint: String,
    pub title: String,
    pub details: Value,
}

/// The kinds that this judged, and all that is wrong: the gravest first.
#[derive(Clone, Debug)]
pub struct Verdict {
    pub kinds: Vec<&'static str>,
    pub conditions: Vec<Condition>,
}

impl Verdict {
    /// Whether an open alert is over: its kind was judged, and nothing is wrong under its fingerprint.
    pub fn is_over(&self, kind: &str, fingerprint: &str) -> bool {
        self.kinds.contains(&kind) && !self.conditions.iter().any(|it| it.kind == kind && it.fingerprint == fingerprint)
    }
}

pub fn evaluate(limits: &Thresholds, observed: &Observed) -> Verdict {
    let mut kinds = vec!["stale-worker", "long-running-task", "failure-rate", "repeated-error", "queue-growth"];
    let mut conditions = Vec::new();
    conditions.extend(observed.workers.iter().filter_map(|worker| stale(limits, worker)));
    conditions.extend(observed.running.iter().filter_map(|running| long(limits, running)));
    conditions.extend(observed.ended.iter().filter_map(|ended| failing(limits, ended)));
    conditions.extend(observed.errors.iter().filter_map(|group| repeated(limits, group)));
    conditions.extend(observed.pending.iter().filter_map(|pending| growing(limits, pending)));
    if let Some(budgets) = &observed.budget {
        kinds.push("budget-burn");
        conditions.extend(budgets.iter().filter_map(|budget| burning(limits, budget)));
    }
    // Stable, so that within a gravity the order of the measurements stays.
    conditions.sort_by_key(|condition| std::cmp::Reverse(condition.gravity));
    Verdict { kinds, conditions }
}

fn gravity(critical: bool) -> Gravity {
    if critical { Gravity::Critical } else { Gravity::Warning }
}

fn stale(limits: &Thresholds, worker: &Worker) -> Option<Condition> {
    let Worker { id, offline, silent_seconds, current_task } = worker;
    let silent = (limits.heartbeat_seconds..limits.forgotten_seconds).contains(silent_seconds);
    (silent && !offline).then(|| Condition {
        gravity: gravity(current_task.is_some()),
        kind: "stale-worker",
        fingerprint: named(id),
        title: short(&format!("Worker {id} gave no sign of life for {} minutes", silent_seconds / 60)),
        details: json!({ "worker": id, "silent_seconds": silent_seconds, "current_task": current_task }),
    })
}

fn long(limits: &Thresholds, running: &Running) -> Option<Condition> {
    let Running { task, task_type, worker, seconds } = running;
    (*seconds >= limits.running_seconds).then(|| Condition {
        gravity: gravity(*seconds >= limits.running_seconds.saturating_mul(RUNNING_CRITICAL)),
        kind: "long-running-task",
        fingerprint: task.clone(),
        title: short(&format!("Task {task} ({task_type}) is in progress for {} minutes", seconds / 60)),
        details: json!({ "task": task, "task_type": task_type, "worker": worker, "running_seconds": seconds }),
    })
}

fn failing(limits: &Thresholds, ended: &Ended) -> Option<Condition> {
    let Ended { task_type, completed, failed } = ended;
    let all = completed + failed;
    let rate = share(*failed, all);
    (all > 0 && all >= limits.failure_tasks && rate >= limits.failure_rate).then(|| Condition {
        gravity: gravity(rate >= FAILURE_RATE_CRITICAL),
        kind: "failure-rate",
        fingerprint: task_type.clone(),
        title: short(&format!("{failed} of {all} tasks of type {task_type} failed")),
        details: json!({
            "task_type": task_type, "completed": completed, "failed": failed, "rate": rate,
            "window_seconds": limits.failure_window_seconds,
        }),
    })
}

fn repeated(limits: &Thresholds, group: &ErrorGroup) -> Option<Condition> {
    let ErrorGroup { fingerprint, task_type, count, sample } = group;
    (*count > 0 && *count >= limits.error_count).then(|| Condition {
        gravity: gravity(*count >= limits.error_count.saturating_mul(ERRORS_CRITICAL)),
        kind: "repeated-error",
        fingerprint: format!("{task_type}/{fingerprint}"),
        title: short(&format!("Error {fingerprint} came {count} times in tasks of type {task_type}")),
        details: json!({
            "task_type": task_type, "error": fingerprint, "count": count, "sample": sample,
            "window_seconds": limits.error_window_seconds,
        }),
    })
}

fn growing(limits: &Thresholds, pending: &Pending) -> Option<Condition> {
    let Pending { task_type, count, oldest_seconds } = pending;
    let grown = *count >= limits.queue_count || *oldest_seconds >= limits.queue_seconds;
    (*count > 0 && grown).then(|| Condition {
        gravity: Gravity::Warning,
        kind: "queue-growth",
        fingerprint: task_type.clone(),
        title: short(&format!(
            "{count} tasks of type {task_type} are pending, the oldest for {} minutes",
            oldest_seconds / 60
        )),
        details: json!({ "task_type": task_type, "pending": count, "oldest_seconds": oldest_seconds }),
    })
}

fn burning(limits: &Thresholds, budget: &Budget) -> Option<Condition> {
    let Budget { name, spent, limit } = budget;
    let used = if *limit > 0.0 { spent / limit } else { 0.0 };
    (used >= limits.budget_share).then(|| Condition {
        gravity: gravity(used >= 1.0),
        kind: "budget-burn",
        fingerprint: name.clone(),
        title: short(&format!("{:.0} % of today's budget for models is spent ({name})", used * 100.0)),
        details: json!({ "budget": name, "spent": spent, "limit": limit }),
    })
}

#[expect(clippy::cast_precision_loss, reason = "counts of tasks")]
fn share(part: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { part as f64 / all as f64 }
}

/// A fingerprint has 200 bytes at most.
fn named(id: &str) -> String {
    let mut end = id.len().min(200);
    while !id.is_char_boundary(end) {
        end -= 1;
    }
    id[..end].to_owned()
}

/// A title has 200 characters at most.
fn short(title: &str) -> String {
    title.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Thresholds {
        Thresholds::default()
    }

    fn worker(silent_seconds: u64) -> Worker {
        Worker { id: "w".to_owned(), offline: false, silent_seconds, current_task: None }
    }

    #[test]
    fn a_worker_is_stale_from_five_minutes_on_until_it_is_forgotten() {
        assert_eq!(stale(&limits(), &worker(299)), None);
        let found = stale(&limits(), &worker(300)).unwrap();
        assert_eq!((found.kind, found.fingerprint.as_str(), found.gravity), ("stale-worker", "w", Gravity::Warning));
        assert_eq!(stale(&limits(), &Worker { offline: true, ..worker(300) }), None);
        assert_eq!(stale(&limits(), &worker(7 * 24 * 3600)), None);
        let holding = Worker { current_task: Some("t".to_owned()), ..worker(300) };
        assert_eq!(stale(&limits(), &holding).unwrap().gravity, Gravity::Critical);
    }

    #[test]
    fn a_task_is_long_from_two_hours_on() {
        let running = |seconds| Running { task: "t".into(), task_type: "code".into(), worker: "w".into(), seconds };
        assert_eq!(long(&limits(), &running(7199)), None);
        assert_eq!(long(&limits(), &running(7200)).unwrap().gravity, Gravity::Warning);
        assert_eq!(long(&limits(), &running(21600)).unwrap().gravity, Gravity::Critical);
        // The same alert, however long it runs.
        let fingerprint = |seconds| long(&limits(), &running(seconds)).unwrap().fingerprint;
        assert_eq!(fingerprint(7200), fingerprint(99999));
    }

    #[test]
    fn few_failures_are_no_rate() {
        let ended = |completed, failed| Ended { task_type: "code".into(), completed, failed };
        assert_eq!(failing(&limits(), &ended(0, 9)), None);
        assert_eq!(failing(&limits(), &ended(6, 4)), None);
        assert_eq!(failing(&limits(), &ended(5, 5)).unwrap().gravity, Gravity::Warning);
        assert_eq!(failing(&limits(), &ended(1, 9)).unwrap().gravity, Gravity::Critical);
        let eager = Thresholds { failure_tasks: 0, ..limits() };
        assert_eq!(failing(&eager, &ended(0, 0)), None);
    }

    #[test]
    fn an_error_repeats_from_its_count_on() {
        let group = |count| ErrorGroup { fingerprint: "f".into(), task_type: "code".into(), count, sample: "s".into() };
        assert_eq!(repeated(&limits(), &group(4)), None);
        let found = repeated(&limits(), &group(5)).unwrap();
        assert_eq!((found.fingerprint.as_str(), found.gravity), ("code/f", Gravity::Warning));
        assert_eq!(
            found.title, "Error f came 5 times in tasks of type code",
            "the stranger's words are in the details alone"
        );
        assert_eq!(repeated(&limits(), &group(25)).unwrap().gravity, Gravity::Critical);
    }

    #[test]
    fn a_queue_grows_in_number_or_in_age() {
        let pending = |count, oldest_seconds| Pending { task_type: "code".into(), count, oldest_seconds };
        assert_eq!(growing(&limits(), &pending(999, 3599)), None);
        assert!(growing(&limits(), &pending(1000, 0)).is_some());
        assert!(growing(&limits(), &pending(1, 3600)).is_some());
        assert_eq!(growing(&limits(), &pending(0, 3600)), None);
    }

    #[test]
    fn a_budget_without_a_limit_burns_never() {
        let budget = |spent, limit| Budget { name: "tokens".into(), spent, limit };
        assert_eq!(burning(&limits(), &budget(79.0, 100.0)), None);
        assert_eq!(burning(&limits(), &budget(80.0, 100.0)).unwrap().gravity, Gravity::Warning);
        assert_eq!(burning(&limits(), &budget(100.0, 100.0)).unwrap().gravity, Gravity::Critical);
        assert_eq!(burning(&limits(), &budget(80.0, 0.0)), None);
    }

    #[test]
    fn what_was_not_judged_is_not_over() {
        let mut observed = Observed { workers: vec![worker(400)], ..Observed::default() };
        let verdict = evaluate(&limits(), &observed);
        assert!(!verdict.is_over("stale-worker", "w") && verdict.is_over("stale-worker", "other"));
        assert!(!verdict.is_over("budget-burn", "tokens") && !verdict.is_over("somebody-elses", "x"));
        observed.budget = Some(Vec::new());
        assert!(evaluate(&limits(), &observed).is_over("budget-burn", "tokens"));
    }

    #[test]
    fn the_longest_name_of_a_worker_still_names_its_alert() {
        let worker = Worker { id: "ö".repeat(128), ..worker(400) };
        let observed = Observed { workers: vec![worker], ..Observed::default() };
        let verdict = evaluate(&limits(), &observed);
        let found = &verdict.conditions[0];
        assert!(found.fingerprint.len() == 200 && found.title.chars().count() <= 200);
        assert!(!verdict.is_over("stale-worker", &found.fingerprint));
    }

    #[test]
    fn the_gravest_come_first() {
        let holding = Worker { id: "z".into(), current_task: Some("t".into()), ..worker(400) };
        let observed = Observed { workers: vec![worker(400), holding], ..Observed::default() };
        let found = evaluate(&limits(), &observed).conditions;
        assert_eq!(found.iter().map(|it| it.fingerprint.as_str()).collect::<Vec<_>>(), ["z", "w"]);
    }
}
