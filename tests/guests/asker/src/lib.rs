//! Asks what its payload says, and says what came of each:
//! `{"asks": [{"model": …, "text": …, "quoted": …, "schema": {…}, "tools": [{"name", "parameters"}], "tokens": 100,
//! "times": 1}], "sleep_ms": 0}`. `{"remaining": true}` among the asks looks at the budget. A text `{"repeat": "x", "times": 9}` is long.

use juggernaut_guest::llm::{self, Message, Part, Quotation, Request, Speaker, Tool};
use juggernaut_guest::{Assignment, Error, Evidence, Failure, info, timer};
use serde_json::Value;

juggernaut_guest::role!(run);

fn run(task: Assignment) -> Result<Evidence, Failure> {
    let payload: Value = serde_json::from_str(&task.payload).unwrap_or_default();
    let none = Vec::new();
    for ask in payload["asks"].as_array().unwrap_or(&none) {
        for _ in 0..ask["times"].as_u64().unwrap_or(1) {
            let said = if ask["remaining"] == true { remaining() } else { asked(ask) };
            info!("{said}");
        }
    }
    if let Some(sleep_ms) = payload["sleep_ms"].as_u64() {
        timer::sleep(std::time::Duration::from_millis(sleep_ms))?;
        info!("slept");
    }
    Err(Failure::final_("asked everything"))
}

fn remaining() -> String {
    match llm::remaining() {
        Ok(left) => format!("left {} tokens {} microdollars", left.tokens, left.cost_microdollars),
        Err(error) => failed(&error),
    }
}

fn text(value: &Value) -> String {
    match value["repeat"].as_str() {
        Some(part) => part.repeat(usize::try_from(value["times"].as_u64().unwrap_or(1)).unwrap_or(1)),
        None => value.as_str().unwrap_or_default().to_owned(),
    }
}

fn asked(ask: &Value) -> String {
    let mut parts = vec![Part::Text(text(&ask["text"]))];
    if !ask["quoted"].is_null() {
        let source = ask["source"].as_str().unwrap_or("page").to_owned();
        parts.push(Part::Quoted(Quotation { source, text: text(&ask["quoted"]) }));
    }
    let none = Vec::new();
    let tools = ask["tools"].as_array().unwrap_or(&none).iter();
    let tools = tools.map(|tool| Tool {
        name: text(&tool["name"]),
        description: "A tool".to_owned(),
        parameters: tool["parameters"].to_string(),
    });
    let request = Request {
        model: ask["model"].as_str().map(str::to_owned),
        messages: vec![Message { speaker: Speaker::User, parts, tool_call: None, tool_calls: Vec::new() }],
        schema: (!ask["schema"].is_null()).then(|| ask["schema"].to_string()),
        tools: tools.collect(),
        answer_tokens_max: u32::try_from(ask["tokens"].as_u64().unwrap_or(100)).unwrap_or(u32::MAX),
    };
    match llm::ask(&request) {
        Ok(answer) => {
            let calls: Vec<String> =
                answer.tool_calls.iter().map(|call| format!("{}({})", call.name, call.arguments)).collect();
            format!(
                "{:?} {} {:?} {:?} {}+{} tokens {} microdollars",
                answer.finish,
                answer.model,
                answer.text,
                calls,
                answer.prompt_tokens,
                answer.answer_tokens,
                answer.cost_microdollars,
            )
        }
        Err(error) => failed(&error),
    }
}

fn failed(error: &Error) -> String {
    match error {
        Error::Denied(message) => format!("denied {message}"),
        Error::Invalid(message) => format!("invalid {message}"),
        Error::Unavailable(message) => format!("unavailable {message}"),
        Error::RateLimited(hint) => format!("rate-limited {} ms {}", hint.after_ms, hint.message),
        error => format!("{error:?}"),
    }
}
