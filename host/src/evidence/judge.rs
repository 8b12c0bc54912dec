//! The rules of the specification's "Requirements for Completion": each kind of task has one kind of evidence.

use std::collections::BTreeSet;

use super::{
    Accepted, Answered, CriterionVerdict, Details, Refusal, StepRef, VerdictMark, Verified, World, criteria, document,
    merge, records, refuse, research, tests_run, verification,
};
use crate::task::{Claim, EvidenceKind, Proof, REASON_BYTES_MAX, Risk, SUMMARY_BYTES_MAX, Task};

/// Of the role's words, in a refusal.
const QUOTED_CHARS_MAX: usize = 80;

/// Whether the claim holds, and on what. A reason quotes what the role wrote, and is cut like a reason of the role's own.
pub fn judge(task: &Task, claim: &Claim, world: &World) -> Result<Accepted, Refusal> {
    judge_whole(task, claim, world).map_err(|Refusal(mut reason)| {
        reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
        Refusal(reason)
    })
}

fn judge_whole(task: &Task, claim: &Claim, world: &World) -> Result<Accepted, Refusal> {
    if claim.summary.len() > SUMMARY_BYTES_MAX {
        return refuse(format!("the summary is longer than {SUMMARY_BYTES_MAX} bytes"));
    }
    let (details, mut steps) = judge_kind(task, claim, world)?;
    let criteria = criteria::answer(task, claim, world, &details)?;
    steps.extend(criteria.iter().flat_map(|criterion| criterion.steps.iter().copied()));
    if steps.is_empty() {
        return refuse(no_step(task.evidence_kind));
    }
    let verified = Box::new(Verified {
        verdict: VerdictMark::Verified,
        details,
        criteria,
        steps: steps.into_iter().map(|position| StepRef { attempt: task.attempt, position }).collect(),
        summary: claim.summary.clone(),
    });
    let attested: Vec<CriterionVerdict> =
        verified.criteria.iter().filter(|criterion| criterion.answered == Answered::Attested).cloned().collect();
    // Past medium risk, a role's word is not enough, however many steps it names.
    if task.risk >= Risk::High && !attested.is_empty() {
        return Ok(Accepted::NeedsAcceptance { verified, criteria: attested });
    }
    Ok(Accepted::Verified(verified))
}

/// What was seen, and the steps that it stands on.
fn judge_kind(task: &Task, claim: &Claim, world: &World) -> Result<(Details, BTreeSet<u32>), Refusal> {
    match (task.evidence_kind, &claim.proof) {
        (EvidenceKind::MergedPullRequest, Some(Proof::MergedPullRequest { repository, number })) => {
            let (evidence, steps) = merge::judge(task, repository, *number, world)?;
            Ok((Details::MergedPullRequest(evidence), steps))
        }
        (EvidenceKind::TestResults, Some(Proof::TestResults(suites))) => {
            let (evidence, steps) = tests_run::judge(suites, world)?;
            Ok((Details::TestResults(evidence), steps))
        }
        (EvidenceKind::VerificationReport, Some(Proof::VerificationReport(checks))) => {
            let (evidence, steps) = verification::judge(checks, world)?;
            Ok((Details::VerificationReport(evidence), steps))
        }
        (EvidenceKind::CitedSummary, Some(Proof::CitedSummary(sources))) => {
            let (evidence, steps) = research::judge(&claim.summary, sources, world)?;
            Ok((Details::CitedSummary(evidence), steps))
        }
        (EvidenceKind::Document, Some(Proof::Document(claimed))) => {
            let (evidence, steps) = document::judge(claimed, world)?;
            Ok((Details::Document(evidence), steps))
        }
        (EvidenceKind::TasksCreated, Some(Proof::TasksCreated(children))) => {
            let (evidence, steps) = records::goal(children, &world.steps)?;
            Ok((Details::TasksCreated(evidence), steps))
        }
        (EvidenceKind::ReportStored, Some(Proof::ReportStored { id, sha256 })) => {
            let (evidence, steps) = records::report(id, sha256, &world.steps)?;
            Ok((Details::ReportStored(evidence), steps))
        }
        (EvidenceKind::AlertsEvaluated, Some(Proof::AlertsEvaluated { measurements, raised })) => {
            let (evidence, steps) = records::alerts(measurements, raised, &world.steps)?;
            Ok((Details::AlertsEvaluated(evidence), steps))
        }
        (EvidenceKind::RecommendationFiled, Some(Proof::RecommendationFiled(id))) => {
            let (evidence, steps) = records::recommendation(id, &world.steps)?;
            Ok((Details::RecommendationFiled(evidence), steps))
        }
        (_, None) => {
            let said: String = claim.summary.chars().take(QUOTED_CHARS_MAX).collect();
            refuse(format!("{said:?} is prose. {}", wanted(task)))
        }
        (_, Some(proof)) => refuse(format!("`{}` is no evidence for this task. {}", name_of(proof), wanted(task))),
    }
}

