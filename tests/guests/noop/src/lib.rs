//! As little work as a task can be that completes with evidence: one read, and a check of what it showed. Its payload
//! asks for more or less: so many `reads` in the journal (0: and so no evidence), a first line in the log (`log`), host `calls` that are not journalled, an endless
//! `loop`, or to `park` in a host call until the host answers.

use juggernaut_guest::{Assignment, Check, Error, Evidence, Failure, Risk, github_read, info, task};
use serde_json::Value;

juggernaut_guest::role!(run);

fn run(task: Assignment) -> Result<Evidence, Failure> {
    let payload: Value = serde_json::from_str(&task.payload).unwrap_or_default();
    let asked_for = |key: &str| payload[key].as_bool() == Some(true);
    if asked_for("log") {
        info!("running");
    }
    if asked_for("loop") {
        loop {
            std::hint::black_box(0);
        }
    }
    if asked_for("park") {
        task::raise_risk(Risk::Low, "parked for a bench");
    }
    for _ in 0..payload["calls"].as_u64().unwrap_or_default() {
        std::hint::black_box(task::last_step());
    }
    let reads = payload["reads"].as_u64().unwrap_or(1);
    if reads == 0 {
        return Ok(Evidence::statement("nothing was looked at"));
    }
    let checks = (0..reads).map(read).collect::<Result<Vec<_>, _>>()?;
    Ok(Evidence::verification_report(checks))
}

/// The answer that it expects is that of a host without a token for GitHub: no bench asks the real one.
fn read(number: u64) -> Result<Check, Failure> {
    let unavailable = match github_read::get_branch("demo/sample", "main") {
        Err(Error::Unavailable(message)) => message,
        Err(error) => return Err(error.into()),
        Ok(_) => return Err(Failure::final_("the bench's host has a token for GitHub; start it without GITHUB_TOKEN")),
    };
    let step = task::last_step().unwrap_or_default();
    Ok(Check::value(format!("read {number}"), step, "/err/unavailable", unavailable.clone(), unavailable))
}
