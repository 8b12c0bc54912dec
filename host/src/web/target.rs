//! A URL in its one canonical form, and the facts that policy judges it by.

use std::fmt;
use std::net::IpAddr;

use percent_encoding::percent_decode_str;
use url::{Host, Url};

use super::path;

/// Longest URL, in bytes, as given and as canonical.
pub const URL_BYTES_MAX: usize = 4096;
/// Longest query, in bytes.
pub const QUERY_BYTES_MAX: usize = 2048;
/// Longest name of a host and longest part of one (RFC 1035).
const HOST_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;
/// How much of a refused URL an error repeats.
const SHOWN_CHARS_MAX: usize = 120;

/// Keys of a query by which some servers take another method, or other headers, than those of the request.
const OVERRIDE_KEYS: &[&str] = &[
    "_method",
    "_httpmethod",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "$method",
    "$httpmethod",
    "$httpheaders",
];

/// Why a text is no address that a role may use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("url {shown:?} {problem}")]
pub struct InvalidTarget {
    shown: String,
    pub problem: &'static str,
}

/// Where a request goes. Two values are equal if and only if the same bytes are sent to the same place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebTarget {
    url: Url,
    host: Host<String>,
    /// As in the URL: lower case, an IPv6 address in brackets.
    host_name: String,
    port: u16,
    /// Decoded, case kept.
    path: String,
}

impl WebTarget {
    /// Reads a URL strictly: `https://HOST[:PORT]/PATH[?QUERY]`, or `http://` where the host is this machine by its name
    /// or address; whether this machine may be reached at all is the egress guard's to say. A fragment is dropped.
    pub fn parse(text: &str) -> Result<Self, InvalidTarget> {
        Self::read(text)
            .map_err(|problem| InvalidTarget { shown: text.chars().take(SHOWN_CHARS_MAX).collect(), problem })
    }

    fn read(text: &str) -> Result<Self, &'static str> {
        let raw = Raw::split(text)?;
        let mut url = Url::parse(text).map_err(|_| "is not a URL")?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("has a user name or password");
        }
        let host = url.host().ok_or("has no host")?.to_owned();
        check_host(&host)?;
        if url.scheme() == "http" && !is_this_machine(&host) {
            return Err("is not https");
        }
        let port = url.port_or_known_default().filter(|port| *port != 0).ok_or("has no usable port")?;
        let decoded = path::decoded(raw.path)?;
        let canonical = path::canonical(url.path());
        url.set_path(&canonical);
        url.set_fragment(None);
        // Held against each other: our reading of the path, the parser's, and the one that will be sent.
        if url.path() != canonical || path::decoded(&canonical)? != decoded {
            return Err("has a path that can be read in two ways");
        }
        if url.as_str().len() > URL_BYTES_MAX || url.query().unwrap_or_default().len() > QUERY_BYTES_MAX {
            return Err("is longer than 4096 bytes, or its query than 2048");
        }
        let host_name = url.host_str().ok_or("has no host")?.to_owned();
        Ok(Self { url, host, host_name, port, path: decoded })
    }

    /// What is sent, and what the journal holds.
    pub fn as_str(&self) -> &str {
        self.url.as_str()
    }

    pub fn url(&self) -> &Url {
        &self.url
    }

    /// In lower case; international names in their ASCII form (`xn--…`), an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        &self.host_name
    }

    /// The address, where the host is one.
    pub fn ip(&self) -> Option<IpAddr> {
        match &self.host {
            Host::Domain(_) => None,
            Host::Ipv4(address) => Some(IpAddr::V4(*address)),
            Host::Ipv6(address) => Some(IpAddr::V6(*address)),
        }
    }

    pub fn is_ip(&self) -> bool {
        self.ip().is_some()
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether it is the port that the scheme implies.
    pub fn is_default_port(&self) -> bool {
        self.url.port().is_none()
    }

    pub fn is_https(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// The host and every domain above it: `api.stripe.com`, `stripe.com`, `com`. An address only itself.
    pub fn domains(&self) -> Vec<&str> {
        let host = self.host();
        if self.is_ip() {
            return vec![host];
        }
        let above = host.match_indices('.').map(|(at, _)| &host[at + 1..]);
        std::iter::once(host).chain(above).collect()
    }

    /// The decoded path, case kept: what the prefixes of a manifest are held against.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The parts of the path in lower case: servers that ignore case must not be a way around a prohibition.
    pub fn path_segments(&self) -> Vec<String> {
        self.path.split('/').filter(|part| !part.is_empty()).map(str::to_lowercase).collect()
    }

    /// The words of the path in lower case, split at everything that is no letter or digit.
    pub fn path_words(&self) -> Vec<String> {
        words(&self.path)
    }

    /// As it is sent.
    pub fn query(&self) -> Option<&str> {
        self.url.query()
    }

    /// The names in the query, decoded, in lower case; separated by `&` or `;`, as servers have it.
    pub fn query_keys(&self) -> Vec<String> {
        self.query_parts().map(|part| plain(part.split('=').next().unwrap_or_default())).collect()
    }

    /// The words of the query's names and values, like [`Self::path_words`].
    pub fn query_words(&self) -> Vec<String> {
        self.query_parts().flat_map(|part| words(&plain(part))).collect()
    }

    /// The key of the query that some servers take for another method or other headers.
    pub fn method_override(&self) -> Option<&'static str> {
        let keys = self.query_keys();
        OVERRIDE_KEYS.iter().copied().find(|known| keys.iter().any(|key| key.trim() == *known))
    }

    /// Same scheme, host and port: what was meant for one may be sent to the other.
    pub fn same_origin(&self, other: &Self) -> bool {
        self.url.origin() == other.url.origin()
    }

    fn query_parts(&self) -> impl Iterator<Item = &str> {
        self.query().unwrap_or_default().split(['&', ';']).filter(|part| !part.is_empty())
    }
}

