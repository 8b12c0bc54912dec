//! Dispatches the workflows that its payload names, follows them, and says what came of each:
//! `{"dispatches": [{"repository": …, "workflow": …, "branch": …, "inputs": [[name, value]], "follow": true}],
//!   "looks": [{"repository": …, "id": 1}]}`.
//!
//! Completes with the conclusion of the last run that it followed as its evidence.

use std::time::Duration;

use juggernaut_guest::deploy::{self, WorkflowRun};
use juggernaut_guest::{Assignment, Check, Error, Evidence, Failure, info, task};
use serde_json::Value;

juggernaut_guest::role!(run);

const PAUSE: Duration = Duration::from_millis(200);
const LOOKS_MAX: u32 = 100;

fn run(given: Assignment) -> Result<Evidence, Failure> {
    let payload: Value = serde_json::from_str(&given.payload).unwrap_or_default();
    let none = Vec::new();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for look in payload["looks"].as_array().unwrap_or(&none) {
        info!("look: {}", said(deploy::get_run(&text(&look["repository"]), look["id"].as_u64().unwrap_or(0))));
    }
    let mut checks = Vec::new();
    for dispatch in payload["dispatches"].as_array().unwrap_or(&none) {
        let inputs = dispatch["inputs"].as_array().unwrap_or(&none);
        let inputs: Vec<_> = inputs.iter().map(|input| (text(&input[0]), text(&input[1]))).collect();
        let repository = text(&dispatch["repository"]);
        let began = deploy::dispatch(&repository, &text(&dispatch["workflow"]), &text(&dispatch["branch"]), &inputs);
        info!("dispatch: {}", said(began.clone()));
        let Ok(began) = began else { continue };
        if dispatch["follow"] == true {
            let ended = deploy::follow(&repository, began.id, PAUSE, LOOKS_MAX);
            let step = task::last_step().unwrap_or_default();
            info!("followed: {}", said(ended.clone()));
            let ended = ended?.conclusion.unwrap_or_default();
            checks.push(Check::value(format!("run {}", began.id), step, "/ok/conclusion", "success", ended));
        }
    }
    if checks.is_empty() {
        return Err(Failure::final_("followed nothing"));
    }
    Ok(Evidence::verification_report(checks))
}

fn said(run: Result<WorkflowRun, Error>) -> String {
    match run {
        Ok(run) => format!("{} {} {:?} {}", run.id, run.status, run.conclusion, run.head_sha),
        Err(Error::Denied(message)) => format!("denied {message}"),
        Err(Error::NotFound(message)) => format!("not found {message}"),
        Err(Error::Conflict(message)) => format!("conflict {message}"),
        Err(Error::Invalid(message)) => format!("invalid {message}"),
        Err(Error::Unavailable(message)) => format!("unavailable {message}"),
        Err(error) => format!("{error:?}"),
    }
}
