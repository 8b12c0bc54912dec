//! Versions of roles: what is pinned, and what a change means.

use std::collections::{BTreeMap, BTreeSet};

use super::tests::{GOOD, parse};
use super::*;
use crate::repo::{Branch, Repository};

fn version(source: &str) -> BTreeMap<String, RoleVersion> {
    let manifest = parse(source).unwrap();
    BTreeMap::from([(manifest.role.name.clone(), RoleVersion { manifest, component: None })])
}

/// Direction, place, before and after of each change but those of digests.
fn changes(old: &str, new: &str) -> Vec<String> {
    let diff = compare(&version(old), &version(new));
    let grew = diff.changes.iter().any(|change| change.direction == Direction::Widened);
    assert_eq!(diff.grew, grew);
    let told = diff.changes.iter().filter(|change| change.place != "manifest");
    told.map(|change| {
        let Change { direction, place, before, after, .. } = change;
        let show = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        format!("{direction:?} {place} {} {}", show(before), show(after))
    })
    .collect()
}

#[test]
fn a_change_is_judged_by_what_it_means() {
    let scratch = "[grants.scratch]\nquota_kib = 5\nfiles_max = 6\n[grants.github-write]";
    for (was, becomes, there, back) in [
        ("memory_mib = 64", "memory_mib = 65", "Widened limits.memory_mib 64 65", "Narrowed limits.memory_mib 65 64"),
        ("host_calls = 10", "host_calls = 11", "Widened limits.host_calls 10 11", "Narrowed limits.host_calls 11 10"),
        (
            "task_types = [\"code\"]",
            "task_types = [\"code\", \"test\"]",
            "Widened role.task_types - test",
            "Narrowed role.task_types test -",
        ),
        (
            "worker_type = \"executor\"",
            "worker_type = \"watchdog\"",
            "Widened role.worker_type executor watchdog",
            "Widened role.worker_type watchdog executor",
        ),
        ("description = \"x\"", "description = \"y\"", "Neutral role.description x y", "Neutral role.description y x"),
        (
            "\"Octo/Hello\"",
            "\"octo/*\"",
            "Widened grants.github-write.repositories - octo/*; Neutral grants.github-write.repositories octo/hello -",
            "Narrowed grants.github-write.repositories octo/* -; Neutral grants.github-write.repositories - octo/hello",
        ),
        (
            "branches = [\"feature/*\"]",
            "branches = [\"feature/a/*\"]",
            "Narrowed grants.github-write.branches feature/* -; Neutral grants.github-write.branches - feature/a/*",
            "Widened grants.github-write.branches - feature/*; Neutral grants.github-write.branches feature/a/* -",
        ),
        (
            "bases = [\"main\"]",
            "bases = [\"dev\"]",
            "Widened grants.github-write.bases - dev; Narrowed grants.github-write.bases main -",
            "Widened grants.github-write.bases - main; Narrowed grants.github-write.bases dev -",
        ),
        (
            "[grants.github-write]",
            scratch,
            "Widened grants.scratch - granted; Widened grants.scratch.quota_kib - 5; Widened grants.scratch.files_max - 6",
            "Narrowed grants.scratch granted -; Narrowed grants.scratch.quota_kib 5 -; Narrowed grants.scratch.files_max 6 -",
        ),
        // No change at all: order, layout, and letters that GitHub does not tell apart.
        ("\"demo/*\", \"Octo/Hello\"", "\"OCTO/hello\", \"Demo/*\"", "", ""),
        ("host_calls = 10\nlog_lines = 10", "log_lines = 10 # more\nhost_calls = 10", "", ""),
        // An entry that another one covers already.
        (
            "\"demo/*\"",
            "\"demo/*\", \"demo/a\"",
            "Neutral grants.github-write.repositories - demo/a",
            "Neutral grants.github-write.repositories demo/a -",
        ),
    ] {
        let other = GOOD.replacen(was, becomes, 1);
        assert_ne!(other, GOOD, "{was}");
        assert_eq!(changes(GOOD, &other).join("; "), there, "{was} becomes {becomes}");
        assert_eq!(changes(&other, GOOD).join("; "), back, "{becomes} becomes {was}");
    }
    assert!(compare(&version(GOOD), &version(GOOD)).changes.is_empty());
}

#[test]
fn roles_that_come_widen_and_roles_that_go_narrow() {
    let none = BTreeMap::new();
    let diff = compare(&none, &version(GOOD));
    assert!(diff.grew && diff.changes[0].place == "role" && diff.changes[0].after.as_deref() == Some("executor"));
    let diff = compare(&version(GOOD), &none);
    assert!(!diff.grew && diff.changes.iter().all(|change| change.direction != Direction::Widened));
    // Another name is another role, with all that it may do.
    assert!(compare(&version(GOOD), &version(&GOOD.replacen("executor", "executor2", 1))).grew);
}

#[test]
fn bytes_and_imports_are_told_and_give_no_authority() {
    let with = |sha256: &str, imports: &[&str]| {
        let mut roles = version(GOOD);
        let imports: BTreeSet<String> = imports.iter().map(ToString::to_string).collect();
        roles.get_mut("executor").unwrap().component = Some(ComponentVersion { sha256: sha256.to_owned(), imports });
        roles
    };
    let old = with("a", &["juggernaut:host/task@0.1.0"]);
    let imports = ["juggernaut:host/task@0.1.0", "juggernaut:host/github-write@0.1.0", "juggernaut:host/timer@0.1.0"];
    let diff = compare(&old, &with("b", &imports));
    assert!(!diff.grew);
    let notes: Vec<_> = diff.changes.iter().map(|change| (change.place.as_str(), change.note.as_deref())).collect();
    assert_eq!(
        notes,
        [
            ("component", None),
            ("component.imports", Some("was granted before, and not used")),
            ("component.imports", Some("not granted: the host refuses this component")),
        ]
    );
    let comment = compare(&version(GOOD), &version(&format!("{GOOD}# c\n")));
    assert_eq!(comment.changes[0].note.as_deref(), Some("only order, layout or comments"));
    assert!(!comment.grew);
}

