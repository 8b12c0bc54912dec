//! Claims to be done, in words alone. What it was told after the last refusal goes to its log.

use juggernaut_guest::{Assignment, Evidence, Failure, info};

juggernaut_guest::role!(run);

fn run(task: Assignment) -> Result<Evidence, Failure> {
    if let Some(refusal) = &task.last_error {
        info!("told: {refusal}");
    }
    Ok(Evidence::statement("Completed the task"))
}
