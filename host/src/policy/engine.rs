//! The policies: loading, strict validation, and evaluation by Cedar.
//!
//! Invariants: the default is deny; a policy that can not be evaluated denies, because Cedar alone would skip a
//! `forbid` that fails; what does not fit the schema never starts a host; the prohibitions are part of the binary and
//! no folder can take them away.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use cedar_policy::{
    ActionConstraint, AuthorizationError, Authorizer, Context, Decision as CedarDecision, Entities, Entity, EntityId,
    EntityTypeName, EntityUid, Policy, PolicyId, PolicySet, Request, RestrictedExpression, Schema, ValidationMode,
    Validator,
};
use sha2::{Digest, Sha256};

use super::constants::Constants;
use super::known::{ANSWERS_MAX, Known, Reads};
use super::question::{Action, Question, Subject};

/// What a policy may speak of. Not replaceable: it is what the host asks.
const SCHEMA: &str = include_str!("../../../policies/juggernaut.cedarschema");
const SCHEMA_NAME: &str = "juggernaut.cedarschema";
/// Not replaceable: "Workers must NEVER".
const PROHIBITED: &str = include_str!("../../../policies/prohibited.cedar");
const PROHIBITED_NAME: &str = "prohibited.cedar";
/// A file of the same name in the operator's folder takes the place of one of these.
const REPLACEABLE: &[(&str, &str)] = &[
    ("approval.cedar", include_str!("../../../policies/approval.cedar")),
    ("capabilities.cedar", include_str!("../../../policies/capabilities.cedar")),
    ("scope.cedar", include_str!("../../../policies/scope.cedar")),
];
/// Files of a policy folder, and bytes of one of them.
const FILES_MAX: usize = 100;
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Stands where no policy determined the answer.
pub const DEFAULT_DENY: &str = "default-deny";

/// Why policies are not accepted.
#[derive(Debug, thiserror::Error)]
pub enum PoliciesError {
    #[error("policy folder {path} can not be read: {cause}", path = path.display())]
    Unreadable { path: PathBuf, cause: std::io::Error },
    #[error("policy folder {path} holds more than {FILES_MAX} policy files, or one larger than 1 MiB", path = path.display())]
    TooMuch { path: PathBuf },
    #[error(
        "{file} is part of the binary and can not be replaced; put policies of your own into a file of another name"
    )]
    Fixed { file: String },
    #[error("{file} is not Cedar: {problem}")]
    Syntax { file: String, problem: String },
    #[error("{file}: {problem}")]
    Policy { file: String, problem: String },
    #[error("the policies do not fit {SCHEMA_NAME}:\n{}", .problems.iter().map(|problem| format!("  - {problem}")).collect::<Vec<_>>().join("\n"))]
    Invalid { problems: Vec<String> },
}

/// A validated set of policies. Made once at the start of a host.
pub struct Policies {
    schema: Schema,
    authorizer: Authorizer,
    actions: BTreeMap<Action, Asked>,
    /// The hierarchy of actions and the lists of the policies, for questions without a role.
    bare: Entities,
    /// What subjects are, by name: Cedar parses a name each time that it is asked.
    kinds: BTreeMap<String, EntityTypeName>,
    digest: [u8; 32],
    summaries: Vec<PolicySummary>,
    known: Known,
}

/// A policy, for people.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct PolicySummary {
    pub id: String,
    /// `permit` or `forbid`.
    pub effect: &'static str,
    pub file: String,
    /// What a refusal by it says.
    pub says: Option<String>,
}

/// An action, and the policies whose scope can hold it: the others could only not apply.
struct Asked {
    uid: EntityUid,
    policies: PolicySet,
    /// What of a question these can read.
    reads: Reads,
}

/// Who asks, with what policies can know of it.
#[derive(Debug, Clone)]
pub struct Asker {
    uid: EntityUid,
    entities: Entities,
    /// Of all that policies can know of it.
    digest: [u8; 32],
}

/// The answer, and the policies that it stands on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    pub allowed: bool,
    /// Ids, sorted. For a denial by default [`DEFAULT_DENY`].
    pub policies: Vec<String>,
    /// What could not be evaluated. Never empty where `allowed` is false because of it.
    pub errors: Vec<String>,
}

