use serde_json::{Value, json};
use time::OffsetDateTime;

use super::*;
use crate::github::PullRequestState;
use crate::journal::{Effect, Outcome};
use crate::task::{Answer, Attempt, Claim, Criterion, EvidenceKind, Priority, Proof, Risk, Task, TaskId};

mod kinds;
mod stored;

fn sha(digit: &str) -> Sha {
    Sha::parse(&digit.repeat(40)).unwrap()
}

fn task(criteria: Vec<Criterion>) -> Task {
    Task {
        id: TaskId::generate(),
        title: "t".to_owned(),
        description: String::new(),
        task_type: "code".to_owned(),
        evidence_kind: EvidenceKind::MergedPullRequest,
        priority: Priority::Medium,
        risk: Risk::Low,
        risk_reasons: vec![],
        payload: json!({"repository": "demo/sample", "base": "main", "changes": [{"path": "a.py", "content": "x"}]}),
        criteria,
        attempt: Attempt(1),
        attempts_max: 3,
        last_error: None,
        goal: None,
    }
}

fn step(position: u32, interface: &str, arguments: Value, result: Value) -> Step {
    let at = OffsetDateTime::UNIX_EPOCH;
    Step {
        position,
        interface: interface.to_owned(),
        function: "f".to_owned(),
        effect: Effect::Write,
        digest: [0; 32],
        arguments,
        intended_at: at,
        outcome: Some(Outcome { result, at }),
    }
}

fn world(task: &Task) -> World {
    World {
        pull_request: Some(PullRequest {
            number: 7,
            state: PullRequestState::Merged,
            title: "t".to_owned(),
            url: "http://forge/demo/sample/pull/7".to_owned(),
            head_repository: Repository::parse("demo/sample").ok(),
            head_branch: task.branch(),
            head_sha: sha("a"),
            base_branch: "main".to_owned(),
            mergeable: None,
            merge_sha: Some(sha("c")),
        }),
        own_commits: vec![sha("a")],
        steps: vec![
            step(0, "github-read", json!({}), json!({"err": {"not-found": "x"}})),
            step(1, "github-merge", json!({"repository": "demo/sample", "number": 7}), json!({"ok": {"sha": "c"}})),
        ],
        ..World::default()
    }
}

fn claim() -> Claim {
    let repository = Ok(Repository::parse("demo/sample").unwrap());
    Claim {
        summary: "did it".to_owned(),
        proof: Some(Proof::MergedPullRequest { repository, number: 7 }),
        answers: vec![],
    }
}

fn refused(task: &Task, claim: &Claim, world: &World, because: &str) {
    let Refusal(reason) = judge(task, claim, world).expect_err(because);
    assert!(reason.contains(because), "{reason}");
}

