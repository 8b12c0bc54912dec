//! `Harm` of the schema: what a change would destroy, as far as the host can read it.

use std::fmt;

use serde_json::Value;

use super::question::Fact;
use super::sql::{Findings, Looker};
use super::{MergeFacts, paths};

/// Statements that a message names.
const NAMED_MAX: usize = 5;
/// Strings of a payload that are looked at as SQL.
const SQL_KEYS: &[&str] = &["sql", "query", "queries", "statement", "statements", "migration", "migrations"];

/// The same, of which people ask in their own words, too.
const QUESTION_KEYS: &[&str] = &["query", "queries", "statement", "statements"];
/// What SQL begins with.
const SQL_BEGINS: &[&str] = &[
    "alter", "begin", "call", "copy", "create", "declare", "delete", "do", "drop", "exec", "execute", "explain",
    "grant", "insert", "lock", "merge", "prepare", "replace", "revoke", "select", "set", "truncate", "update",
    "vacuum", "with",
];
/// Programs whose strings are looked at.
const PROGRAM_EXTENSIONS: &[&str] = &[
    "bash", "bat", "c", "cc", "cjs", "clj", "cpp", "cs", "cts", "dart", "erb", "erl", "ex", "exs", "fs", "go",
    "groovy", "hs", "ipynb", "java", "jl", "js", "jsx", "ksh", "kt", "kts", "lua", "mjs", "ml", "mts", "php", "pl",
    "pm", "ps1", "py", "pyw", "r", "rake", "rb", "rs", "scala", "sh", "svelte", "swift", "ts", "tsx", "vb", "vue",
    "zsh",
];

/// What a change would destroy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Harm {
    destructive_sql: Vec<String>,
    files_removed: usize,
}

impl Harm {
    /// Of writing one file.
    pub(super) fn of_file(path: &str, content: &[u8], replaces: bool, looker: &mut Looker) -> Self {
        let mut harm = Self::default();
        harm.look_at(path, content, looker);
        harm.files_removed = usize::from(replaces && content.iter().all(u8::is_ascii_whitespace));
        harm
    }

    /// Of a merge: what GitHub says is removed, and what the changed SQL does.
    pub(super) fn of_merge(facts: &MergeFacts, looker: &mut Looker) -> Self {
        let mut harm = Self { files_removed: facts.files_removed, ..Self::default() };
        for (path, content) in facts.judged_files() {
            harm.look_at(path, content.unwrap_or_default(), looker);
        }
        harm
    }

    /// Of a task's payload: the files that it gives, and whatever it calls SQL.
    pub(super) fn of_payload(payload: &Value, looker: &mut Looker) -> Self {
        let mut harm = Self::default();
        each_file(payload, &mut |path, content| harm.look_at(path, content.as_bytes(), looker));
        each_sql(payload, &mut |key, sql| harm.found(key, &looker.sql(sql.as_bytes())));
        harm
    }

    fn look_at(&mut self, path: &str, content: &[u8], looker: &mut Looker) {
        if is_sql(path) && !is_way_back(path) {
            self.found(path, &looker.sql(content));
        }
    }

    fn found(&mut self, place: &str, findings: &Findings) {
        self.destructive_sql.extend(findings.destructive.iter().map(|what| format!("{what} in {place}")));
    }

    pub(super) fn fact(&self) -> Fact {
        Fact::Record(vec![
            ("destructive_sql", Fact::Set(self.destructive_sql.clone())),
            ("files_removed", Fact::Number(i64::try_from(self.files_removed).unwrap_or(i64::MAX))),
        ])
    }
}

impl fmt::Display for Harm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> = self.destructive_sql.iter().take(NAMED_MAX).cloned().collect();
        if self.files_removed > 0 {
            parts.push(format!("{} files removed or emptied", self.files_removed));
        }
        f.write_str(&parts.join(", "))
    }
}

/// Files that a payload gives, wherever they stand in it.
fn each_file<'a>(value: &'a Value, look: &mut dyn FnMut(&'a str, &'a str)) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| each_file(item, look)),
        Value::Object(fields) => {
            if let (Some(path), Some(content)) = (text(fields, "path"), text(fields, "content")) {
                look(path, content);
            }
            fields.values().for_each(|value| each_file(value, look));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// What a payload calls SQL, with the name that it has there.
pub(super) fn each_sql<'a>(value: &'a Value, look: &mut dyn FnMut(&'a str, &'a str)) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| each_sql(item, look)),
        Value::Object(fields) => {
            for (key, value) in fields {
                if SQL_KEYS.contains(&key.to_lowercase().as_str()) {
                    each_string(key, value, look);
                }
                each_sql(value, look);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn each_string<'a>(key: &'a str, value: &'a Value, look: &mut dyn FnMut(&'a str, &'a str)) {
    match value {
        Value::String(text) => look(key, text),
        Value::Array(items) => items.iter().for_each(|item| each_string(key, item, look)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {}
    }
}

/// Whether what stands under a name is meant as SQL: under some, questions stand as often.
pub(super) fn is_meant_as_sql(key: &str, text: &str) -> bool {
    let text = text.trim_start_matches(|char: char| char.is_whitespace() || char == '\u{feff}');
    let first = text.split(|char: char| !char.is_alphanumeric()).next().unwrap_or_default().to_lowercase();
    !QUESTION_KEYS.contains(&key.to_lowercase().as_str())
        || text.contains(';')
        || ["--", "/*", "#", "(", "\\"].iter().any(|mark| text.starts_with(mark))
        || SQL_BEGINS.contains(&first.as_str())
}

fn text<'a>(fields: &'a serde_json::Map<String, Value>, key: &str) -> Option<&'a str> {
    fields.get(key).and_then(Value::as_str)
}

/// Whether a file is SQL by its name.
pub fn is_sql(path: &str) -> bool {
    let parts = paths::parts(path);
    let extension = parts.last().and_then(|file| file.rsplit_once('.')).map(|(_, extension)| extension);
    matches!(extension, Some("sql" | "psql" | "pgsql" | "ddl" | "dml" | "mysql" | "tsql" | "plsql"))
}

/// Whether a file lies in a folder of schema migrations.
pub fn is_migration(path: &str) -> bool {
    let parts = paths::parts(path);
    let folders = &parts[..parts.len().saturating_sub(1)];
    folders
        .iter()
        .any(|folder| matches!(folder.as_str(), "migrations" | "migration" | "migrate" | "alembic" | "flyway"))
}

/// Whether a file is a program by its name, which may hold SQL in its strings.
pub fn is_program(path: &str) -> bool {
    let parts = paths::parts(path);
    let extension = parts.last().and_then(|file| file.rsplit_once('.')).map(|(_, extension)| extension);
    extension.is_some_and(|extension| PROGRAM_EXTENSIONS.contains(&extension))
}

/// The way back of a migration drops what the way there created; it runs only when a person rolls back. It raises
/// the risk instead.
pub(super) fn is_way_back(path: &str) -> bool {
    let parts = paths::parts(path);
    parts.last().is_some_and(|file| {
        file.rsplit_once('.').is_some_and(|(stem, _)| stem.rsplit(['.', '_', '-']).next() == Some("down"))
    })
}