impl std::fmt::Debug for Policies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Policies").field("digest", &hex::encode(self.digest)).finish_non_exhaustive()
    }
}

impl Policies {
    /// The policies of this binary.
    pub fn shipped() -> Result<Self, PoliciesError> {
        Self::from_files(&REPLACEABLE.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect())
    }

    /// The policies of this binary, with the files of a folder in place of those of the same name, and besides them.
    pub fn load(folder: &Path) -> Result<Self, PoliciesError> {
        let mut files: BTreeMap<String, String> =
            REPLACEABLE.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        for (name, text) in read_folder(folder)? {
            let fixed = [(SCHEMA_NAME, SCHEMA), (PROHIBITED_NAME, PROHIBITED)];
            match fixed.iter().find(|(fixed, _)| *fixed == name) {
                // A copy of our folder holds them too.
                Some((_, ours)) if *ours == text => {}
                Some(_) => return Err(PoliciesError::Fixed { file: folder.join(name).display().to_string() }),
                None => drop(files.insert(name, text)),
            }
        }
        Self::from_files(&files)
    }

    fn from_files(files: &BTreeMap<String, String>) -> Result<Self, PoliciesError> {
        let syntax = |problem: String| PoliciesError::Syntax { file: SCHEMA_NAME.to_owned(), problem };
        let (schema, _) = Schema::from_cedarschema_str(SCHEMA).map_err(|error| syntax(error.to_string()))?;
        let mut set = PolicySet::new();
        let mut summaries = Vec::new();
        let mut hasher = Sha256::new();
        let fixed = [(SCHEMA_NAME, SCHEMA), (PROHIBITED_NAME, PROHIBITED)];
        let all = fixed.into_iter().chain(files.iter().map(|(name, text)| (name.as_str(), text.as_str())));
        for (name, text) in all {
            add_parts(&mut hasher, [name, text]);
            if name != SCHEMA_NAME {
                add_file(&mut set, &mut summaries, name, text)?;
            }
        }
        validate(&schema, &set)?;
        let bare = Entities::from_entities([], Some(&schema)).map_err(|error| syntax(error.to_string()))?;
        let mut constants = Constants::default();
        let actions = by_action(&set, &bare, &mut constants).map_err(syntax)?;
        let lists = constants.entity().map_err(syntax)?;
        // Without the schema, which says nothing of them.
        let bare = bare.add_entities([lists], None).map_err(|error| syntax(error.to_string()))?;
        let kinds = schema.entity_types().map(|kind| (kind.to_string(), kind.clone())).collect();
        let digest = hasher.finalize().into();
        let known = Known::new(ANSWERS_MAX);
        Ok(Self { schema, authorizer: Authorizer::new(), actions, bare, kinds, digest, summaries, known })
    }

    /// The same, with every question put to Cedar: for benches.
    #[must_use]
    pub fn forgetful(self) -> Self {
        Self { known: Known::new(0), ..self }
    }

    /// SHA-256 of the schema and all files with their names: what an approval is bound to.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// Every policy, in the order of files and lines.
    pub fn summaries(&self) -> &[PolicySummary] {
        &self.summaries
    }

    /// What a refusal by this policy says.
    pub fn says(&self, id: &str) -> Option<&str> {
        self.summaries.iter().find(|summary| summary.id == id)?.says.as_deref()
    }

    /// A role as its manifest describes it.
    pub fn role(&self, name: &str, worker_type: &str, task_types: &[String]) -> Result<Asker, PoliciesError> {
        let problem = |problem: String| PoliciesError::Policy { file: SCHEMA_NAME.to_owned(), problem };
        let uid = uid("Role", name).map_err(problem)?;
        let types = task_types.iter().map(|name| RestrictedExpression::new_string(name.clone()));
        let attributes = [
            ("worker_type".to_owned(), RestrictedExpression::new_string(worker_type.to_owned())),
            ("task_types".to_owned(), RestrictedExpression::new_set(types)),
        ];
        let entity = Entity::new(uid.clone(), attributes.into(), std::collections::HashSet::new())
            .map_err(|error| problem(error.to_string()))?;
        let entities = self.bare.clone().add_entities([entity], Some(&self.schema));
        let entities = entities.map_err(|error| problem(error.to_string()))?;
        let digest = digest(["Role", name, worker_type].into_iter().chain(task_types.iter().map(String::as_str)));
        Ok(Asker { uid, entities, digest })
    }

