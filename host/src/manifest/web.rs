//! `[grants.http-fetch]`: which hosts, methods and paths, within which limits.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::schema::within;
use crate::web::{Method, WebTarget};

const TARGETS_MAX: usize = 64;
const PATHS_MAX: usize = 64;
const PREFIX_BYTES_MAX: usize = 512;

/// Domains below which anybody can have a name: a wildcard there would grant strangers. Beside them, every country's
/// `co`, `com`, `org` and the like.
const SHARED: &[&str] = &[
    "amazonaws.com",
    "appspot.com",
    "azurewebsites.net",
    "blogspot.com",
    "cloudfront.net",
    "duckdns.org",
    "firebaseapp.com",
    "fly.dev",
    "github.io",
    "githubusercontent.com",
    "gitlab.io",
    "herokuapp.com",
    "netlify.app",
    "ngrok.io",
    "nip.io",
    "onrender.com",
    "pages.dev",
    "railway.app",
    "run.app",
    "sslip.io",
    "vercel.app",
    "web.app",
    "workers.dev",
];
const SECOND_LEVEL: &[&str] = &["ac", "co", "com", "edu", "go", "gob", "gov", "mil", "ne", "net", "nom", "or", "org"];

/// Look at the web: GET and HEAD.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpFetch {
    /// Largest answer, KiB, 1 to 4,096.
    #[schemars(range(min = 1, max = 4096))]
    pub response_kib_max: u32,
    /// Longest fetch with all its redirects, milliseconds, 100 to 60,000.
    #[schemars(range(min = 100, max = 60_000))]
    pub timeout_ms_max: u64,
    /// One table `[[grants.http-fetch.targets]]` for each host, 1 to 64.
    #[schemars(with = "Vec<HttpTarget>", length(min = 1, max = 64))]
    pub targets: Vec<Spanned<HttpTarget>>,
}

/// A host, and what may be asked of it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpTarget {
    pub host: HostPattern,
    /// `"GET"` and `"HEAD"`.
    #[schemars(schema_with = "safe_methods")]
    pub methods: Vec<Method>,
    /// Prefixes, 1 to 64: `/v1/` is all below it, `/v1` also itself, `/` the whole host.
    #[schemars(length(min = 1, max = 64))]
    pub paths: Vec<PathPrefix>,
}

fn safe_methods(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "description": "`\"GET\"` and `\"HEAD\"`.",
        "type": "array", "minItems": 1, "items": { "type": "string", "enum": ["GET", "HEAD"] },
    })
}

impl HttpFetch {
    /// What is wrong, and where if it is one target.
    pub(super) fn check(&self) -> Result<(), (Option<Range<usize>>, String)> {
        let Self { response_kib_max, timeout_ms_max, targets } = self;
        let whole = |message| (None, message);
        within("http-fetch.response_kib_max", *response_kib_max, &(1..=4096)).map_err(whole)?;
        within("http-fetch.timeout_ms_max", *timeout_ms_max, &(100..=60_000)).map_err(whole)?;
        within("number of http-fetch.targets", targets.len(), &(1..=TARGETS_MAX)).map_err(whole)?;
        targets.iter().try_for_each(|target| target.as_ref().check().map_err(|message| (Some(target.span()), message)))
    }
}

impl HttpTarget {
    fn check(&self) -> Result<(), String> {
        let Self { host, methods, paths } = self;
        if methods.is_empty() {
            return Err(format!("methods of {host} is empty: name \"GET\", \"HEAD\" or both, or remove the target"));
        }
        if let Some(method) = methods.iter().find(|method| !method.is_safe()) {
            return Err(format!("methods of {host} has {method}; http-fetch only looks: \"GET\" and \"HEAD\""));
        }
        within(&format!("number of paths of {host}"), paths.len(), &(1..=PATHS_MAX))
    }
}

/// `docs.rs`, `*.example.org` for the names one level below, each with `:PORT` where it is not 443.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostPattern {
    wildcard: bool,
    host: String,
    port: u16,
}

const HTTPS_PORT: u16 = 443;

impl HostPattern {
    pub fn matches(&self, target: &WebTarget) -> bool {
        self.port == target.port() && self.matches_host(target)
    }

    /// Whether all that the other one matches is matched by this one.
    pub fn covers(&self, other: &Self) -> bool {
        let below = || other.host.split_once('.').is_some_and(|(_, above)| above == self.host);
        self == other
            || (self.wildcard && !other.wildcard && self.port == other.port && below() && !is_address(&other.host))
    }

