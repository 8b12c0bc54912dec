//! Where GitHub is and as whom to speak to it.

use std::fmt;

use secrecy::SecretString;
use url::{Host, Url};

/// What the client needs to know; `config` reads it from the environment.
#[derive(Clone)]
pub struct GitHubConfig {
    /// `https://api.github.com`, or `https://HOST/api/v3` of an Enterprise server.
    pub api_url: Url,
    /// None speaks to a development server without authentication.
    pub token: Option<SecretString>,
    pub user_agent: String,
}

impl GitHubConfig {
    /// The token is sent there in clear below TLS, so plain HTTP is only for a server on this machine.
    pub fn check_url(url: &Url) -> Result<(), String> {
        // Not the URL itself: what is refused here may hold a password.
        let host = url.host_str().unwrap_or_default();
        match url.scheme() {
            "https" => {}
            "http" if is_loopback(url) => {}
            "http" => {
                return Err(format!("the GitHub API URL at {host:?} is plain http; use https, or a loopback host"));
            }
            other => return Err(format!("the GitHub API URL has the scheme {other:?}; use https")),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(format!("the GitHub API URL at {host:?} holds a user or password; set the token instead"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(format!("the GitHub API URL at {host:?} has a query or fragment; remove it"));
        }
        Ok(())
    }
}

impl fmt::Debug for GitHubConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { api_url, token, user_agent } = self;
        f.debug_struct("GitHubConfig")
            .field("api_url", &api_url.as_str())
            .field("token", &token.as_ref().map(|_| "[secret]"))
            .field("user_agent", user_agent)
            .finish()
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}
