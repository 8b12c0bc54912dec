//! `role diff` and `role inspect`, as a reviewer and a role author's CI meet them.

use std::fs;

use crate::support::{CliOutput, RolesDir, juggernaut};

async fn role(arguments: &[&str]) -> CliOutput {
    let arguments: Vec<&str> = ["role"].iter().chain(arguments).copied().collect();
    juggernaut(&std::env::temp_dir(), &arguments, &[]).await
}

async fn diff(old: &RolesDir, new: &RolesDir) -> CliOutput {
    role(&["diff", old.path().to_str().unwrap(), new.path().to_str().unwrap()]).await
}

/// The guest, without its component: a checkout.
fn manifest_only(name: &str) -> RolesDir {
    let roles = RolesDir::with(&[name]);
    fs::remove_file(roles.component(name)).unwrap();
    roles
}

#[tokio::test]
async fn the_exit_status_says_whether_authority_grew() {
    let (old, new) = (manifest_only("hostile"), manifest_only("hostile"));
    let output = diff(&old, &new).await;
    assert_eq!((output.code, output.stdout.as_str()), (Some(0), "Nothing changed.\n"), "{output:?}");

    new.edit("hostile", "host_calls = 200", "host_calls = 201");
    assert_eq!(diff(&old, &new).await.code, Some(3));
    assert_eq!(diff(&new, &old).await.code, Some(0), "narrowed only");

    // A new role is new authority; one that is gone is less.
    let both = RolesDir::with(&["hostile", "prose"]);
    fs::remove_file(both.component("hostile")).unwrap();
    assert_eq!(diff(&old, &both).await.code, Some(3));
    assert_eq!(diff(&both, &old).await.code, Some(0));

    // One role's directory is compared like a folder of it.
    let (one, other) = (old.role("hostile"), new.role("hostile"));
    assert_eq!(role(&["diff", one.to_str().unwrap(), other.to_str().unwrap()]).await.code, Some(3));

    // What can't be read is an error, never "no change".
    new.edit("hostile", "host_calls = 201", "host_cals = 201");
    let output = diff(&old, &new).await;
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.contains("unknown field `host_cals`"), "{output:?}");
    assert_eq!(role(&["diff", old.path().to_str().unwrap(), "/nowhere"]).await.code, Some(1));
    assert_eq!(role(&["diff", old.path().to_str().unwrap()]).await.code, Some(2));
}

/// What reviewers see: widened first, then narrowed, then the rest.
#[tokio::test]
async fn the_table_shows_widened_grants_first() {
    let (old, new) = (manifest_only("hostile"), manifest_only("hostile"));
    new.edit("hostile", "A guest for the integration tests", "Another guest for the integration tests")
        .edit("hostile", "host_calls = 200", "host_calls = 100")
        .edit("hostile", "[\"demo/*\"]", "[\"demo/sample\", \"acme/*\"]")
        .edit("hostile", "sleep_seconds_max = 60", "sleep_seconds_max = 3600");
    let output = diff(&old, &new).await;
    assert_eq!(output.code, Some(3), "{output:?}");
    // Digests depend on the guest.
    let digest = output.stdout.lines().find(|line| line.contains("manifest")).unwrap();
    assert!(digest.trim_start().starts_with("neutral") && digest.contains("… -> "), "{digest}");
    let lines: Vec<&str> = output.stdout.lines().filter(|line| !line.contains("manifest")).collect();
    insta::assert_snapshot!("role_diff", lines.join("\n"));

    let json = role(&["--json", "diff", old.path().to_str().unwrap(), new.path().to_str().unwrap()]).await;
    assert_eq!(json.code, Some(3));
    let json = json.json();
    assert_eq!((&json["grew"], &json["changes"][0]["direction"]), (&true.into(), &"widened".into()));
}

#[tokio::test]
async fn a_new_component_is_shown_with_what_it_uses_now() {
    // The same manifest, first over a component that uses less of it.
    let (old, new) = (RolesDir::with(&["hostile", "prose"]), RolesDir::with(&["hostile"]));
    fs::copy(old.component("prose"), old.component("hostile")).unwrap();
    fs::remove_dir_all(old.role("prose")).unwrap();
    let output = diff(&old, &new).await;
    assert_eq!(output.code, Some(0), "{output:?}");
    for part in ["+ juggernaut:host/github-write@0.1.0", "was granted before, and not used", "Authority did not grow."]
    {
        assert!(output.stdout.contains(part), "{part}: {output:?}");
    }
}

#[tokio::test]
async fn a_role_is_inspected_by_its_directory() {
    let roles = RolesDir::with(&["hostile"]);
    let output = role(&["inspect", roles.role("hostile").to_str().unwrap()]).await;
    assert_eq!(output.code, Some(0), "{output:?}");
    let lines: Vec<Vec<&str>> = output.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    for row in [
        &["role", "task_types", "code"][..],
        &["limits", "host_calls", "200"],
        &["grants.github-write", "branches", "feature/*"],
        &["grants.timer", "sleep_seconds_max", "60"],
        &["juggernaut:host/timer@0.1.0", "granted"],
    ] {
        assert!(lines.iter().any(|line| line == row), "{row:?} is not in:\n{}", output.stdout);
    }
    let json = role(&["--json", "inspect", roles.role("hostile").to_str().unwrap()]).await.json();
    assert_eq!(json["manifest"][0]["parameters"]["name"], "hostile");
}

/// A manifest from a stranger moves no cursor of the reviewer's terminal.
#[tokio::test]
async fn hostile_text_is_made_visible() {
    let roles = manifest_only("prose");
    roles.edit("prose", "wall_ms = 1_000", "wall_ms = 1_000\n\"\\u001b[2J\u{202e}sey\" = 2");
    let path = roles.path().to_str().unwrap();
    for arguments in [&["check", path][..], &["diff", path, path], &["lock", path], &["--json", "check", path]] {
        let output = role(arguments).await;
        assert_eq!(output.code, Some(1), "{output:?}");
        let printed = format!("{}{}", output.stdout, output.stderr);
        assert!(printed.contains("<U+202E>"), "{printed}");
        assert!(!printed.contains(['\u{1b}', '\u{202e}']), "{printed:?}");
    }
}
