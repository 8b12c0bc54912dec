//! Keeps changes from being committed past the audit log: what writes goes through `begin_audited`, apart from what is
//! listed here.

use std::fs;
use std::path::Path;

/// Statements of each file that write without being recorded, and why that is right.
const UNRECORDED: &[(&str, usize, &str)] = &[
    ("audit/checkpoint.rs", 1, "the checkpoint itself"),
    ("notices.rs", 3, "who sends a notice next, and those that are not sent; what people were told is recorded"),
    ("queue/mod.rs", 1, "a lease that is renewed is liveness"),
    ("registry.rs", 2, "registration and heartbeat are liveness"),
    ("request_keys.rs", 1, "forgetting old keys of requests changes nothing that anybody decided"),
    ("tokens.rs", 1, "when a token was last used"),
];

/// Transactions that only read.
const READING: &[(&str, usize)] = &[("audit/mod.rs", 1), ("tasks.rs", 1), ("records/mod.rs", 1), ("goals/mod.rs", 1)];

#[test]
fn nothing_is_written_past_the_audit_log() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/db");
    let mut problems = Vec::new();
    let inside = |folder: &Path| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let (folders, mut files): (Vec<_>, Vec<_>) = inside(&folder).into_iter().partition(|path| path.is_dir());
    files.extend(folders.iter().flat_map(|folder| inside(folder)));
    for path in files {
        let name = path.strip_prefix(&folder).unwrap().to_str().unwrap().to_owned();
        let Ok(text) = fs::read_to_string(&path) else { continue };
        if name == "audited.rs" || path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let allowed = UNRECORDED.iter().find(|(file, ..)| *file == name).map_or(0, |(_, count, _)| *count);
        let found = writes_on_the_pool(&text);
        if found.len() > allowed {
            problems.push(format!("{name}: {allowed} may write past `begin_audited`, and these do: {found:#?}"));
        }
        let allowed = READING.iter().find(|(file, _)| *file == name).map_or(0, |(_, count)| *count);
        let begun = text.matches("pool.begin()").count() + text.matches("pool().begin()").count();
        if begun > allowed {
            problems.push(format!("{name}: {begun} bare transactions; those that write begin with `begin_audited`"));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn a_write_on_the_pool_is_seen() {
    let text = "sqlx::query!(\"update t set a = 1\").execute(&self.pool)\n\
        sqlx::query_scalar!(r#\"insert into t values (1) returning a\"#).fetch_one(self.pool())\n\
        sqlx::query!(\"select a from t for update\").fetch_one(&self.pool)\n\
        sqlx::query!(\"delete from t\").execute(&mut **tx)";
    assert_eq!(writes_on_the_pool(text).len(), 2);
}

/// The beginnings of statements that write and are run by themselves.
fn writes_on_the_pool(text: &str) -> Vec<String> {
    let statements = text.split("sqlx::query").skip(1).map(|rest| rest.split(".await").next().unwrap_or(rest));
    let writes = |statement: &&str| {
        let on_pool = ["(self.pool())", "(&self.pool)", "(&self.engine)", "(&self.handover)", "(pool)"]
            .iter()
            .any(|executor| statement.contains(executor));
        let verb = statement.find('"').map_or("", |at| statement[at + 1..].trim_start());
        let file = statement.starts_with("_file");
        on_pool
            && (file && !statement.contains("list_")
                || ["insert ", "update ", "delete ", "with "].iter().any(|word| verb.starts_with(word)))
    };
    let begins = |statement: &str| statement.split_whitespace().take(12).collect::<Vec<_>>().join(" ");
    statements.filter(writes).map(begins).collect()
}
