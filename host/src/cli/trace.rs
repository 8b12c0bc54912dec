//! `juggernaut task trace`: an attempt's calls with their times, from the journal.

use std::process::ExitCode;

use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;

use super::client::Client;
use super::output::{Output, cell, time, visible};
use super::task::all_pages;
use crate::db::steps::{StepOutcome, StepView};
use crate::db::task_views::TaskDetail;
use crate::task::TaskId;

/// Characters of a component's digest that people see.
const DIGEST_CHARS: usize = 12;

/// One call, in milliseconds.
#[derive(Debug, Serialize)]
struct Traced<'a> {
    position: i32,
    call: String,
    effect: &'a str,
    #[serde(with = "time::serde::rfc3339")]
    began_at: OffsetDateTime,
    /// Since the call before ended, or since the attempt began: what the role computed, or how long the task waited.
    gap_ms: Option<f64>,
    /// None: it has no result yet.
    took_ms: Option<f64>,
    outcome: Option<StepOutcome>,
    arguments: &'a Value,
}

pub(super) async fn trace(
    client: &Client,
    id: TaskId,
    attempt: Option<u32>,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let query: Vec<_> = attempt.map(|attempt| ("attempt", attempt.to_string())).into_iter().collect();
    let steps: Vec<StepView> = all_pages(client, id, "steps", &query).await?;
    let detail: TaskDetail = client.get(&["tasks", &id.to_string()], &[]).await?.parse()?;
    let number = attempt.map_or(detail.summary.attempt, |attempt| i32::try_from(attempt).unwrap_or(i32::MAX));
    let run = detail.run.as_ref().filter(|run| run.attempt == number);
    let traced = traced(&steps, run.map(|run| run.started_at));
    if output.json {
        output.line(&serde_json::to_string(&traced)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    output.line(&match run {
        Some(run) => format!(
            "attempt {number} by {} as {}, component {}, since {}",
            visible(&run.worker_id),
            visible(&run.role),
            run.component_sha256.chars().take(DIGEST_CHARS).collect::<String>(),
            time(run.started_at)
        ),
        None => format!("attempt {number}"),
    })?;
    let shown = |ms: Option<f64>| ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1}"));
    let row = |it: &Traced<'_>| {
        vec![
            it.position.to_string(),
            time(it.began_at),
            shown(it.gap_ms),
            shown(it.took_ms),
            it.effect.to_owned(),
            it.outcome.map_or("no result yet", StepOutcome::name).to_owned(),
            cell(&format!("{} {}", it.call, it.arguments)),
        ]
    };
    let rows = traced.iter().map(row).collect();
    output.table(&["STEP", "BEGAN", "GAP MS", "TOOK MS", "EFFECT", "OUTCOME", "CALL"], rows)?;
    Ok(ExitCode::SUCCESS)
}

fn traced(steps: &[StepView], started_at: Option<OffsetDateTime>) -> Vec<Traced<'_>> {
    let mut ended = started_at;
    let traced = steps.iter().map(|step| {
        let gap_ms = ended.map(|ended| milliseconds(step.intended_at - ended).max(0.0));
        ended = step.done_at;
        Traced {
            position: step.position,
            call: format!("{}.{}", step.interface, step.function),
            effect: step.effect.name(),
            began_at: step.intended_at,
            gap_ms,
            took_ms: step.done_at.map(|done_at| milliseconds(done_at - step.intended_at)),
            outcome: step.outcome,
            arguments: &step.arguments,
        }
    });
    traced.collect()
}

fn milliseconds(duration: time::Duration) -> f64 {
    duration.as_seconds_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use time::macros::datetime;

    use super::*;

    #[test]
    fn gaps_and_times_add_up() {
        let step = |position: i32, began: i64, done: Option<i64>| {
            let at = |ms: i64| datetime!(2026-11-23 0:00 UTC) + time::Duration::milliseconds(ms);
            let text = json!({
                "attempt": 1, "position": position, "interface": "timer", "function": "sleep", "effect": "wait",
                "state": if done.is_some() { "done" } else { "intended" }, "outcome": done.map(|_| "ok"), "arguments": {},
                "intended_at": at(began).format(&time::format_description::well_known::Rfc3339).unwrap(),
                "done_at": done.map(|done| at(done).format(&time::format_description::well_known::Rfc3339).unwrap()),
            });
            serde_json::from_value::<StepView>(text).unwrap()
        };
        let steps = [step(0, 5, Some(15)), step(1, 40, None), step(2, 50, Some(51))];
        let traced = traced(&steps, Some(datetime!(2026-11-23 0:00 UTC)));
        let times: Vec<_> = traced.iter().map(|it| (it.gap_ms, it.took_ms)).collect();
        assert_eq!(times, [(Some(5.0), Some(10.0)), (Some(25.0), None), (None, Some(1.0))]);
    }
}
