use std::path::Path;

use super::*;

pub(super) const GOOD: &str = r#"
[role]
name = "executor"
worker_type = "executor"
description = "x"
task_types = ["code"]

[limits]
memory_mib = 64
wall_ms = 1000
host_calls = 10
log_lines = 10
log_line_bytes = 1000
call_kib = 2048
journal_kib = 2048

[grants.github-write]
repositories = ["demo/*", "Octo/Hello"]
branches = ["feature/*"]
bases = ["main"]
"#;

pub(super) fn parse(source: &str) -> Result<Manifest, String> {
    Manifest::parse(Path::new("roles/x/capabilities.toml"), source.to_owned()).map_err(|error| error.to_string())
}

#[test]
fn a_manifest_grants_what_it_names_and_nothing_else() {
    let manifest = parse(GOOD).unwrap();
    assert!(manifest.grants(Interface::GithubWrite));
    assert!(!manifest.grants(Interface::GithubMerge));
    assert_eq!(manifest.line_of_grant(Interface::GithubWrite), Some(17));
}

/// Each mistake is refused, with the line and a word of what is wrong.
#[test]
fn mistakes_name_file_line_and_remedy() {
    for (was, becomes, wanted) in [
        ("call_kib = 2048", "call_kib = 2048\nnetwork = true", "capabilities.toml:15: unknown field `network`"),
        ("[grants.github-write]", "[grants.github-admin]", "unknown field `github-admin`"),
        ("\"demo/*\"", "\"*\"", "no wider wildcard"),
        ("\"demo/*\"", "\"*/*\"", "no wider wildcard"),
        ("\"demo/*\"", "\"de*/x\"", "no wider wildcard"),
        ("\"feature/*\"", "\"*\"", "no wider wildcard"),
        ("\"feature/*\"", "\"feature*\"", "no wider wildcard"),
        ("memory_mib = 64", "memory_mib = 4096", "limits.memory_mib = 4096 is out of range: 1 to 512"),
        ("wall_ms = 1000\n", "", "missing field `wall_ms`"),
        ("branches = [\"feature/*\"]", "branches = []", "github-write.branches is empty"),
        (
            "bases = [\"main\"]",
            "bases = [\"main\"]\npython_quality_off = [\n\"demo/a\",\n\"else/where\"]",
            "capabilities.toml:21: github-write.python_quality_off names else/where",
        ),
        ("bases = [\"main\"]", "bases = [\"main\"]\npython_quality_off = [\"demo/*\"]", "repository \"demo/*\""),
        ("task_types = [\"code\"]", "task_types = []", "role.task_types is empty"),
        ("name = \"executor\"", "name = \"../x\"", "capabilities.toml:3: role.name"),
        ("memory_mib = 64", "memory_mib = 0", "capabilities.toml:9: limits.memory_mib = 0"),
        ("bases = [\"main\"]", "bases = []", "capabilities.toml:20: github-write.bases is empty"),
        (
            "bases = [\"main\"]",
            "bases = [\"a\", \"main\", \"a\"]",
            "capabilities.toml:20: github-write.bases names a twice",
        ),
        ("\"demo/*\"", "\"octo/hello\"", "github-write.repositories names octo/hello twice; remove one"),
        ("task_types = [\"code\"]", "task_types = [\"code\", \"code\"]", "role.task_types names code twice"),
        ("task_types = [\"code\"]", "task_types = [\"*\"]", "capabilities.toml:6: role.task_types holds \"*\""),
        ("description = \"x\"", "description = \"\"", "role.description must have 1 to 200 characters"),
        (
            "description = \"x\"",
            "description = \"safe \u{202e}lla\"",
            "capabilities.toml:5: role.description holds control or invisible characters: \"safe <U+202E>lla\"",
        ),
        ("bases = [\"main\"]", "bases = [\"main\"]\nbases = [\"x\"]", "duplicate key"),
        ("[grants.github-write]", "[grants.timer]\n[grants.github-write]", "missing field `sleep_seconds_max`; add it"),
    ] {
        let source = GOOD.replacen(was, becomes, 1);
        assert_ne!(source, GOOD, "{was}");
        let error = parse(&source).expect_err(becomes);
        assert!(error.contains(wanted), "{becomes}: {error}");
        assert!(error.starts_with("roles/x/capabilities.toml"), "{error}");
    }
}

/// What an http-fetch grant may not say, with the line of the target that says it.
#[test]
fn mistakes_in_a_web_grant_name_the_target() {
    const FETCH: &str = r#"
[grants.http-fetch]
response_kib_max = 512
timeout_ms_max = 10_000

[[grants.http-fetch.targets]]
host = "docs.rs"
methods = ["GET", "HEAD"]
paths = ["/crate/"]

[[grants.http-fetch.targets]]
host = "*.example.org"
methods = ["GET"]
paths = ["/"]
"#;
    let good = format!("{GOOD}{FETCH}");
    let manifest = parse(&good).unwrap();
    assert_eq!(manifest.line_of_grant(Interface::HttpFetch), Some(22));
    for (was, becomes, wanted) in [
        ("\"*.example.org\"", "\"*\"", ":32: host \"*\" has a wildcard other than one leading"),
        ("\"*.example.org\"", "\"*.org\"", ":32: host \"*.org\" has a wildcard for names that anybody can have"),
        ("\"docs.rs\"", "\"https://docs.rs\"", ":27: host"),
        ("\"docs.rs\"", "\"docs.rs\"\nport = 1", ":28: unknown field `port`"),
        ("[\"GET\"]", "[\"POST\"]", ":31: methods of *.example.org has POST; http-fetch only looks"),
        ("[\"GET\"]", "[\"get\"]", ":33: unknown variant `get`, expected one of `GET`"),
        ("[\"GET\"]", "[]", ":31: methods of *.example.org is empty"),
        ("[\"/\"]", "[]", ":31: number of paths of *.example.org = 0 is out of range: 1 to 64"),
        ("[\"/\"]", "[\"/a/*\"]", ":34: path \"/a/*\" has one of * ? # %"),
        ("\"/crate/\"", "\"/crate/../\"", ":29: path \"/crate/../\" has a '.' or '..' part"),
        (
            "response_kib_max = 512",
            "response_kib_max = 4097",
            ":23: http-fetch.response_kib_max = 4097 is out of range",
        ),
        (
            "timeout_ms_max = 10_000",
            "timeout_ms_max = 60_001",
            ":24: http-fetch.timeout_ms_max = 60001 is out of range",
        ),
        ("timeout_ms_max = 10_000\n", "", "missing field `timeout_ms_max`"),
    ] {
        let source = good.replacen(was, becomes, 1);
        assert_ne!(source, good, "{was}");
        let error = parse(&source).expect_err(becomes);
        assert!(error.contains(wanted), "{becomes}: {error}");
    }
    let none = good.split("[[grants").next().unwrap().to_owned();
    assert!(parse(&none).unwrap_err().contains("missing field `targets`"));
}

#[test]
fn patterns_match_whole_parts() {
    let repository = |text: &str| crate::repo::Repository::parse(text).unwrap();
    let branch = |text: &str| crate::repo::Branch::parse(text).unwrap();
    let all: RepositoryPattern = "demo/*".to_owned().try_into().unwrap();
    assert!(all.matches(&repository("Demo/x")) && !all.matches(&repository("demo2/x")));
    let below: BranchPattern = "feature/*".to_owned().try_into().unwrap();
    assert!(below.matches(&branch("feature/a/b")));
    assert!(!below.matches(&branch("feature2/a")) && !below.matches(&branch("feature")));
}
