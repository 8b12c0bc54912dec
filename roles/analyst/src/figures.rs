//! Figures, and what is calculated from them.
//!
//! Invariant: pure.

/// What was measured over a window.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    pub window_hours: u64,
    pub types: Vec<TypeFigures>,
    pub durations: Vec<Durations>,
    pub queue: Vec<Queued>,
    pub hours: Vec<Hour>,
    pub errors: Vec<ErrorGroup>,
    /// None where no model is configured.
    pub cost: Option<Vec<Cost>>,
}

#[derive(Clone, Debug)]
pub struct TypeFigures {
    pub task_type: String,
    pub created: u64,
    pub completed: u64,
    /// Dead letters, too.
    pub failed: u64,
}

#[derive(Clone, Debug)]
pub struct Durations {
    pub task_type: String,
    pub count: u64,
    pub p50: f64,
    pub p95: f64,
    pub max: f64,
}

#[derive(Clone, Debug)]
pub struct Queued {
    pub task_type: String,
    pub status: String,
    pub count: u64,
    pub oldest_seconds: f64,
}

#[derive(Clone, Debug)]
pub struct Hour {
    pub at_ms: u64,
    pub completed: u64,
    pub failed: u64,
}

#[derive(Clone, Debug)]
pub struct ErrorGroup {
    pub fingerprint: String,
    pub task_type: String,
    pub count: u64,
    /// A stranger's words.
    pub sample: String,
}

#[derive(Clone, Debug)]
pub struct Cost {
    pub model: String,
    pub calls: u64,
    pub tokens: u64,
    pub microdollars: u64,
}

/// Something that stands out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// A type of which most fail.
    Failing { task_type: String, failed: u64, all: u64 },
    /// One error makes up most of the failures.
    Dominating { fingerprint: String, task_type: String, count: u64, all: u64 },
    /// A type whose slowest take far longer than half of it.
    Uneven { task_type: String, times: u64 },
    /// More is created than ends.
    Growing { created: u64, ended: u64 },
    /// The share of failures in the newer half of the window is far above the older half's.
    Worsening { before_percent: u64, after_percent: u64 },
}

/// Less is no pattern.
const TASKS_MIN: u64 = 5;
const UNEVEN_TIMES: f64 = 5.0;