fn accepted(task: &Task, claim: &Claim, world: &World) -> Verified {
    match judge(task, claim, world) {
        Ok(Accepted::Verified(verified)) => *verified,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_merge_by_this_run_is_evidence() {
    let task = task(vec![]);
    let verified = accepted(&task, &claim(), &world(&task));
    let Details::MergedPullRequest(merge) = &verified.details else { panic!("{verified:?}") };
    assert!(merge.merged_by_this_run);
    assert_eq!(verified.steps, vec![StepRef { attempt: Attempt(1), position: 1 }]);
    let text = text(&verified);
    assert!(text.starts_with("Merged PR #7: http://forge/demo/sample/pull/7\n"), "{text}");
}

#[test]
fn prose_is_never_evidence() {
    let task = task(vec![]);
    for summary in ["Done", "Completed the task", "Fixed it", "Merged PR #7: https://github.com/demo/sample/pull/7", ""]
    {
        let claim = Claim { summary: summary.to_owned(), proof: None, answers: vec![] };
        refused(&task, &claim, &world(&task), "is prose");
    }
}

#[test]
fn what_github_says_counts() {
    let task = task(vec![]);
    let with = |change: fn(&mut PullRequest)| {
        let mut world = world(&task);
        world.pull_request.as_mut().map(change).unwrap();
        world
    };
    refused(&task, &claim(), &with(|pr| pr.state = PullRequestState::Open), "is open");
    refused(&task, &claim(), &with(|pr| pr.state = PullRequestState::Closed), "closed without a merge");
    refused(&task, &claim(), &with(|pr| pr.head_repository = None), "another repository");
    refused(&task, &claim(), &with(|pr| pr.head_branch = "feature/x".to_owned()), "comes from branch feature/x");
    refused(&task, &claim(), &with(|pr| pr.base_branch = "release".to_owned()), "went into release");
    refused(&task, &claim(), &with(|pr| pr.head_sha = sha("b")), "not a commit that this task's calls made");
    refused(&task, &claim(), &World { pull_request: None, ..world(&task) }, "shows no pull request #7");
    refused(&task, &claim(), &World { steps: vec![], ..world(&task) }, "no step of this attempt's journal");
    let other = Proof::MergedPullRequest { repository: Ok(Repository::parse("demo/other").unwrap()), number: 7 };
    refused(&task, &Claim { proof: Some(other), ..claim() }, &world(&task), "not the task's repository");
}

#[test]
fn only_github_shows_a_pull_request_and_of_the_same_repository() {
    let task = task(vec![]);
    let of = |interface: &str, repository: &str| {
        let answer = json!({"ok": [{"number": 7}]});
        World { steps: vec![step(0, interface, json!({"repository": repository}), answer)], ..world(&task) }
    };
    let verified = accepted(&task, &claim(), &of("github-read", "demo/sample"));
    assert_eq!(verified.steps, vec![StepRef { attempt: Attempt(1), position: 0 }]);
    for (interface, repository) in [("http-fetch", "demo/sample"), ("timer", ""), ("github-read", "demo/other")] {
        refused(&task, &claim(), &of(interface, repository), "no step of this attempt's journal");
    }
}

#[test]
fn free_text_is_answered_with_a_step_that_saw_or_changed_something() {
    let task = task(vec![Criterion::FreeText { text: "reads well".to_owned() }]);
    let mut world = world(&task);
    world.steps.push(step(2, "timer", json!({}), json!({"ok": null})));
    world.steps.push(step(3, "task", json!({}), json!({"ok": null})));
    let answered = |steps: Vec<u32>| Claim { answers: vec![Answer { criterion: 0, steps }], ..claim() };
    refused(&task, &answered(vec![2]), &world, "none of the steps that it names saw or changed anything");
    refused(&task, &answered(vec![2, 3]), &world, "name a call of github-read");
    assert_eq!(accepted(&task, &answered(vec![1, 2]), &world).criteria[0].answered, Answered::Attested);
}

#[test]
fn each_criterion_is_answered_with_steps_that_succeeded() {
    let free = || vec![Criterion::FreeText { text: "reads well".to_owned() }];
    let task = task(free());
    let answered = |steps: Vec<u32>| Claim { answers: vec![Answer { criterion: 0, steps }], ..claim() };
    refused(&task, &claim(), &world(&task), "needs exactly one answer");
    refused(&task, &answered(vec![]), &world(&task), "without a journal step");
    refused(&task, &answered(vec![9]), &world(&task), "names step 9, which this attempt's journal has not");
    refused(&task, &answered(vec![0]), &world(&task), "names step 0, which failed");
    let verified = accepted(&task, &answered(vec![1, 1]), &world(&task));
    assert_eq!(verified.criteria[0].answered, Answered::Attested);
    assert!(text(&verified).contains("[attested by the role, not verified] reads well (steps 1)"));
}

#[test]
fn typed_criteria_are_verified_by_the_host() {
    let task = task(vec![
        Criterion::FileContains { path: "a.py".to_owned(), text: "def f".to_owned() },
        Criterion::CheckGreen { name: "ci".to_owned() },
        Criterion::Merged,
    ]);
    let answers = (0..3).map(|criterion| Answer { criterion, steps: vec![1] }).collect();
    let claim = Claim { answers, ..claim() };
    let check = |conclusion: Option<&str>| CheckRun {
        name: "ci".to_owned(),
        status: crate::github::CheckStatus::Completed,
        conclusion: conclusion.map(str::to_owned),
        url: None,
    };
    let seen = |file: Option<&str>, checks: Vec<CheckRun>| World {
        files: vec![file.map(str::to_owned)],
        checks,
        ..world(&task)
    };
    refused(&task, &claim, &seen(None, vec![check(Some("success"))]), "there is no text file a.py");
    refused(&task, &claim, &seen(Some("x"), vec![check(Some("success"))]), "does not contain \"def f\"");
    refused(&task, &claim, &seen(Some("def f"), vec![]), "there is no check \"ci\"");
    refused(&task, &claim, &seen(Some("def f"), vec![check(Some("failure"))]), "check \"ci\" is failure");
    refused(&task, &claim, &seen(Some("def f"), vec![check(None)]), "not finished");
    let verified = accepted(&task, &claim, &seen(Some("def f"), vec![check(Some("success"))]));
    assert!(verified.criteria.iter().all(|criterion| criterion.answered == Answered::Verified));
}
