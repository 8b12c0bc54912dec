//! Acceptance criteria: typed where they can be, so that the host verifies them; text otherwise.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One acceptance criterion of a task.
///
/// In JSON a typed criterion is an object with a `type`; a plain string is free text:
/// `[{"type": "merged"}, {"type": "file-contains", "path": "core/memory.py", "text": "class MemoryStore"}, "reads well"]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Criterion {
    /// The task's pull request is merged.
    Merged,
    /// The file on the base branch contains the text after the merge.
    FileContains { path: String, text: String },
    /// The check run of that name is green on the head that was merged.
    CheckGreen { name: String },
    /// No test failed and at least one passed, in the suite of that name or in all of them.
    TestsPass {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        suite: Option<String>,
    },
    /// Every check of the verification report found what it expected.
    ChecksPass,
    /// The URL answered the task's newest fetch of it with this status.
    HttpStatus { url: String, status: u16 },
    /// Not verifiable by the host: the role attests it with references to the journal.
    FreeText { text: String },
}

/// What is wrong with a list of criteria.
#[derive(Debug, thiserror::Error)]
pub enum CriterionError {
    #[error("acceptance_criteria must be a list; write [\"…\"] for a single one")]
    NotAList,
    #[error("acceptance_criteria[{0}] {1}")]
    Invalid(usize, String),
}

impl Criterion {
    /// Reads the column `acceptance_criteria`: a list of strings and typed objects.
    pub fn parse_list(value: &Value) -> Result<Vec<Self>, CriterionError> {
        let items = value.as_array().ok_or(CriterionError::NotAList)?;
        items.iter().enumerate().map(|(at, item)| Self::parse(at, item)).collect()
    }

    fn parse(at: usize, item: &Value) -> Result<Self, CriterionError> {
        if let Some(text) = item.as_str() {
            if text.trim().is_empty() {
                return Err(CriterionError::Invalid(at, "is empty".into()));
            }
            return Ok(Self::FreeText { text: text.to_owned() });
        }
        serde_json::from_value(item.clone()).map_err(|error| {
            CriterionError::Invalid(
                at,
                format!(
                    "is neither a string nor one of {{\"type\": \"merged\"}}, {{\"type\": \"file-contains\", \
                     \"path\", \"text\"}}, {{\"type\": \"check-green\", \"name\"}}, {{\"type\": \"tests-pass\"}} (and \
                     \"suite\"), {{\"type\": \"checks-pass\"}}, {{\"type\": \"http-status\", \"url\", \"status\"}}: {error}"
                ),
            )
        })
    }

    /// The name of the kind, as guests see it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Merged => "merged",
            Self::FileContains { .. } => "file-contains",
            Self::CheckGreen { .. } => "check-green",
            Self::TestsPass { .. } => "tests-pass",
            Self::ChecksPass => "checks-pass",
            Self::HttpStatus { .. } => "http-status",
            Self::FreeText { .. } => "free-text",
        }
    }

    /// For people.
    pub fn describe(&self) -> String {
        match self {
            Self::Merged => "the pull request is merged".to_owned(),
            Self::FileContains { path, text } => format!("{path} contains {text:?}"),
            Self::CheckGreen { name } => format!("check {name:?} is green"),
            Self::TestsPass { suite: Some(suite) } => format!("the tests of suite {suite:?} pass"),
            Self::TestsPass { suite: None } => "the tests pass".to_owned(),
            Self::ChecksPass => "every check of the report passes".to_owned(),
            Self::HttpStatus { url, status } => format!("{url} answers with {status}"),
            Self::FreeText { text } => text.clone(),
        }
    }
}
