//! Values, mistakes, and the documentation that the registry makes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::ExposeSecret as _;

use super::*;

fn with<T>(values: &[(&str, &str)], read: impl Fn(Env<'_>) -> T) -> T {
    let lookup = |name: &str| values.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    read(Env(&lookup))
}

fn document() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/CONFIGURATION.md")
}

#[test]
fn the_reference_is_up_to_date() {
    let written = std::fs::read_to_string(document()).unwrap();
    assert_eq!(written, reference(), "run: cargo test -p juggernaut write_reference -- --ignored");
}

#[test]
#[ignore = "writes docs/CONFIGURATION.md"]
fn write_reference() {
    std::fs::write(document(), reference()).unwrap();
}

#[test]
fn defaults_are_those_of_the_registry() {
    let worker = with(&[], WorkerConfig::from_env).unwrap();
    assert_eq!(worker.concurrency, 16);
    assert_eq!(worker.heartbeat, Duration::from_mins(1));
    assert_eq!(worker.lease, Duration::from_mins(1));
    assert_eq!(worker.poll, Duration::from_millis(500));
    assert_eq!(worker.grace, Duration::from_secs(30));
    assert_eq!(worker.log_retention, Duration::from_hours(90 * 24));
    assert_eq!(worker.roles_dir, PathBuf::from("roles"));
    assert_eq!((worker.worker_id, worker.worker_type, worker.cache_dir), (None, None, None));
    assert_eq!(with(&[], GitHubSettings::from_env).unwrap().api_url.as_str(), "https://api.github.com/");
}

#[test]
fn every_default_and_limit_is_accepted_and_the_next_one_is_not() {
    for (name, low, high) in [
        ("JUGGERNAUT_CONCURRENCY", 1, 256),
        ("JUGGERNAUT_HEARTBEAT_SECONDS", 1, 240),
        ("JUGGERNAUT_LEASE_SECONDS", 5, 3600),
        ("JUGGERNAUT_POLL_MS", 50, 60_000),
        ("JUGGERNAUT_GRACE_SECONDS", 0, 3600),
        ("JUGGERNAUT_LOG_RETENTION_DAYS", 1, 36_500),
    ] {
        for good in [low, high] {
            assert!(with(&[(name, &good.to_string())], WorkerConfig::from_env).is_ok(), "{name}={good}");
        }
        for bad in [low - 1, high + 1] {
            assert!(with(&[(name, &bad.to_string())], WorkerConfig::from_env).is_err(), "{name}={bad}");
        }
    }
}

#[test]
fn approvals_last_a_day_and_solo_mode_is_off() {
    let read = |values: &[(&str, &str)]| with(values, ApprovalConfig::from_env);
    assert_eq!(read(&[]).unwrap(), ApprovalConfig { lifetime: Duration::from_hours(24), solo: false });
    assert!(read(&[("JUGGERNAUT_SOLO_APPROVALS", "on")]).unwrap().solo);
    for (name, wrong) in [
        ("JUGGERNAUT_APPROVAL_HOURS", "0"),
        ("JUGGERNAUT_APPROVAL_HOURS", "721"),
        ("JUGGERNAUT_SOLO_APPROVALS", "true"),
        ("JUGGERNAUT_SOLO_APPROVALS", "ON"),
    ] {
        assert!(read(&[(name, wrong)]).is_err(), "{name}={wrong}");
    }
}

#[test]
fn listens_where_it_is_told() {
    let listen = |values: &[(&str, &str)]| with(values, ServerConfig::from_env).map(|config| config.listen.to_string());
    assert_eq!(listen(&[]).unwrap(), "127.0.0.1:8080");
    assert_eq!(listen(&[("PORT", "3000")]).unwrap(), "0.0.0.0:3000");
    assert_eq!(listen(&[("PORT", "3000"), ("JUGGERNAUT_LISTEN", "[::1]:9")]).unwrap(), "[::1]:9");
    assert_eq!(listen(&[("PORT", "")]).unwrap(), "127.0.0.1:8080");
    assert_eq!(
        listen(&[("PORT", "65536")]).unwrap_err().to_string(),
        "PORT is \"65536\", which is not a whole number from 1 to 65535; for example PORT=8080"
    );
}

