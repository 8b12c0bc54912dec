//! Where people are told of alerts.

use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use super::names;
use super::values::{ConfigError, Env, is_loopback, wrong, wrong_value};

const SECRET_BYTES_MIN: usize = 16;

/// Shape of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookFormat {
    Json,
    /// What Slack's incoming webhooks take, and those of others that follow it.
    Slack,
}

/// The least severity that people are told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotifyFrom {
    Info,
    Warning,
    Critical,
}

/// The webhook of the operator's.
#[derive(Clone, Debug)]
pub struct WebhookConfig {
    /// A secret: such addresses often are the permission to post there.
    pub url: SecretString,
    /// What notifications are signed with; always there unless the format is Slack's.
    pub secret: Option<SecretString>,
    pub format: WebhookFormat,
    pub from: NotifyFrom,
}

impl WebhookConfig {
    /// None where no address is set. A wrong value is told all the same.
    pub fn if_set(env: Env<'_>) -> Result<Option<Self>, ConfigError> {
        let format = format(env)?;
        let from = from(env)?;
        let secret = secret(env)?;
        let Some(url) = env.text(&names::JUGGERNAUT_ALERT_WEBHOOK_URL) else { return Ok(None) };
        check_url(&url).map_err(|problem| wrong_value(&names::JUGGERNAUT_ALERT_WEBHOOK_URL, &url, problem))?;
        if secret.is_none() && format == WebhookFormat::Json {
            let problem = "is not set, and without it whoever receives a notification can not know that it is ours; \
                           `openssl rand -hex 32` makes one";
            return Err(wrong(&names::JUGGERNAUT_ALERT_WEBHOOK_SECRET, problem));
        }
        Ok(Some(Self { url: SecretString::from(url), secret, format, from }))
    }
}

fn format(env: Env<'_>) -> Result<WebhookFormat, ConfigError> {
    let name = &names::JUGGERNAUT_ALERT_WEBHOOK_FORMAT;
    let value = env.text_or_default(name)?;
    match value.as_str() {
        "json" => Ok(WebhookFormat::Json),
        "slack" => Ok(WebhookFormat::Slack),
        _ => Err(wrong_value(name, &value, "is neither json nor slack")),
    }
}

fn from(env: Env<'_>) -> Result<NotifyFrom, ConfigError> {
    let name = &names::JUGGERNAUT_ALERT_SEVERITY_MIN;
    let value = env.text_or_default(name)?;
    match value.as_str() {
        "info" => Ok(NotifyFrom::Info),
        "warning" => Ok(NotifyFrom::Warning),
        "critical" => Ok(NotifyFrom::Critical),
        _ => Err(wrong_value(name, &value, "is none of info, warning and critical")),
    }
}

fn secret(env: Env<'_>) -> Result<Option<SecretString>, ConfigError> {
    let name = &names::JUGGERNAUT_ALERT_WEBHOOK_SECRET;
    match env.text(name).map(SecretString::from) {
        Some(secret) if secret.expose_secret().len() < SECRET_BYTES_MIN => {
            Err(wrong(name, format!("is shorter than {SECRET_BYTES_MIN} characters; `openssl rand -hex 32` makes one")))
        }
        secret => Ok(secret),
    }
}

/// A query is let through: some services have their secret there.
fn check_url(value: &str) -> Result<(), &'static str> {
    let url = Url::parse(value).map_err(|_| "is not a URL")?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("has a user name or password in it; leave them out");
    }
    if url.fragment().is_some() {
        return Err("has a fragment; leave it out");
    }
    match (url.scheme(), url.host()) {
        ("https", Some(_)) => Ok(()),
        ("http", Some(host)) if is_loopback(&host) => Ok(()),
        ("http", Some(_)) => Err("is not https; plain http is for this machine only"),
        _ => Err("is not an https:// URL"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: (&str, &str) = ("JUGGERNAUT_ALERT_WEBHOOK_URL", "https://hooks.example/services/T0/B0/hidden-hidden");
    const SECRET: (&str, &str) = ("JUGGERNAUT_ALERT_WEBHOOK_SECRET", "0123456789abcdef");
    const SLACK: (&str, &str) = ("JUGGERNAUT_ALERT_WEBHOOK_FORMAT", "slack");

    fn read(values: &[(&str, &str)]) -> Result<Option<WebhookConfig>, String> {
        let lookup = |name: &str| values.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        WebhookConfig::if_set(Env(&lookup)).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_not_slack_has_to_be_signed() {
        assert!(read(&[]).unwrap().is_none());
        let config = read(&[URL, SECRET]).unwrap().unwrap();
        assert_eq!((config.format, config.from), (WebhookFormat::Json, NotifyFrom::Warning));
        assert!(!format!("{config:?}").contains("hidden"));
        assert!(read(&[URL]).unwrap_err().starts_with("JUGGERNAUT_ALERT_WEBHOOK_SECRET is not set"));
        assert!(read(&[URL, SLACK]).unwrap().unwrap().secret.is_none());
    }

    #[test]
    fn mistakes_are_told_without_the_secrets() {
        for (name, value, expected) in [
            ("JUGGERNAUT_ALERT_WEBHOOK_SECRET", "hidden", "is shorter than 16 characters"),
            ("JUGGERNAUT_ALERT_WEBHOOK_FORMAT", "xml", "is neither json nor slack"),
            ("JUGGERNAUT_ALERT_SEVERITY_MIN", "high", "is none of"),
            (URL.0, "http://hooks.example/hidden", "is not https"),
            (URL.0, "https://me:hidden@hooks.example/", "has a user name"),
            (URL.0, "https://hooks.example/#hidden", "has a fragment"),
            (URL.0, "ftp://127.0.0.1/hidden", "is not an https:// URL"),
            (URL.0, "hidden", "is not a URL"),
        ] {
            let values: Vec<_> = [(name, value), URL, SECRET].to_vec();
            let error = read(&values).unwrap_err();
            assert!(error.contains(expected) && !error.contains("hidden"), "{value}: {error}");
        }
        assert!(read(&[(URL.0, "http://127.0.0.1:1/x?token=1"), SECRET]).is_ok());
    }
}
