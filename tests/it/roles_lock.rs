//! Pinned roles: a host serves the roles that were released, byte for byte, or nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{AUDIT_KEY, CliOutput, Database, Host, LIMIT, Options, Paths, RolesDir, code_task, juggernaut};

fn lock_file(roles: &RolesDir) -> PathBuf {
    roles.path().join("roles.lock")
}

async fn role(arguments: &[&str]) -> CliOutput {
    let arguments: Vec<&str> = ["role"].iter().chain(arguments).copied().collect();
    juggernaut(&std::env::temp_dir(), &arguments, &[]).await
}

async fn lock(roles: &RolesDir) -> CliOutput {
    role(&["lock", roles.path().to_str().unwrap()]).await
}

async fn check(roles: &RolesDir) -> CliOutput {
    role(&["lock", "--check", roles.path().to_str().unwrap()]).await
}

/// `serve`, which is expected to end by itself before it registers a worker.
async fn refused(roles: &RolesDir, more: &[(&str, &str)], said: &[&str]) {
    let database = Database::create().await;
    let cache = Paths::get().component_cache();
    let mut env = vec![
        ("DATABASE_URL", database.url()),
        ("JUGGERNAUT_ROLES", roles.path().to_str().unwrap()),
        ("JUGGERNAUT_CACHE", cache.to_str().unwrap()),
        ("JUGGERNAUT_LISTEN", "127.0.0.1:0"),
        ("JUGGERNAUT_AUDIT_KEY", AUDIT_KEY),
    ];
    env.extend(more);
    let output = juggernaut(&std::env::temp_dir(), &["serve"], &env).await;
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(!output.stderr.contains("listening on"), "{output:?}");
    for part in said {
        assert!(output.stderr.contains(part), "{part:?} is not in:\n{}", output.stderr);
    }
    let query = sqlx::query_scalar("select count(*) from worker_registry");
    let workers: i64 = query.fetch_one(database.pool()).await.unwrap();
    assert_eq!(workers, 0, "nothing is served");
}

fn flip_last_byte(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn without_a_lock_nothing_is_served() {
    let roles = RolesDir::with(&["prose"]);
    refused(&roles, &[], &["roles.lock is missing, and only pinned roles are served", "`juggernaut role lock "]).await;
    let output = check(&roles).await;
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.contains("roles.lock is missing"), "{output:?}");
}

#[tokio::test]
async fn locked_roles_are_served() {
    let roles = RolesDir::with(&["executor"]);
    let output = lock(&roles).await;
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(output.stdout.contains("roles.lock: executor"), "{output:?}");
    let before = fs::read(lock_file(&roles)).unwrap();
    assert_eq!(check(&roles).await.code, Some(0));

    // Again: the same bytes, readable by the user that serves, and nothing else left in the folder.
    assert_eq!(lock(&roles).await.code, Some(0));
    assert_eq!(fs::read(lock_file(&roles)).unwrap(), before);
    assert_eq!(fs::metadata(lock_file(&roles)).unwrap().permissions().mode() & 0o777, 0o644);
    assert_eq!(fs::read_dir(roles.path()).unwrap().count(), 2);

    let report = role(&["inspect", roles.role("executor").to_str().unwrap(), "--json"]).await.json();
    let text = String::from_utf8(before).unwrap();
    for digest in ["component_sha256", "manifest_sha256"] {
        assert!(text.contains(&format!("{digest} = {}", report[digest])), "{text}\n{report}");
    }

    let host = Host::start(Options::default().roles(roles)).await;
    let task = host.create_task(code_task("locked.py")).await;
    host.wait_for(&task, "completed", LIMIT).await;
}

#[tokio::test]
async fn a_changed_byte_of_a_component_stops_the_host() {
    let roles = RolesDir::with(&["prose"]);
    roles.lock();
    flip_last_byte(&roles.component("prose"));
    // Told before it is compiled: whether it still is a component does not matter.
    let said = ["role `prose`: its component is not the locked one; expected sha256:", ", found sha256:", "role diff"];
    refused(&roles, &[], &said).await;
    let output = check(&roles).await;
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(said.iter().all(|part| output.stderr.contains(part)), "{output:?}");
    assert!(!output.stderr.contains("manifest"), "only what differs is named: {output:?}");
}

