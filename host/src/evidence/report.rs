//! Verified evidence, for people: `governance_tasks.completion_evidence`.

use std::fmt::Write;

use super::{Answered, Verified};

/// In the form of the specification's good example. The role's words come last, and are marked as its own.
pub fn text(verified: &Verified) -> String {
    let Verified { pull_request, files, merged_by_this_run, criteria, summary, .. } = verified;
    let mut text = format!("Merged PR #{}: {}\n", pull_request.number, pull_request.url);
    // Writing to a String can not fail.
    let mut line = |line: std::fmt::Arguments<'_>| text.write_fmt(line).and_then(|()| text.write_char('\n')).is_ok();
    if let Some(sha) = &pull_request.merge_sha {
        let by = if *merged_by_this_run { "this run" } else { "somebody else, at a commit of this task" };
        line(format_args!("- Squash commit {sha} on {}, merged by {by}", pull_request.base_branch));
    }
    for file in files {
        line(format_args!("- Committed {file}"));
    }
    for criterion in criteria {
        let steps = criterion.steps.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
        let how = match criterion.answered {
            Answered::Verified => "verified by the host",
            Answered::Attested => "attested by the role, not verified",
        };
        line(format_args!("- [{how}] {} (steps {steps})", criterion.text));
    }
    if !summary.trim().is_empty() {
        line(format_args!("The role says: {}", summary.trim()));
    }
    text
}
