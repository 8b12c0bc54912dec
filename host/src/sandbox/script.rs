//! What a run is answered by `role test`: a list of calls and their answers, instead of the world.
//!
//! Invariant: nothing here acts, and nothing passes it. The one gate of a run asks the script for each call; what no
//! entry answers ends the run.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

use super::imports;
use crate::journal::{self, Call, Effect, Outcome};

/// The run's clock moves on so far with each answer.
const CALL_TIME: Duration = Duration::from_secs(1);

/// A call that is expected, and its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct ScriptedCall {
    /// `interface.function`.
    pub call: String,
    /// What the call's arguments must hold at least; null where it is any.
    pub arguments: Value,
    /// In the journal's form, `{"ok": …}` or `{"err": …}`.
    pub answer: Value,
    pub times: Times,
}

/// How often an entry answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    Exactly(u32),
    /// Also never.
    Any,
}

/// The script of one run, and how far it has come.
#[derive(Debug)]
pub struct Script {
    entries: Vec<ScriptedCall>,
    progress: Mutex<Progress>,
}

#[derive(Debug)]
struct Progress {
    /// By entry.
    answered: Vec<u32>,
    now: OffsetDateTime,
    calls: u32,
    newest: Option<Call>,
}

impl Script {
    pub fn new(entries: Vec<ScriptedCall>, began_at: OffsetDateTime) -> Self {
        let answered = vec![0; entries.len()];
        Self { entries, progress: Mutex::new(Progress { answered, now: began_at, calls: 0, newest: None }) }
    }

    /// The first entry that fits and is not used up answers. None where there is none.
    pub(super) fn answer(&self, call: &Call) -> Option<Outcome> {
        let mut progress = self.progress();
        progress.calls += 1;
        progress.newest = Some(call.clone());
        let found = self.entries.iter().enumerate().position(|(at, entry)| {
            is_of(entry, call) && !used_up(entry, progress.answered[at]) && misfit(entry, call).is_none()
        });
        let result = match found {
            Some(at) => {
                progress.answered[at] += 1;
                completed(self.entries[at].answer.clone(), call)
            }
            None if answers_itself(call) => json!({ "ok": null }),
            None => return None,
        };
        progress.now += CALL_TIME.max(slept(call));
        Some(Outcome { result, at: progress.now })
    }

    /// How many calls the run made.
    pub fn calls(&self) -> u32 {
        self.progress().calls
    }

    /// The newest call of the run.
    pub fn newest(&self) -> Option<Call> {
        self.progress().newest.clone()
    }

    /// Entries that answered less often than they were to: which, and how often they did.
    pub fn missing(&self) -> Vec<(usize, u32)> {
        let answered = self.progress().answered.clone();
        let short = |at: &usize| matches!(self.entries[*at].times, Times::Exactly(times) if answered[*at] < times);
        (0..self.entries.len()).filter(short).map(|at| (at, answered[at])).collect()
    }

