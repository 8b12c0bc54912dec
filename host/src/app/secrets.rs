//! The host's own secrets, gathered for the scanner.

use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret as _, SecretString};
use tracing::warn;
use url::Url;

use super::alerts;
use super::host::HostSettings;
use crate::secrets::{SECRET_BYTES_MIN, Scanner};

const DATABASE: &str = "DATABASE_URL";
/// Passwords that are words of everyday texts. Whoever uses one is told; looking for it would refuse those texts.
const EVERYDAY: &[&str] = &["password", "postgres", "postgresql", "juggernaut"];

/// A scanner for everything that this host holds, and a warning for each secret that can not be looked for.
pub(super) fn scanner(settings: &HostSettings) -> Scanner {
    let mut secrets = settings.other_secrets.clone();
    secrets.extend(settings.github.token.clone().map(|token| ("GITHUB_TOKEN".to_owned(), token)));
    secrets.extend(settings.webhook.iter().flat_map(alerts::secrets));
    secrets.extend(settings.model.api_key.clone().map(|key| ("OPENROUTER_API_KEY".to_owned(), key)));
    secrets.extend(of_database(settings.database.url.expose_secret()));
    let scanner = Scanner::new(&secrets);
    for name in scanner.too_short() {
        warn!(
            name,
            "this secret is shorter than {SECRET_BYTES_MIN} bytes, so it is not looked for in what runs send out; use a longer one"
        );
    }
    scanner
}

/// The URL, and its password as it stands there and as it is meant.
fn of_database(url: &str) -> Vec<(String, SecretString)> {
    let secret = |value: &str| (DATABASE.to_owned(), SecretString::from(value));
    let mut secrets = vec![secret(url)];
    let Ok(parsed) = Url::parse(url) else { return secrets };
    let in_query = parsed.query_pairs().find(|(name, _)| name == "password").map(|(_, value)| value.into_owned());
    for written in parsed.password().map(str::to_owned).into_iter().chain(in_query) {
        let meant = percent_decode_str(&written).decode_utf8_lossy().into_owned();
        let everyday = EVERYDAY.contains(&meant.as_str())
            || meant == parsed.username()
            || parsed.path().trim_start_matches('/') == meant;
        if everyday {
            warn!(
                name = DATABASE,
                "the password is a word of everyday texts, so it is not looked for in what runs send out; use a better one"
            );
            continue;
        }
        if meant != written {
            secrets.push(secret(&meant));
        }
        secrets.push(secret(&written));
    }
    secrets
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(url: &str) -> Vec<String> {
        of_database(url).into_iter().map(|(_, secret)| secret.expose_secret().to_owned()).collect()
    }

    #[test]
    fn a_database_url_has_its_password_found_in_every_form() {
        let url = "postgres://me:p%40ss-word-1@db/jobs";
        assert_eq!(values(url), [url, "p@ss-word-1", "p%40ss-word-1"]);
        let url = "postgres://me@db/jobs?password=hidden-here-1";
        assert_eq!(values(url), [url, "hidden-here-1"]);
        for url in [
            "postgres://db",
            "postgres://me@db/jobs",
            "not a url",
            "postgres://me:postgres@db/x",
            "postgres://somebody:somebody@db",
        ] {
            assert_eq!(values(url), [url]);
        }
    }
}
