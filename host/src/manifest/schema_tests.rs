//! The published schema and the parser say the same, as far as a schema can.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::tests::{GOOD, parse};
use super::*;

fn document() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/capabilities.schema.json")
}

fn text() -> String {
    format!("{}\n", serde_json::to_string_pretty(&json_schema()).unwrap())
}

#[test]
fn the_published_schema_is_up_to_date() {
    let written = std::fs::read_to_string(document()).unwrap();
    assert_eq!(written, text(), "run: cargo test -p juggernaut write_schema -- --ignored");
}

#[test]
#[ignore = "writes docs/capabilities.schema.json"]
fn write_schema() {
    std::fs::write(document(), text()).unwrap();
}

/// The properties of a definition, after its reference.
fn resolve<'a>(schema: &'a Value, place: &'a Value) -> &'a Value {
    match place["$ref"].as_str() {
        Some(reference) => schema.pointer(reference.trim_start_matches('#')).unwrap(),
        None => place,
    }
}

/// What of a manifest the schema does not allow: keys that it has not, keys that are required, list sizes, ranges.
fn problems(schema: &Value, place: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    let place = resolve(schema, place);
    match value {
        Value::Object(table) => {
            assert_eq!(place["additionalProperties"], Value::Bool(false), "{at} is closed");
            for (key, value) in table {
                match place["properties"].get(key) {
                    Some(property) => problems(schema, property, value, &format!("{at}.{key}"), found),
                    None => found.push(format!("{at}.{key} is unknown")),
                }
            }
            for key in place["required"].as_array().into_iter().flatten() {
                if table.get(key.as_str().unwrap()).is_none() {
                    found.push(format!("{at}.{key} is missing"));
                }
            }
        }
        Value::Array(entries) => {
            let twice = (1..entries.len()).any(|at| entries[..at].contains(&entries[at]));
            if twice && place["uniqueItems"] == true {
                found.push(format!("{at} has an entry twice"));
            }
            if (entries.len() as u64) < place["minItems"].as_u64().unwrap_or(0) {
                found.push(format!("{at} is too short"));
            }
        }
        Value::Number(number) => {
            let number = number.as_u64().unwrap();
            let within = place["minimum"].as_u64().unwrap()..=place["maximum"].as_u64().unwrap();
            if !within.contains(&number) {
                found.push(format!("{at} is out of range"));
            }
        }
        Value::String(text) => {
            let length = text.chars().count() as u64;
            let long = length > place["maxLength"].as_u64().unwrap_or(u64::MAX);
            if long || length < place["minLength"].as_u64().unwrap_or(0) {
                found.push(format!("{at} has the wrong length"));
            }
        }
        other => panic!("{at}: {other}"),
    }
}

#[track_caller]
fn agree(source: &str) -> bool {
    let schema = json_schema();
    let value: Value = toml::from_str(source).unwrap();
    let mut found = Vec::new();
    problems(&schema, &schema, &value, "", &mut found);
    let parsed = parse(source);
    assert_eq!(parsed.is_ok(), found.is_empty(), "parser: {parsed:?}\nschema: {found:?}\n{source}");
    found.is_empty()
}

#[test]
fn schema_and_parser_agree_on_keys_and_sizes() {
    assert!(agree(GOOD));
    for (was, becomes) in [
        ("wall_ms = 1000\n", ""),
        ("wall_ms = 1000", "wall_ms = 1000\nwal_ms = 1"),
        ("name = \"executor\"\n", ""),
        ("[grants.github-write]", "[grants.github-admin]\nx = 1\n[grants.github-write]"),
        ("[grants.github-write]", "[grants.timer]\n[grants.github-write]"),
        ("branches = [\"feature/*\"]\n", ""),
        ("branches = [\"feature/*\"]", "branches = []"),
        ("bases = [\"main\"]", "bases = [\"main\", \"main\"]"),
        ("task_types = [\"code\"]", "task_types = []"),
        ("description = \"x\"", "description = \"\""),
        ("[role]", "[network]\nall = 1\n[role]"),
    ] {
        let source = GOOD.replacen(was, becomes, 1);
        assert_ne!(source, GOOD, "{was}");
        assert!(!agree(&source), "{becomes}");
    }
}

/// Both ends of each range, and one beyond.
#[test]
fn schema_and_parser_agree_on_every_range() {
    let all = format!("{GOOD}[grants.timer]\nsleep_seconds_max = 1\n[grants.scratch]\nquota_kib = 1\nfiles_max = 1\n");
    let schema = json_schema();
    let mut ranges = 0;
    for (_, definition) in schema["$defs"].as_object().unwrap() {
        for (key, property) in definition["properties"].as_object().into_iter().flatten() {
            let (Some(low), Some(high)) = (property["minimum"].as_u64(), property["maximum"].as_u64()) else {
                assert_ne!(property["type"], "integer", "{key} has a range");
                continue;
            };
            let Some(line) = all.lines().find(|line| line.starts_with(&format!("{key} = "))) else {
                continue;
            };
            for (value, good) in [(low, true), (high, true), (low - 1, false), (high + 1, false)] {
                let source = all.replacen(line, &format!("{key} = {value}"), 1);
                assert_eq!(agree(&source), good, "{key} = {value}");
            }
            ranges += 1;
        }
    }
    assert!(ranges >= 10, "{ranges}");
}

#[test]
fn our_own_manifests_fit_the_schema() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut seen = 0;
    for folder in ["roles", "tests/guests"] {
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path().join(FILE_NAME);
            if path.is_file() {
                assert!(agree(&std::fs::read_to_string(&path).unwrap()), "{}", path.display());
                seen += 1;
            }
        }
    }
    assert!(seen >= 2);
}

/// What the schema says of names and patterns, as it is published.
#[test]
fn names_and_patterns_are_published() {
    let schema = json_schema();
    for (place, wanted) in [
        ("/$defs/Role/properties/name/pattern", "^[a-z0-9-]{1,63}$"),
        ("/$defs/Role/properties/task_types/items/pattern", "^[a-z0-9_-]{1,63}$"),
        ("/$defs/RepositoryPattern/pattern", r"^[A-Za-z0-9_-]{1,39}/([A-Za-z0-9._-]{1,100}|\*)$"),
        ("/$defs/BranchPattern/pattern", r"^[A-Za-z0-9_][A-Za-z0-9._/-]*(/\*)?$"),
        ("/$defs/Grants/properties/timer/$ref", "#/$defs/Timer"),
    ] {
        assert_eq!(schema.pointer(place).and_then(Value::as_str), Some(wanted), "{place}");
    }
}
