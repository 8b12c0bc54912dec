//! The host's own secrets, gathered for the scanner.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret as _, SecretSlice, SecretString};
use tracing::warn;
use url::Url;

use super::alerts;
use super::host::HostSettings;
use crate::config::AuditKey;
use crate::secrets::{SECRET_BYTES_MIN, Scanner};

const DATABASE: &str = "DATABASE_URL";
const AUDIT: &str = "JUGGERNAUT_AUDIT_KEY";
/// Passwords that are words of everyday texts. Whoever uses one is told; looking for it would refuse those texts.
const EVERYDAY: &[&str] = &["password", "postgres", "postgresql", "juggernaut"];

/// A scanner for everything that this host holds, and a warning for each secret that can not be looked for.
pub(super) fn scanner(settings: &HostSettings) -> Scanner {
    let mut secrets = settings.other_secrets.clone();
    secrets.extend(settings.github.token.clone().map(|token| ("GITHUB_TOKEN".to_owned(), token)));
    secrets.extend(settings.webhook.iter().flat_map(alerts::secrets));
    secrets.extend(settings.model.api_key.clone().map(|key| ("OPENROUTER_API_KEY".to_owned(), key)));
    secrets.extend(of_database(settings.database.url.expose_secret()));
    let (texts, seed) = of_audit(&settings.audit.key);
    secrets.extend(texts);
    let texts = secrets.iter().map(|(name, secret)| (name.as_str(), secret.expose_secret().as_bytes()));
    let scanner = Scanner::of_bytes(texts.chain(seed.as_ref().map(|seed| (AUDIT, seed.expose_secret()))));
    for name in scanner.too_short() {
        warn!(
            name,
            "this secret is shorter than {SECRET_BYTES_MIN} bytes, so it is not looked for in what runs send out; use a longer one"
        );
    }
    scanner
}

/// The seed as people write it, and its bytes, which the scanner finds in hexadecimal and base64 by itself. An ephemeral
/// one was never written anywhere.
fn of_audit(key: &AuditKey) -> (Vec<(String, SecretString)>, Option<SecretSlice<u8>>) {
    let AuditKey::Seed(text) = key else { return (Vec::new(), None) };
    let mut texts = vec![(AUDIT.to_owned(), text.clone())];
    let seed = hex::decode(text.expose_secret()).ok();
    texts.extend(seed.as_ref().map(|seed| (AUDIT.to_owned(), SecretString::from(STANDARD.encode(seed)))));
    (texts, seed.map(SecretSlice::from))
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
    fn the_audit_key_is_found_in_every_form() {
        let seed: [u8; 32] = std::array::from_fn(|at| u8::try_from(at * 7 + 3).unwrap());
        let (texts, bytes) = of_audit(&AuditKey::Seed(SecretString::from(hex::encode(seed))));
        let texts = texts.iter().map(|(name, text)| (name.as_str(), text.expose_secret().as_bytes()));
        let scanner = Scanner::of_bytes(texts.chain(bytes.as_ref().map(|seed| (AUDIT, seed.expose_secret()))));
        let hexadecimal = hex::encode(seed);
        let shifted = STANDARD.encode([&b"ab"[..], &seed].concat());
        for text in [
            hexadecimal.clone(),
            hexadecimal.to_uppercase(),
            STANDARD.encode(seed),
            STANDARD.encode(&hexadecimal),
            STANDARD.encode(STANDARD.encode(seed)),
            format!("key = {shifted}"),
        ] {
            assert_eq!(scanner.scan(text.as_bytes()).map(|hit| hit.what), Some(AUDIT), "{text}");
        }
        assert_eq!(scanner.scan(hex::encode([7; 32]).as_bytes()), None);
        assert!(of_audit(&AuditKey::Ephemeral).0.is_empty());
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
