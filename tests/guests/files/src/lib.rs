//! Would read the host's files.

use juggernaut_guest::{Assignment, Evidence, Failure};

juggernaut_guest::role!(run);

fn run(_: Assignment) -> Result<Evidence, Failure> {
    Err(Failure::final_(std::fs::read_to_string("/etc/passwd").unwrap_or_default()))
}