    /// A person, or whoever holds a token.
    pub fn person(&self, name: &str) -> Result<Asker, PoliciesError> {
        let problem = |problem: String| PoliciesError::Policy { file: SCHEMA_NAME.to_owned(), problem };
        let uid = uid("Person", name).map_err(problem)?;
        Ok(Asker { uid, entities: self.bare.clone(), digest: digest(["Person", name]) })
    }

    /// Evaluates all policies, if the answer is not known already. Whatever goes wrong is a denial, and so is a call on a
    /// fiber's stack: Cedar measures how much is left of the thread's own.
    pub fn decide(&self, asker: &Asker, question: &Question) -> Decision {
        let Some(rules) = self.actions.get(&question.action) else {
            return failed("there is no such action".to_owned());
        };
        let key = rules.reads.key(&asker.digest, question);
        if let Some(decision) = self.known.get(&key) {
            debug_assert_eq!(decision, self.evaluate(asker, rules, question), "what is known of {question:?}");
            return decision;
        }
        let decision = self.evaluate(asker, rules, question);
        self.known.keep(key, &decision);
        decision
    }

    /// The answer if it is known. Fit for a fiber's stack.
    pub fn known(&self, asker: &Asker, question: &Question) -> Option<Decision> {
        self.known.get(&self.actions.get(&question.action)?.reads.key(&asker.digest, question))
    }

    fn evaluate(&self, asker: &Asker, rules: &Asked, question: &Question) -> Decision {
        match self.request(asker, &rules.uid, question) {
            Ok(request) => self.answer(&request, &rules.policies, &asker.entities),
            Err(problem) => failed(problem),
        }
    }

    fn request(&self, asker: &Asker, action: &EntityUid, question: &Question) -> Result<Request, String> {
        let Subject { kind, id } = &question.subject;
        let context = Context::from_pairs(question.context()?).map_err(|error| error.to_string())?;
        // While developing, a question that the policies were not validated for is a mistake of ours. In a release it
        // costs a fifth of the decision, and a fact that is missing or of another type denies all the same.
        let schema = cfg!(debug_assertions).then_some(&self.schema);
        let kind = self.kinds.get(*kind).ok_or("there is no such kind of subject")?;
        let subject = EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id));
        Request::new(asker.uid.clone(), action.clone(), subject, context, schema).map_err(|error| error.to_string())
    }

    fn answer(&self, request: &Request, policies: &PolicySet, entities: &Entities) -> Decision {
        let response = self.authorizer.is_authorized(request, policies, entities);
        let errors: Vec<String> = response.diagnostics().errors().map(ToString::to_string).collect();
        let mut ids: Vec<String> = if errors.is_empty() {
            response.diagnostics().reason().map(ToString::to_string).collect()
        } else {
            let failed = response.diagnostics().errors().map(|error| match error {
                AuthorizationError::PolicyEvaluationError(error) => error.policy_id().to_string(),
            });
            failed.collect()
        };
        let allowed = errors.is_empty() && response.decision() == CedarDecision::Allow;
        if ids.is_empty() {
            ids.push(DEFAULT_DENY.to_owned());
        }
        ids.sort();
        Decision { allowed, policies: ids, errors }
    }
}

fn failed(problem: String) -> Decision {
    Decision { allowed: false, policies: vec![DEFAULT_DENY.to_owned()], errors: vec![problem] }
}

fn digest<'a>(parts: impl IntoIterator<Item = &'a str>) -> [u8; 32] {
    let mut hasher = Sha256::new();
    add_parts(&mut hasher, parts);
    hasher.finalize().into()
}

/// Each with its length, so that no two different lists are the same bytes.
fn add_parts<'a>(hasher: &mut Sha256, parts: impl IntoIterator<Item = &'a str>) {
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
}

fn uid(kind: &str, id: &str) -> Result<EntityUid, String> {
    let kind = EntityTypeName::from_str(kind).map_err(|error| error.to_string())?;
    Ok(EntityUid::from_type_name_and_id(kind, EntityId::new(id)))
}

