//! What a model says, as the service tells it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::prompt::{TOOL_CALLS_MAX, ToolCall};

/// More tokens, or more millionths of a dollar, than any answer is believed to have cost.
const FIGURE_MAX: u64 = 1_000_000_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finish {
    Stop,
    Length,
    ToolCalls,
    Refused,
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    pub text: String,
    pub tool_calls: Vec<ToolCall>,
    pub finish: Finish,
}

/// What it took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    pub prompt_tokens: u64,
    pub answer_tokens: u64,
    pub microdollars: u64,
}

impl Usage {
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            prompt_tokens: self.prompt_tokens.saturating_add(other.prompt_tokens),
            answer_tokens: self.answer_tokens.saturating_add(other.answer_tokens),
            microdollars: self.microdollars.saturating_add(other.microdollars),
        }
    }
}

/// The body of an answer with status 200.
#[derive(Debug, Deserialize)]
pub(super) struct WireAnswer {
    #[serde(default)]
    choices: Vec<WireChoice>,
    usage: Option<WireUsage>,
    error: Option<WireError>,
}

#[derive(Debug, Deserialize)]
struct WireChoice {
    message: Option<WireMessage>,
    finish_reason: Option<String>,
    error: Option<WireError>,
}

#[derive(Debug, Deserialize)]
struct WireMessage {
    content: Option<String>,
    refusal: Option<String>,
    tool_calls: Option<Vec<WireCall>>,
}

#[derive(Debug, Deserialize)]
struct WireCall {
    id: Option<String>,
    function: WireFunction,
}

#[derive(Debug, Deserialize)]
struct WireFunction {
    name: String,
    #[serde(default)]
    arguments: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct WireUsage {
    prompt_tokens: u64,
    completion_tokens: u64,
    /// US dollars.
    cost: Option<f64>,
}

/// Some errors come with status 200.
#[derive(Debug, Deserialize)]
pub(super) struct WireError {
    pub(super) code: Option<Value>,
    #[serde(default)]
    pub(super) message: String,
}

impl WireError {
    pub(super) fn status(&self) -> Option<u16> {
        let code = self.code.as_ref()?;
        code.as_u64().or_else(|| code.as_str()?.parse().ok()).and_then(|code| u16::try_from(code).ok())
    }
}

/// Figures of the service, as far as it gives any.
#[derive(Debug, Clone, Copy)]
pub(super) struct Figures {
    pub(super) prompt_tokens: u64,
    pub(super) answer_tokens: u64,
    pub(super) microdollars: Option<u64>,
}

impl WireUsage {
    fn figures(&self) -> Figures {
        Figures {
            prompt_tokens: self.prompt_tokens.min(FIGURE_MAX),
            answer_tokens: self.completion_tokens.min(FIGURE_MAX),
            microdollars: self.cost.and_then(microdollars),
        }
    }
}

/// Rounded up; none for what is no price.
fn microdollars(dollars: f64) -> Option<u64> {
    #[expect(clippy::cast_precision_loss, reason = "a bound")]
    let most = FIGURE_MAX as f64;
    let value = (dollars * 1e6).ceil();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within its limits")]
    (value.is_finite() && value >= 0.0).then(|| value.min(most) as u64)
}

impl WireAnswer {
    /// The answer and its figures, or the error that the service put in its place.
    pub(super) fn read(self) -> Result<(Answer, Option<Figures>), WireError> {
        let figures = self.usage.as_ref().map(WireUsage::figures);
        let unreadable = |what: &str| WireError { code: None, message: what.to_owned() };
        // A model had begun: whatever status the error names, it may have to be paid for.
        let begun = |error: WireError| WireError { code: None, ..error };
        if let Some(error) = self.error {
            return Err(if figures.is_some() { begun(error) } else { error });
        }
        let choice = self.choices.into_iter().next().ok_or_else(|| unreadable("the answer holds no choice"))?;
        if let Some(error) = choice.error {
            return Err(begun(error));
        }
        let message = choice.message.ok_or_else(|| unreadable("the answer holds no message"))?;
        let refusal = message.refusal.filter(|text| !text.trim().is_empty());
        let finish = match choice.finish_reason.as_deref() {
            _ if refusal.is_some() => Finish::Refused,
            Some("content_filter") => Finish::Refused,
            Some("length") => Finish::Length,
            Some("tool_calls") => Finish::ToolCalls,
            Some("error") => return Err(unreadable("the model broke off")),
            Some(_) | None => Finish::Stop,
        };
        let text = refusal.or(message.content).unwrap_or_default().replace('\0', "\u{2400}");
        let calls = message.tool_calls.unwrap_or_default();
        let tool_calls = match finish {
            Finish::Refused => Vec::new(),
            Finish::Stop | Finish::Length | Finish::ToolCalls => {
                calls.into_iter().take(TOOL_CALLS_MAX).enumerate().map(|(number, call)| call.read(number)).collect()
            }
        };
        Ok((Answer { text, tool_calls, finish }, figures))
    }
}

impl WireCall {
    fn read(self, number: usize) -> ToolCall {
        let Self { id, function: WireFunction { name, arguments } } = self;
        let plain = |text: String| text.replace('\0', "\u{2400}");
        let id = id.filter(|id| !id.is_empty()).unwrap_or_else(|| format!("call-{number}"));
        let arguments = if arguments.trim().is_empty() { "{}".to_owned() } else { arguments };
        ToolCall { id: plain(id), name: plain(name), arguments: plain(arguments) }
    }
}
