//! What tasks ask for.

use juggernaut_guest::Failure;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Of a `code` task.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodePayload {
    /// `owner/name`.
    pub repository: String,
    #[serde(default = "main_branch")]
    pub base: String,
    #[serde(default)]
    pub changes: Vec<Change>,
    #[serde(default)]
    pub instructions: Option<String>,
    /// Subject of the commits; the task's title if unset.
    #[serde(default)]
    pub message: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    pub path: String,
    pub content: String,
}

/// Of a `test` task.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestPayload {
    pub repository: String,
    /// A branch, or a commit's SHA.
    #[serde(default = "main_branch")]
    pub reference: String,
    /// Check runs that must be there; all that are if empty.
    #[serde(default)]
    pub checks: Vec<String>,
    /// Reports in JUnit's XML. Without any, and without `checks`, the check runs that there are.
    #[serde(default)]
    pub reports: Vec<Report>,
}

/// A report: a file of the repository, or a URL.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    pub name: String,
    #[serde(default)]
    pub path: Option<String>,
    #[serde(default)]
    pub url: Option<String>,
}

/// Of a `verification` task.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerificationPayload {
    /// For checks that name none.
    #[serde(default)]
    pub repository: Option<String>,
    pub checks: Vec<NamedCheck>,
}

#[derive(Debug, Deserialize)]
pub struct NamedCheck {
    pub name: String,
    #[serde(flatten)]
    pub what: Looked,
}

/// What is looked at, and what it should be.
#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Looked {
    FileContains {
        repository: Option<String>,
        path: String,
        #[serde(default = "main_branch")]
        reference: String,
        text: String,
        #[serde(default = "yes")]
        expected: bool,
    },
    HttpStatus {
        url: String,
        expected: u16,
    },
    HttpContains {
        url: String,
        text: String,
        #[serde(default = "yes")]
        expected: bool,
    },
    /// `open`, `closed` or `merged`.
    PullRequestState {
        repository: Option<String>,
        number: u64,
        expected: String,
    },
    /// Such as `success`.
    CheckConclusion {
        repository: Option<String>,
        #[serde(default = "main_branch")]
        reference: String,
        check: String,
        expected: String,
    },
    /// The value at a JSON pointer in what GitHub says of a pull request, such as `/base_branch`.
    JsonValue {
        repository: Option<String>,
        number: u64,
        pointer: String,
        expected: String,
    },
}

/// Of a `documentation` task: a document that is written, one that is there, or one on the web.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DocumentationPayload {
    #[serde(default)]
    pub url: Option<String>,
    #[serde(default)]
    pub repository: Option<String>,
    #[serde(default = "main_branch")]
    pub base: String,
    #[serde(default)]
    pub path: Option<String>,
    #[serde(default)]
    pub content: Option<String>,
    #[serde(default)]
    pub instructions: Option<String>,
    #[serde(default)]
    pub message: Option<String>,
}

fn main_branch() -> String {
    "main".to_owned()
}

fn yes() -> bool {
    true
}

pub fn parse<T: DeserializeOwned>(task_type: &str, json: &str) -> Result<T, Failure> {
    serde_json::from_str(json)
        .map_err(|error| Failure::final_(format!("the payload is not that of a {task_type} task: ")).because(error))
}
