//! What an approver reads of why: figures and ids, and no word of a task's own.

use std::fmt::Write as _;

use crate::backlog::{Advice, Observed, Rank, TypeRisk, risks};
use crate::payload::Settings;

/// Types of tasks that are told.
const TYPES: usize = 20;
/// Of the host, in bytes.
const TEXT_MAX: usize = 16 * 1024;

pub fn title(advice: &[Advice]) -> String {
    let raised = advice.iter().filter(|advice| matches!(advice, Advice::Raise { .. })).count();
    format!("Raise {raised} tasks, and free {} of a worker that is gone", advice.len() - raised)
}

/// Why there is nothing to do.
pub fn calm(observed: &Observed, settings: &Settings) -> String {
    format!(
        "of {} pending tasks none is of low priority and older than {} hours or waited for, none is less urgent than what \
         waits for it, and none is meant for a worker that is gone while another could take it",
        observed.pending.len(),
        settings.wait_hours
    )
}

// Writing to a String can not fail.
pub fn text(advice: &[Advice], observed: &Observed, settings: &Settings) -> String {
    let risks = risks(observed);
    let mut text = String::from("Why\n");
    for advice in advice {
        let _ = match advice {
            Advice::Raise { task, from, to, blocks, waits_hours } => writeln!(
                text,
                "- {task}: {} to {}; {blocks} tasks wait for it, and it has waited for {waits_hours} hours",
                from.name(),
                to.name()
            ),
            Advice::Unassign { task, worker } => {
                writeln!(text, "- {task}: no live worker is {worker:?}, and others take its type")
            }
        };
    }
    let _ = writeln!(text, "\nRisk of the backlog (what waits x what failed in {} hours)", settings.window_hours);
    for risk in risks.iter().take(TYPES) {
        let rate =
            risk.failure_rate.map_or("unknown, taken as 50 %".to_owned(), |rate| format!("{:.0} %", rate * 100.0));
        let name = &risk.task_type;
        let _ = writeln!(text, "- {name}: {} wait, failure rate {rate}: {:.1}", risk.waiting, risk.exposure());
    }
    text.push_str("\nPlan\n");
    for (number, line) in (1..).zip(plan(advice, &risks)) {
        let _ = writeln!(text, "{number}. {line}");
    }
    text.truncate(text.floor_char_boundary(TEXT_MAX));
    text
}

/// What follows, in its order.
fn plan(advice: &[Advice], risks: &[TypeRisk]) -> Vec<String> {
    let mut plan = Vec::new();
    let urgent = advice.iter().any(|it| matches!(it, Advice::Raise { to: Rank::High | Rank::Critical, .. }));
    if urgent {
        plan.push("Now: what more urgent tasks wait for; until it ends their priority has no effect.".to_owned());
    }
    if advice.iter().any(|it| matches!(it, Advice::Raise { to: Rank::Low | Rank::Medium, .. })) {
        plan.push("Next: what has waited too long, or keeps others waiting.".to_owned());
    }
    for risk in risks.iter().filter(|risk| !risk.has_worker).take(TYPES) {
        plan.push(format!("Resources: no live worker takes {} tasks; start one, or cancel them.", risk.task_type));
    }
    let failing = risks.iter().find(|risk| risk.failure_rate.is_some_and(|rate| rate >= 0.5) && risk.waiting > 0.0);
    if let Some(risk) = failing {
        plan.push(format!(
            "Before more of it is tried: find out why most {} tasks fail; {} more wait.",
            risk.task_type, risk.waiting
        ));
    }
    plan.push("Later: plan anew once these have ended; the figures above are of now.".to_owned());
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backlog::{Ended, Queued};

    #[test]
    fn the_text_names_risks_and_what_follows_and_keeps_within_its_limit() {
        let advice: Vec<Advice> = (0..400)
            .map(|number| Advice::Raise {
                task: format!("task-{number}"),
                from: Rank::Low,
                to: Rank::High,
                blocks: 2,
                waits_hours: 3,
            })
            .collect();
        let observed = Observed {
            queued: vec![Queued { task_type: "test".to_owned(), count: 4.0 }],
            ended: vec![Ended { task_type: "test".to_owned(), completed: 1.0, failed: 3.0 }],
            ..Observed::default()
        };
        let short = text(&advice[..1], &observed, &Settings::default());
        for wanted in [
            "- task-0: low to high; 2 tasks wait for it",
            "- test: 4 wait, failure rate 75 %: 3.0",
            "no live worker takes test tasks",
            "why most test tasks fail",
        ] {
            assert!(short.contains(wanted), "{wanted}: {short}");
        }
        assert!(text(&advice, &observed, &Settings::default()).len() <= TEXT_MAX);
    }
}
