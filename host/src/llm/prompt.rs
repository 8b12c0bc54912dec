//! What a role asks, checked, and the conversation that the service gets for it.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::answer::{Answer, Finish};
use super::quote;
use super::schema::Schema;

const MESSAGES_MAX: usize = 64;
const PARTS_MAX: usize = 256;
const TOOLS_MAX: usize = 32;
/// Tool calls of one message, of a role or of a model.
pub(super) const TOOL_CALLS_MAX: usize = 32;
/// All texts of a request together, schemas included.
const PROMPT_BYTES_MAX: usize = 256 * 1024;
const SOURCE_BYTES_MAX: usize = 200;
const NAME_BYTES_MAX: usize = 64;
/// Longest answer that goes back to the model when it is asked to mend it.
const REPEATED_BYTES_MAX: usize = 64 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Speaker {
    System,
    User,
    Assistant,
    Tool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    Text(String),
    Quoted { source: String, text: String },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Message {
    pub speaker: Speaker,
    pub parts: Vec<Part>,
    pub tool_call: Option<String>,
    pub tool_calls: Vec<ToolCall>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    pub id: String,
    pub name: String,
    /// JSON.
    pub arguments: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tool {
    pub name: String,
    pub description: String,
    /// JSON Schema.
    pub parameters: String,
}

/// What a role asks, as it said it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Request {
    pub model: Option<String>,
    pub messages: Vec<Message>,
    pub schema: Option<String>,
    pub tools: Vec<Tool>,
    pub answer_tokens_max: u32,
}

/// A request that can be sent.
#[derive(Clone, Debug)]
pub struct Checked {
    messages: Vec<Message>,
    schema: Option<Schema>,
    tools: Vec<(Tool, Schema)>,
    answer_tokens_max: u32,
}

impl Request {
    /// What has to hold before anything is copied or journalled: sizes and forms.
    pub fn check_form(&self) -> Result<(), String> {
        let Self { model, messages, schema, tools, answer_tokens_max } = self;
        let most = |what: &str, count: usize, max: usize| {
            if count > max { Err(format!("{count} {what}; at most {max}")) } else { Ok(()) }
        };
        most("messages", messages.len(), MESSAGES_MAX)?;
        most("tools", tools.len(), TOOLS_MAX)?;
        most("parts of messages", messages.iter().map(|message| message.parts.len()).sum(), PARTS_MAX)?;
        let tools_bytes = tools.iter().map(|tool| tool.name.len() + tool.description.len() + tool.parameters.len());
        let bytes = messages.iter().map(Message::bytes).sum::<usize>()
            + tools_bytes.sum::<usize>()
            + [model, schema].iter().filter_map(|text| text.as_ref()).map(String::len).sum::<usize>();
        most("bytes of messages, schemas and tools", bytes, PROMPT_BYTES_MAX)?;
        if messages.is_empty() {
            return Err("no message: say what is asked".to_owned());
        }
        if *answer_tokens_max == 0 {
            return Err("answer-tokens-max is 0: no answer fits into that".to_owned());
        }
        messages.iter().try_for_each(Message::check)?;
        let mut names = HashSet::new();
        tools.iter().try_for_each(|tool| {
            check_text(&tool.description)?;
            if is_name(&tool.name) && names.insert(tool.name.as_str()) {
                return Ok(());
            }
            let name = &tool.name;
            Err(format!(
                "a tool's name is 1 to {NAME_BYTES_MAX} letters, digits, '_' or '-', and stands once; not {name:?}"
            ))
        })
    }

    /// The same with its schemas. Takes a moment: not for a thread that others wait for.
    pub fn check(&self) -> Result<Checked, String> {
        self.check_form()?;
        let tool = |tool: &Tool| {
            let schema = Schema::compile(&format!("the parameters of tool {:?}", tool.name), &tool.parameters)?;
            Ok((tool.clone(), schema))
        };
        Ok(Checked {
            messages: self.messages.clone(),
            schema: self.schema.as_deref().map(|text| Schema::compile("the schema", text)).transpose()?,
            tools: self.tools.iter().map(tool).collect::<Result<_, String>>()?,
            answer_tokens_max: self.answer_tokens_max,
        })
    }
}

impl Message {
    fn bytes(&self) -> usize {
        let parts = self.parts.iter().map(|part| match part {
            Part::Text(text) => text.len(),
            Part::Quoted { source, text } => source.len() + text.len(),
        });
        let calls = self.tool_calls.iter().map(|call| call.id.len() + call.name.len() + call.arguments.len());
        parts.sum::<usize>() + calls.sum::<usize>() + self.tool_call.as_ref().map_or(0, String::len)
    }

    fn check(&self) -> Result<(), String> {
        let Self { speaker, parts, tool_call, tool_calls } = self;
        for part in parts {
            match part {
                Part::Text(text) => check_text(text)?,
                // What is quoted may hold anything; see `Checked::begin`.
                Part::Quoted { source, .. } => {
                    check_text(source)?;
                    if !(1..=SOURCE_BYTES_MAX).contains(&source.len()) {
                        return Err(format!(
                            "the source of a quotation is 1 to {SOURCE_BYTES_MAX} bytes, not {}",
                            source.len()
                        ));
                    }
                }
            }
        }
        let answers = tool_call.is_some();
        if answers != (*speaker == Speaker::Tool) {
            return Err("tool-call goes with the speaker `tool`, and with no other".to_owned());
        }
        if !tool_calls.is_empty() && *speaker != Speaker::Assistant {
            return Err("tool-calls go with the speaker `assistant`, and with no other".to_owned());
        }
        if tool_calls.len() > TOOL_CALLS_MAX {
            return Err(format!("{} tool calls in a message; at most {TOOL_CALLS_MAX}", tool_calls.len()));
        }
        if parts.is_empty() && tool_calls.is_empty() {
            return Err("a message is empty".to_owned());
        }
        let ids = tool_calls.iter().map(|call| &call.id).chain(tool_call);
        ids.into_iter().try_for_each(|id| check_text(id))?;
        tool_calls.iter().try_for_each(|call| {
            check_text(&call.arguments)?;
            if is_name(&call.name) { Ok(()) } else { Err(format!("{:?} is no name of a tool", call.name)) }
        })
    }
}

fn is_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

fn check_text(text: &str) -> Result<(), String> {
    if text.contains('\0') { Err("a text holds U+0000; leave it out".to_owned()) } else { Ok(()) }
}

/// A request on its way: it grows when a model is asked to mend its answer.
#[derive(Clone, Debug)]
pub struct Conversation {
    checked: Checked,
    messages: Vec<Value>,
}

impl Checked {
    /// `step` names the call in the run: the ids of quoted blocks are made of it.
    pub fn begin(self, step: &str) -> Conversation {
        let mut blocks = 0;
        let mut messages = vec![json!({ "role": Speaker::System, "content": quote::INSTRUCTION })];
        messages.extend(self.messages.iter().map(|message| wire(message, step, &mut blocks)));
        Conversation { checked: self, messages }
    }
}

fn wire(message: &Message, step: &str, blocks: &mut usize) -> Value {
    let Message { speaker, parts, tool_call, tool_calls } = message;
    let texts = parts.iter().map(|part| match part {
        Part::Text(text) => text.clone(),
        Part::Quoted { source, text } => {
            *blocks += 1;
            quote::block(&format!("{step} {blocks}"), source, &text.replace('\0', "\u{2400}"))
        }
    });
    let content = texts.collect::<Vec<_>>().join("\n");
    let mut wire = Map::from_iter([("role".to_owned(), json!(speaker)), ("content".to_owned(), json!(content))]);
    if let Some(id) = tool_call {
        wire.insert("tool_call_id".to_owned(), json!(id));
    }
    if !tool_calls.is_empty() {
        wire.insert("tool_calls".to_owned(), tool_calls.iter().map(wire_call).collect());
    }
    Value::Object(wire)
}

fn wire_call(call: &ToolCall) -> Value {
    let ToolCall { id, name, arguments } = call;
    json!({ "id": id, "type": "function", "function": { "name": name, "arguments": arguments } })
}

impl Conversation {
    /// The request for one model.
    pub fn body(&self, model: &str) -> Value {
        let Checked { messages: _, schema, tools, answer_tokens_max } = &self.checked;
        let mut body = Map::from_iter([
            ("model".to_owned(), json!(model)),
            ("messages".to_owned(), json!(self.messages)),
            ("max_tokens".to_owned(), json!(answer_tokens_max)),
            ("usage".to_owned(), json!({ "include": true })),
            ("stream".to_owned(), json!(false)),
        ]);
        if let Some(schema) = schema {
            let format = json!({ "name": "answer", "strict": schema.is_strict(), "schema": schema.value() });
            body.insert("response_format".to_owned(), json!({ "type": "json_schema", "json_schema": format }));
        }
        if !tools.is_empty() {
            let function = |(Tool { name, description, parameters: _ }, schema): &(Tool, Schema)| {
                let function = json!({ "name": name, "description": description, "parameters": schema.value() });
                json!({ "type": "function", "function": function })
            };
            body.insert("tools".to_owned(), tools.iter().map(function).collect());
        }
        if schema.is_some() || !tools.is_empty() {
            // Only where what is asked for is understood.
            body.insert("provider".to_owned(), json!({ "require_parameters": true }));
        }
        Value::Object(body)
    }

    pub fn answer_tokens_max(&self) -> u32 {
        self.checked.answer_tokens_max
    }

    /// Whether the answer is one: what is wrong with it, for the model to mend. A text that has to fit a schema is made plain JSON.
    pub fn judge(&self, answer: &mut Answer) -> Result<(), String> {
        let Checked { messages: _, schema, tools, answer_tokens_max } = &self.checked;
        match answer.finish {
            Finish::Refused => return Ok(()),
            Finish::Length if schema.is_some() => {
                return Err(format!("it was cut off at {answer_tokens_max} tokens: say it shorter"));
            }
            // What it was about to call is not known whole.
            Finish::Length => {
                answer.tool_calls.clear();
                return Ok(());
            }
            Finish::Stop | Finish::ToolCalls => {}
        }
        if !answer.tool_calls.is_empty() {
            answer.finish = Finish::ToolCalls;
            return answer.tool_calls.iter().try_for_each(|call| check_call(call, tools));
        }
        answer.finish = Finish::Stop;
        let Some(schema) = schema else {
            let empty = answer.text.trim().is_empty();
            return if empty { Err("it was empty".to_owned()) } else { Ok(()) };
        };
        let text = unfenced(&answer.text);
        let value: Value = serde_json::from_str(text).map_err(|error| format!("it is no JSON: {error}"))?;
        schema.check(&value)?;
        answer.text = text.to_owned();
        Ok(())
    }

    /// Asks once more, with what was wrong.
    pub fn ask_again(&mut self, answer: &Answer, wrong: &str) {
        let calls: Vec<Value> = answer.tool_calls.iter().map(wire_call).collect();
        let said = &answer.text[..answer.text.floor_char_boundary(REPEATED_BYTES_MAX)];
        let mend =
            format!("That answer can not be used: {wrong}. Answer again, whole, and in the form that was asked for.");
        if calls.is_empty() {
            self.messages.push(json!({ "role": Speaker::Assistant, "content": said }));
            self.messages.push(json!({ "role": Speaker::User, "content": mend }));
            return;
        }
        self.messages.push(json!({ "role": Speaker::Assistant, "content": said, "tool_calls": calls }));
        self.messages.extend(answer.tool_calls.iter().map(|call| {
            json!({ "role": Speaker::Tool, "tool_call_id": call.id, "content": format!("Not carried out. {mend}") })
        }));
    }
}

fn check_call(call: &ToolCall, tools: &[(Tool, Schema)]) -> Result<(), String> {
    let ToolCall { id: _, name, arguments } = call;
    let Some((_, schema)) = tools.iter().find(|(tool, _)| tool.name == *name) else {
        return Err(format!("there is no tool {:?}", name.chars().take(NAME_BYTES_MAX).collect::<String>()));
    };
    let arguments: Value =
        serde_json::from_str(arguments).map_err(|error| format!("the arguments of {name} are no JSON: {error}"))?;
    if !arguments.is_object() {
        return Err(format!("the arguments of {name} are no JSON object"));
    }
    schema.check(&arguments).map_err(|wrong| format!("the arguments of {name} do not fit: {wrong}"))
}

/// Models that are not held to a form like to put JSON between fences.
fn unfenced(text: &str) -> &str {
    let text = text.trim();
    let inside =
        text.strip_prefix("```json").or_else(|| text.strip_prefix("```")).and_then(|rest| rest.strip_suffix("```"));
    inside.unwrap_or(text).trim()
}
