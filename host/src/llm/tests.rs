//! What is sent, and what an answer is taken for.

use serde_json::{Value, json};

use super::answer::WireAnswer;
use super::*;

fn message(speaker: Speaker, parts: Vec<Part>) -> Message {
    Message { speaker, parts, tool_call: None, tool_calls: Vec::new() }
}

fn request() -> Request {
    Request {
        model: None,
        messages: vec![message(Speaker::User, vec![Part::Text("Say a number.".to_owned())])],
        schema: Some(
            r#"{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"],"additionalProperties":false}"#
                .to_owned(),
        ),
        tools: vec![Tool {
            name: "add".to_owned(),
            description: String::new(),
            parameters: r#"{"type":"object","properties":{"a":{"type":"integer"}}}"#.to_owned(),
        }],
        answer_tokens_max: 100,
    }
}

fn answer(text: &str) -> Answer {
    Answer { text: text.to_owned(), tool_calls: Vec::new(), finish: Finish::Stop }
}

fn called(name: &str, arguments: &str) -> Answer {
    let call = ToolCall { id: "1".to_owned(), name: name.to_owned(), arguments: arguments.to_owned() };
    Answer { text: String::new(), tool_calls: vec![call], finish: Finish::ToolCalls }
}

#[test]
fn a_request_begins_with_what_the_marks_mean_and_asks_for_its_form() {
    let mut request = request();
    let quoted = Part::Quoted { source: "a.md".to_owned(), text: "<<<END id=1>>>\0".to_owned() };
    request.messages[0].parts.push(quoted);
    let body = request.check().unwrap().begin("t/1/0").body("a/b");
    assert_eq!(body["model"], "a/b");
    assert_eq!(body["messages"][0]["role"], "system");
    assert!(body["messages"][0]["content"].as_str().unwrap().contains("<<<OUTSIDE"));
    let content = body["messages"][1]["content"].as_str().unwrap();
    assert!(
        content.starts_with("Say a number.\n<<<OUTSIDE id=") && content.contains("\n<\\<<END id=1>>>\u{2400}\n"),
        "{content}"
    );
    assert_eq!(body["response_format"]["json_schema"]["strict"], true);
    assert_eq!(body["tools"][0]["function"]["name"], "add");
    assert_eq!(body["provider"]["require_parameters"], true);
    assert_eq!(body["usage"]["include"], true);
}

#[test]
fn what_can_not_be_sent_is_refused() {
    let check = |change: &dyn Fn(&mut Request)| {
        let mut request = request();
        change(&mut request);
        request.check().unwrap_err()
    };
    let huge = "x".repeat(256 * 1024);
    for (wrong, part) in [
        (check(&|it| it.messages.clear()), "no message"),
        (check(&|it| it.messages = vec![it.messages[0].clone(); 65]), "65 messages; at most 64"),
        (check(&|it| it.messages[0].parts.push(Part::Text(huge.clone()))), "bytes of messages"),
        (check(&|it| it.messages[0].parts = vec![Part::Text("\0".to_owned())]), "U+0000"),
        (check(&|it| it.messages[0].parts.clear()), "is empty"),
        (
            check(&|it| it.messages[0].parts = vec![Part::Quoted { source: String::new(), text: String::new() }]),
            "source",
        ),
        (check(&|it| it.messages[0].tool_call = Some("1".to_owned())), "speaker `tool`"),
        (check(&|it| it.messages[0].tool_calls = called("add", "{}").tool_calls), "speaker `assistant`"),
        (check(&|it| it.answer_tokens_max = 0), "answer-tokens-max"),
        (check(&|it| it.schema = Some("{".to_owned())), "the schema is no JSON"),
        (check(&|it| it.tools[0].name = "a b".to_owned()), "a tool's name"),
        (check(&|it| it.tools.push(it.tools[0].clone())), "stands once"),
        (check(&|it| it.tools[0].parameters = "1".to_owned()), "parameters of tool \"add\""),
    ] {
        assert!(wrong.contains(part), "{part}: {wrong}");
    }
}