    /// Why no entry of its name answers a call: which, and what is in the way.
    pub fn misfits(&self, call: &Call) -> Vec<(usize, String)> {
        let answered = self.progress().answered.clone();
        let of_it = self.entries.iter().enumerate().filter(|(_, entry)| is_of(entry, call));
        of_it
            .map(|(at, entry)| {
                let spent = format!("it has answered {} already", plural(answered[at], "call"));
                (at, misfit(entry, call).unwrap_or(spent))
            })
            .collect()
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an answer of this call can look like, as TOML in a fixture. None where nobody has written it down.
pub fn answer_example(call: &str) -> Option<&'static str> {
    imports::EXAMPLES.iter().find(|(name, _)| *name == call).map(|(_, example)| *example)
}

/// `1 call`, `2 calls`.
pub fn plural(number: u32, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn is_of(entry: &ScriptedCall, call: &Call) -> bool {
    entry.call.split_once('.') == Some((call.interface, call.function))
}

fn used_up(entry: &ScriptedCall, answered: u32) -> bool {
    matches!(entry.times, Times::Exactly(times) if answered >= times)
}

fn misfit(entry: &ScriptedCall, call: &Call) -> Option<String> {
    if entry.arguments.is_null() { None } else { difference(&entry.arguments, &call.arguments, "arguments") }
}

/// Calls that can give nothing but `ok`.
fn answers_itself(call: &Call) -> bool {
    matches!((call.interface, call.function), ("timer", "sleep") | ("task", "raise-risk"))
}

/// How long a sleep takes on the run's clock; no time passes on ours.
fn slept(call: &Call) -> Duration {
    let milliseconds = call.arguments.get("milliseconds").and_then(Value::as_u64);
    Duration::from_millis(milliseconds.filter(|_| call.effect == Effect::Wait).unwrap_or(0))
}

/// The first place where a value does not hold what is expected of it, in words. What is not expected may be there.
pub fn difference(expected: &Value, actual: &Value, place: &str) -> Option<String> {
    match (expected, actual) {
        (Value::Object(wanted), Value::Object(fields)) => {
            if let Some(same) = same_bytes(wanted, fields) {
                return (!same).then(|| format!("{place} are other bytes: {actual}"));
            }
            wanted.iter().find_map(|(key, wanted)| match fields.get(key) {
                Some(found) => difference(wanted, found, &format!("{place}.{key}")),
                None => Some(format!("there is no {place}.{key}")),
            })
        }
        (Value::Array(wanted), Value::Array(items)) if wanted.len() == items.len() => (wanted.iter().zip(items))
            .enumerate()
            .find_map(|(at, (wanted, found))| difference(wanted, found, &format!("{place}[{at}]"))),
        _ => (expected != actual).then(|| format!("{place} is {actual}, and {expected} is expected")),
    }
}

/// The journal holds the digest of bytes that go out; a script holds the text.
fn same_bytes(wanted: &Map<String, Value>, fields: &Map<String, Value>) -> Option<bool> {
    let text = wanted.get("text").filter(|_| wanted.len() == 1 && !fields.contains_key("text"))?.as_str()?;
    Some(journal::bytes_argument(text.as_bytes()).as_object() == Some(fields))
}

/// Bytes in an answer are written as `text`, or as `base64`; what the journal holds of them besides follows from them and
/// from the call. A field that the interface's answer does not have is not looked at.
fn completed(mut answer: Value, call: &Call) -> Value {
    let Some(fields) = answer.get_mut("ok").and_then(Value::as_object_mut) else { return answer };
    let text = fields.get("text").and_then(Value::as_str).map(|text| text.as_bytes().to_vec());
    let given = || fields.get("base64").and_then(Value::as_str).and_then(|base64| STANDARD.decode(base64).ok());
    let Some(bytes) = given().or(text) else { return answer };
    let url = call.arguments.get("url").cloned().unwrap_or_default();
    for (key, value) in [
        ("base64", json!(STANDARD.encode(&bytes))),
        ("bytes", json!(bytes.len())),
        ("sha256", json!(hex::encode(Sha256::digest(&bytes)))),
        ("sha", json!(journal::blob_sha(&bytes))),
        ("status", json!(200)),
        ("url", url),
        ("redirected_from", json!([])),
        ("headers", json!([])),
    ] {
        fields.entry(key).or_insert(value);
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(function: &'static str, arguments: Value) -> Call {
        Call { interface: "github-read", function, effect: Effect::Read, arguments }
    }

    fn entry(call: &str, arguments: Value, times: Times) -> ScriptedCall {
        ScriptedCall { call: call.to_owned(), arguments, answer: json!({ "ok": { "text": "hello\n" } }), times }
    }

    fn script(entries: Vec<ScriptedCall>) -> Script {
        Script::new(entries, OffsetDateTime::UNIX_EPOCH)
    }

    #[test]
    fn the_first_entry_that_fits_and_is_left_answers() {
        let script = script(vec![
            entry("github-read.get-file", json!({ "path": "a" }), Times::Exactly(1)),
            entry("github-read.get-file", Value::Null, Times::Any),
            entry("github-read.get-branch", Value::Null, Times::Exactly(2)),
        ]);
        let file = |path: &str| call("get-file", json!({ "path": path, "reference": "main" }));
        let answered = |call: &Call| script.answer(call).is_some();
        assert!(answered(&file("a")) && answered(&file("a")) && answered(&file("b")));
        assert_eq!(script.missing(), [(2, 0)]);
        assert!(answered(&call("get-branch", json!({}))));
        assert_eq!(script.missing(), [(2, 1)]);
        assert!(answered(&call("get-branch", json!({}))) && !answered(&call("get-branch", json!({}))));
        assert_eq!(script.missing(), []);
        assert_eq!(script.calls(), 6);
        assert_eq!(script.misfits(&call("get-branch", json!({}))), [(2, "it has answered 2 calls already".to_owned())]);
        assert!(!answered(&Call { interface: "github-write", ..file("a") }));
    }

    #[test]
    fn a_difference_names_its_place() {
        let actual = json!({ "a": [1, { "b": "x" }], "content": journal::bytes_argument(b"hello"), "c": null });
        for (expected, difference) in [
            (json!({}), None),
            (json!({ "a": [1, {}] }), None),
            (json!({ "content": { "text": "hello" } }), None),
            (json!({ "a": [1] }), Some("arguments.a is [1,{\"b\":\"x\"}], and [1] is expected")),
            (json!({ "a": [1, { "b": "y" }] }), Some("arguments.a[1].b is \"x\", and \"y\" is expected")),
            (json!({ "d": 1 }), Some("there is no arguments.d")),
            (json!({ "c": 1 }), Some("arguments.c is null, and 1 is expected")),
        ] {
            assert_eq!(super::difference(&expected, &actual, "arguments").as_deref(), difference, "{expected}");
        }
        let other = super::difference(&json!({ "content": { "text": "hullo" } }), &actual, "arguments").unwrap();
        assert!(other.starts_with("arguments.content are other bytes"), "{other}");
    }

    #[test]
    fn text_becomes_what_the_journal_holds() {
        let script = script(vec![entry("github-read.get-file", Value::Null, Times::Any)]);
        let outcome = script.answer(&call("get-file", json!({ "url": "https://x.test/" }))).unwrap();
        let ok = outcome.ok().unwrap();
        assert_eq!(ok["base64"], "aGVsbG8K");
        assert_eq!(ok["sha"], "ce013625030ba8dba906f756967f9e9ca394464a");
        assert_eq!((&ok["bytes"], &ok["url"], &ok["status"]), (&json!(6), &json!("https://x.test/"), &json!(200)));
        assert_eq!(outcome.at, OffsetDateTime::UNIX_EPOCH + CALL_TIME);
    }

    #[test]
    fn a_sleep_takes_time_on_the_runs_clock_alone() {
        let script = script(Vec::new());
        let sleep = Call {
            interface: "timer",
            function: "sleep",
            effect: Effect::Wait,
            arguments: json!({ "milliseconds": 60_000 }),
        };
        let outcome = script.answer(&sleep).unwrap();
        assert_eq!(outcome.at, OffsetDateTime::UNIX_EPOCH + Duration::from_mins(1));
        assert_eq!(outcome.ok(), Some(&Value::Null));
        assert!(script.answer(&Call { effect: Effect::Read, function: "other", ..sleep }).is_none());
    }
}
