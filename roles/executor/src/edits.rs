//! Edits as a model proposes them, and what a file is after one.

use serde::Deserialize;

/// Most edits of one answer.
pub const EDITS_MAX: usize = 50;
/// Most files that one answer may ask for.
pub const WANTS_MAX: usize = 20;

/// The schema that the host holds answers to.
pub const SCHEMA: &str = r#"{
    "type": "object",
    "additionalProperties": false,
    "required": ["summary", "read", "edits"],
    "properties": {
        "summary": { "type": "string", "maxLength": 2000 },
        "read": { "type": "array", "maxItems": 20, "items": { "type": "string", "minLength": 1, "maxLength": 500 } },
        "edits": {
            "type": "array",
            "maxItems": 50,
            "items": {
                "type": "object",
                "additionalProperties": false,
                "required": ["path", "action", "search", "content"],
                "properties": {
                    "path": { "type": "string", "minLength": 1, "maxLength": 500 },
                    "action": { "enum": ["write", "replace"] },
                    "search": { "type": "string" },
                    "content": { "type": "string" }
                }
            }
        }
    }
}"#;

/// What a model answers.
#[derive(Debug, Deserialize)]
pub struct Answer {
    pub summary: String,
    pub read: Vec<String>,
    pub edits: Vec<Edit>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// The whole file is the content.
    Write,
    /// The one place where the file has `search` gets the content.
    Replace,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Edit {
    pub path: String,
    pub action: Action,
    pub search: String,
    pub content: String,
}

/// The file after the edit; `before` is none where there is no such file.
pub fn apply(edit: &Edit, before: Option<&str>) -> Result<String, String> {
    let Edit { path, action, search, content } = edit;
    match (action, before) {
        (Action::Write, _) => Ok(content.clone()),
        (Action::Replace, None) => Err(format!("{path} does not exist, so nothing in it can be replaced: write it")),
        (Action::Replace, Some(_)) if search.is_empty() => {
            Err(format!("{path}: the search text is empty: copy the lines to replace, or write the whole file"))
        }
        (Action::Replace, Some(before)) => match before.matches(search.as_str()).count() {
            1 => Ok(before.replacen(search.as_str(), content, 1)),
            0 => Err(format!("{path} does not contain the search text; copy it exactly, or write the whole file")),
            count => {
                Err(format!("{path} contains the search text {count} times; take more lines, so that it is there once"))
            }
        },
    }
}
