//! Calls as people write them down: `policy explain` and `policy test`.
//!
//! The same questions as in a run, over facts that stand in the case instead of being looked up in the world.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::action::{AskModel, CreateBranch, MergePullRequest, OpenPullRequest, PutFile};
use super::{Assessment, Authority, Beyond, BranchFacts, Denied, MergeFacts, Needed, Ruling, Scope, admit};
use crate::manifest::Interface;
use crate::repo::{Branch, RepoPath, Repository, Sha};
use crate::task::{Risk, Target, TaskDraft, TaskId};
use crate::web::{Method, WebTarget};

/// Stands for the task's own branch in the arguments of a case.
const OWN_BRANCH: &str = "{branch}";
/// The calls that can be written down.
const CALLS: &str = "github-read.*, github-write.create-branch, github-write.put-file, github-write.open-pull-request, \
                     github-merge.merge, http-fetch.fetch, http-send.send, deploy.dispatch, llm.ask, tasks-read.*, tasks-write.*, goals.*, \
                     workers-read.*, metrics-read.*, logs-read.*, alerts.*, learnings.*, reports.*, recommendations.*, task.create, task.claim, \
                     task.start, task.complete";

/// A file of cases.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseFile {
    /// Folder of the role, relative to the file.
    pub role: PathBuf,
    /// The task of each case that has none of its own.
    #[serde(default)]
    pub task: Option<CaseTask>,
    pub case: Vec<Case>,
}

/// One row of the table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    pub name: String,
    #[serde(default)]
    pub task: Option<CaseTask>,
    #[serde(flatten)]
    pub call: CaseCall,
    pub expect: Verdict,
    /// Policies that the answer must name.
    #[serde(default)]
    pub policies: Vec<String>,
}

/// A task, with the id that its branch is named after.
#[derive(Debug, Clone, Deserialize)]
pub struct CaseTask {
    #[serde(default)]
    pub id: Option<TaskId>,
    #[serde(flatten)]
    pub draft: TaskDraft,
}

/// A call, its arguments, and what the world would say.
#[derive(Debug, Clone, Deserialize)]
pub struct CaseCall {
    /// For example `github-write.put-file`.
    pub call: String,
    #[serde(default)]
    pub arguments: Value,
    #[serde(default)]
    pub facts: Value,
}

/// What comes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    Allow,
    Deny,
    NeedsApproval,
}

/// A decision, explained.
#[derive(Debug, Clone, Serialize)]
pub struct Explained {
    pub verdict: Verdict,
    pub policies: Vec<String>,
    pub message: String,
    /// Of this call.
    pub risk: Risk,
    pub reasons: Vec<String>,
}

impl Explained {
    fn allowed(policies: Vec<String>, risk: &Assessment) -> Self {
        let Assessment { level, reasons } = risk.clone();
        Self { verdict: Verdict::Allow, policies, message: "allowed".to_owned(), risk: level, reasons }
    }

    fn denied(denied: Denied, risk: &Assessment) -> Self {
        let Denied { policies, message } = denied;
        Self { verdict: Verdict::Deny, policies, message, risk: risk.level, reasons: risk.reasons.clone() }
    }

    fn needed(needed: Needed) -> Self {
        let Needed { policies, risk, reasons } = needed;
        let message = "waits for a person's approval".to_owned();
        Self { verdict: Verdict::NeedsApproval, policies, message, risk, reasons }
    }

    fn of<G>(ruling: Result<Ruling<G>, Denied>, risk: &Assessment) -> Self {
        match ruling {
            Err(denied) => Self::denied(denied, risk),
            Ok(Ruling { needs: Some(needed), .. }) => Self::needed(needed),
            Ok(Ruling { decision, risk, .. }) => Self::allowed(decision.policies, &risk),
        }
    }
}

impl CaseFile {
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        toml::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
    }
}

