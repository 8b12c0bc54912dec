//! The notifier, made from the configuration.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use secrecy::{ExposeSecret as _, SecretString};
use tracing::warn;
use url::Url;

use super::host::{USER_AGENT, guard};
use crate::config::{EgressSettings, NotifyFrom, WebhookConfig, WebhookFormat};
use crate::egress::{Delivered, WebClient};
use crate::journal::Severity;
use crate::notifier::{Format, Notifier, Settings};
use crate::task::HostId;
use crate::web::WebTarget;

const URL_NAME: &str = "JUGGERNAUT_ALERT_WEBHOOK_URL";
const SECRET_NAME: &str = "JUGGERNAUT_ALERT_WEBHOOK_SECRET";
/// A part of an address that is shorter stands in everyday texts.
const PART_BYTES_MIN: usize = 16;

/// The notifier, or why the webhook can not be used. What only a look-up can tell is told at the first notification.
pub(super) fn notifier(
    config: &WebhookConfig,
    egress: EgressSettings,
    host: HostId,
    retry: Duration,
) -> Result<Notifier> {
    let WebhookConfig { url, secret, format, from } = config.clone();
    let guard = guard(egress);
    let target = WebTarget::parse(url.expose_secret())
        .map_err(|invalid| anyhow!("{URL_NAME} has a value that {}", invalid.problem))?;
    guard.judge(&target).with_context(|| {
        format!("{URL_NAME} can not be used; name a public host (JUGGERNAUT_EGRESS_LOOPBACK=allow opens this machine)")
    })?;
    if secret.is_none() {
        warn!(
            "{SECRET_NAME} is not set: notifications are not signed, and the webhook's address is all that protects it"
        );
    }
    let format = match format {
        WebhookFormat::Json => Format::Json,
        WebhookFormat::Slack => Format::Slack,
    };
    let from = match from {
        NotifyFrom::Info => Severity::Info,
        NotifyFrom::Warning => Severity::Warning,
        NotifyFrom::Critical => Severity::Critical,
    };
    // A client of its own: no role's fetch keeps people from being told.
    let web = WebClient::new(guard, USER_AGENT)?;
    Ok(Notifier::new(web, Settings { target, secret, format, from, retry }, host))
}

/// Sends a test notification from this process.
pub async fn test_notification(config: &WebhookConfig, egress: EgressSettings) -> Result<Delivered> {
    let notifier = notifier(config, egress, HostId::generate(), Duration::ZERO)?;
    notifier.test().await.context("the webhook can not be reached")
}

/// What the scanner looks for: the address, what is behind its host, and each part of that which is long enough to be the
/// secret in it.
pub(super) fn secrets(config: &WebhookConfig) -> Vec<(String, SecretString)> {
    let url = config.url.expose_secret();
    let mut secrets: Vec<_> =
        config.secret.clone().map(|secret| (SECRET_NAME.to_owned(), secret)).into_iter().collect();
    secrets.push((URL_NAME.to_owned(), config.url.clone()));
    let Ok(parsed) = Url::parse(url) else { return secrets };
    let (path, query) = (parsed.path(), parsed.query().unwrap_or_default());
    let parts = path.split('/').chain(query.split(['&', '=']));
    let long = [path, query].into_iter().chain(parts).filter(|part| part.len() >= PART_BYTES_MIN && *part != "/");
    let mut long: Vec<_> = long.collect();
    long.sort_unstable();
    long.dedup();
    secrets.extend(long.into_iter().map(|part| (URL_NAME.to_owned(), SecretString::from(part))));
    secrets
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(url: &str) -> WebhookConfig {
        let (format, from) = (WebhookFormat::Slack, NotifyFrom::Info);
        WebhookConfig { url: SecretString::from(url), secret: None, format, from }
    }

    #[test]
    fn the_secret_part_of_an_address_is_one_by_itself() {
        let values = |url: &str| -> Vec<_> {
            secrets(&config(url)).into_iter().map(|(_, secret)| secret.expose_secret().to_owned()).collect()
        };
        let url = "https://hooks.slack.com/services/T000/B000/abcdefghijklmnopqrstuvwx";
        assert_eq!(values(url), [url, "/services/T000/B000/abcdefghijklmnopqrstuvwx", "abcdefghijklmnopqrstuvwx"]);
        let url = "https://hooks.example/?sig=abcdefghijklmnop";
        assert_eq!(values(url), [url, "abcdefghijklmnop", "sig=abcdefghijklmnop"]);
        assert_eq!(values("http://127.0.0.1:9/hook"), ["http://127.0.0.1:9/hook"]);
    }

    #[test]
    fn an_address_that_is_not_reached_is_refused_without_being_shown() {
        let refused = |url: &str, loopback_allowed| {
            let egress = EgressSettings { loopback_allowed };
            notifier(&config(url), egress, HostId::generate(), Duration::ZERO)
                .map(|_| ())
                .map_err(|error| format!("{error:#}"))
        };
        for url in [
            "https://10.0.0.1/hidden",
            "https://169.254.169.254/hidden",
            "https://db.internal/hidden",
            "http://127.0.0.1:1/hidden",
        ] {
            let error = refused(url, false).unwrap_err();
            assert!(error.contains("is not reached from here") && !error.contains("hidden"), "{error}");
        }
        assert!(refused("https://10.0.0.1/", true).is_err());
        assert!(refused("https://hooks.example/a b", true).unwrap_err().contains("white space"));
    }
}
