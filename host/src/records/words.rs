//! Texts of guests on their way into the tables.

use std::ops::RangeInclusive;

use serde_json::Value;

/// PostgreSQL stores no U+0000; its symbol is stored instead.
pub fn storable(text: &str) -> String {
    text.replace('\0', "\u{2400}")
}

/// The same for each text of a document, keys too.
pub(super) fn storable_json(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(storable(text)),
        Value::Array(items) => items.iter().map(storable_json).collect(),
        Value::Object(fields) => fields.iter().map(|(key, value)| (storable(key), storable_json(value))).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

pub(super) fn chars(name: &str, text: &str, allowed: RangeInclusive<usize>) -> Result<(), String> {
    within(name, text.chars().count(), allowed, "characters")
}

pub(super) fn bytes(name: &str, text: &str, allowed: RangeInclusive<usize>) -> Result<(), String> {
    within(name, text.len(), allowed, "bytes")
}

pub(super) fn within(name: &str, count: usize, allowed: RangeInclusive<usize>, unit: &str) -> Result<(), String> {
    if allowed.contains(&count) {
        return Ok(());
    }
    Err(format!("{name} has {count} {unit}; it must have {} to {}", allowed.start(), allowed.end()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_that_postgresql_refuses_is_left() {
        let value = json!({ "a\0": ["\0b", { "c": "d\0" }], "n": 1 });
        assert_eq!(storable_json(&value), json!({ "a␀": ["␀b", { "c": "d␀" }], "n": 1 }));
    }

    #[test]
    fn a_length_out_of_bounds_is_told_with_its_bounds() {
        assert_eq!(chars("title", "äöü", 1..=3), Ok(()));
        assert_eq!(bytes("title", "äöü", 1..=3).unwrap_err(), "title has 6 bytes; it must have 1 to 3");
        assert!(chars("title", "", 1..=3).is_err());
    }
}