/// What the role has to claim instead.
fn wanted(task: &Task) -> String {
    let (name, what) = match task.evidence_kind {
        EvidenceKind::MergedPullRequest => (
            "merged-pull-request",
            format!(
                "name the repository and the number of the pull request that is merged from branch {}",
                task.branch()
            ),
        ),
        EvidenceKind::TestResults => (
            "test-results",
            "name each suite with its counts and the check run or JUnit report that they come from".to_owned(),
        ),
        EvidenceKind::VerificationReport => (
            "verification-report",
            "name for each check the journal step that observed it, and the expected and the actual value".to_owned(),
        ),
        EvidenceKind::CitedSummary => {
            ("cited-summary", "write what was found, and name the journal steps that fetched the sources".to_owned())
        }
        EvidenceKind::Document => {
            ("document", "name the URL that answers, or repository, path, reference and SHA-256 of the file".to_owned())
        }
        EvidenceKind::TasksCreated => {
            ("tasks-created", "close the goal with goals.complete, and name the tasks that it was closed by".to_owned())
        }
        EvidenceKind::ReportStored => {
            ("report-stored", "store a report with reports.store, and name its id and SHA-256".to_owned())
        }
        EvidenceKind::AlertsEvaluated => (
            "alerts-evaluated",
            "name the steps that looked at the workers and measured, and every alert that was raised".to_owned(),
        ),
        EvidenceKind::RecommendationFiled => {
            ("recommendation-filed", "file one with recommendations.file, and name its id".to_owned())
        }
    };
    format!("A `{}` task is completed only by `{name}` evidence: {what}", task.task_type)
}

fn name_of(proof: &Proof) -> &'static str {
    match proof {
        Proof::MergedPullRequest { .. } => "merged-pull-request",
        Proof::TestResults(_) => "test-results",
        Proof::VerificationReport(_) => "verification-report",
        Proof::CitedSummary(_) => "cited-summary",
        Proof::Document(_) => "document",
        Proof::TasksCreated(_) => "tasks-created",
        Proof::ReportStored { .. } => "report-stored",
        Proof::AlertsEvaluated { .. } => "alerts-evaluated",
        Proof::RecommendationFiled(_) => "recommendation-filed",
    }
}

fn no_step(kind: EvidenceKind) -> String {
    match kind {
        EvidenceKind::MergedPullRequest => "no step of this attempt's journal looked at the pull request".to_owned(),
        EvidenceKind::TestResults
        | EvidenceKind::VerificationReport
        | EvidenceKind::CitedSummary
        | EvidenceKind::Document
        | EvidenceKind::TasksCreated
        | EvidenceKind::ReportStored
        | EvidenceKind::AlertsEvaluated
        | EvidenceKind::RecommendationFiled => "no step of this attempt's journal shows it".to_owned(),
    }
}
