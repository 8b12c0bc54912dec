//! The questions that a run's calls are, and what follows from the answers.
//!
//! Invariant: only here a [`Granted`] is made, for the action with exactly the arguments that policies judged.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::action::{CreateBranch, MergePullRequest, OpenPullRequest, PutFile};
use super::engine::{Asker, Decision, Policies, PoliciesError};
use super::harm::Harm;
use super::question::{Action, Fact, Question, Subject};
use super::risk::Assessment;
use super::sql::Looker;
use super::{BranchFacts, Denied, Granted, MergeFacts, Needed, Ruling, outside, paths};
use crate::manifest::Manifest;
use crate::repo::{Branch, Repository};
use crate::task::{Risk, Target, Task, TaskId};

/// A role under a set of policies: what does not depend on the call.
#[derive(Debug, Clone)]
pub struct Authority {
    pub policies: Arc<Policies>,
    pub manifest: Arc<Manifest>,
    pub(super) asker: Asker,
    /// For each action and risk, what `run_unattended` says; absent where no person is needed.
    attended: BTreeMap<(Action, Risk), Denied>,
}

impl Authority {
    pub fn new(policies: Arc<Policies>, manifest: Arc<Manifest>) -> Result<Self, PoliciesError> {
        let role = &manifest.role;
        let asker = policies.role(&role.name, &role.worker_type, &role.task_types)?;
        let mut attended_by = BTreeMap::new();
        for (action, level) in
            Action::ALL.iter().flat_map(|action| Risk::ALL.iter().map(move |level| (*action, *level)))
        {
            let risk = Assessment::new(level, Vec::new());
            if let Some(Needed { policies, reasons, .. }) =
                attended(&policies, &asker, action.name(), &risk, action.takes_effect())
            {
                attended_by.insert((action, level), Denied { policies, message: reasons.join("; ") });
            }
        }
        Ok(Self { policies, manifest, asker, attended: attended_by })
    }

    /// Why a person has to approve an action of this risk, if so.
    fn attended(&self, action: Action, risk: &Assessment) -> Option<Needed> {
        self.attended.get(&(action, risk.level)).map(|denied| needed(denied, risk))
    }

    /// The authority of a run of this task. `risk` and `target` are as they are at this moment.
    pub fn over<'a>(&'a self, task: &'a Task, risk: &'a Assessment, target: Option<&'a Target>) -> Scope<'a> {
        Scope { authority: self, task: task.id, task_type: &task.task_type, risk, target }
    }

    /// Whether the role may claim tasks of a type. Does not depend on the task, so it is asked once for each type.
    pub fn may_claim(&self, task_type: &str) -> Result<Decision, Denied> {
        let question = Question {
            action: Action::ClaimTask,
            subject: Subject { kind: "Task", id: format!("any {task_type}") },
            facts: vec![("task_type", Fact::Text(task_type.to_owned()))],
            words: vec![
                ("task_type", format!("{task_type:?}")),
                ("manifest", self.manifest.path.display().to_string()),
            ],
        };
        permitted(&self.policies, &self.asker, &question)
    }
}

/// The authority of one run: its role and its task.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    pub authority: &'a Authority,
    pub task: TaskId,
    pub task_type: &'a str,
    /// The task's risk, as the host, its creator and its runs have raised it.
    pub risk: &'a Assessment,
    /// What the task's payload names; nothing else may be changed.
    pub target: Option<&'a Target>,
}

/// Asks, and turns a denial into what a role and a person can read.
pub(super) fn permitted(policies: &Policies, asker: &Asker, question: &Question) -> Result<Decision, Denied> {
    let decision = policies.decide(asker, question);
    if decision.allowed {
        return Ok(decision);
    }
    let mut messages: Vec<String> = decision.errors.iter().map(|error| format!("policy failed: {error}")).collect();
    messages.extend(decision.policies.iter().filter_map(|id| policies.says(id)).map(|says| question.fill(says)));
    if messages.is_empty() {
        messages.push(format!("no policy permits {} on {:?}", question.action.name(), question.subject.id));
    }
    Err(Denied { policies: decision.policies, message: messages.join("; ") })
}

