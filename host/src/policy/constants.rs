//! The lists that stand in policies, made once.
//!
//! Cedar makes the set of `["a.com", "b.com"]` anew each time that it evaluates it, which is most of a decision. Here each
//! such list becomes an attribute of one entity, and the policy names that.
//!
//! Invariant: a policy says what it said. Only lists of literal texts are moved, after the policies have been validated as
//! they were written; where the entity is missing a policy can not be evaluated, and that denies.

use std::collections::HashSet;
use std::str::FromStr as _;

use cedar_policy::{Entity, EntityUid, Policy, RestrictedExpression};
use serde_json::{Value, json};

const ENTITY_TYPE: &str = "Constants";
const ENTITY_ID: &str = "lists";
/// Shorter lists cost no more than looking for them.
const TEXTS_MIN: usize = 2;

/// The lists found so far, each once.
#[derive(Debug, Default)]
pub(super) struct Constants {
    lists: Vec<Vec<String>>,
}

impl Constants {
    /// The same policy, with its lists taken out.
    pub(super) fn take(&mut self, policy: &Policy) -> Result<Policy, String> {
        let mut json = policy.to_json().map_err(|error| error.to_string())?;
        if let Some(conditions) = json.get_mut("conditions") {
            self.replace(conditions);
        }
        Policy::from_json(Some(policy.id().clone()), json).map_err(|error| error.to_string())
    }

    /// What the policies name now.
    pub(super) fn entity(&self) -> Result<Entity, String> {
        let uid = EntityUid::from_str(&format!("{ENTITY_TYPE}::{ENTITY_ID:?}")).map_err(|error| error.to_string())?;
        let set = |texts: &Vec<String>| {
            RestrictedExpression::new_set(texts.iter().cloned().map(RestrictedExpression::new_string))
        };
        let attributes = self.lists.iter().enumerate().map(|(at, texts)| (attribute(at), set(texts)));
        Entity::new(uid, attributes.collect(), HashSet::new()).map_err(|error| error.to_string())
    }

    fn replace(&mut self, expression: &mut Value) {
        if let Some(texts) = texts(expression) {
            let at = self.lists.iter().position(|known| *known == texts).unwrap_or_else(|| {
                self.lists.push(texts);
                self.lists.len() - 1
            });
            let entity = json!({ "Value": { "__entity": { "type": ENTITY_TYPE, "id": ENTITY_ID } } });
            *expression = json!({ ".": { "left": entity, "attr": attribute(at) } });
            return;
        }
        match expression {
            Value::Array(parts) => parts.iter_mut().for_each(|part| self.replace(part)),
            Value::Object(fields) => fields.values_mut().for_each(|part| self.replace(part)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

fn attribute(at: usize) -> String {
    format!("list{at}")
}

/// The texts of an expression that is a list of nothing else.
fn texts(expression: &Value) -> Option<Vec<String>> {
    let fields = expression.as_object().filter(|fields| fields.len() == 1)?;
    let parts = fields.get("Set")?.as_array().filter(|parts| parts.len() >= TEXTS_MIN)?;
    let text = |part: &Value| {
        let fields = part.as_object().filter(|fields| fields.len() == 1)?;
        fields.get("Value")?.as_str().map(str::to_owned)
    };
    parts.iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::str::FromStr as _;

    use cedar_policy::{Authorizer, Context, Decision, Entities, PolicySet, Request};

    use super::*;

    const POLICY: &str = r#"permit (principal, action, resource) when {
        ["a", "b"].contains(context.text) || context.set.containsAny(["c", "d"]) || context.text == "[\"e\", \"f\"]"
        || {Set: "g"}.Set == context.text || ["h", context.text].containsAll(["h", "i"]) || context.set == ["d", "c"]
    };"#;

    fn allowed(policies: &PolicySet, entities: &Entities, text: &str, set: &[&str]) -> bool {
        let uid = |text: &str| EntityUid::from_str(text).unwrap();
        let texts = set.iter().map(|text| RestrictedExpression::new_string((*text).to_owned()));
        let pairs = [
            ("text".to_owned(), RestrictedExpression::new_string(text.to_owned())),
            ("set".to_owned(), RestrictedExpression::new_set(texts)),
        ];
        let context = Context::from_pairs(pairs).unwrap();
        let request = Request::new(uid("P::\"p\""), uid("Action::\"a\""), uid("R::\"r\""), context, None).unwrap();
        let response = Authorizer::new().is_authorized(&request, policies, entities);
        response.decision() == Decision::Allow && response.diagnostics().errors().next().is_none()
    }

    #[test]
    fn a_policy_without_its_lists_says_the_same() {
        let written = PolicySet::from_str(POLICY).unwrap();
        let (mut constants, mut taken) = (Constants::default(), PolicySet::new());
        for policy in written.policies() {
            taken.add(constants.take(policy).unwrap()).unwrap();
        }
        let lists = constants.lists.iter().map(|list| list.join("")).collect::<HashSet<_>>();
        assert_eq!(
            lists,
            ["ab", "cd", "hi", "dc"].map(str::to_owned).into(),
            "lists of literal texts, and nothing else"
        );
        let entities = Entities::from_entities([constants.entity().unwrap()], None).unwrap();
        let mut answers = HashSet::new();
        for text in ["a", "b", "c", "[\"e\", \"f\"]", "e", "g", "h", "i", ""] {
            for set in [&[][..], &["c"], &["d", "x"], &["c", "d"], &["a"]] {
                let answer = allowed(&written, &Entities::empty(), text, set);
                assert_eq!(allowed(&taken, &entities, text, set), answer, "{text:?} {set:?}");
                answers.insert(answer);
            }
        }
        assert_eq!(answers.len(), 2, "some are allowed and some are not");
        assert!(!allowed(&taken, &Entities::empty(), "a", &["c"]), "without the lists nothing is allowed");
    }
}
