//! `llm`: values in and out; `llm_ask` is what happens in between.

use serde_json::json;

use crate::journal::{Call, Effect};
use crate::llm::{self, Answer as Said};
use crate::records::{ModelQuery, Query, Remaining};
use crate::sandbox::bindings::juggernaut::host::llm as wit;
use crate::sandbox::calls::{CallError, GuestError};
use crate::sandbox::imports::llm_ask::Journalled;
use crate::sandbox::state::RunState;

impl wit::Host for RunState {
    async fn ask(&mut self, request: wit::Request) -> Result<wit::Answer, CallError> {
        let request = heard(request);
        request.check_form().map_err(GuestError::Invalid)?;
        let call = Call { interface: "llm", function: "ask", effect: Effect::Write, arguments: json!(request) };
        let Journalled { model, said, usage } = self.ask_model(call, request).await?;
        let Said { text, tool_calls, finish } = said;
        Ok(wit::Answer {
            model,
            text,
            tool_calls: tool_calls.into_iter().map(told_call).collect(),
            finish: match finish {
                llm::Finish::Stop => wit::Finish::Stop,
                llm::Finish::Length => wit::Finish::Length,
                llm::Finish::ToolCalls => wit::Finish::ToolCalls,
                llm::Finish::Refused => wit::Finish::Refused,
            },
            prompt_tokens: usage.prompt_tokens,
            answer_tokens: usage.answer_tokens,
            cost_microdollars: usage.microdollars,
        })
    }

    async fn remaining(&mut self) -> Result<wit::Budget, CallError> {
        let call = Call { interface: "llm", function: "remaining", effect: Effect::Read, arguments: json!({}) };
        let allowed = self.judged(|scope| scope.see_budget()).await;
        let query = Query::Models(ModelQuery::Remaining(self.task_budget()));
        let Remaining { tokens, microdollars } = self.look(call, allowed, query).await?;
        Ok(wit::Budget { tokens, cost_microdollars: microdollars })
    }
}

fn heard(request: wit::Request) -> llm::Request {
    let wit::Request { model, messages, schema, tools, answer_tokens_max } = request;
    let tool = |tool: wit::Tool| {
        let wit::Tool { name, description, parameters } = tool;
        llm::Tool { name, description, parameters }
    };
    llm::Request {
        model,
        messages: messages.into_iter().map(heard_message).collect(),
        schema,
        tools: tools.into_iter().map(tool).collect(),
        answer_tokens_max,
    }
}

fn heard_message(message: wit::Message) -> llm::Message {
    let wit::Message { speaker, parts, tool_call, tool_calls } = message;
    let part = |part| match part {
        wit::Part::Text(text) => llm::Part::Text(text),
        wit::Part::Quoted(wit::Quotation { source, text }) => llm::Part::Quoted { source, text },
    };
    let call = |call: wit::ToolCall| {
        let wit::ToolCall { id, name, arguments } = call;
        llm::ToolCall { id, name, arguments }
    };
    llm::Message {
        speaker: match speaker {
            wit::Speaker::System => llm::Speaker::System,
            wit::Speaker::User => llm::Speaker::User,
            wit::Speaker::Assistant => llm::Speaker::Assistant,
            wit::Speaker::Tool => llm::Speaker::Tool,
        },
        parts: parts.into_iter().map(part).collect(),
        tool_call,
        tool_calls: tool_calls.into_iter().map(call).collect(),
    }
}

fn told_call(call: llm::ToolCall) -> wit::ToolCall {
    let llm::ToolCall { id, name, arguments } = call;
    wit::ToolCall { id, name, arguments }
}
