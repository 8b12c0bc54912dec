//! Verifies that a file of a repository contains a text.

use juggernaut_guest::{Assignment, Check, Evidence, Failure, github_read, info, task};
use serde::Deserialize;

juggernaut_guest::role!(run);

/// What a task's payload says.
#[derive(Deserialize)]
struct Payload {
    repository: String,
    path: String,
    contains: String,
}

fn run(task: Assignment) -> Result<Evidence, Failure> {
    let payload: Payload = serde_json::from_str(&task.payload)
        .map_err(|error| Failure::final_("the payload needs repository, path and contains: ").because(error))?;
    let file = github_read::get_file(&payload.repository, &payload.path, "main")?;
    // Where that call stands in the journal. Evidence refers to it, and the host looks there itself.
    let step = task::last_step().unwrap_or_default();
    let found = String::from_utf8_lossy(&file.content).contains(&payload.contains);
    info!("{} contains {:?}: {found}", payload.path, payload.contains);
    let check = Check::body_contains(&payload.path, step, &payload.contains, true, found);
    let evidence = Evidence::verification_report([check]).summary(format!("looked at {}", payload.path));
    Ok(task.criteria.iter().fold(evidence, |evidence, criterion| evidence.answer(criterion.number, [step])))
}