#[expect(clippy::cast_precision_loss, reason = "counts of tasks")]
pub fn percent(part: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { part as f64 / all as f64 * 100.0 }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rounded, and far within")]
fn whole(value: f64) -> u64 {
    value.round() as u64
}

/// The patterns of the figures, in a fixed order.
pub fn patterns(figures: &Figures) -> Vec<Pattern> {
    let mut found = Vec::new();
    for TypeFigures { task_type, completed, failed, .. } in &figures.types {
        let all = completed + failed;
        if all >= TASKS_MIN && percent(*failed, all) >= 50.0 {
            found.push(Pattern::Failing { task_type: task_type.clone(), failed: *failed, all });
        }
    }
    let all: u64 = figures.errors.iter().map(|group| group.count).sum();
    for ErrorGroup { fingerprint, task_type, count, .. } in &figures.errors {
        if *count >= TASKS_MIN && percent(*count, all) >= 50.0 {
            let (fingerprint, task_type) = (fingerprint.clone(), task_type.clone());
            found.push(Pattern::Dominating { fingerprint, task_type, count: *count, all });
        }
    }
    for Durations { task_type, count, p50, p95, .. } in &figures.durations {
        if *count >= TASKS_MIN && *p50 > 0.0 && p95 / p50 >= UNEVEN_TIMES {
            found.push(Pattern::Uneven { task_type: task_type.clone(), times: whole(p95 / p50) });
        }
    }
    let created: u64 = figures.types.iter().map(|it| it.created).sum();
    let ended: u64 = figures.types.iter().map(|it| it.completed + it.failed).sum();
    if created >= 2 * TASKS_MIN && created > ended + ended / 2 {
        found.push(Pattern::Growing { created, ended });
    }
    found.extend(worsening(&figures.hours));
    found
}

fn worsening(hours: &[Hour]) -> Option<Pattern> {
    let (first, last) = (hours.first()?, hours.last()?);
    let half = first.at_ms + last.at_ms.saturating_sub(first.at_ms) / 2;
    let sum = |newer: bool| {
        let part = hours.iter().filter(|hour| (hour.at_ms > half) == newer);
        part.fold((0, 0), |(failed, all), hour| (failed + hour.failed, all + hour.failed + hour.completed))
    };
    let ((was, was_of), (is, is_of)) = (sum(false), sum(true));
    let (before, after) = (percent(was, was_of), percent(is, is_of));
    (was_of >= TASKS_MIN && is_of >= TASKS_MIN && after >= before + 20.0)
        .then(|| Pattern::Worsening { before_percent: whole(before), after_percent: whole(after) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_type(created: u64, completed: u64, failed: u64) -> TypeFigures {
        TypeFigures { task_type: "code".into(), created, completed, failed }
    }

    fn hour(at: u64, completed: u64, failed: u64) -> Hour {
        Hour { at_ms: at * 3_600_000, completed, failed }
    }

    #[test]
    fn a_share_of_nothing_is_none() {
        assert!(percent(0, 0).abs() < f64::EPSILON && (percent(1, 4) - 25.0).abs() < f64::EPSILON);
    }

    #[test]
    fn half_of_enough_tasks_is_a_pattern() {
        let of = |completed, failed| Figures { types: vec![of_type(0, completed, failed)], ..Figures::default() };
        assert!(patterns(&of(2, 2)).is_empty());
        assert!(patterns(&of(6, 5)).is_empty());
        assert_eq!(patterns(&of(5, 5)), [Pattern::Failing { task_type: "code".into(), failed: 5, all: 10 }]);
    }

    #[test]
    fn one_error_may_be_most_of_them() {
        let group = |name: &str, count| ErrorGroup {
            fingerprint: name.into(),
            task_type: "code".into(),
            count,
            sample: String::new(),
        };
        let figures = Figures { errors: vec![group("a", 6), group("b", 4)], ..Figures::default() };
        let found = patterns(&figures);
        assert_eq!(found.len(), 1);
        assert!(matches!(&found[0], Pattern::Dominating { fingerprint, count: 6, all: 10, .. } if fingerprint == "a"));
    }

    #[test]
    fn durations_are_uneven_far_above_the_median() {
        let of = |p50, p95| Figures {
            durations: vec![Durations { task_type: "code".into(), count: 9, p50, p95, max: p95 }],
            ..Figures::default()
        };
        assert!(patterns(&of(10.0, 49.0)).is_empty() && patterns(&of(0.0, 49.0)).is_empty());
        assert_eq!(patterns(&of(10.0, 61.0)), [Pattern::Uneven { task_type: "code".into(), times: 6 }]);
    }

    #[test]
    fn a_queue_grows_where_more_comes_than_ends() {
        let of = |created, completed| Figures { types: vec![of_type(created, completed, 0)], ..Figures::default() };
        assert!(patterns(&of(15, 10)).is_empty());
        assert_eq!(patterns(&of(16, 10)), [Pattern::Growing { created: 16, ended: 10 }]);
    }

    #[test]
    fn failures_that_become_more_are_a_trend() {
        let figures = Figures { hours: vec![hour(0, 10, 0), hour(1, 10, 0), hour(3, 5, 5)], ..Figures::default() };
        assert_eq!(patterns(&figures), [Pattern::Worsening { before_percent: 0, after_percent: 50 }]);
        let even = Figures { hours: vec![hour(0, 5, 5), hour(3, 5, 5)], ..Figures::default() };
        assert!(patterns(&even).is_empty() && patterns(&Figures::default()).is_empty());
    }
}