/// Decides one call of a task.
pub fn explain(authority: &Authority, task: &CaseTask, call: &CaseCall) -> Result<Explained, String> {
    let risk = super::assess_task(&task.draft);
    let id = task.id.unwrap_or(TaskId(uuid::Uuid::nil()));
    let target = Target::of_payload(&task.draft.payload);
    let scope = Scope { authority, task: id, task_type: &task.draft.task_type, risk: &risk, target: target.as_ref() };
    let arguments = Arguments { given: &call.arguments, facts: &call.facts, own_branch: id.branch() };
    if call.call.starts_with("github-read.") {
        let repository = arguments.repository()?;
        return Ok(match scope.read(&repository) {
            Ok(decision) => Explained::allowed(decision.policies, &risk),
            Err(denied) => Explained::denied(denied, &risk),
        });
    }
    if let Some(explained) = arguments.records(&scope, &call.call, &risk)? {
        return Ok(explained);
    }
    Ok(match call.call.as_str() {
        "github-write.create-branch" => {
            let facts = BranchFacts { on_base: arguments.fact("on_base").and_then(Value::as_bool).unwrap_or(true) };
            Explained::of(scope.create_branch(arguments.create_branch()?, facts), &risk)
        }
        "github-write.put-file" => Explained::of(scope.put_file(arguments.put_file()?), &risk),
        "github-write.open-pull-request" => {
            Explained::of(scope.open_pull_request(arguments.open_pull_request()?), &risk)
        }
        "github-merge.merge" => {
            let (action, facts) = arguments.merge(target.as_ref())?;
            Explained::of(scope.merge(action, &facts), &risk)
        }
        "http-fetch.fetch" | "http-send.send" => arguments.web(&scope, &call.call, &risk)?,
        "deploy.dispatch" => {
            let workflow = arguments.text("workflow")?;
            Explained::of(scope.deploy(&arguments.repository()?, &workflow, arguments.granted()), &risk)
        }
        "task.create" => match admit(&authority.policies, "somebody", id, &task.draft) {
            Ok(admission) => match admission.start {
                Some(needed) => Explained::needed(needed),
                None => Explained::allowed(admission.decision.policies, &admission.risk),
            },
            Err(denied) => Explained::denied(denied, &risk),
        },
        "task.claim" => match authority.may_claim(&task.draft.task_type) {
            Ok(decision) => Explained::allowed(decision.policies, &risk),
            Err(denied) => Explained::denied(denied, &risk),
        },
        "task.start" => match scope.start() {
            Some(needed) => Explained::needed(needed),
            None => Explained::allowed(vec![], &risk),
        },
        "task.complete" => match scope.complete(arguments.fact("verified").and_then(Value::as_bool).unwrap_or(false)) {
            Ok(decision) => Explained::allowed(decision.policies, &risk),
            Err(denied) => Explained::denied(denied, &risk),
        },
        other => return Err(format!("there is no call {other:?}; there are {CALLS}")),
    })
}

/// Arguments of a case, read into the types of a run.
struct Arguments<'a> {
    given: &'a Value,
    facts: &'a Value,
    own_branch: String,
}

