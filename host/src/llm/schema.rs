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
/// Longest account of what does not fit.
const WRONG_CHARS_MAX: usize = 2_000;
/// A name that leads nowhere.
const PLACE: &str = "https://schema.invalid/schema.json";
const REFERENCES: &[&str] = &["$ref", "$dynamicRef", "$recursiveRef", "$id", "$anchor", "$dynamicAnchor"];
/// Keys whose values are schemas by names that are not keywords.
const BY_NAME: &[&str] = &["properties", "patternProperties", "$defs", "definitions", "dependentSchemas"];
/// Keys whose values are no schemas.
const DATA: &[&str] = &["enum", "const", "default", "examples"];

/// A schema that answers can be held against. Cheap to clone.
#[derive(Clone)]
pub(super) struct Schema {
    value: Value,
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
        let mut nodes = 0;
        look(&value, &mut nodes).map_err(|problem| format!("{what} {problem}"))?;
        let wrong = |error: boon::CompileError| format!("{what} is no JSON Schema: {}", cut(&format!("{error:#}")));
        let mut compiler = Compiler::new();
        compiler.set_default_draft(Draft::V2020_12);
        compiler.use_loader(Box::new(Nothing));
        compiler.add_resource(PLACE, value.clone()).map_err(wrong)?;
        let mut schemas = Schemas::new();
        let index = compiler.compile(PLACE, &mut schemas).map_err(wrong)?;
        Ok(Self { value, compiled: Arc::new((schemas, index)) })
    }

    pub(super) fn value(&self) -> &Value {
        &self.value
    }

    /// What does not fit, for the model to mend.
    pub(super) fn check(&self, instance: &Value) -> Result<(), String> {
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

/// Counts schemas, and finds references.
fn look(schema: &Value, nodes: &mut usize) -> Result<(), String> {
    *nodes += 1;
    if *nodes > NODES_MAX {
        return Err(format!("holds more than {NODES_MAX} schemas"));
    }
    match schema {
        Value::Object(fields) => {
            if let Some(key) = REFERENCES.iter().find(|key| fields.contains_key(**key)) {
                return Err(format!("uses {key}; write what it refers to in its place"));
            }
            fields.iter().filter(|(key, _)| !DATA.contains(&key.as_str())).try_for_each(|(key, value)| match value {
                Value::Object(named) if BY_NAME.contains(&key.as_str()) => {
                    named.values().try_for_each(|schema| look(schema, nodes))
                }
                Value::Object(_) | Value::Array(_) => look(value, nodes),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
            })
        }
        Value::Array(items) => items.iter().try_for_each(|item| look(item, nodes)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
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
    fn what_would_load_recurse_or_grow_is_refused() {
        let deep = (0..3_000).map(|_| json!({})).collect::<Vec<_>>();
        for (wrong, part) in [
            (json!({ "$ref": "https://example.org/s" }), "uses $ref"),
            (json!({ "items": { "anyOf": [{ "$ref": "#" }] } }), "uses $ref"),
            (json!({ "properties": { "a": { "$id": "x" } } }), "uses $id"),
            (json!({ "anyOf": deep }), "more than 2000"),
            (json!({ "type": "no type" }), "no JSON Schema"),
            (json!({ "pattern": "(" }), "no JSON Schema"),
            (json!([]), "no JSON object"),
        ] {
            let problem = compile(&wrong).unwrap_err();
            assert!(problem.starts_with("schema ") && problem.contains(part), "{wrong}: {problem}");
        }
        // Names of properties are no keywords, and data is no schema.
        assert!(compile(&json!({ "properties": { "$ref": { "const": { "$ref": "x" } } } })).is_ok());
        assert!(Schema::compile("schema", "{").unwrap_err().contains("is no JSON"));
        assert!(Schema::compile("schema", &" ".repeat(70_000)).unwrap_err().contains("longer than"));
    }
}
