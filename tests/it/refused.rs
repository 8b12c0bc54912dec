//! Roles that are refused before anything of them runs, through the real binary, with what to do about it.

use std::fs;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{AUDIT_KEY, CliOutput, Database, Paths, RolesDir, juggernaut};

/// `serve` with these roles; it is expected to end by itself. They are locked, as far as they can be: what is refused
/// here, no lock makes right.
async fn serve(roles: &RolesDir) -> CliOutput {
    let database = Database::create().await;
    let locked = juggernaut(&folder(), &["role", "lock", roles.path().to_str().unwrap()], &[]).await;
    assert!(locked.code == Some(0) || locked.stderr.contains("capabilities.toml"), "{locked:?}");
    let (roles, cache) = (roles.path().to_str().unwrap(), Paths::get().component_cache());
    let env = [
        ("DATABASE_URL", database.url()),
        ("JUGGERNAUT_ROLES", roles),
        ("JUGGERNAUT_CACHE", cache.to_str().unwrap()),
        ("JUGGERNAUT_LISTEN", "127.0.0.1:0"),
        ("JUGGERNAUT_AUDIT_KEY", AUDIT_KEY),
    ];
    let output = juggernaut(&folder(), &["serve"], &env).await;
    let query = sqlx::query_scalar("select count(*) from worker_registry");
    let workers: i64 = query.fetch_one(database.pool()).await.unwrap();
    assert_eq!(workers, 0, "a refused role registers no worker");
    output
}

async fn check(roles: &RolesDir, json: bool) -> CliOutput {
    let path = roles.path().to_str().unwrap();
    let arguments: &[&str] = if json { &["--json", "role", "check", path] } else { &["role", "check", path] };
    juggernaut(&folder(), arguments, &[]).await
}

fn folder() -> std::path::PathBuf {
    std::env::temp_dir()
}

/// `serve` and `role check` both end with 1 and say each of these.
async fn refused(roles: &RolesDir, said: &[&str]) {
    for output in [serve(roles).await, check(roles, false).await] {
        assert_eq!(output.code, Some(1), "{output:?}");
        for part in said {
            assert!(output.stderr.contains(part), "{part:?} is not in:\n{}", output.stderr);
        }
    }
}

/// The hostile guest's component under the manifest of another role.
fn hostile_as_prose() -> RolesDir {
    let roles = RolesDir::with(&["hostile", "prose"]);
    fs::copy(roles.component("hostile"), roles.component("prose")).unwrap();
    fs::remove_dir_all(roles.role("hostile")).unwrap();
    roles
}

#[tokio::test]
async fn a_role_with_sockets_or_files_is_refused() {
    refused(
        &RolesDir::with(&["sockets"]),
        &[
            "`sockets`",
            "it imports wasi:sockets/tcp@0.2.",
            "which no role may import; remove the use of std::net: roles reach the network only through granted capabilities",
        ],
    )
    .await;
    refused(
        &RolesDir::with(&["files"]),
        &[
            "`files`",
            "it imports wasi:filesystem/types@0.2.",
            "which no role may import; remove the use of std::fs, or use the `scratch` capability for files of the run",
        ],
    )
    .await;
}

#[tokio::test]
async fn a_role_that_imports_more_than_it_was_granted_is_refused() {
    let roles = hostile_as_prose();
    let manifest = roles.manifest("prose").display().to_string();
    for short in ["github-read", "github-write", "timer", "scratch"] {
        let problem = format!(
            "it imports juggernaut:host/{short}@0.1.0, which {manifest} does not grant; add a section [grants.{short}] \
             or remove the call"
        );
        refused(&roles, &[&problem]).await;
    }
    // One grant short is enough, and the section that is named is the remedy.
    let roles = RolesDir::with(&["hostile"]);
    roles.edit("hostile", "[grants.timer]\nsleep_seconds_max = 60\n", "");
    let output = serve(&roles).await;
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains("add a section [grants.timer]"), "{}", output.stderr);
    assert!(!output.stderr.contains("[grants.scratch]"), "{}", output.stderr);
}

#[tokio::test]
async fn one_bad_role_keeps_the_good_ones_from_starting() {
    let output = serve(&RolesDir::with(&["executor", "sockets"])).await;
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(!output.stderr.contains("listening on"), "{}", output.stderr);
}