#[tokio::test]
async fn an_edited_manifest_stops_the_host_until_it_is_locked() {
    let roles = RolesDir::with_free_payload(&["prose"]);
    roles.lock();
    roles.edit("prose", "host_calls = 200", "host_calls = 201");
    refused(&roles, &[], &["role `prose`: its manifest is not the locked one; expected sha256:"]).await;
    let output = role(&["lock", "--check", "--json", roles.path().to_str().unwrap()]).await;
    assert_eq!(output.code, Some(1), "{output:?}");
    let differences = output.json();
    assert_eq!(differences[0]["difference"], "manifest");
    assert_eq!(differences[0]["role"], "prose");
    assert_ne!(differences[0]["expected"], differences[0]["found"]);
    assert_eq!(lock(&roles).await.code, Some(0));
    Host::start(Options::default().roles(roles)).await;
}

#[tokio::test]
async fn a_role_too_many_and_a_role_too_few_stop_the_host() {
    let roles = RolesDir::with(&["prose", "hostile"]);
    roles.lock();
    fs::rename(roles.role("hostile"), roles.path().join("elsewhere")).unwrap();
    fs::remove_file(roles.path().join("elsewhere/capabilities.toml")).unwrap();
    refused(&roles, &[], &["role `hostile` is in roles.lock and not in the folder; put its folder back"]).await;

    let roles = RolesDir::with(&["prose", "hostile"]);
    let apart = RolesDir::with(&["prose"]);
    apart.lock();
    fs::copy(lock_file(&apart), lock_file(&roles)).unwrap();
    let said = "role `hostile` is in the folder and not in roles.lock: nobody released it";
    refused(&roles, &[], &[said]).await;
    // Not even beside the one role that is asked for.
    refused(&roles, &[("WORKER_TYPE", "prose")], &[said]).await;
}

#[tokio::test]
async fn one_worker_type_answers_for_its_own_role() {
    let roles = RolesDir::with_free_payload(&["prose", "hostile"]);
    roles.lock();
    flip_last_byte(&roles.component("hostile"));
    refused(&roles, &[("WORKER_TYPE", "hostile")], &["role `hostile`: its component is not the locked one"]).await;
    // `Host` would lock anew, so the check says that the lock is the old one still.
    assert_eq!(check(&roles).await.code, Some(1));
    let good = RolesDir::with_free_payload(&["prose", "hostile"]);
    Host::start(Options::default().roles(good).env("WORKER_TYPE", "prose")).await;
}

#[tokio::test]
async fn a_lock_that_is_not_understood_pins_nothing() {
    let roles = RolesDir::with(&["prose"]);
    roles.lock();
    let text = fs::read_to_string(lock_file(&roles)).unwrap();
    for (bad, said) in [
        (String::new(), "missing field `version`"),
        (text.replace("version = 1", "version = 2"), "this host reads version 1"),
        (format!("{text}\nunknown = true\n"), "unknown field"),
        (text.replace("component_sha256 = \"", "component_sha256 = \"x"), "is no SHA-256"),
        ("#".repeat(65 * 1024), "more than 65536 bytes"),
        ("\u{1b}]0;owned\u{7}".to_owned(), "is not understood"),
    ] {
        fs::write(lock_file(&roles), bad).unwrap();
        let output = check(&roles).await;
        assert_eq!(output.code, Some(1), "{output:?}");
        assert!(output.stderr.contains(said) && output.stderr.contains("is not understood"), "{said}: {output:?}");
        assert!(!output.stderr.contains('\u{1b}'), "{output:?}");
    }
    refused(&roles, &[], &["is not understood; `juggernaut role lock` writes it anew"]).await;
    fs::write(lock_file(&roles), [0xff, 0xfe]).unwrap();
    assert_eq!(check(&roles).await.code, Some(1));
}

#[tokio::test]
async fn two_folders_of_one_role_can_not_be_locked() {
    let roles = RolesDir::with(&["prose"]);
    let copy = roles.path().join("also-prose");
    fs::create_dir(&copy).unwrap();
    fs::copy(roles.manifest("prose"), copy.join("capabilities.toml")).unwrap();
    fs::copy(roles.component("prose"), copy.join("prose.wasm")).unwrap();
    let output = lock(&roles).await;
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.contains("are both of the role `prose`"), "{output:?}");
    assert!(!lock_file(&roles).exists());
}

/// The schema that is published is what the binary prints.
#[tokio::test]
async fn the_schema_is_printed() {
    let output = role(&["schema"]).await;
    assert_eq!(output.code, Some(0), "{output:?}");
    let published = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/capabilities.schema.json");
    let published: Value = serde_json::from_str(&fs::read_to_string(published).unwrap()).unwrap();
    assert_eq!(output.json(), published);
}