#[test]
fn a_mistake_is_one_line_with_name_problem_and_example() {
    assert_eq!(
        with(&[], DatabaseConfig::from_env).unwrap_err().to_string(),
        "DATABASE_URL is not set; for example \
         DATABASE_URL=postgres://juggernaut:PASSWORD@db.example:5432/juggernaut"
    );
    assert_eq!(
        with(&[("JUGGERNAUT_LOG_FORMAT", "xml")], LogConfig::from_env).unwrap_err().to_string(),
        "JUGGERNAUT_LOG_FORMAT is \"xml\", which is neither text nor json; for example JUGGERNAUT_LOG_FORMAT=json"
    );
}

#[test]
fn secrets_never_appear() {
    let secret = "hunter2";
    let url = format!("mysql://u:{secret}@h/d");
    let error = with(&[("DATABASE_URL", &url)], DatabaseConfig::from_env).unwrap_err();
    assert!(!error.to_string().contains(secret), "{error}");
    let error = with(&[("GITHUB_TOKEN", "hunter2 x")], GitHubSettings::from_env).unwrap_err();
    assert!(!error.to_string().contains(secret), "{error}");
    let error = with(&[("GITHUB_API_URL", "https://u:hunter2@h/")], GitHubSettings::from_env).unwrap_err();
    assert!(!error.to_string().contains(secret), "{error}");
    let settings = with(&[("GITHUB_TOKEN", secret)], GitHubSettings::from_env).unwrap();
    assert!(!format!("{settings:?}").contains(secret));
}

#[test]
fn a_service_that_gets_a_secret_is_https_or_this_machine() {
    let accepted = |url: &str| {
        let model = with(&[("OPENROUTER_BASE_URL", url)], ModelSettings::from_env).is_ok();
        assert_eq!(model, with(&[("GITHUB_API_URL", url)], GitHubSettings::from_env).is_ok(), "{url}");
        model
    };
    for url in ["https://example.org/v1", "http://127.0.0.1:99", "http://[::1]:99/x", "http://localhost:1"] {
        assert!(accepted(url), "{url}");
    }
    for url in [
        "http://example.org",
        "http://10.0.0.1",
        "http://localhost.evil.org",
        "ftp://localhost",
        "https://h/?a=b",
        "x",
        "http://[::ffff:10.0.0.1]",
        "http://0.0.0.0",
        "http://127.0.0.1@example.org",
        "http://localhost.",
        "HTTP://h",
    ] {
        assert!(!accepted(url), "{url}");
    }
}

#[test]
fn this_machine_is_opened_to_roles_by_one_word_alone() {
    let read = |value: &str| with(&[("JUGGERNAUT_EGRESS_LOOPBACK", value)], EgressSettings::from_env);
    assert!(!with(&[], EgressSettings::from_env).unwrap().loopback_allowed);
    assert!(read("allow").unwrap().loopback_allowed);
    assert!(!read("refuse").unwrap().loopback_allowed && !read("").unwrap().loopback_allowed);
    for value in ["true", "1", "Allow", "yes", "allow,refuse"] {
        assert!(read(value).unwrap_err().to_string().contains("is neither allow nor refuse"), "{value}");
    }
}

#[cfg(unix)]
#[test]
fn the_client_file_is_found_above_and_must_be_private() {
    use std::os::unix::fs::PermissionsExt as _;

    let home = tempfile::tempdir().unwrap();
    let below = home.path().join("a/b");
    std::fs::create_dir_all(home.path().join(".juggernaut")).unwrap();
    std::fs::create_dir_all(&below).unwrap();
    let file = home.path().join(".juggernaut/client.toml");
    std::fs::write(&file, "url = \"http://127.0.0.1:1234\"\ntoken = \"jgt_secret\"\n").unwrap();
    let find = |values: &[(&str, &str)]| with(values, |env| ClientConfig::find(env, &below));

    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert!(find(&[]).unwrap_err().to_string().contains("chmod 600"));

    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let config = find(&[]).unwrap();
    assert_eq!(config.url.as_str(), "http://127.0.0.1:1234/");
    assert_eq!(config.token.unwrap().expose_secret(), "jgt_secret");
    let config = find(&[("JUGGERNAUT_URL", "https://elsewhere.example")]).unwrap();
    assert!(config.token.is_none(), "the file's token belongs to the file's host");
    let config = find(&[("JUGGERNAUT_TOKEN", "jgt_other")]).unwrap();
    assert_eq!(config.token.unwrap().expose_secret(), "jgt_other");

    std::fs::write(&file, "url = \"http://127.0.0.1:1234\"\ntoken = jgt_secret\n").unwrap();
    assert!(!find(&[]).unwrap_err().to_string().contains("jgt_secret"));
}
