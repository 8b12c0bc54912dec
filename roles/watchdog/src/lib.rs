//! WATCHDOG: measures, raises an alert for each thing that is wrong, and resolves those that are over.

mod evaluate;
mod measure;
mod thresholds;

use juggernaut_guest::alerts::{self, Draft, Severity};
use juggernaut_guest::{Assignment, Error, Evidence, Failure, info, warn};

use evaluate::{Condition, Gravity, Verdict, evaluate};
use measure::Measured;
use thresholds::Thresholds;

/// What the manifest grants to one attempt.
const RAISED_MAX: usize = 100;
/// Of one run; the next one goes on.
const RESOLVED_MAX: usize = 200;

juggernaut_guest::role!(run);

fn run(task: Assignment) -> Result<Evidence, Failure> {
    let limits = Thresholds::parse(&task.payload).map_err(Failure::final_)?;
    let Measured { observed, steps } = measure::measure(&limits)?;
    let verdict = evaluate(&limits, &observed);
    let open = alerts::list_open()?;
    let mut raised = Vec::new();
    for condition in verdict.conditions.iter().take(RAISED_MAX) {
        let id = alerts::raise(&draft(condition))?;
        warn!("{}", condition.title);
        raised.push(id);
    }
    let resolved = resolve(&verdict, &open)?;
    let left_out = verdict.conditions.len() - raised.len();
    let summary = format!(
        "{} things are wrong ({} critical), {left_out} of them left out; {resolved} alerts are over",
        verdict.conditions.len(),
        verdict.conditions.iter().filter(|it| it.gravity == Gravity::Critical).count(),
    );
    info!("{summary}");
    let claim = Evidence::alerts_evaluated(steps.clone(), raised).summary(summary);
    Ok(task.criteria.iter().fold(claim, |claim, criterion| claim.answer(criterion.number, steps.clone())))
}

fn draft(condition: &Condition) -> Draft {
    let Condition { gravity, kind, fingerprint, title, details } = condition;
    Draft {
        severity: match gravity {
            Gravity::Warning => Severity::Warning,
            Gravity::Critical => Severity::Critical,
        },
        kind: (*kind).to_owned(),
        fingerprint: fingerprint.clone(),
        title: title.clone(),
        details: details.to_string(),
    }
}

/// How many alerts are over.
fn resolve(verdict: &Verdict, open: &[alerts::Alert]) -> Result<usize, Failure> {
    let over: Vec<_> = open.iter().filter(|alert| verdict.is_over(&alert.kind, &alert.fingerprint)).collect();
    for alert in over.iter().take(RESOLVED_MAX) {
        match alerts::resolve(&alert.kind, &alert.fingerprint) {
            // A person was quicker.
            Ok(()) | Err(Error::NotFound(_)) => info!("over: {} {}", alert.kind, alert.fingerprint),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(over.len().min(RESOLVED_MAX))
}
