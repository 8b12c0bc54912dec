//! Asking a language model.
//!
//! ```no_run
//! use juggernaut_guest::llm::{self, Message, Part, Request};
//! use juggernaut_guest::{Error, github_read};
//!
//! #[derive(serde::Deserialize)]
//! struct Verdict {
//!     risky: bool,
//! }
//!
//! fn is_risky(path: &str) -> Result<bool, Error> {
//!     let file = github_read::get_file("demo/sample", path, "main")?;
//!     let request = Request::new([Message::user([
//!         Part::text("Is it risky to run this script? Answer with JSON."),
//!         Part::quoted(path, String::from_utf8_lossy(&file.content)),
//!     ])])
//!     .schema(r#"{"type": "object", "properties": {"risky": {"type": "boolean"}}, "required": ["risky"],
//!                 "additionalProperties": false}"#);
//!     Ok(llm::ask_json::<Verdict>(&request)?.risky)
//! }
//! ```
//!
//! Whatever others wrote goes into [`Part::quoted`]: the host marks it as data. What a model answers is data, too: check it before
//! you act on it, and let the host refuse what it may not do.

pub use crate::bindings::juggernaut::host::llm::*;

/// Longest answer where a request does not say.
const ANSWER_TOKENS: u32 = 4_000;

impl Part {
    /// Words of the role itself.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// Words of others: a file, a page, a log. `source` is 1 to 200 bytes.
    pub fn quoted(source: impl Into<String>, text: impl Into<String>) -> Self {
        Self::Quoted(Quotation { source: source.into(), text: text.into() })
    }
}

impl Message {
    fn of(speaker: Speaker, parts: impl IntoIterator<Item = Part>) -> Self {
        Self { speaker, parts: parts.into_iter().collect(), tool_call: None, tool_calls: Vec::new() }
    }

    pub fn system(parts: impl IntoIterator<Item = Part>) -> Self {
        Self::of(Speaker::System, parts)
    }

    pub fn user(parts: impl IntoIterator<Item = Part>) -> Self {
        Self::of(Speaker::User, parts)
    }

    pub fn assistant(parts: impl IntoIterator<Item = Part>) -> Self {
        Self::of(Speaker::Assistant, parts)
    }
}

impl Request {
    /// To the manifest's first model, for an answer of at most 4,000 tokens.
    pub fn new(messages: impl IntoIterator<Item = Message>) -> Self {
        Self {
            model: None,
            messages: messages.into_iter().collect(),
            schema: None,
            tools: Vec::new(),
            answer_tokens_max: ANSWER_TOKENS,
        }
    }

    /// JSON Schema that the answer must fit, without `$ref`. Providers hold a model to it while it writes where every object is closed
    /// (`additionalProperties: false`) and every property required.
    #[must_use]
    pub fn schema(mut self, schema: impl Into<String>) -> Self {
        self.schema = Some(schema.into());
        self
    }

    #[must_use]
    pub fn answer_tokens_max(mut self, tokens: u32) -> Self {
        self.answer_tokens_max = tokens;
        self
    }

    /// Another model of the manifest than its first.
    #[must_use]
    pub fn model(mut self, model: impl Into<String>) -> Self {
        self.model = Some(model.into());
        self
    }
}

/// Asks for JSON of this shape; the request has a schema for it. `invalid` where the model refuses.
pub fn ask_json<T: serde::de::DeserializeOwned>(request: &Request) -> Result<T, Error> {
    let answer = ask(request)?;
    if answer.finish == Finish::Refused {
        return Err(Error::Invalid(format!("the model {} refuses: {}", answer.model, answer.text)));
    }
    serde_json::from_str(&answer.text)
        .map_err(|error| Error::Invalid(format!("the answer is not as expected: {error}")))
}
