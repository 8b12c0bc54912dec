//! Answers that are known already.
//!
//! Cedar's answer is a function of who asks, the action, the subject and the facts, and the policies of an action read few
//! of these. What none of them reads can not change the answer: so a decision that depends on the role and the task type
//! alone is made once for each of them, and not for each task.
//!
//! Invariant: two questions have the same answer only where everything that a policy of their action can read is the same.
//! What is not understood counts as reading everything.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use cedar_policy::Policy;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::engine::Decision;
use super::question::{Fact, Question};

/// Answers that are kept; where there are more, all are forgotten. A guest that asks ever new questions costs time, and no
/// memory.
pub(super) const ANSWERS_MAX: usize = 4_096;

/// What a question is known by.
type Key = [u8; 32];

/// The answers to questions asked before.
#[derive(Debug)]
pub(super) struct Known {
    answers: Mutex<HashMap<Key, Decision>>,
    answers_max: usize,
}

impl Known {
    pub(super) fn new(answers_max: usize) -> Self {
        Self { answers: Mutex::default(), answers_max }
    }

    pub(super) fn get(&self, key: &Key) -> Option<Decision> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    pub(super) fn keep(&self, key: Key, decision: &Decision) {
        // One that could not be evaluated is asked again.
        if self.answers_max == 0 || !decision.errors.is_empty() {
            return;
        }
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= self.answers_max {
            answers.clear();
        }
        answers.insert(key, decision.clone());
    }
}

/// What the policies of one action read of a question.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Reads {
    /// Which subject it is, beyond its kind.
    subject: bool,
    /// The facts as a whole.
    everything: bool,
    /// By name: of a record the fields, or all of it.
    facts: BTreeMap<String, Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Whole,
    Fields(BTreeSet<String>),
}

impl Reads {
    /// Adds what one more policy reads.
    pub(super) fn add(&mut self, policy: &Policy) -> Result<(), String> {
        let json = policy.to_json().map_err(|error| error.to_string())?;
        let scope = json.get("resource").ok_or("a policy without a resource")?;
        let by_kind = match scope.get("op").and_then(Value::as_str) {
            Some("All") => true,
            Some("is") => scope.get("in").is_none(),
            Some(_) | None => false,
        };
        self.subject |= !by_kind;
        self.expression(json.get("conditions").ok_or("a policy without conditions")?);
        Ok(())
    }

