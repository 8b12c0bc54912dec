//! Verifies that a page of the web contains a text.

use juggernaut_guest::{Assignment, Check, Evidence, Failure, http_fetch, info, task};
use serde::Deserialize;

juggernaut_guest::role!(run);

/// What a task's payload says.
#[derive(Deserialize)]
struct Payload {
    url: String,
    contains: String,
}

fn run(task: Assignment) -> Result<Evidence, Failure> {
    let payload: Payload = serde_json::from_str(&task.payload)
        .map_err(|error| Failure::final_("the payload needs url and contains: ").because(error))?;
    let page = http_fetch::get(&payload.url)?;
    // Where that call stands in the journal. Evidence refers to it, and the host looks there itself.
    let step = task::last_step().unwrap_or_default();
    let found = String::from_utf8_lossy(&page.body).contains(&payload.contains);
    info!("{} answered {} and contains {:?}: {found}", page.url, page.status, payload.contains);
    let check = Check::body_contains(&payload.url, step, &payload.contains, true, found);
    let evidence = Evidence::verification_report([check]).summary(format!("looked at {}", payload.url));
    Ok(task.criteria.iter().fold(evidence, |evidence, criterion| evidence.answer(criterion.number, [step])))
}
