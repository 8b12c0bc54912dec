//! JSON Schemas of roles, and answers held against them.
//!
//! Invariants: nothing is fetched, no schema refers to another place or to itself, and patterns take linear time: what a role writes
//! and a model answers is checked in a time that their sizes bound.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use boon::{Compiler, Draft, SchemaIndex, Schemas, UrlLoader};
use serde_json::{Map, Value};

const SCHEMA_BYTES_MAX: usize = 64 * 1024;
/// Schemas within a schema, it included.
const NODES_MAX: usize = 2_000;
/// Of the patterns of one schema together, see [`weight`]: bytes, each as often as it may be repeated.
const PATTERNS_WEIGHT_MAX: usize = 5_000;
/// Values of an answer times schemas that it is held against.
const STEPS_MAX: usize = 500_000;
/// Longest account of what does not fit.
const WRONG_CHARS_MAX: usize = 2_000;
/// A name that leads nowhere.
const PLACE: &str = "https://schema.invalid/schema.json";
const REFERENCES: &[&str] = &["$ref", "$dynamicRef", "$recursiveRef", "$id", "$anchor", "$dynamicAnchor"];
/// Of old drafts, and still read: its values may be schemas or lists of names.
const OLD: &str = "dependencies";
/// Keys whose values are schemas by names that are not keywords.
const BY_NAME: &[&str] = &["properties", "patternProperties", "$defs", "definitions", "dependentSchemas"];
/// Keys whose values are no schemas.
const DATA: &[&str] = &["enum", "const", "default", "examples"];

/// A schema that answers can be held against. Cheap to clone.
#[derive(Clone)]
pub(super) struct Schema {
    value: Value,
    nodes: usize,
    compiled: Arc<(Schemas, SchemaIndex)>,
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schema").field("value", &self.value).finish_non_exhaustive()
    }
}

/// There is nothing to load.
struct Nothing;

impl UrlLoader for Nothing {
    fn load(&self, url: &str) -> Result<Value, Box<dyn Error>> {
        Err(format!("{url} is not loaded").into())
    }
}

impl Schema {
    pub(super) fn compile(what: &str, text: &str) -> Result<Self, String> {
        if text.len() > SCHEMA_BYTES_MAX {
            return Err(format!("{what} is longer than {SCHEMA_BYTES_MAX} bytes"));
        }
        let mut value: Value = serde_json::from_str(text).map_err(|error| format!("{what} is no JSON: {error}"))?;
        let Some(root) = value.as_object_mut() else { return Err(format!("{what} is no JSON object")) };
        // Whatever it says, it is read as the newest draft.
        root.remove("$schema");
        let mut seen = Seen::default();
        seen.look(&value).map_err(|problem| format!("{what} {problem}"))?;
        let wrong = |error: boon::CompileError| format!("{what} is no JSON Schema: {}", cut(&format!("{error:#}")));
        let mut compiler = Compiler::new();
        compiler.set_default_draft(Draft::V2020_12);
        compiler.use_loader(Box::new(Nothing));
        compiler.add_resource(PLACE, value.clone()).map_err(wrong)?;
        let mut schemas = Schemas::new();
        let index = compiler.compile(PLACE, &mut schemas).map_err(wrong)?;
        Ok(Self { value, nodes: seen.nodes, compiled: Arc::new((schemas, index)) })
    }

    pub(super) fn value(&self) -> &Value {
        &self.value
    }

    /// What does not fit, for the model to mend.
    pub(super) fn check(&self, instance: &Value) -> Result<(), String> {
        if size(instance).saturating_mul(self.nodes) > STEPS_MAX {
            return Err("it holds more values than are held against this schema; give a shorter answer".to_owned());
        }
        let (schemas, index) = &*self.compiled;
        schemas.validate(instance, *index).map_err(|error| cut(&error.to_string()))
    }

    /// Whether providers can hold a model to it while it writes: every object closed, and every property required.
    pub(super) fn is_strict(&self) -> bool {
        is_strict(&self.value)
    }
}

fn cut(text: &str) -> String {
    text.chars().take(WRONG_CHARS_MAX).collect()
}

/// What a schema is made of, as far as it has been looked at.
#[derive(Default)]
struct Seen {
    nodes: usize,
    patterns_weight: usize,
}

impl Seen {
    /// Counts schemas, weighs patterns, and finds references.
    fn look(&mut self, schema: &Value) -> Result<(), String> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err(format!("holds more than {NODES_MAX} schemas"));
        }
        match schema {
            Value::Object(fields) => self.look_at_fields(fields),
            Value::Array(items) => items.iter().try_for_each(|item| self.look(item)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
        }
    }

    fn look_at_fields(&mut self, fields: &Map<String, Value>) -> Result<(), String> {
        if let Some(key) = REFERENCES.iter().find(|key| fields.contains_key(**key)) {
            return Err(format!("uses {key}; write what it refers to in its place"));
        }
        if fields.contains_key(OLD) {
            return Err(format!("uses {OLD}; write dependentRequired or dependentSchemas in its place"));
        }
        for (key, value) in fields.iter().filter(|(key, _)| !DATA.contains(&key.as_str())) {
            match value {
                Value::Object(named) if BY_NAME.contains(&key.as_str()) => {
                    if key == "patternProperties" {
                        named.keys().try_for_each(|pattern| self.weigh(pattern))?;
                    }
                    named.values().try_for_each(|schema| self.look(schema))?;
                }
                Value::Object(_) | Value::Array(_) => self.look(value)?,
                Value::String(pattern) if key == "pattern" => self.weigh(pattern)?,
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
            }
        }
        Ok(())
    }

    fn weigh(&mut self, pattern: &str) -> Result<(), String> {
        if pattern.contains("\\p") || pattern.contains("\\P") {
            return Err("has a pattern with \\p; name the characters that it stands for".to_owned());
        }
        self.patterns_weight = self.patterns_weight.saturating_add(weight(pattern));
        if self.patterns_weight > PATTERNS_WEIGHT_MAX {
            return Err(format!(
                "has patterns that are too large: their bytes times all repetitions like {{8}} may be {PATTERNS_WEIGHT_MAX} together"
            ));
        }
        Ok(())
    }
}