impl Scope<'_> {
    /// Whether the run may read a repository.
    pub fn read(&self, repository: &Repository) -> Result<Decision, Denied> {
        permitted(&self.authority.policies, &self.authority.asker, &self.reading(repository))
    }

    /// The permission to read a repository, where it is known. Fit for a fiber's stack.
    pub fn read_known(&self, repository: &Repository) -> Option<Decision> {
        let known = self.authority.policies.known(&self.authority.asker, &self.reading(repository));
        known.filter(|decision| decision.allowed)
    }

    fn reading(&self, repository: &Repository) -> Question {
        let outside = outside::read(&self.authority.manifest, repository);
        self.question(Action::ReadRepository, Subject::repository(repository), &outside, vec![], vec![])
    }

    /// A branch begins at a commit of the base.
    pub fn create_branch(&self, action: CreateBranch, facts: BranchFacts) -> Result<Ruling<CreateBranch>, Denied> {
        let decision = self.may_create_branch_if(&action, facts)?;
        Ok(self.ruling(Action::CreateBranch, decision, self.risk.clone(), action))
    }

    /// What can be said of it before looking at the repository.
    pub fn may_create_branch(&self, action: &CreateBranch) -> Result<(), Denied> {
        self.may_create_branch_if(action, BranchFacts { on_base: true }).map(drop)
    }

    fn may_create_branch_if(&self, action: &CreateBranch, facts: BranchFacts) -> Result<Decision, Denied> {
        let CreateBranch { repository, branch, sha } = action;
        let outside = outside::write(&self.authority.manifest, repository, branch, None);
        let facts = vec![("on_base", Fact::Bool(facts.on_base))];
        let words = vec![("commit", sha.to_string())];
        self.ask_write(Action::CreateBranch, repository, branch.as_str(), &outside, facts, words)
    }

    pub fn put_file(&self, action: PutFile) -> Result<Ruling<PutFile>, Denied> {
        let PutFile { repository, branch, path, content, message: _, previous } = &action;
        let outside = outside::write(&self.authority.manifest, repository, branch, None);
        let mut looker = Looker::default();
        let harm = Harm::of_file(path.as_str(), content, previous.is_some(), &mut looker);
        let facts = vec![("paths", paths::facts([path.as_str()])), ("harm", harm.fact())];
        let words = vec![("paths", paths::named(&[path.as_str()])), ("harm", harm.to_string())];
        let decision = self.ask_write(Action::PutFile, repository, branch.as_str(), &outside, facts, words)?;
        let mut risk = self.risk.clone();
        risk.raise_for_file(path.as_str(), Some(content), &mut looker);
        Ok(self.ruling(Action::PutFile, decision, risk, action))
    }

    pub fn open_pull_request(&self, action: OpenPullRequest) -> Result<Ruling<OpenPullRequest>, Denied> {
        let OpenPullRequest { repository, head, base, title: _, body: _ } = &action;
        let outside = outside::write(&self.authority.manifest, repository, head, Some(base.as_str()));
        let facts = vec![("base", Fact::Text(base.to_string()))];
        let words = vec![("base", format!("{:?}", base.as_str()))];
        let decision = self.ask_write(Action::OpenPullRequest, repository, head.as_str(), &outside, facts, words)?;
        Ok(self.ruling(Action::OpenPullRequest, decision, self.risk.clone(), action))
    }

    /// Whether the run may merge in a repository at all: asked before any look at it.
    pub fn may_merge_in(&self, repository: &Repository) -> Result<(), Denied> {
        let base = self.target.map(|target| target.base.to_string()).unwrap_or_default();
        let harmless = MergeFacts::none(repository.clone(), self.task.branch(), base);
        self.may_merge(repository, "", &harmless, &mut Looker::default()).map(drop)
    }

    /// Merges only what this task made: its own branch, in the same repository, with nobody else's commits on it.
    pub fn merge(&self, action: MergePullRequest, facts: &MergeFacts) -> Result<Ruling<MergePullRequest>, Denied> {
        let mut looker = Looker::default();
        let decision = self.may_merge(&action.repository, action.head_sha.as_str(), facts, &mut looker)?;
        let mut risk = self.risk.clone();
        for (path, content) in facts.judged_files() {
            risk.raise_for_file(path, content, &mut looker);
        }
        for path in facts.unseen() {
            risk.raise(
                Risk::High,
                format!("{path:?} is SQL or a migration, and nobody has seen what the merge makes of it"),
            );
        }
        if let Some(path) = facts.unread.first() {
            let count = facts.unread.len();
            risk.raise(
                Risk::High,
                format!("nobody has looked for SQL in {count} of the programs that it changes, as {path:?}"),
            );
        }
        risk.raise_for_size(facts.paths.len());
        Ok(self.ruling(Action::MergePullRequest, decision, risk, action))
    }

    fn may_merge(
        &self,
        repository: &Repository,
        head: &str,
        facts: &MergeFacts,
        looker: &mut Looker,
    ) -> Result<Decision, Denied> {
        let MergeFacts { head_repository, head_branch, base_branch, .. } = facts;
        let outside = outside::merge(&self.authority.manifest, repository, base_branch);
        let texts = |shas: &[crate::repo::Sha]| shas.iter().map(ToString::to_string).collect::<Vec<_>>();
        let touched: Vec<&str> = facts.touched().collect();
        let harm = Harm::of_merge(facts, looker);
        let foreign = facts.commits.iter().find(|commit| !facts.own_commits.contains(commit));
        let known = vec![
            ("base", Fact::Text(base_branch.clone())),
            ("head_repository", Fact::Text(head_repository.as_ref().map(ToString::to_string).unwrap_or_default())),
            ("head", Fact::Text(head.to_owned())),
            ("judged_head", Fact::Text(facts.head.clone())),
            ("newest_commit", Fact::Text(facts.newest_commit())),
            ("commits", Fact::Set(texts(&facts.commits))),
            ("own_commits", Fact::Set(texts(&facts.own_commits))),
            ("truncated", Fact::Bool(facts.truncated)),
            ("paths", paths::facts(touched.iter().copied())),
            ("harm", harm.fact()),
        ];
        let words = vec![
            ("base", format!("{base_branch:?}")),
            ("head", head.to_owned()),
            ("foreign", foreign.map(ToString::to_string).unwrap_or_default()),
            ("paths", paths::named(&touched)),
            ("harm", harm.to_string()),
        ];
        self.ask_write(Action::MergePullRequest, repository, head_branch, &outside, known, words)
    }

    /// Whether the attempt may end as completed.
    pub fn complete(&self, verified: bool) -> Result<Decision, Denied> {
        let question = Question {
            action: Action::CompleteTask,
            subject: Subject::task(self.task),
            facts: vec![("task", self.task_fact()), ("verified", Fact::Bool(verified))],
            words: vec![],
        };
        permitted(&self.authority.policies, &self.authority.asker, &question)
    }

    fn task_fact(&self) -> Fact {
        task_fact(self.task, self.task_type, self.risk, self.target)
    }

    fn ask_write(
        &self,
        action: Action,
        repository: &Repository,
        branch: &str,
        outside: &outside::Outside,
        mut facts: Vec<(&'static str, Fact)>,
        mut words: Vec<(&'static str, String)>,
    ) -> Result<Decision, Denied> {
        facts.push(("repository", Fact::Text(repository.to_string())));
        facts.push(("branch", Fact::Text(branch.to_owned())));
        let own = self.target.map_or_else(|| "it names none".to_owned(), |target| target.repository.to_string());
        words.push(("repository", repository.to_string()));
        words.push(("own_repository", own));
        words.push(("own_base", self.target.map(|target| target.base.to_string()).unwrap_or_default()));
        words.push(("branch", format!("{branch:?}")));
        words.push(("own_branch", self.task.branch()));
        self.ask(action, Subject::repository(repository), outside, facts, words)
    }

    pub(super) fn ask(
        &self,
        action: Action,
        subject: Subject,
        outside: &outside::Outside,
        facts: Vec<(&'static str, Fact)>,
        words: Vec<(&'static str, String)>,
    ) -> Result<Decision, Denied> {
        let question = self.question(action, subject, outside, facts, words);
        permitted(&self.authority.policies, &self.authority.asker, &question)
    }

    /// Of any call: it stands in the scope of the task, and within the manifest or outside of it.
    fn question(
        &self,
        action: Action,
        subject: Subject,
        outside: &outside::Outside,
        mut facts: Vec<(&'static str, Fact)>,
        mut words: Vec<(&'static str, String)>,
    ) -> Question {
        facts.push(("task", self.task_fact()));
        facts.push(("outside", outside.fact()));
        words.push(("outside", outside.remedy()));
        Question { action, subject, facts, words }
    }

    /// The second question: may what is permitted be done without a person? Its answer does not depend on the call.
    pub(super) fn ruling<A>(&self, action: Action, decision: Decision, risk: Assessment, granted: A) -> Ruling<A> {
        let needs = self.authority.attended(action, &risk);
        Ruling { grant: Granted::new(granted), needs, decision, risk }
    }
}

/// Why a person has to approve an action, if so.
pub(super) fn attended(
    policies: &Policies,
    asker: &Asker,
    action: &str,
    risk: &Assessment,
    takes_effect: bool,
) -> Option<Needed> {
    let question = Question {
        action: Action::RunUnattended,
        // Whatever the task: it is asked once for each action and risk.
        subject: Subject { kind: "Task", id: "any".to_owned() },
        facts: vec![
            ("action", Fact::Text(action.to_owned())),
            ("risk", Fact::Number(risk.level as i64)),
            ("takes_effect", Fact::Bool(takes_effect)),
        ],
        words: vec![("action", action.to_owned()), ("risk", risk.level.to_string())],
    };
    let denied = permitted(policies, asker, &question).err()?;
    Some(needed(&denied, risk))
}

fn needed(denied: &Denied, risk: &Assessment) -> Needed {
    let reasons = std::iter::once(&denied.message).chain(&risk.reasons).cloned().collect();
    Needed { policies: denied.policies.clone(), risk: risk.level, reasons }
}

pub(super) fn task_fact(task: TaskId, task_type: &str, risk: &Assessment, target: Option<&Target>) -> Fact {
    let text = |text: Option<String>| Fact::Text(text.unwrap_or_default());
    Fact::Record(vec![
        ("id", Fact::Text(task.to_string())),
        ("task_type", Fact::Text(task_type.to_owned())),
        ("risk", Fact::Number(risk.level as i64)),
        ("branch", Fact::Text(task.branch())),
        ("repository", text(target.map(|target| target.repository.to_string()))),
        ("base", text(target.map(|target| Branch::to_string(&target.base)))),
    ])
}