    fn matches_host(&self, target: &WebTarget) -> bool {
        let host = target.host();
        if !self.wildcard {
            return host == self.host;
        }
        !target.is_ip() && host.split_once('.').is_some_and(|(_, above)| above == self.host)
    }
}

impl TryFrom<String> for HostPattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let bad = |why: &str| format!("host {text:?} {why}");
        let (wildcard, plain) = text.strip_prefix("*.").map_or((false, text.as_str()), |plain| (true, plain));
        if plain.contains('*') {
            return Err(bad("has a wildcard other than one leading \"*.\"; no wider wildcard is allowed"));
        }
        let target = WebTarget::parse(&format!("https://{plain}")).map_err(|error| bad(error.problem))?;
        let port = target.port();
        let spelled = if port == HTTPS_PORT { target.host().to_owned() } else { format!("{}:{port}", target.host()) };
        if spelled != plain {
            return Err(bad(&format!("is not in its plain form; write {spelled:?}")));
        }
        let host = target.host().to_owned();
        if wildcard && (target.is_ip() || !host.contains('.') || is_shared(&host)) {
            return Err(bad("has a wildcard for names that anybody can have; name the hosts one by one"));
        }
        Ok(Self { wildcard, host, port })
    }
}

fn is_address(host: &str) -> bool {
    host.parse::<std::net::Ipv4Addr>().is_ok() || host.starts_with('[')
}

impl JsonSchema for HostPattern {
    fn schema_name() -> Cow<'static, str> {
        "HostPattern".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "`docs.rs`, or `*.example.org` for the names one level below; with `:PORT` where it is not 443.",
            "type": "string",
            "pattern": r"^(\*\.)?[a-z0-9._:\[\]-]+$",
        })
    }
}

/// Whether names below a domain belong to different people.
fn is_shared(domain: &str) -> bool {
    let below = |shared: &str| domain.strip_suffix(shared).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    let second_level =
        domain.split_once('.').is_some_and(|(second, country)| country.len() == 2 && SECOND_LEVEL.contains(&second));
    second_level || SHARED.iter().any(|shared| below(shared))
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { wildcard, host, port } = self;
        let star = if *wildcard { "*." } else { "" };
        if *port == HTTPS_PORT { write!(f, "{star}{host}") } else { write!(f, "{star}{host}:{port}") }
    }
}

impl From<HostPattern> for String {
    fn from(pattern: HostPattern) -> Self {
        pattern.to_string()
    }
}

/// The beginning of a decoded path, up to the end of one of its parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PathPrefix(String);

impl PathPrefix {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn matches(&self, target: &WebTarget) -> bool {
        let Some(rest) = target.path().strip_prefix(self.0.as_str()) else { return false };
        rest.is_empty() || rest.starts_with('/') || self.0.ends_with('/')
    }
}

impl PathPrefix {
    /// Whether all that the other one matches is matched by this one.
    pub fn covers(&self, other: &Self) -> bool {
        let Some(rest) = other.0.strip_prefix(self.0.as_str()) else { return false };
        rest.is_empty() || rest.starts_with('/') || self.0.ends_with('/')
    }
}

impl JsonSchema for PathPrefix {
    fn schema_name() -> Cow<'static, str> {
        "PathPrefix".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A plain prefix, as it reads once decoded: `/v1/` is all below it, `/v1` also itself.",
            "type": "string", "maxLength": PREFIX_BYTES_MAX, "pattern": "^/[^*?#%]*$",
        })
    }
}

impl TryFrom<String> for PathPrefix {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let bad = |why: &str| format!("path {text:?} {why}");
        if !text.starts_with('/') || text.len() > PREFIX_BYTES_MAX {
            return Err(bad("does not begin with '/', or is over 512 bytes"));
        }
        if text.contains(['*', '?', '#', '%']) {
            return Err(bad("has one of * ? # %; a path is a plain prefix, written as it reads once decoded"));
        }
        WebTarget::parse(&format!("https://host.example{text}")).map_err(|error| bad(error.problem))?;
        Ok(Self(text))
    }
}

