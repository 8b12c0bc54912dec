//! What policies are asked, in the terms of `policies/juggernaut.cedarschema`.

use cedar_policy::RestrictedExpression;
use serde_json::{Value, json};

/// The actions of the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    ReadRepository,
    CreateBranch,
    PutFile,
    OpenPullRequest,
    MergePullRequest,
    Fetch,
    Send,
    Deploy,
    AskModel,
    ReadRecords,
    WriteRecords,
    CreateTask,
    ClaimTask,
    CompleteTask,
    RunUnattended,
}

impl Action {
    pub const ALL: &[Self] = &[
        Self::ReadRepository,
        Self::CreateBranch,
        Self::PutFile,
        Self::OpenPullRequest,
        Self::MergePullRequest,
        Self::Fetch,
        Self::Send,
        Self::Deploy,
        Self::AskModel,
        Self::ReadRecords,
        Self::WriteRecords,
        Self::CreateTask,
        Self::ClaimTask,
        Self::CompleteTask,
        Self::RunUnattended,
    ];

    /// As in the schema.
    pub fn name(self) -> &'static str {
        match self {
            Self::ReadRepository => "read_repository",
            Self::CreateBranch => "create_branch",
            Self::PutFile => "put_file",
            Self::OpenPullRequest => "open_pull_request",
            Self::MergePullRequest => "merge_pull_request",
            Self::Fetch => "fetch",
            Self::Send => "send",
            Self::Deploy => "deploy",
            Self::AskModel => "ask_model",
            Self::ReadRecords => "read_records",
            Self::WriteRecords => "write_records",
            Self::CreateTask => "create_task",
            Self::ClaimTask => "claim_task",
            Self::CompleteTask => "complete_task",
            Self::RunUnattended => "run_unattended",
        }
    }

    /// Whether it takes effect outside the task's own branch: then high risk waits for a person.
    pub fn takes_effect(self) -> bool {
        match self {
            Self::MergePullRequest | Self::Send | Self::Deploy => true,
            Self::ReadRepository
            | Self::CreateBranch
            | Self::PutFile
            | Self::OpenPullRequest
            | Self::Fetch
            | Self::AskModel
            | Self::ReadRecords
            | Self::WriteRecords
            | Self::CreateTask
            | Self::ClaimTask
            | Self::CompleteTask
            | Self::RunUnattended => false,
        }
    }
}

/// What an action is done to: an entity of the schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    pub kind: &'static str,
    pub id: String,
}

impl Subject {
    pub fn repository(name: &crate::repo::Repository) -> Self {
        Self { kind: "Repository", id: name.to_string() }
    }

    pub fn task(id: crate::task::TaskId) -> Self {
        Self { kind: "Task", id: id.to_string() }
    }

    pub fn endpoint(address: &str) -> Self {
        Self { kind: "Endpoint", id: address.to_owned() }
    }

    pub fn model(name: &str) -> Self {
        Self { kind: "Model", id: name.to_owned() }
    }

    /// What the host keeps, by the interface that reaches it.
    pub fn records(interface: crate::manifest::Interface) -> Self {
        Self { kind: "Records", id: interface.name().to_owned() }
    }

    pub fn workflow(name: &str) -> Self {
        Self { kind: "Workflow", id: name.to_owned() }
    }
}

/// A value of a question's context.
#[derive(Clone, Debug, PartialEq)]
pub enum Fact {
    Bool(bool),
    Number(i64),
    Text(String),
    Set(Vec<String>),
    Record(Vec<(&'static str, Fact)>),
}

impl Fact {
    fn expression(&self) -> Result<RestrictedExpression, String> {
        Ok(match self {
            Self::Bool(value) => RestrictedExpression::new_bool(*value),
            Self::Number(value) => RestrictedExpression::new_long(*value),
            Self::Text(value) => RestrictedExpression::new_string(value.clone()),
            Self::Set(values) => {
                RestrictedExpression::new_set(values.iter().cloned().map(RestrictedExpression::new_string))
            }
            Self::Record(fields) => {
                let fields: Result<Vec<_>, String> =
                    fields.iter().map(|(name, fact)| Ok(((*name).to_owned(), fact.expression()?))).collect();
                RestrictedExpression::new_record(fields?).map_err(|error| error.to_string())?
            }
        })
    }

    fn json(&self) -> Value {
        match self {
            Self::Bool(value) => json!(value),
            Self::Number(value) => json!(value),
            Self::Text(value) => json!(value),
            Self::Set(values) => json!(values),
            Self::Record(fields) => fields.iter().map(|(name, fact)| ((*name).to_owned(), fact.json())).collect(),
        }
    }
}

/// One question: may this be done?
#[derive(Clone, Debug)]
pub struct Question {
    pub action: Action,
    pub subject: Subject,
    pub facts: Vec<(&'static str, Fact)>,
    /// What stands for `{name}` in the `@says` of a policy.
    pub words: Vec<(&'static str, String)>,
}

impl Question {
    pub(super) fn context(&self) -> Result<Vec<(String, RestrictedExpression)>, String> {
        self.facts.iter().map(|(name, fact)| Ok(((*name).to_owned(), fact.expression()?))).collect()
    }

    /// The facts as a reviewer reads them.
    pub fn json(&self) -> Value {
        self.facts.iter().map(|(name, fact)| ((*name).to_owned(), fact.json())).collect()
    }

    /// Fills in a policy's words.
    pub fn fill(&self, says: &str) -> String {
        self.words.iter().fold(says.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
    }
}