/// At least how large a pattern becomes when it is compiled: its bytes, as often as all of its counted repetitions together
/// repeat them.
fn weight(pattern: &str) -> usize {
    let counts = pattern.split('{').skip(1).filter_map(|after| after.split_once('}'));
    let largest = |counts: &str| counts.split(',').filter_map(|count| count.trim().parse::<usize>().ok()).max();
    counts.filter_map(|(counts, _)| largest(counts)).fold(pattern.len(), |weight, count| {
        // `{5,}` is five and a loop.
        weight.saturating_mul(count.saturating_add(1))
    })
}

/// Values that a document is made of.
fn size(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(size).sum::<usize>(),
        Value::Object(fields) => 1 + fields.values().map(size).sum::<usize>(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 1,
    }
}

fn is_strict(schema: &Value) -> bool {
    match schema {
        Value::Object(fields) => {
            closed(fields) && fields.iter().all(|(key, value)| DATA.contains(&key.as_str()) || is_strict(value))
        }
        Value::Array(items) => items.iter().all(is_strict),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

fn closed(fields: &Map<String, Value>) -> bool {
    // Also of what only looks like a schema, such as a property called "properties": then it is merely not strict.
    let Some(properties) = fields.get("properties").and_then(Value::as_object) else {
        return fields.get("type").is_none_or(|kind| kind != "object");
    };
    let required: Vec<&str> =
        fields.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    fields.get("additionalProperties") == Some(&Value::Bool(false))
        && properties.keys().all(|name| required.contains(&name.as_str()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn compile(value: &Value) -> Result<Schema, String> {
        Schema::compile("schema", &value.to_string())
    }

    #[test]
    fn answers_are_held_against_it() {
        let schema = compile(&json!({
            "$schema": "http://json-schema.org/draft-04/schema#",
            "type": "object", "additionalProperties": false, "required": ["n"],
            "properties": { "n": { "type": "integer", "minimum": 1 } },
        }))
        .unwrap();
        assert!(schema.is_strict());
        assert_eq!(schema.check(&json!({ "n": 1 })), Ok(()));
        for wrong in [json!({ "n": 0 }), json!({}), json!({ "n": 1, "m": 1 }), json!([])] {
            let problem = schema.check(&wrong).unwrap_err();
            assert!(!problem.is_empty() && problem.len() < 1_000, "{problem}");
        }
        assert!(!compile(&json!({ "type": "object", "properties": { "n": {} } })).unwrap().is_strict());
        assert!(!compile(&json!({ "type": "array", "items": { "type": "object" } })).unwrap().is_strict());
    }

    #[test]
    fn an_answer_is_not_held_against_more_than_its_size_allows() {
        let kinds = (0..1_900).map(|_| json!({ "type": "string" })).collect::<Vec<_>>();
        let schema = compile(&json!({ "items": { "anyOf": kinds } })).unwrap();
        assert!(schema.check(&json!(vec![0; 16_000])).unwrap_err().contains("shorter answer"));
        assert!(schema.check(&json!(vec!["a"; 100])).is_ok());
    }

    #[test]
    fn what_would_load_recurse_or_grow_is_refused() {
        let deep = (0..3_000).map(|_| json!({})).collect::<Vec<_>>();
        for (wrong, part) in [
            (json!({ "$ref": "https://example.org/s" }), "uses $ref"),
            (json!({ "items": { "anyOf": [{ "$ref": "#" }] } }), "uses $ref"),
            (json!({ "properties": { "a": { "$id": "x" } } }), "uses $id"),
            (json!({ "anyOf": deep }), "more than 2000"),
            (json!({ "type": "no type" }), "no JSON Schema"),
            (json!({ "pattern": "(" }), "no JSON Schema"),
            // The way around the check for references: a map of schemas under a key that was not known to be one.
            (
                json!({ "dependencies": { "enum": { "allOf": [{ "properties": { "a": { "$ref": "#" } } }] } } }),
                "uses dependencies",
            ),
            (json!({ "allOf": [{ "pattern": "\\p{L}{150}" }] }), "a pattern with"),
            (json!({ "pattern": "((a{64}){64}){64}" }), "patterns that are too large"),
            (json!({ "patternProperties": { "((a{9,}){99}){99}": {} } }), "patterns that are too large"),
            (
                json!({ "allOf": (0..50).map(|_| json!({ "pattern": "a".repeat(101) })).collect::<Vec<_>>() }),
                "patterns that are",
            ),
            (json!([]), "no JSON object"),
        ] {
            let problem = compile(&wrong).unwrap_err();
            assert!(problem.starts_with("schema ") && problem.contains(part), "{wrong}: {problem}");
        }
        assert!(compile(&json!({ "pattern": "^[A-Z]{2}-[0-9]{1,8}$" })).is_ok());
        // Names of properties are no keywords, and data is no schema.
        assert!(compile(&json!({ "properties": { "dependencies": { "type": "array" } } })).is_ok());
        assert!(compile(&json!({ "properties": { "$ref": { "const": { "$ref": "x" } } } })).is_ok());
        assert!(Schema::compile("schema", "{").unwrap_err().contains("is no JSON"));
        assert!(Schema::compile("schema", &" ".repeat(70_000)).unwrap_err().contains("longer than"));
    }
}
