//! What a `code` task asks for.

use juggernaut_guest::Failure;
use serde::Deserialize;

#[derive(Debug, Deserialize)]
pub struct Payload {
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

#[derive(Debug, Deserialize)]
pub struct Change {
    pub path: String,
    pub content: String,
}

fn main_branch() -> String {
    "main".to_owned()
}

impl Payload {
    pub fn parse(json: &str) -> Result<Self, Failure> {
        let payload: Self = serde_json::from_str(json)
            .map_err(|error| Failure::final_("the payload is not that of a code task: ").because(error))?;
        if payload.instructions.is_some() {
            return Err(Failure::final_(
                "this executor has no language model: give `changes` ([{\"path\", \"content\"}]) instead of `instructions`",
            ));
        }
        if payload.changes.is_empty() {
            return Err(Failure::final_("the payload has no `changes`: there is nothing to do"));
        }
        Ok(payload)
    }
}
