//! ANALYST: calculates, finds patterns, researches and reports.
//!
//! Invariant: what pages, logs and learnings say is quoted, and never followed.

mod analysis;
mod figures;
mod model;
mod pages;
mod payload;
mod research;
mod write;

use juggernaut_guest::{Assignment, Evidence, Failure};

juggernaut_guest::role!(run);

fn run(task: Assignment) -> Result<Evidence, Failure> {
    match task.task_type.as_str() {
        "analysis" | "report" => analysis::run(&task),
        "research" => research::run(&task),
        other => Err(Failure::final_(format!("the analyst does no tasks of type {other:?}"))),
    }
}
