//! Keeps the dependencies between modules pointing down: the table of modules in docs/ARCHITECTURE.md, as a test.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Each module and what it may use, from the top down: a module uses only what stands further below.
const LAYERS: &[(&str, &[&str])] = &[
    (
        "cli",
        &[
            "app",
            "http",
            "localdb",
            "verification",
            "db",
            "sandbox",
            "policy",
            "manifest",
            "schedule",
            "journal",
            "approval",
            "audit",
            "records",
            "task",
            "repo",
            "text",
            "config",
            "crash",
        ],
    ),
    (
        "app",
        &[
            "worker",
            "http",
            "localdb",
            "verification",
            "notifier",
            "db",
            "sandbox",
            "github",
            "egress",
            "llm",
            "policy",
            "manifest",
            "schedule",
            "journal",
            "approval",
            "audit",
            "records",
            "task",
            "repo",
            "web",
            "config",
            "secrets",
        ],
    ),
    (
        "worker",
        &[
            "verification",
            "db",
            "sandbox",
            "evidence",
            "github",
            "policy",
            "manifest",
            "journal",
            "approval",
            "audit",
            "records",
            "task",
            "repo",
            "crash",
        ],
    ),
    ("http", &["db", "policy", "schedule", "journal", "approval", "audit", "chart", "records", "task", "repo"]),
    ("localdb", &[]),
    // What the worker and `evidence verify` ask of the world.
    ("verification", &["db", "evidence", "github", "egress", "policy", "task", "repo", "web"]),
    // Tells people of alerts.
    ("notifier", &["db", "egress", "journal", "task", "web", "text"]),
    // All SQL. `config` for how the database is reached.
    (
        "db",
        &[
            "evidence", "policy", "schedule", "journal", "approval", "audit", "records", "task", "repo", "text",
            "config", "crash",
        ],
    ),
    // Never db, http or worker: what a run writes down leaves by channel.
    (
        "sandbox",
        &[
            "github", "egress", "llm", "policy", "manifest", "journal", "approval", "records", "task", "repo", "web",
            "text", "secrets", "crash",
        ],
    ),
    // `github` for the shape of a pull request; no call is made.
    // `web` for the one spelling of a URL.
    ("evidence", &["github", "journal", "task", "repo", "web"]),
    // `policy` for the authority to change anything.
    ("github", &["policy", "repo", "answered"]),
    // `policy` for its answer to each hop.
    ("egress", &["policy", "web", "answered"]),
    // `policy` for the authority to ask, `config` for prices.
    ("llm", &["policy", "config", "answered"]),
    ("policy", &["manifest", "task", "repo", "web"]),
    // `records` for the kinds of alerts that are the host's own.
    ("manifest", &["records", "repo", "web", "text"]),
    ("schedule", &["task"]),
    ("journal", &["approval", "records", "task", "repo"]),
    ("approval", &["task"]),
    // Draws the series of reports: values in, SVG out.
    ("chart", &["records", "text"]),
    // What runs ask of the host's tables and write to them, as values.
    ("records", &["task"]),
    // What is recorded, and how it is hashed and signed; no I/O.
    ("audit", &["task"]),
    ("task", &["repo"]),
    ("repo", &[]),
    ("web", &[]),
    // Bounded bodies and the causes of failures, for all clients.
    ("answered", &[]),
    ("text", &[]),
    ("config", &[]),
    ("secrets", &[]),
    // Where tests end the process; nothing in a release build.
    ("crash", &[]),
];

/// Files of the crate's root that are no modules of the map.
const ROOT_FILES: &[&str] = &["lib", "main", "layering"];

#[test]
fn the_map_itself_points_down() {
    for (at, (module, uses)) in LAYERS.iter().enumerate() {
        for used in *uses {
            let place = LAYERS.iter().position(|(name, _)| name == used);
            let below = place.is_some_and(|place| place > at);
            assert!(below, "LAYERS lets `{module}` use `{used}`, which does not stand below it");
        }
    }
}

#[test]
fn modules_use_only_what_is_below_them() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut problems = Vec::new();
    for file in rust_files(&source) {
        let inside = file.strip_prefix(&source).unwrap();
        let module = inside.components().next().unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs");
        if ROOT_FILES.contains(&module) {
            continue;
        }
        let Some((_, uses)) = LAYERS.iter().find(|(name, _)| *name == module) else {
            problems.push(format!("module `{module}` is not on the map; add it to LAYERS where it belongs"));
            continue;
        };
        for used in modules_named(&fs::read_to_string(&file).unwrap()) {
            let known = LAYERS.iter().any(|(name, _)| *name == used);
            if known && used != module && !uses.contains(&used.as_str()) {
                problems.push(format!(
                    "host/src/{} uses crate::{used}; `{module}` may use only {uses:?}: move the code, or pass the value in",
                    inside.display()
                ));
            }
        }
    }
    assert!(problems.is_empty(), "the layers of the host are broken:\n{}", problems.join("\n"));
}

#[test]
fn every_way_of_naming_a_module_is_seen() {
    let text = "use crate::db::Db;\nuse crate::{task::{TaskId, Risk}, policy, http::Page};\n\
        // use crate::worker;\nlet x = crate::repo::Sha::parse(y); $crate::app::z!(); mycrate::cli::f();";
    let expected = ["db", "http", "policy", "repo", "task"].map(str::to_owned);
    assert_eq!(modules_named(text), BTreeSet::from(expected));
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// What follows `crate::`, alone or in braces, outside of comments.
fn modules_named(text: &str) -> BTreeSet<String> {
    let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut named = BTreeSet::new();
    for (at, found) in code.match_indices("crate::") {
        let before = code[..at].chars().next_back().unwrap_or(' ');
        if before.is_alphanumeric() || before == '_' || before == '$' {
            continue;
        }
        let rest = &code[at + found.len()..];
        match rest.strip_prefix('{') {
            Some(group) => named.extend(group_heads(group)),
            None => named.extend(identifier(rest)),
        }
    }
    named
}

/// First names of `a::b, c::{d, e}}…`, up to the brace that closes the group.
fn group_heads(group: &str) -> Vec<String> {
    let mut depth = 0;
    let mut heads = Vec::new();
    let mut item = String::new();
    for character in group.chars() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => heads.extend(identifier(&std::mem::take(&mut item))),
            _ => {}
        }
        if depth == 0 && character != ',' {
            item.push(character);
        }
    }
    heads.extend(identifier(&item));
    heads
}

fn identifier(text: &str) -> Option<String> {
    let name: String =
        text.trim_start().chars().take_while(|character| character.is_alphanumeric() || *character == '_').collect();
    (!name.is_empty()).then_some(name)
}