    fn expression(&mut self, expression: &Value) {
        match expression {
            Value::Array(parts) => parts.iter().for_each(|part| self.expression(part)),
            Value::Object(fields) => {
                if let Some(path) = path(expression) {
                    self.fact(&path);
                    return;
                }
                self.subject |= fields.get("Var").is_some_and(|variable| variable == "resource");
                fields.values().for_each(|part| self.expression(part));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn fact(&mut self, path: &[&str]) {
        let Some((name, rest)) = path.split_first() else {
            self.everything = true;
            return;
        };
        let part = self.facts.entry((*name).to_owned()).or_insert_with(|| Part::Fields(BTreeSet::new()));
        match (rest.first(), part) {
            (Some(field), Part::Fields(fields)) => drop(fields.insert((*field).to_owned())),
            (None, part) => *part = Part::Whole,
            (Some(_), Part::Whole) => {}
        }
    }

    /// By what a question of this asker is known: everything that can change its answer.
    pub(super) fn key(&self, asker: &[u8; 32], question: &Question) -> Key {
        let mut key = Encoder(Sha256::new());
        key.0.update(asker);
        key.text(question.action.name());
        key.text(question.subject.kind);
        if self.subject {
            key.text(&question.subject.id);
        }
        for (name, fact) in &question.facts {
            let part = if self.everything { Some(&Part::Whole) } else { self.facts.get(*name) };
            let Some(part) = part else { continue };
            key.text(name);
            match (part, fact) {
                (Part::Fields(fields), Fact::Record(of)) => {
                    of.iter().filter(|(field, _)| fields.contains(*field)).for_each(|(field, fact)| {
                        key.text(field);
                        key.fact(fact);
                    });
                    key.tag(b'.');
                }
                (Part::Fields(_) | Part::Whole, _) => key.fact(fact),
            }
        }
        key.0.finalize().into()
    }
}

/// `context.a.b` and `context.a has b` as `[a, b]`; what is not of that form is none.
fn path(expression: &Value) -> Option<Vec<&str>> {
    let fields = expression.as_object().filter(|fields| fields.len() == 1)?;
    if let Some(variable) = fields.get("Var") {
        return (variable == "context").then(Vec::new);
    }
    let access = fields.get(".").or_else(|| fields.get("has"))?.as_object().filter(|access| access.len() == 2)?;
    let mut path = path(access.get("left")?)?;
    path.push(access.get("attr")?.as_str()?);
    Some(path)
}

/// Writes values so that no two different ones are the same bytes.
struct Encoder(Sha256);

impl Encoder {
    fn tag(&mut self, tag: u8) {
        self.0.update([tag]);
    }

    fn text(&mut self, text: &str) {
        self.0.update((text.len() as u64).to_be_bytes());
        self.0.update(text.as_bytes());
    }

    fn fact(&mut self, fact: &Fact) {
        match fact {
            Fact::Bool(value) => self.0.update([b'b', u8::from(*value)]),
            Fact::Number(value) => {
                self.tag(b'n');
                self.0.update(value.to_be_bytes());
            }
            Fact::Text(text) => {
                self.tag(b't');
                self.text(text);
            }
            Fact::Set(texts) => {
                self.tag(b's');
                self.0.update((texts.len() as u64).to_be_bytes());
                texts.iter().for_each(|text| self.text(text));
            }
            Fact::Record(fields) => {
                self.tag(b'r');
                self.0.update((fields.len() as u64).to_be_bytes());
                for (name, fact) in fields {
                    self.text(name);
                    self.fact(fact);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::str::FromStr as _;

    use cedar_policy::PolicySet;

    use super::*;
    use crate::policy::question::{Action, Subject};

    fn reads(policies: &str) -> Reads {
        let mut reads = Reads::default();
        for policy in PolicySet::from_str(policies).unwrap().policies() {
            reads.add(policy).unwrap();
        }
        reads
    }

    fn question(subject: &str, id: &str, risk: i64, base: &str) -> Question {
        let task = Fact::Record(vec![("id", Fact::Text(id.to_owned())), ("risk", Fact::Number(risk))]);
        Question {
            action: Action::ReadRepository,
            subject: Subject { kind: "Repository", id: subject.to_owned() },
            facts: vec![("task", task), ("base", Fact::Text(base.to_owned()))],
            words: vec![],
        }
    }

    /// Of a first question and others that differ from it in one thing: which are another question to these policies.
    fn told_apart(policies: &str) -> [bool; 4] {
        let reads = reads(policies);
        let first = reads.key(&[0; 32], &question("r", "1", 0, "main"));
        [
            question("s", "1", 0, "main"),
            question("r", "2", 0, "main"),
            question("r", "1", 1, "main"),
            question("r", "1", 0, "x"),
        ]
        .map(|other| reads.key(&[0; 32], &other) != first)
    }

    #[test]
    fn questions_differ_by_what_a_policy_reads_and_by_nothing_else() {
        let condition = |text: &str| format!("permit (principal, action, resource) when {{ {text} }};");
        for (policies, expected) in [
            ("permit (principal, action, resource);".to_owned(), [false; 4]),
            ("permit (principal, action, resource is Repository);".to_owned(), [false; 4]),
            (r#"permit (principal, action, resource == Repository::"r");"#.to_owned(), [true, false, false, false]),
            (r#"permit (principal, action, resource in Repository::"r");"#.to_owned(), [true, false, false, false]),
            (condition(r#"resource == Repository::"r""#), [true, false, false, false]),
            (condition("context.task.risk < 2"), [false, false, true, false]),
            (condition("context.task.id == \"1\" || context.task.risk < 2"), [false, true, true, false]),
            (condition("context.task has id"), [false, true, false, false]),
            (condition("context has base && context.base like \"m*\""), [false, false, false, true]),
            // Taken as a whole.
            (condition("context.task == {id: \"1\", risk: 0}"), [false, true, true, false]),
            (condition("[context].contains({base: \"main\"})"), [false, true, true, true]),
            (condition("{a: context}.a.base == \"main\""), [false, true, true, true]),
            (condition("{\"Var\": \"context\"}.Var == \"main\""), [false; 4]),
            (
                condition("if context.base == \"main\" then context.task.risk == 0 else true"),
                [false, false, true, true],
            ),
        ] {
            assert_eq!(told_apart(&policies), expected, "{policies}");
        }
    }

    #[test]
    fn another_asker_asks_another_question() {
        let (reads, question) = (reads("permit (principal, action, resource);"), question("r", "1", 0, "main"));
        assert_ne!(reads.key(&[0; 32], &question), reads.key(&[1; 32], &question));
    }

    #[test]
    fn texts_that_are_put_together_alike_are_told_apart() {
        let reads = reads("permit (principal, action, resource) when { context.set == [\"a\"] };");
        let ask = |set: &[&str]| Question {
            facts: vec![("set", Fact::Set(set.iter().map(|text| (*text).to_owned()).collect()))],
            ..question("r", "1", 0, "main")
        };
        let keys: BTreeSet<Key> =
            [&["ab"][..], &["a", "b"], &["b", "a"], &[], &["", "ab"]].map(|set| reads.key(&[0; 32], &ask(set))).into();
        assert_eq!(keys.len(), 5);
    }

    #[test]
    fn answers_are_bounded_and_one_with_errors_is_not_kept() {
        let known = Known::new(2);
        let decision = Decision { allowed: true, policies: vec!["p".to_owned()], errors: vec![] };
        for number in 0..3 {
            known.keep([number; 32], &decision);
            assert_eq!(known.get(&[number; 32]).as_ref(), Some(&decision));
        }
        assert_eq!(known.get(&[0; 32]), None, "two are kept");
        let failed = Decision { allowed: false, errors: vec!["e".to_owned()], ..decision };
        known.keep([9; 32], &failed);
        assert_eq!(known.get(&[9; 32]), None);
    }
}