#[tokio::test]
async fn the_roles_that_are_shipped_pass() {
    let roles = Paths::get().roles.to_str().unwrap().to_owned();
    let output = juggernaut(&folder(), &["role", "check", &roles], &[]).await;
    assert_eq!(output.code, Some(0), "{output:?}");
    for role in ["analyst", "executor", "orchestrator", "strategist", "watchdog"] {
        let line = format!("{role}: ok; world `{role}` of juggernaut:host");
        assert!(output.stdout.contains(&line), "{}", output.stdout);
    }
    let output = juggernaut(&folder(), &["--json", "role", "check", &roles], &[]).await;
    assert_eq!(output.code, Some(0));
    assert_eq!(output.json()[0]["problems"], serde_json::json!([]));
}

#[tokio::test]
async fn what_the_executor_imports_is_reviewed() {
    let component = Paths::get().roles.join("executor/executor.wasm");
    let output = juggernaut(&folder(), &["--json", "role", "inspect", component.to_str().unwrap()], &[]).await;
    assert_eq!(output.code, Some(0), "{output:?}");
    let mut report = output.json();
    for digest in ["component_sha256", "manifest_sha256"] {
        let hex = report[digest].as_str().unwrap().to_owned();
        assert!(hex.len() == 64 && hex.chars().all(|c| c.is_ascii_hexdigit()), "{digest}: {hex}");
        report[digest] = Value::from("[sha256]");
    }
    assert_eq!(report["component"], component.to_str().unwrap());
    report["component"] = Value::from("[path]");
    insta::assert_json_snapshot!("executor_inspected", report);
}

#[tokio::test]
async fn inspecting_a_refused_component_says_why_and_fails() {
    let roles = hostile_as_prose();
    let component = roles.component("prose");
    let output = juggernaut(&folder(), &["--json", "role", "inspect", component.to_str().unwrap()], &[]).await;
    assert_eq!(output.code, Some(1), "{output:?}");
    let report = output.json();
    assert!(!report["problems"].as_array().unwrap().is_empty());
    let imports = report["imports"].as_array().unwrap();
    assert!(imports.iter().any(|it| it["verdict"] == "not granted"), "{report}");

    let empty = TempDir::new().unwrap();
    let broken = empty.path().join("broken.wasm");
    fs::write(&broken, b"no component").unwrap();
    let output = juggernaut(&folder(), &["role", "inspect", broken.to_str().unwrap()], &[]).await;
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains("is not a WebAssembly component"), "{}", output.stderr);
}

#[tokio::test]
async fn a_grant_that_the_world_does_not_import_is_an_error_with_its_line() {
    let roles = RolesDir::with(&["prose"]);
    let world = roles.role("prose").join("wit/world.wit");
    fs::create_dir(world.parent().unwrap()).unwrap();
    let text = "package prose:role@0.1.0;\n\nworld prose {\n    include juggernaut:host/role@0.1.0;\n}\n";
    fs::write(&world, text).unwrap();
    let output = check(&roles, false).await;
    assert_eq!(output.code, Some(0), "without the grant it passes: {output:?}");

    let manifest = roles.manifest("prose");
    let before = fs::read_to_string(&manifest).unwrap();
    let line = before.trim_end().lines().count() + 2;
    fs::write(&manifest, format!("{}\n\n[grants.timer]\nsleep_seconds_max = 60\n", before.trim_end())).unwrap();
    let output = check(&roles, false).await;
    assert_eq!(output.code, Some(1), "{output:?}");
    let problem = format!(
        "{}:{line}: [grants.timer] has no import in {}; remove the grant or add `import timer;`",
        manifest.display(),
        world.display()
    );
    assert!(output.stderr.contains(&problem), "{problem:?} is not in:\n{}", output.stderr);

    // And the other way round: an import that nothing grants.
    fs::write(&manifest, before).unwrap();
    fs::write(&world, text.replace('}', "    import juggernaut:host/scratch@0.1.0;\n}")).unwrap();
    let output = check(&roles, true).await;
    assert_eq!(output.code, Some(1), "{output:?}");
    let problems = output.json()[0]["problems"].to_string();
    assert!(problems.contains("add [grants.scratch] or remove the import"), "{problems}");
}

#[tokio::test]
async fn a_manifest_with_a_mistake_is_told_where() {
    let roles = RolesDir::with(&["prose"]);
    roles.edit("prose", "wall_ms = 1_000", "wall_ms = 1_000\nwal_ms = 2");
    let text = fs::read_to_string(roles.manifest("prose")).unwrap();
    let line = text.lines().position(|line| line.starts_with("wal_ms")).unwrap() + 1;
    let place = format!("{}:{line}: ", roles.manifest("prose").display());
    refused(&roles, &[&place, "wal_ms", "nothing unknown is ignored"]).await;
}