/// For each action the policies that name it, a group of it, or no action; without their lists.
fn by_action(
    set: &PolicySet,
    actions: &Entities,
    constants: &mut Constants,
) -> Result<BTreeMap<Action, Asked>, String> {
    let mut found = BTreeMap::new();
    for action in Action::ALL {
        let uid = uid("Action", action.name())?;
        let groups: Vec<&EntityUid> = actions.ancestors(&uid).ok_or("the schema has no such action")?.collect();
        let holds = |named: &EntityUid| *named == uid || groups.contains(&named);
        let (mut policies, mut reads) = (PolicySet::new(), Reads::default());
        for policy in set.policies() {
            let applies = match policy.action_constraint() {
                ActionConstraint::Any => true,
                ActionConstraint::In(named) => named.iter().any(holds),
                ActionConstraint::Eq(named) => holds(&named),
            };
            if applies {
                reads.add(policy)?;
                policies.add(constants.take(policy)?).map_err(|error| error.to_string())?;
            }
        }
        found.insert(*action, Asked { uid, policies, reads });
    }
    Ok(found)
}

fn read_folder(folder: &Path) -> Result<Vec<(String, String)>, PoliciesError> {
    let unreadable = |cause| PoliciesError::Unreadable { path: folder.to_owned(), cause };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let extension = Path::new(&name).extension().and_then(|extension| extension.to_str());
        if !matches!(extension, Some("cedar" | "cedarschema")) {
            continue;
        }
        let bytes = std::fs::metadata(entry.path()).map_err(unreadable)?.len();
        if files.len() == FILES_MAX || bytes > FILE_BYTES_MAX {
            return Err(PoliciesError::TooMuch { path: folder.to_owned() });
        }
        files.push((name, std::fs::read_to_string(entry.path()).map_err(unreadable)?));
    }
    files.sort();
    Ok(files)
}

fn add_file(
    set: &mut PolicySet,
    summaries: &mut Vec<PolicySummary>,
    name: &str,
    text: &str,
) -> Result<(), PoliciesError> {
    let parsed = PolicySet::from_str(text)
        .map_err(|error| PoliciesError::Syntax { file: name.to_owned(), problem: error.to_string() })?;
    let problem = |problem: String| PoliciesError::Policy { file: name.to_owned(), problem };
    if let Some(template) = parsed.templates().next() {
        return Err(problem(format!("template {} is not supported: write a policy without slots", template.id())));
    }
    let mut policies: Vec<Policy> = parsed.policies().cloned().collect();
    // Cedar numbers them in the order of the file.
    policies.sort_by_key(|policy| {
        policy.id().to_string().strip_prefix("policy").and_then(|number| number.parse::<u32>().ok())
    });
    for (number, policy) in policies.into_iter().enumerate() {
        let Some(id) = policy.annotation("id").filter(|id| !id.trim().is_empty()).map(str::to_owned) else {
            return Err(problem(format!("policy number {} has no @id(\"…\"); every decision names one", number + 1)));
        };
        if id == DEFAULT_DENY {
            return Err(problem(format!("@id({id:?}) is what a denial without any policy is called; choose another")));
        }
        let effect = match policy.effect() {
            cedar_policy::Effect::Permit => "permit",
            cedar_policy::Effect::Forbid => "forbid",
        };
        let says = policy.annotation("says").map(str::to_owned);
        set.add(policy.new_id(PolicyId::new(&id)))
            .map_err(|_| problem(format!("@id({id:?}) is taken by another policy; ids are unique over all files")))?;
        summaries.push(PolicySummary { id, effect, file: name.to_owned(), says });
    }
    Ok(())
}

/// Strict, and a warning counts: a policy that can never apply is a mistake of whoever wrote it.
fn validate(schema: &Schema, set: &PolicySet) -> Result<(), PoliciesError> {
    let result = Validator::new(schema.clone()).validate(set, ValidationMode::Strict);
    let errors = result.validation_errors().map(ToString::to_string);
    let problems: Vec<String> = errors.chain(result.validation_warnings().map(ToString::to_string)).collect();
    if problems.is_empty() { Ok(()) } else { Err(PoliciesError::Invalid { problems }) }
}

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;