impl fmt::Display for WebTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A URL's parts as they were written, before any parser repaired them.
struct Raw<'a> {
    path: &'a str,
}

impl<'a> Raw<'a> {
    fn split(text: &'a str) -> Result<Self, &'static str> {
        if text.len() > URL_BYTES_MAX {
            return Err("is longer than 4096 bytes, or its query than 2048");
        }
        if text.chars().any(|character| character.is_whitespace() || path::unfit(character)) {
            return Err("has white space, a control character or an invisible one");
        }
        if text.contains('\\') {
            return Err("has a backslash");
        }
        let (scheme, rest) = text.split_once("://").ok_or("does not begin with https://")?;
        if !scheme.eq_ignore_ascii_case("https") && !scheme.eq_ignore_ascii_case("http") {
            return Err("is not https");
        }
        let rest = rest.split('#').next().unwrap_or_default();
        let (before_query, _) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = match before_query.find('/') {
            Some(at) => before_query.split_at(at),
            None => (before_query, "/"),
        };
        if authority.contains('@') {
            return Err("has a user name or password");
        }
        if authority.is_empty() || authority.contains('%') {
            return Err("has no host, or an encoded one");
        }
        Ok(Self { path })
    }
}

fn check_host(host: &Host<String>) -> Result<(), &'static str> {
    let Host::Domain(name) = host else { return Ok(()) };
    if name.ends_with('.') {
        return Err("has a dot at the end of its host; leave it out");
    }
    let fits = |label: &str| {
        !label.is_empty()
            && label.len() <= LABEL_BYTES_MAX
            && label
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_')
    };
    if name.len() > HOST_BYTES_MAX || !name.split('.').all(fits) {
        return Err("has a host that is not made of letters, digits and '-'");
    }
    Ok(())
}

/// By its spelling: `localhost`, a name below it, or a loopback address.
fn is_this_machine(host: &Host<String>) -> bool {
    match host {
        Host::Domain(name) => name == "localhost" || name.ends_with(".localhost"),
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

fn plain(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().to_lowercase()
}

fn words(text: &str) -> Vec<String> {
    let parts = text.split(|character: char| !character.is_alphanumeric());
    parts.filter(|part| !part.is_empty()).map(str::to_lowercase).collect()
}
