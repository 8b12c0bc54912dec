//! `juggernaut replay`, on the database itself: nothing is done and nothing is written.

use std::process::ExitCode;

use super::args::ReplayArguments;
use super::database::connect;
use super::output::{Output, visible, visible_lines};
use crate::app::{self, Replay, Verdict};
use crate::config::{self, Env, WorkerConfig};
use crate::task::Attempt;

/// Of a replay that took another path.
const EXIT_DIVERGED: u8 = 3;

pub(super) async fn replay(arguments: ReplayArguments, output: Output) -> anyhow::Result<ExitCode> {
    let ReplayArguments { id, attempt, component, manifest, roles, log } = arguments;
    let worker = WorkerConfig::from_env(Env(&config::process))?;
    let wanted = Replay {
        task: id,
        attempt: attempt.map(|attempt| Attempt(i32::try_from(attempt).unwrap_or(i32::MAX))),
        roles_dir: roles.as_deref().unwrap_or(&worker.roles_dir),
        component,
        manifest,
        policies_dir: worker.policies_dir.as_deref(),
    };
    let replayed = app::replay(&connect().await?, &wanted).await?;
    if output.json {
        output.line(&serde_json::to_string(&replayed)?)?;
    } else {
        let component = if replayed.same_component { "the component that it began with" } else { "another component" };
        output.line(&format!(
            "task {}, attempt {}: {} recorded calls, {} ({} {})",
            replayed.task,
            replayed.attempt.number(),
            replayed.recorded_calls,
            component,
            visible(&replayed.role),
            replayed.component_sha256,
        ))?;
        if log {
            for line in &replayed.log {
                output.line(&format!("    | {}", visible_lines(line)))?;
            }
        }
        let verdict = match replayed.verdict {
            Verdict::SamePath => "same path",
            Verdict::WouldGoOn => "same path so far",
            Verdict::Diverged => "DIVERGED",
        };
        output.line(&format!("{verdict}: {}", visible(&replayed.what)))?;
    }
    Ok(match replayed.verdict {
        Verdict::SamePath | Verdict::WouldGoOn => ExitCode::SUCCESS,
        Verdict::Diverged => ExitCode::from(EXIT_DIVERGED),
    })
}
