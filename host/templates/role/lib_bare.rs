//! A role that is still to be written.

use juggernaut_guest::{Assignment, Evidence, Failure, info};

juggernaut_guest::role!(run);

fn run(task: Assignment) -> Result<Evidence, Failure> {
    info!("attempt {} at {}", task.attempt, task.title);
    Err(Failure::final_("this role does nothing yet"))
}
