//! From text to values, with one clear line for each that is missing or wrong.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use secrecy::SecretString;
use url::{Host, Url};

use super::names::Name;

/// Longest part of a wrong value that an error repeats.
const SHOWN_CHARS_MAX: usize = 60;

/// A variable that is missing or wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} {problem}; for example {name}={example}")]
pub struct ConfigError {
    pub name: &'static str,
    pub problem: String,
    pub example: &'static str,
}

/// Where the values come from: the process's environment, or a test's table.
#[derive(Clone, Copy)]
pub struct Env<'a>(pub &'a dyn Fn(&str) -> Option<String>);

impl std::fmt::Debug for Env<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Env")
    }
}

pub(super) fn wrong(name: &Name, problem: impl Into<String>) -> ConfigError {
    ConfigError { name: name.name, problem: problem.into(), example: name.example }
}

/// `is "…", which <problem>`; without the value where the name is a secret.
pub(super) fn wrong_value(name: &Name, value: &str, problem: &str) -> ConfigError {
    if name.secret {
        return wrong(name, format!("has a value that {problem}"));
    }
    let shown: String = value.chars().take(SHOWN_CHARS_MAX).collect();
    wrong(name, format!("is {shown:?}, which {problem}"))
}

impl Env<'_> {
    /// The value without surrounding white space; none if empty.
    pub(super) fn text(self, name: &Name) -> Option<String> {
        let value = (self.0)(name.name)?;
        let value = value.trim();
        (!value.is_empty()).then(|| value.to_owned())
    }

    pub(super) fn text_or_default(self, name: &Name) -> Result<String, ConfigError> {
        self.text(name).or_else(|| name.default.map(str::to_owned)).ok_or_else(|| wrong(name, "is not set"))
    }

    /// A secret that will stand in an HTTP header.
    pub(super) fn secret(self, name: &Name) -> Result<Option<SecretString>, ConfigError> {
        let Some(value) = self.text(name) else {
            return Ok(None);
        };
        if !value.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(wrong_value(name, &value, "contains white space or characters that no token has"));
        }
        Ok(Some(SecretString::from(value)))
    }

    /// A whole number within the limits; the registry's default if unset.
    pub(super) fn number(self, name: &Name, limits: RangeInclusive<u64>) -> Result<u64, ConfigError> {
        let value = self.text_or_default(name)?;
        match value.parse::<u64>() {
            Ok(number) if limits.contains(&number) => Ok(number),
            Ok(_) | Err(_) => {
                let problem = format!("is not a whole number from {} to {}", limits.start(), limits.end());
                Err(wrong_value(name, &value, &problem))
            }
        }
    }

    /// A worker's type or id.
    pub(super) fn worker_name(self, name: &Name) -> Result<Option<String>, ConfigError> {
        match self.text(name) {
            Some(value) if value.chars().count() > 128 || value.chars().any(char::is_control) => {
                Err(wrong_value(name, &value, "is not 1 to 128 characters without control characters"))
            }
            value => Ok(value),
        }
    }

    /// The address of a service that receives a secret of ours.
    pub(super) fn service_url(self, name: &Name) -> Result<Url, ConfigError> {
        let value = self.text_or_default(name)?;
        service_url(&value).map_err(|problem| match Url::parse(&value) {
            // What stands before the `@` may be a password.
            Ok(url) if !url.username().is_empty() || url.password().is_some() => wrong(name, problem),
            Ok(_) | Err(_) => wrong_value(name, &value, problem),
        })
    }
}

/// https, or http to this machine alone: a secret is sent there.
pub(super) fn service_url(value: &str) -> Result<Url, &'static str> {
    let url = Url::parse(value).map_err(|_| "is not a URL")?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("has a user name or password in it; leave them out");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("has a query or a fragment; leave them out");
    }
    match (url.scheme(), url.host()) {
        ("https", Some(_)) => Ok(url),
        ("http", Some(host)) if is_loopback(&host) => Ok(url),
        ("http", Some(_)) => Err("is not https; a secret is sent there, so plain http is for this machine only"),
        _ => Err("is not an https:// URL"),
    }
}

pub(super) fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost",
        Host::Ipv4(address) => IpAddr::V4(*address).is_loopback(),
        Host::Ipv6(address) => IpAddr::V6(*address).is_loopback(),
    }
}