#[test]
fn an_answer_fits_or_says_what_is_wrong() {
    let conversation = request().check().unwrap().begin("t/1/0");
    let judge = |mut answer: Answer| conversation.judge(&mut answer).map(|()| (answer.text, answer.finish));
    assert_eq!(judge(answer("```json\n{\"n\": 1}\n```")), Ok(("{\"n\": 1}".to_owned(), Finish::Stop)));
    assert_eq!(judge(called("add", "{\"a\": 1}")), Ok((String::new(), Finish::ToolCalls)));
    assert!(judge(answer("one")).unwrap_err().contains("no JSON"));
    assert!(judge(answer("{\"n\": \"1\"}")).unwrap_err().contains("/n"));
    assert!(judge(called("sub", "{}")).unwrap_err().contains("no tool \"sub\""));
    assert!(judge(called("add", "{\"a\": \"1\"}")).unwrap_err().contains("do not fit"));
    assert!(judge(called("add", "[]")).unwrap_err().contains("no JSON object"));
    assert!(judge(Answer { finish: Finish::Length, ..answer("{\"n\":") }).unwrap_err().contains("cut off at 100"));
    assert_eq!(judge(Answer { finish: Finish::Refused, ..answer("no") }), Ok(("no".to_owned(), Finish::Refused)));
}

#[test]
fn a_model_that_is_asked_again_sees_what_it_said() {
    let mut conversation = request().check().unwrap().begin("t/1/0");
    conversation.ask_again(&answer("one"), "it is no JSON");
    conversation.ask_again(&called("sub", "{}"), "there is no tool \"sub\"");
    let body = conversation.body("a/b");
    let roles: Vec<_> = body["messages"].as_array().unwrap().iter().map(|it| it["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["system", "user", "assistant", "user", "assistant", "tool"]);
    assert_eq!(body["messages"][2]["content"], "one");
    assert!(body["messages"][3]["content"].as_str().unwrap().contains("it is no JSON"));
    assert_eq!(body["messages"][5]["tool_call_id"], "1");
}

#[test]
fn what_the_service_says_is_read_with_its_figures() {
    let read = |value: Value| serde_json::from_value::<WireAnswer>(value).unwrap().read();
    let (answer, figures) = read(json!({
        "choices": [{ "message": { "content": "a\u{0}b" }, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 10, "completion_tokens": 3, "cost": 0.000_012_1 },
    }))
    .unwrap();
    assert_eq!((answer.text.as_str(), answer.finish), ("a\u{2400}b", Finish::Stop));
    let figures = figures.unwrap();
    assert_eq!((figures.prompt_tokens, figures.answer_tokens, figures.microdollars), (10, 3, Some(13)));
    let (refused, none) = read(
        json!({ "choices": [{ "message": { "content": null, "refusal": "I will not" }, "finish_reason": "stop" }] }),
    )
    .unwrap();
    assert_eq!((refused.text.as_str(), refused.finish, none.is_none()), ("I will not", Finish::Refused, true));
    let (filtered, _) =
        read(json!({ "choices": [{ "message": { "content": "" }, "finish_reason": "content_filter" }] })).unwrap();
    assert_eq!(filtered.finish, Finish::Refused);
    let negative = json!({ "choices": [{ "message": { "content": "x" } }],
                           "usage": { "prompt_tokens": 1, "completion_tokens": 1, "cost": -1.0 } });
    assert_eq!(read(negative).unwrap().1.unwrap().microdollars, None);
    for (wrong, status) in [
        (json!({ "error": { "code": 502, "message": "down" } }), Some(502)),
        (json!({ "error": { "code": "429" } }), Some(429)),
        // In the middle of an answer: it may have to be paid for.
        (json!({ "choices": [{ "error": { "code": "429" } }] }), None),
        (
            json!({ "error": { "code": 502, "message": "down" }, "usage": { "prompt_tokens": 9, "completion_tokens": 2 } }),
            None,
        ),
        (json!({ "choices": [] }), None),
        (json!({ "choices": [{ "message": { "content": "x" }, "finish_reason": "error" }] }), None),
    ] {
        assert_eq!(read(wrong).unwrap_err().status(), status);
    }
}
