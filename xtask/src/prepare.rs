//! `cargo xtask prepare`: asks a real database what the checked queries return, and keeps the answers in `.sqlx/`.
//!
//! sqlx's macros do the work: compiled with SQLX_OFFLINE_DIR set and SQLX_OFFLINE off, each writes one file there.
//! That is all that `cargo sqlx prepare` does, and it spares everybody installing it.
//!
//! Invariant: `.sqlx/` is replaced as a whole and only after every query was checked.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context as _, Result, bail};

use crate::build::{self, Profile};
use crate::db;
use crate::workspace::{Steps, Workspace, execute, say};

/// File name to content.
type Queries = BTreeMap<String, Vec<u8>>;

/// Regenerates `.sqlx/`, or only compares it where `check` is set.
pub(crate) fn run(workspace: &Workspace, check: bool, database_url: Option<&str>) -> Result<()> {
    let fresh_dir = workspace.target_dir.join("sqlx-prepare");
    db::delete_directory(&fresh_dir)?;
    fs::create_dir_all(&fresh_dir).with_context(|| format!("could not create {}", fresh_dir.display()))?;

    let check_queries = check_queries(workspace, &fresh_dir)?;
    match database_url {
        Some(url) => with_given_database(check_queries, url)?,
        None => with_private_database(workspace, &check_queries)?,
    }

    let fresh = read_queries(&fresh_dir)?;
    let committed_dir = workspace.root.join(".sqlx");
    let committed = read_queries(&committed_dir)?;
    if check {
        return compare(&committed, &fresh);
    }
    replace(&committed_dir, &fresh)?;
    say(&format!("queries written to .sqlx/: {}", fresh.len()))
}

/// The compilation that writes a file for each query.
fn check_queries(workspace: &Workspace, into: &Path) -> Result<Command> {
    // The macros run only if cargo believes that the crate changed.
    let crate_root = workspace.root.join("host/src/lib.rs");
    File::options()
        .append(true)
        .open(&crate_root)
        .and_then(|file| file.set_modified(SystemTime::now()))
        .with_context(|| format!("could not touch {}", crate_root.display()))?;
    // The same selection as the tests: another one would build the dependencies once more.
    let mut cargo = workspace.cargo(["check", "--locked", "--all-targets"]);
    cargo.args(build::TESTED_PACKAGES);
    cargo.env("SQLX_OFFLINE", "false").env("SQLX_OFFLINE_DIR", into);
    Ok(cargo)
}

fn with_given_database(mut check_queries: Command, url: &str) -> Result<()> {
    Steps::new(1).step("check the queries", || execute(check_queries.env("DATABASE_URL", url)))
}

fn with_private_database(workspace: &Workspace, check_queries: &Command) -> Result<()> {
    let juggernaut = workspace.bin_dir(Profile::Dev).join("juggernaut");
    let home = workspace.target_dir.join("prepare");
    let mut steps = Steps::new(3);
    steps.step("build the host", || build::binaries(workspace, Profile::Dev)).context(
        "if its queries do not fit .sqlx/ any more, migrate a database of your own and pass --database-url URL",
    )?;
    steps.step("migrate a private database", || {
        // A cluster of an earlier run may hold migrations that have been edited since.
        db::delete(&home)?;
        let mut migrate = Command::new(&juggernaut);
        migrate.arg("migrate").current_dir(&workspace.root);
        execute(&mut db::with_database(&juggernaut, &home, &migrate))
    })?;
    steps.step("check the queries", || execute(&mut db::with_database(&juggernaut, &home, check_queries)))
}

fn read_queries(dir: &Path) -> Result<Queries> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Queries::new()),
        Err(error) => {
            return Err(error).with_context(|| format!("could not list {}", dir.display()));
        }
    };
    let mut queries = Queries::new();
    for entry in entries {
        let path = entry.with_context(|| format!("could not list {}", dir.display()))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with("query-") {
            let content = fs::read(&path).with_context(|| format!("could not read {}", path.display()))?;
            queries.insert(name, content);
        }
    }
    Ok(queries)
}

fn compare(committed: &Queries, fresh: &Queries) -> Result<()> {
    let missing = fresh.keys().filter(|name| !committed.contains_key(*name));
    let superfluous = committed.keys().filter(|name| !fresh.contains_key(*name));
    let different = fresh.iter().filter(|(name, content)| committed.get(*name).is_some_and(|old| old != *content));
    let (missing, superfluous, different) = (missing.count(), superfluous.count(), different.count());
    if missing + superfluous + different > 0 {
        bail!(
            ".sqlx/ does not fit the queries ({missing} missing, {superfluous} superfluous, {different} different); \
             run `cargo xtask prepare` and commit the result"
        );
    }
    say(&format!("queries that .sqlx/ fits: {}", fresh.len()))
}

fn replace(dir: &Path, fresh: &Queries) -> Result<()> {
    db::delete_directory(dir)?;
    if fresh.is_empty() {
        return Ok(());
    }
    fs::create_dir_all(dir).with_context(|| format!("could not create {}", dir.display()))?;
    for (name, content) in fresh {
        let path = dir.join(name);
        fs::write(&path, content).with_context(|| format!("could not write {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queries(entries: &[(&str, &str)]) -> Queries {
        entries.iter().map(|(name, content)| ((*name).to_owned(), content.as_bytes().to_vec())).collect()
    }

    #[test]
    fn a_difference_is_counted_and_names_the_remedy() {
        let committed = queries(&[("query-a.json", "1"), ("query-b.json", "2")]);
        let fresh = queries(&[("query-b.json", "3"), ("query-c.json", "4")]);
        let error = compare(&committed, &fresh).expect_err("different");
        let text = error.to_string();
        assert!(text.contains("1 missing, 1 superfluous, 1 different"), "{text}");
        assert!(text.contains("cargo xtask prepare"), "{text}");
        compare(&fresh, &fresh).expect("the same");
    }
}