/// If one pattern covers another, it matches all that the other one does; tried over a small world.
#[test]
fn covering_is_never_claimed_too_much() {
    let names = ["a/x", "a/y", "b/x", "ab/x"].map(|text| Repository::parse(text).unwrap());
    let patterns: Vec<RepositoryPattern> =
        ["a/x", "a/y", "b/x", "a/*", "b/*", "ab/*"].map(|text| text.to_owned().try_into().unwrap()).into();
    for (one, other) in patterns.iter().flat_map(|one| patterns.iter().map(move |other| (one, other))) {
        let more = names.iter().all(|name| !other.matches(name) || one.matches(name));
        assert!(!one.covers(other) || more, "{one} covers {other}");
    }
    let names = ["f", "f/a", "f/a/b", "f/ab", "g", "fa/b"].map(|text| Branch::parse(text).unwrap());
    let patterns: Vec<BranchPattern> =
        ["f", "f/a", "f/*", "f/a/*", "g", "fa/*", "f/ab"].map(|text| text.to_owned().try_into().unwrap()).into();
    for (one, other) in patterns.iter().flat_map(|one| patterns.iter().map(move |other| (one, other))) {
        let more = names.iter().all(|name| !other.matches(name) || one.matches(name));
        assert!(!one.covers(other) || more, "{one} covers {other}");
        assert!(one != other || one.covers(other), "{one} covers itself");
    }
    let covers = |one: &str, other: &str| {
        let parse = |text: &str| BranchPattern::try_from(text.to_owned()).unwrap();
        parse(one).covers(&parse(other))
    };
    assert!(covers("f/*", "f/a/*") && covers("f/*", "f/a") && !covers("f/a/*", "f/*") && !covers("f/*", "fa/*"));
}

#[test]
fn a_lock_is_stable_and_read_strictly() {
    let pins = |roles: &[&str]| roles.iter().map(|role| ((*role).to_owned(), Pin::new(&[1; 32], &[2; 32]))).collect();
    let text = RolesLock::new(pins(&["b", "a"])).to_text().unwrap();
    assert_eq!(text, RolesLock::new(pins(&["a", "b"])).to_text().unwrap());
    assert!(text.find("[roles.a]").unwrap() < text.find("[roles.b]").unwrap(), "{text}");
    assert_eq!(RolesLock::parse(&text).unwrap().to_text().unwrap(), text);
    for (was, becomes, wanted) in [
        ("version = 1", "version = 2", "this host reads version 1"),
        ("version = 1\n", "", "missing field `version`"),
        ("manifest_sha256", "manifest_sha1", "unknown field"),
        (&"01".repeat(32)[..], "01", "is no SHA-256"),
        (&"01".repeat(32)[..], &"0A".repeat(32)[..], "is no SHA-256"),
        ("[roles.a]", "[roles.b]", "duplicate key"),
        ("[roles.a]", "[rolls.a]", "unknown field"),
    ] {
        let problem = RolesLock::parse(&text.replacen(was, becomes, 1)).expect_err(becomes);
        assert!(problem.contains(wanted), "{becomes}: {problem}");
    }
}

#[test]
fn a_lock_tells_each_difference() {
    let (one, two) = ([1; 32], [2; 32]);
    let lock = RolesLock::new(BTreeMap::from([
        ("same".to_owned(), Pin::new(&one, &one)),
        ("component".to_owned(), Pin::new(&one, &one)),
        ("manifest".to_owned(), Pin::new(&one, &one)),
        ("gone".to_owned(), Pin::new(&one, &one)),
        ("idle".to_owned(), Pin::new(&one, &one)),
    ]));
    let found = BTreeMap::from([
        ("same".to_owned(), Some(Pin::new(&one, &one))),
        ("component".to_owned(), Some(Pin::new(&two, &one))),
        ("manifest".to_owned(), Some(Pin::new(&one, &two))),
        // Not to be loaded: its name is enough.
        ("idle".to_owned(), None),
        ("new".to_owned(), None),
    ]);
    let (expected, found_hex) = (hex::encode(one), hex::encode(two));
    let pair = |role: &str| (role.to_owned(), expected.clone(), found_hex.clone());
    let (component, manifest) = (pair("component"), pair("manifest"));
    assert_eq!(
        lock.compare(&found),
        [
            Mismatch::Component { role: component.0, expected: component.1, found: component.2 },
            Mismatch::Manifest { role: manifest.0, expected: manifest.1, found: manifest.2 },
            Mismatch::NotLocked { role: "new".to_owned() },
            Mismatch::Gone { role: "gone".to_owned() },
        ]
    );
    let older = lock.to_text().unwrap().replace("host_package = \"0.1.0\"", "host_package = \"0.0.9\"");
    let same = BTreeMap::from([("same".to_owned(), Some(Pin::new(&one, &one)))]);
    let said = RolesLock::parse(&older).unwrap().compare(&same)[0].to_string();
    assert!(said.contains("locked for juggernaut:host@0.0.9, and this host serves 0.1.0"), "{said}");
}
