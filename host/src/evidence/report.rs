//! Verified evidence, for people: `governance_tasks.completion_evidence`.
//!
//! Invariant: whatever a role or a repository wrote stands on a line that the host began, with control and invisible
//! characters made visible, so that it can not pass for the host's own word.

use super::{
    Answered, CheckedFact, CitationEvidence, Details, DocumentEvidence, DocumentPlace, EvaluatedAlerts,
    FiledRecommendation, GoalEvidence, MergeEvidence, ReportEvidence, StoredReport, SuiteFrom, TestEvidence, TestSuite,
    Verified, tests_run::counted,
};
use crate::repo::is_invisible;
use crate::task::Observation;

/// Of a value that a check expected or found; the JSON has it whole.
const VALUE_CHARS_MAX: usize = 200;

/// In the form of the specification's good example. The role's words come last, and are marked as its own.
pub fn text(verified: &Verified) -> String {
    let Verified { verdict: _, details, criteria, steps: _, summary } = verified;
    let mut lines = match details {
        Details::MergedPullRequest(merge) => merge_lines(merge),
        Details::TestResults(tests) => test_lines(tests),
        Details::VerificationReport(report) => report_lines(report),
        Details::CitedSummary(citations) => citation_lines(citations),
        Details::Document(document) => document_lines(document),
        Details::TasksCreated(goal) => goal_lines(goal),
        Details::ReportStored(StoredReport { id, sha256, step }) => {
            vec![format!("Report {id} stored, sha256:{sha256} (step {step})")]
        }
        Details::AlertsEvaluated(evaluated) => alert_lines(evaluated),
        Details::RecommendationFiled(FiledRecommendation { id, step }) => {
            vec![format!("Recommendation {id} filed; it takes effect if a person approves it (step {step})")]
        }
    };
    for criterion in criteria {
        let steps = criterion.steps.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
        let how = match criterion.answered {
            Answered::Verified => "verified by the host",
            Answered::Attested => "attested by the role, not verified",
        };
        lines.push(format!("- [{how}] {} (steps {steps})", visible(&criterion.text)));
    }
    if !summary.trim().is_empty() {
        let said: Vec<String> = summary.trim().lines().map(visible).collect();
        lines.push(format!("The role says: {}", said.join("\n  | ")));
    }
    let mut text = lines.join("\n");
    text.push('\n');
    text
}

fn merge_lines(merge: &MergeEvidence) -> Vec<String> {
    let MergeEvidence { repository: _, pull_request, files, merged_by_this_run } = merge;
    let mut lines = vec![format!("Merged PR #{}: {}", pull_request.number, visible(&pull_request.url))];
    if let Some(sha) = &pull_request.merge_sha {
        let by = if *merged_by_this_run { "this run" } else { "somebody else, at a commit of this task" };
        lines.push(format!("- Squash commit {sha} on {}, merged by {by}", visible(&pull_request.base_branch)));
    }
    lines.extend(files.iter().map(|file| format!("- Committed {}", visible(file))));
    lines
}

fn test_lines(tests: &TestEvidence) -> Vec<String> {
    let of_checks = tests.suites.iter().filter(|suite| matches!(suite.source, SuiteFrom::CheckRun { .. })).count();
    let sum = |count: fn(&TestSuite) -> u32| tests.suites.iter().map(count).fold(0u32, u32::saturating_add);
    let (passed, failed, skipped) =
        (sum(|suite| suite.counts.passed), sum(|suite| suite.counts.failed), sum(|suite| suite.counts.skipped));
    let mut head = format!("Test results: {passed} passed, {failed} failed, {skipped} skipped");
    if of_checks > 0 {
        head.push_str(&format!(" ({of_checks} of these are check runs, each counted as one)"));
    }
    let mut lines = vec![head];
    for TestSuite { name, counts, source } in &tests.suites {
        let from = match source {
            SuiteFrom::CheckRun { repository, sha, name, step } => {
                format!(
                    "check run {:?} on {sha} in {repository}, which tells no number of tests (step {step})",
                    visible(name)
                )
            }
            SuiteFrom::JunitReport { url, sha256, step } => {
                format!("JUnit report {}, sha256:{sha256} (step {step})", visible(url))
            }
        };
        lines.push(format!("- {}: {}; {from}", visible(name), counted(*counts)));
    }
    lines
}

fn report_lines(report: &ReportEvidence) -> Vec<String> {
    let passed = report.checks.iter().filter(|check| check.passed).count();
    let mut lines = vec![format!("Verification report: {passed} of {} checks passed", report.checks.len())];
    for CheckedFact { name, step, observation, expected, actual, passed } in &report.checks {
        let verdict = if *passed { "passed" } else { "FAILED" };
        let place = match observation {
            Observation::Value(pointer) => visible(pointer),
            Observation::BodyContains(needle) => format!("body contains {:?}", shortened(needle)),
        };
        lines.push(format!(
            "- [{verdict}] {}: expected {}, found {} ({place}, step {step})",
            visible(name),
            shortened(expected),
            shortened(actual)
        ));
    }
    lines
}

fn citation_lines(citations: &CitationEvidence) -> Vec<String> {
    let mut lines = vec![format!("Summary with {} sources, each fetched by this task", citations.sources.len())];
    for source in &citations.sources {
        lines.push(format!(
            "- Source {}, sha256:{}, {} bytes, fetched {} (step {})",
            visible(&source.url),
            source.sha256,
            source.bytes,
            source.fetched_at,
            source.step
        ));
    }
    lines
}

fn document_lines(evidence: &DocumentEvidence) -> Vec<String> {
    let DocumentEvidence { document, sha256, bytes } = evidence;
    let place = match document {
        DocumentPlace::Url { url, step } => format!("{}, which answered in step {step}", visible(url)),
        DocumentPlace::File { repository, path, reference } => {
            format!("{} at {} in {repository}", visible(path), visible(reference))
        }
    };
    vec![format!("Document: {place}"), format!("- sha256:{sha256}, {bytes} bytes")]
}

fn goal_lines(evidence: &GoalEvidence) -> Vec<String> {
    let GoalEvidence { goal, children, step } = evidence;
    let mut lines =
        vec![format!("Goal {goal} completed by {} tasks with verified evidence (step {step})", children.len())];
    lines.extend(children.iter().map(|child| format!("- Task {}", visible(child))));
    lines
}

fn alert_lines(evidence: &EvaluatedAlerts) -> Vec<String> {
    let EvaluatedAlerts { measurements, raised } = evidence;
    let mut lines = vec![format!("{} measurements evaluated, {} alerts raised", measurements.len(), raised.len())];
    lines.extend(raised.iter().map(|alert| format!("- Alert {}", visible(alert))));
    lines
}

fn shortened(text: &str) -> String {
    let shown: String = text.chars().take(VALUE_CHARS_MAX).collect();
    let mark = if shown.len() < text.len() { "…" } else { "" };
    format!("{}{mark}", visible(&shown))
}

/// In one line, with what a reader would not see written out.
fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() || is_invisible(character) || matches!(character, '\u{2028}' | '\u{2029}') {
            shown.extend(character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    shown
}