impl fmt::Display for PathPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<PathPrefix> for String {
    fn from(prefix: PathPrefix) -> Self {
        prefix.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> Result<HostPattern, String> {
        text.to_owned().try_into()
    }

    fn url(text: &str) -> WebTarget {
        WebTarget::parse(text).unwrap()
    }

    #[test]
    fn a_host_is_itself_and_a_wildcard_one_level() {
        let exact = host("docs.rs").unwrap();
        assert!(exact.matches(&url("https://DOCS.rs/a")) && exact.matches(&url("https://docs.rs:443/")));
        for other in
            ["https://docs.rs.evil.example/", "https://a.docs.rs/", "https://evildocs.rs/", "https://docs.rs:8443/"]
        {
            assert!(!exact.matches(&url(other)), "{other}");
        }
        let below = host("*.example.org").unwrap();
        assert!(below.matches(&url("https://a.example.org/")));
        for other in [
            "https://example.org/",
            "https://a.b.example.org/",
            "https://evilexample.org/",
            "https://a.example.org.evil.example/",
            "https://a.example.org:444/",
        ] {
            assert!(!below.matches(&url(other)), "{other}");
        }
        assert!(host("docs.rs:8443").unwrap().matches(&url("https://docs.rs:8443/")));
        assert!(host("127.0.0.1:80").unwrap().matches(&url("http://127.0.0.1/")));
        assert!(!host("127.0.0.1").unwrap().matches(&url("http://127.0.0.1/")), "443 is meant where no port is named");
        assert!(host("xn--bcher-kva.example").unwrap().matches(&url("https://bücher.example/")));
    }

    #[test]
    fn what_covers_another_matches_all_of_it() {
        let covers = |one: &str, other: &str| host(one).unwrap().covers(&host(other).unwrap());
        assert!(covers("*.example.org", "a.example.org") && covers("docs.rs", "docs.rs"));
        for (one, other) in [
            ("a.example.org", "*.example.org"),
            ("*.example.org", "example.org"),
            ("*.example.org", "*.a.example.org"),
            ("*.example.org", "a.example.org:8443"),
            ("docs.rs", "docs.rs:8443"),
        ] {
            assert!(!covers(one, other), "{one} {other}");
        }
        let prefix = |text: &str| PathPrefix::try_from(text.to_owned()).unwrap();
        assert!(prefix("/").covers(&prefix("/v1")) && prefix("/v1").covers(&prefix("/v1/")));
        assert!(!prefix("/v1/").covers(&prefix("/v1")) && !prefix("/v1").covers(&prefix("/v1a")));
    }

    #[test]
    fn a_host_that_reviewers_could_misread_is_refused() {
        for (text, why) in [
            ("*", "wildcard"),
            ("*.org", "anybody"),
            ("*.*.org", "wildcard"),
            ("a.*.org", "wildcard"),
            ("*docs.rs", "wildcard"),
            ("docs.*", "wildcard"),
            ("*.co.uk", "anybody"),
            ("*.com.au", "anybody"),
            ("*.github.io", "anybody"),
            ("*.up.railway.app", "anybody"),
            ("*.s3.amazonaws.com", "anybody"),
            ("*.127.0.0.1", "anybody"),
            ("*.localhost", "anybody"),
            ("Docs.rs", "write \"docs.rs\""),
            ("docs.rs:443", "write \"docs.rs\""),
            ("docs.rs/", "plain form"),
            ("docs.rs/a", "plain form"),
            ("https://docs.rs", ""),
            ("docs.rs.", "dot at the end"),
            ("u@docs.rs", "user name"),
            ("bücher.example", "write \"xn--bcher-kva.example\""),
            ("0x7f.1", "write \"127.0.0.1\""),
            ("docs.rs?x", "plain form"),
            ("docs.rs#x", "plain form"),
            ("", ""),
        ] {
            let error = host(text).map(|pattern| pattern.to_string()).expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn a_prefix_ends_where_a_part_ends() {
        let prefix = |text: &str| PathPrefix::try_from(text.to_owned());
        let matches = |text: &str, path: &str| prefix(text).unwrap().matches(&url(&format!("https://docs.rs{path}")));
        assert!(matches("/v1/", "/v1/") && matches("/v1/", "/v1/a/b"));
        assert!(!matches("/v1/", "/v1") && !matches("/v1/", "/v1a") && !matches("/v1/", "/V1/a"));
        assert!(matches("/v1", "/v1") && matches("/v1", "/v1/a") && matches("/v1", "/%761/a"));
        assert!(!matches("/v1", "/v1a") && !matches("/v1", "/v1;a") && !matches("/v1", "/v1%3Fx"));
        assert!(matches("/", "/anything") && matches("/", ""));
        for bad in ["", "v1", "/*", "/a/../b", "//", "/a//b", "/a?b", "/a#b", "/%61", "/a\\b", "/a b", "/./", "/..;/"] {
            assert!(prefix(bad).is_err(), "{bad}");
        }
    }
}
