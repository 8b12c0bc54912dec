use std::fs;

use super::*;
use crate::policy::question::Fact;
use crate::policy::question::{Action, Question, Subject};

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn load(files: &[(&str, &str)]) -> Result<Policies, PoliciesError> {
    Policies::load(folder(files).path())
}

fn claim(facts: Vec<(&'static str, Fact)>) -> Question {
    let subject = Subject { kind: "Task", id: "any".to_owned() };
    Question { action: Action::ClaimTask, subject, facts, words: vec![] }
}

fn code() -> Vec<(&'static str, Fact)> {
    vec![("task_type", Fact::Text("code".to_owned()))]
}

fn executor(policies: &Policies) -> Asker {
    policies.role("executor", "executor", &["code".to_owned()]).unwrap()
}

#[test]
fn each_prohibited_action_has_its_forbid() {
    let policies = Policies::shipped().unwrap();
    for id in [
        "prohibited.financial-transactions",
        "prohibited.delete-production-data",
        "prohibited.modify-rbac",
        "prohibited.deploy-without-approval",
        "prohibited.outside-capability-set",
        "prohibited.complete-without-evidence",
        "prohibited.claim-outside-capability-set",
    ] {
        let summary = policies.summaries().iter().find(|summary| summary.id == id).unwrap();
        assert_eq!((summary.effect, summary.file.as_str()), ("forbid", "prohibited.cedar"), "{id}");
        assert!(summary.says.is_some(), "{id}");
    }
}

#[test]
fn a_question_without_a_fact_that_a_forbid_needs_is_denied() {
    let policies = Policies::shipped().unwrap();
    let role = executor(&policies);
    assert!(policies.decide(&role, &claim(code())).allowed);
    // The schema refuses it already …
    let decision = policies.decide(&role, &claim(vec![]));
    assert!(!decision.allowed && !decision.errors.is_empty(), "{decision:?}");
    let wrong = vec![("task_type", Fact::Bool(true))];
    assert!(!policies.decide(&role, &claim(wrong)).allowed);
}

#[test]
fn a_policy_that_fails_to_evaluate_denies() {
    // … and past the schema: Cedar alone skips the forbid that fails, and allows.
    let policies = Policies::shipped().unwrap();
    let role = executor(&policies);
    let Asked { uid: action, policies: asked, .. } = &policies.actions[&Action::ClaimTask];
    let request =
        Request::new(role.uid.clone(), action.clone(), uid("Task", "any").unwrap(), Context::empty(), None).unwrap();
    let cedar = policies.authorizer.is_authorized(&request, asked, &role.entities);
    assert_eq!(cedar.decision(), CedarDecision::Allow);
    let ours = policies.answer(&request, asked, &role.entities);
    assert!(!ours.allowed, "{ours:?}");
    assert_eq!(ours.policies, ["prohibited.claim-outside-capability-set"]);
    assert!(!ours.errors.is_empty());
}

fn completion(task: &str, verified: bool) -> Question {
    let text = |text: &str| Fact::Text(text.to_owned());
    let task_facts = vec![
        ("id", text(task)),
        ("task_type", text("code")),
        ("risk", Fact::Number(0)),
        ("branch", text("feature/x")),
        ("repository", text("")),
        ("base", text("")),
    ];
    Question {
        action: Action::CompleteTask,
        subject: Subject { kind: "Task", id: task.to_owned() },
        facts: vec![("task", Fact::Record(task_facts)), ("verified", Fact::Bool(verified))],
        words: vec![],
    }
}

#[test]
fn what_does_not_depend_on_the_task_is_decided_once() {
    let policies = Policies::shipped().unwrap();
    let role = executor(&policies);
    assert_eq!(policies.known(&role, &completion("1", true)), None);
    assert!(policies.decide(&role, &completion("1", true)).allowed);
    assert!(policies.known(&role, &completion("2", true)).unwrap().allowed, "any other task's");
    assert_eq!(policies.known(&role, &completion("2", false)), None, "not without evidence");
    assert!(!policies.decide(&role, &completion("2", false)).allowed);
    assert!(!policies.known(&role, &completion("1", false)).unwrap().allowed);
    let other = policies.role("executor", "executor", &["test".to_owned()]).unwrap();
    assert_eq!(policies.known(&other, &completion("1", true)), None, "a role with other task types");
    assert_eq!(policies.known(&policies.person("executor").unwrap(), &completion("1", true)), None);
    let forgetful = Policies::shipped().unwrap().forgetful();
    assert!(forgetful.decide(&role, &completion("1", true)).allowed);
    assert_eq!(forgetful.known(&role, &completion("1", true)), None);
}

#[test]
fn a_policy_about_one_task_is_asked_for_each() {
    for condition in ["context.task.id == \"2\"", "resource == Task::\"2\""] {
        let forbid = format!(
            "@id(\"mine\") forbid (principal, action == Action::\"complete_task\", resource) when {{ {condition} }};"
        );
        let policies = load(&[("mine.cedar", &forbid)]).unwrap();
        let role = executor(&policies);
        assert!(policies.decide(&role, &completion("1", true)).allowed);
        assert_eq!(policies.decide(&role, &completion("2", true)).policies, ["mine"], "{condition}");
        assert!(policies.decide(&role, &completion("3", true)).allowed);
        assert!(policies.known(&role, &completion("1", true)).unwrap().allowed);
    }
}

#[test]
fn no_permit_overrides_a_prohibition() {
    let permit = "@id(\"mine\") permit (principal, action, resource);";
    let policies = load(&[("mine.cedar", permit)]).unwrap();
    let role = executor(&policies);
    let other = vec![("task_type", Fact::Text("planning".to_owned()))];
    let decision = policies.decide(&role, &claim(other));
    assert_eq!(decision.policies, ["prohibited.claim-outside-capability-set"]);
    assert_ne!(policies.digest(), Policies::shipped().unwrap().digest());
}

#[test]
fn the_default_is_deny() {
    let policies = load(&[("capabilities.cedar", "")]).unwrap();
    let decision = policies.decide(&executor(&policies), &claim(code()));
    assert!(!decision.allowed);
    assert_eq!(decision.policies, [DEFAULT_DENY]);
}

#[test]
fn what_is_wrong_with_a_folder_is_said_before_the_start() {
    for (files, says) in [
        (&[("prohibited.cedar", "")][..], "can not be replaced"),
        (&[("juggernaut.cedarschema", "entity Role;")], "can not be replaced"),
        (&[("mine.cedar", "permit (principal, action, resource)")], "mine.cedar is not Cedar"),
        (&[("mine.cedar", "permit (principal, action, resource);")], "has no @id"),
        (&[("mine.cedar", "@id(\"scope.own-branch\") permit (principal, action, resource);")], "is taken"),
        (&[("mine.cedar", "@id(\"a\") forbid (principal, action, resource) when { context.typo };")], "typo"),
        (&[("mine.cedar", "@id(\"a\") permit (principal == ?principal, action, resource);")], "without slots"),
        (&[("mine.cedar", "@id(\"a\") permit (principal, action == Action::\"fly\", resource);")], "fly"),
        (
            // Can never apply.
            &[("mine.cedar", "@id(\"a\") forbid (principal is Endpoint, action, resource);")],
            "a",
        ),
    ] {
        let error = load(files).unwrap_err().to_string();
        assert!(error.contains(says), "{files:?}: {error}");
    }
    assert!(Policies::load(Path::new("/nowhere")).is_err());
}

#[test]
fn a_copy_of_the_shipped_folder_is_the_shipped_set() {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies");
    assert_eq!(Policies::load(&ours).unwrap().digest(), Policies::shipped().unwrap().digest());
}

#[test]
fn a_policy_is_asked_wherever_its_scope_can_hold_the_action() {
    let everywhere = "@id(\"mine.all\") forbid (principal, action, resource);
        @id(\"mine.group\") forbid (principal, action in Action::\"host_call\", resource);
        @id(\"mine.list\") forbid (principal, action in [Action::\"deploy\", Action::\"write\"], resource);
        @id(\"mine.one\") forbid (principal, action == Action::\"put_file\", resource);";
    let policies = load(&[("mine.cedar", everywhere)]).unwrap();
    let asked = |action: Action| {
        let ids = policies.actions[&action].policies.policies().map(|policy| policy.id().to_string());
        let mut ids: Vec<String> = ids.filter(|id| id.starts_with("mine.")).collect();
        ids.sort();
        ids
    };
    assert_eq!(asked(Action::PutFile), ["mine.all", "mine.group", "mine.list", "mine.one"]);
    assert_eq!(asked(Action::Deploy), ["mine.all", "mine.group", "mine.list"]);
    assert_eq!(asked(Action::ReadRepository), ["mine.all", "mine.group"]);
    assert_eq!(asked(Action::ClaimTask), ["mine.all"]);
}