impl Arguments<'_> {
    fn fact(&self, key: &str) -> Option<&Value> {
        self.facts.get(key)
    }

    fn text(&self, key: &str) -> Result<String, String> {
        let text = self.given.get(key).and_then(Value::as_str);
        let text = text.ok_or_else(|| format!("arguments.{key} is missing, or no string"))?;
        Ok(text.replace(OWN_BRANCH, &self.own_branch))
    }

    fn repository(&self) -> Result<Repository, String> {
        Repository::parse(&self.text("repository")?).map_err(|error| error.to_string())
    }

    fn branch(&self, key: &str) -> Result<Branch, String> {
        let branch =
            self.text(key).or_else(|error| if key == "base" { Err(error) } else { Ok(self.own_branch.clone()) });
        Branch::parse(&branch?).map_err(|error| error.to_string())
    }

    fn sha(&self, key: &str) -> Result<Sha, String> {
        let sha = self.text(key).unwrap_or_else(|_| "a".repeat(40));
        Sha::parse(&sha).map_err(|error| error.to_string())
    }

    /// Capabilities that a case may speak of before a manifest can grant them.
    fn granted(&self) -> bool {
        self.fact("granted").and_then(Value::as_bool).unwrap_or(false)
    }

    /// Calls that reach what the host keeps, and models. `facts.beyond` names keys of the grant that the call exceeds.
    fn records(&self, scope: &Scope<'_>, call: &str, risk: &Assessment) -> Result<Option<Explained>, String> {
        let Some((interface, function)) = call.split_once('.') else { return Ok(None) };
        let Some(interface) = Interface::from_name(interface) else { return Ok(None) };
        let keys: Vec<String> = match self.fact("beyond") {
            None => Vec::new(),
            Some(keys) => serde_json::from_value(keys.clone()).map_err(|error| format!("facts.beyond: {error}"))?,
        };
        let beyond: Beyond = keys.into_iter().map(|key| (key.clone(), format!("beyond {key}"))).collect();
        let asked = match interface {
            Interface::TasksRead | Interface::WorkersRead | Interface::MetricsRead | Interface::LogsRead => {
                scope.read_records(interface, function, beyond)
            }
            Interface::TasksWrite
            | Interface::Goals
            | Interface::Alerts
            | Interface::Learnings
            | Interface::Reports
            | Interface::Recommendations => scope.write_records(interface, function, beyond),
            Interface::Llm => {
                let tokens = self.given.get("tokens").and_then(Value::as_u64).unwrap_or(0);
                let action = AskModel { model: self.text("model")?, body: Value::Null, tokens };
                return Ok(Some(Explained::of(scope.ask_model(action, beyond), risk)));
            }
            Interface::GithubRead
            | Interface::GithubWrite
            | Interface::GithubMerge
            | Interface::Timer
            | Interface::Scratch
            | Interface::HttpFetch
            | Interface::HttpSend
            | Interface::Deploy => return Ok(None),
        };
        Ok(Some(match asked {
            Ok(decision) => Explained::allowed(decision.policies, risk),
            Err(denied) => Explained::denied(denied, risk),
        }))
    }

    fn web(&self, scope: &Scope<'_>, call: &str, risk: &Assessment) -> Result<Explained, String> {
        let method = self.text("method").unwrap_or_else(|_| "GET".to_owned());
        let target = match WebTarget::parse(&self.text("url")?) {
            Ok(target) => target,
            // What is no address reaches no policy.
            Err(error) => {
                let denied = Denied { policies: vec!["invalid-url".to_owned()], message: error.to_string() };
                return Ok(Explained::denied(denied, risk));
            }
        };
        if call == "http-send.send" {
            return Ok(Explained::of(scope.send(&target, &method, self.granted()), risk));
        }
        let method = serde_json::from_value::<Method>(json!(method)).map_err(|error| format!("method: {error}"))?;
        Ok(match scope.fetch(&target, method) {
            Ok(decision) => Explained::allowed(decision.policies, risk),
            Err(denied) => Explained::denied(denied, risk),
        })
    }

    fn create_branch(&self) -> Result<CreateBranch, String> {
        Ok(CreateBranch { repository: self.repository()?, branch: self.branch("branch")?, sha: self.sha("sha")? })
    }

    fn put_file(&self) -> Result<PutFile, String> {
        Ok(PutFile {
            repository: self.repository()?,
            branch: self.branch("branch")?,
            path: RepoPath::parse(&self.text("path")?).map_err(|error| error.to_string())?,
            content: self.text("content").unwrap_or_default().into_bytes(),
            message: self.text("message").unwrap_or_default(),
            previous: if self.given.get("previous").is_some() { Some(self.sha("previous")?) } else { None },
        })
    }

    fn open_pull_request(&self) -> Result<OpenPullRequest, String> {
        Ok(OpenPullRequest {
            repository: self.repository()?,
            head: self.branch("head")?,
            base: self.branch("base")?,
            title: self.text("title").unwrap_or_default(),
            body: self.text("body").unwrap_or_default(),
        })
    }

    /// A merge of one commit that this task made, where the case says nothing else.
    fn merge(&self, target: Option<&Target>) -> Result<(MergePullRequest, MergeFacts), String> {
        let action = MergePullRequest {
            repository: self.repository()?,
            number: self.given.get("number").and_then(Value::as_u64).unwrap_or(1),
            head_sha: self.sha("head_sha")?,
            message: String::new(),
        };
        let head = json!(action.head_sha);
        let text = |key: &str, default: String| match self.fact(key) {
            None => default,
            Some(value) => value.as_str().unwrap_or_default().replace(OWN_BRANCH, &self.own_branch),
        };
        let list = |key: &str, default: Value| {
            let list = self.fact(key).cloned().unwrap_or(default);
            serde_json::from_value::<Vec<String>>(list).map_err(|error| format!("facts.{key}: {error}"))
        };
        let shas = |key: &str| -> Result<Vec<Sha>, String> {
            list(key, json!([head]))?.iter().map(|sha| Sha::parse(sha).map_err(|error| error.to_string())).collect()
        };
        let contents = self.fact("contents").and_then(Value::as_object);
        let facts = MergeFacts {
            head_repository: Repository::parse(&text("head_repository", action.repository.to_string())).ok(),
            head_branch: text("head_branch", self.own_branch.clone()),
            base_branch: text("base_branch", target.map(|target| target.base.to_string()).unwrap_or_default()),
            head: text("head", action.head_sha.to_string()),
            commits: shas("commits")?,
            truncated: self.fact("truncated").and_then(Value::as_bool).unwrap_or(false),
            paths: list("paths", json!([]))?,
            gone: list("gone", json!([]))?,
            own_commits: shas("own_commits")?,
            base_renames: list("base_renames", json!([]))?,
            files_removed: self
                .fact("files_removed")
                .and_then(Value::as_u64)
                .map_or(0, |files| usize::try_from(files).unwrap_or(usize::MAX)),
            contents: (contents.into_iter().flatten())
                .map(|(path, text)| (path.clone(), text.as_str().unwrap_or_default().as_bytes().to_vec()))
                .collect(),
            unread: list("unread", json!([]))?,
        };
        Ok((action, facts))
    }
}
