//! One exchange with GitHub: headers, time limits, bounded bodies, and when to try again.
//!
//! Invariants: the token is attached in `exchange` only, after `is_ours` held for the URL; only GETs are sent twice.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, LINK, LOCATION};
use reqwest::{Client, Method, StatusCode, redirect, retry};
use secrecy::{ExposeSecret, SecretString};
use serde::{Serialize, de::DeserializeOwned};
use url::Url;

use super::config::GitHubConfig;
use super::error::{Call, GitHubError, problem_text};
use crate::answered::{BodyError, causes, start_of_body, whole_body};

const MEDIA_TYPE: &str = "application/vnd.github+json";
const API_VERSION: &str = "2022-11-28";

const CONNECT_SECONDS_MAX: u64 = 5;
const REQUEST_SECONDS_MAX: u64 = 30;
const BACKOFF_MILLISECONDS: u64 = 500;
/// A read waits out a rate limit by itself up to this; beyond, the run is better suspended.
const RATE_LIMIT_WAIT_SECONDS_MAX: u64 = 2;
const TRIES_MAX: u32 = 3;
const REDIRECTS_MAX: u32 = 3;
/// How much of a refusal's body is read for its message.
const PROBLEM_BYTES_MAX: usize = 64 << 10;

/// The times that tests shorten.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timing {
    pub(super) connect: Duration,
    /// One try, from connecting to the last byte.
    pub(super) request: Duration,
    /// Before the second try; doubles for each further one.
    pub(super) backoff: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(CONNECT_SECONDS_MAX),
            request: Duration::from_secs(REQUEST_SECONDS_MAX),
            backoff: Duration::from_millis(BACKOFF_MILLISECONDS),
        }
    }
}

pub(super) struct Transport {
    http: Client,
    api_url: Url,
    token: Option<SecretString>,
    authorization: Option<HeaderValue>,
    timing: Timing,
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").field("api_url", &self.api_url.as_str()).finish_non_exhaustive()
    }
}

/// One part of a list, and where the next one is.
pub(super) struct Page<T> {
    pub(super) value: T,
    pub(super) next: Option<Url>,
}

/// A whole answer, whatever its status.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

/// Why there is no answer.
enum Failure {
    /// No connection, so GitHub saw nothing.
    NotSent(String),
    /// It may have been received and acted upon.
    Lost(String),
    TooLarge,
}

impl From<BodyError> for Failure {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge => Self::TooLarge,
            BodyError::BrokeOff(why) => Self::Lost(why),
        }
    }
}

impl Transport {
    pub(super) fn new(config: GitHubConfig, timing: Timing) -> Result<Self, GitHubError> {
        let GitHubConfig { api_url, token, user_agent } = config;
        GitHubConfig::check_url(&api_url).map_err(GitHubError::Invalid)?;
        let authorization = token.as_ref().map(bearer).transpose()?;
        let user_agent = HeaderValue::from_str(&user_agent).map_err(|_| {
            GitHubError::Invalid("the GitHub user agent holds characters that a header can't carry".to_owned())
        })?;
        let http = Client::builder()
            .user_agent(user_agent)
            .connect_timeout(timing.connect)
            .timeout(timing.request)
            // Both are ours to decide: the library would send the token along, and does not know what is safe.
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            // The environment is read in `config` alone, and a proxy would see plain http to a loopback host.
            .no_proxy()
            .build()
            .map_err(|error| GitHubError::Unavailable(format!("can't build the GitHub client: {}", causes(&error))))?;
        Ok(Self { http, api_url, token, authorization, timing })
    }

    /// The API's URL with these path segments, each percent-encoded by itself. They must not be `.` or `..`, which
    /// URLs can't carry; what is in `repo` and `read::checked` ensures it.
    pub(super) fn url<'a>(&self, segments: impl IntoIterator<Item = &'a str>) -> Url {
        let mut url = self.api_url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    pub(super) fn call(&self, method: &Method, url: &Url) -> Call {
        Call::new(method, url.path(), self.token.clone())
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, url: Url, bytes_max: usize) -> Result<T, GitHubError> {
        Ok(self.get_page(url, bytes_max).await?.value)
    }

    pub(super) async fn get_page<T: DeserializeOwned>(
        &self,
        url: Url,
        bytes_max: usize,
    ) -> Result<Page<T>, GitHubError> {
        let call = self.call(&Method::GET, &url);
        let answer = self.get_answer(&call, url, bytes_max).await?;
        let value = serde_json::from_slice(&answer.body).map_err(|error| call.unavailable(not_understood(&error)))?;
        let next = match next_link(&answer.headers) {
            Some(link) => Some(
                self.ours(&link)
                    .ok_or_else(|| call.unavailable(format!("its next page {link:?} is outside the configured API")))?,
            ),
            None => None,
        };
        Ok(Page { value, next })
    }

    /// Follows the redirects of a renamed repository, within the configured API.
    async fn get_answer(&self, call: &Call, mut url: Url, bytes_max: usize) -> Result<Answer, GitHubError> {
        for _ in 0..=REDIRECTS_MAX {
            let answer = self.get_with_retries(call, &url, bytes_max).await?;
            if answer.status.is_success() {
                return Ok(answer);
            }
            let target = answer.headers.get(LOCATION).and_then(|to| to.to_str().ok()).unwrap_or("nowhere:");
            url = url.join(target).ok().filter(|to| self.is_ours(to)).ok_or_else(|| {
                call.unavailable(format!("redirected to {target:?}, which is outside the configured API"))
            })?;
        }
        Err(call.unavailable(format!("redirected more than {REDIRECTS_MAX} times")))
    }

    /// Answers with a success or a redirect.
    async fn get_with_retries(&self, call: &Call, url: &Url, bytes_max: usize) -> Result<Answer, GitHubError> {
        let mut tries = 1;
        loop {
            let error = match self.exchange(&Method::GET, url, None, bytes_max).await {
                Ok(answer) if answer.status.is_success() || is_redirect(answer.status) => return Ok(answer),
                Ok(answer) => call.refused(answer.status, &answer.headers, &problem_text(&answer.body)),
                Err(Failure::NotSent(why) | Failure::Lost(why)) => call.unavailable(why),
                Err(Failure::TooLarge) => {
                    return Err(call.invalid(format!("the answer is larger than {bytes_max} bytes")));
                }
            };
            let wait = match &error {
                GitHubError::Unavailable(_) => self.backoff(tries),
                GitHubError::RateLimited { after, .. } if after.as_secs() <= RATE_LIMIT_WAIT_SECONDS_MAX => *after,
                _ => return Err(error),
            };
            if tries == TRIES_MAX {
                return Err(error);
            }
            tracing::debug!(tries, wait_ms = wait.as_millis(), %error, "reading from GitHub again");
            tokio::time::sleep(wait).await;
            tries += 1;
        }
    }

    /// Half of it random, so that runs which failed together do not come back together.
    fn backoff(&self, tries: u32) -> Duration {
        self.timing.backoff.mul_f64(f64::from(1 << (tries - 1)) * rand::random_range(0.5..1.0))
    }

    /// Sends a mutation, once.
    pub(super) async fn mutate<B: Serialize, T: DeserializeOwned>(
        &self,
        method: Method,
        url: Url,
        body: &B,
        bytes_max: usize,
    ) -> Result<T, GitHubError> {
        let call = self.call(&method, &url);
        let answer = self.mutate_answer(&call, method, &url, body, bytes_max).await?;
        serde_json::from_slice(&answer).map_err(|error| call.unknown(not_understood(&error)))
    }

    /// The same, where a success may come without a word.
    pub(super) async fn mutate_maybe<B: Serialize, T: DeserializeOwned>(
        &self,
        method: Method,
        url: Url,
        body: &B,
        bytes_max: usize,
    ) -> Result<Option<T>, GitHubError> {
        let call = self.call(&method, &url);
        let answer = self.mutate_answer(&call, method, &url, body, bytes_max).await?;
        if answer.is_empty() {
            return Ok(None);
        }
        serde_json::from_slice(&answer).map(Some).map_err(|error| call.unknown(not_understood(&error)))
    }

    async fn mutate_answer<B: Serialize>(
        &self,
        call: &Call,
        method: Method,
        url: &Url,
        body: &B,
        bytes_max: usize,
    ) -> Result<Bytes, GitHubError> {
        let body = serde_json::to_vec(body).map_err(|error| call.invalid(format!("can't be written: {error}")))?;
        let answer = match self.exchange(&method, url, Some(body), bytes_max).await {
            Ok(answer) => answer,
            Err(Failure::NotSent(why)) => return Err(call.unavailable(why)),
            Err(Failure::Lost(why)) => return Err(call.unknown(why)),
            Err(Failure::TooLarge) => {
                return Err(call.unknown(format!("the answer is larger than {bytes_max} bytes")));
            }
        };
        let status = answer.status;
        if status.is_success() {
            return Ok(answer.body);
        }
        if status.is_redirection() {
            return Err(call.invalid(format!(
                "{}: the repository has moved, nothing was done; name it as it is called now",
                status.as_u16()
            )));
        }
        let problem = problem_text(&answer.body);
        if status.is_server_error() {
            // It broke off somewhere, perhaps after it acted.
            return Err(call.unknown(format!("{}: {problem}", status.as_u16())));
        }
        Err(call.refused(status, &answer.headers, &problem))
    }

    async fn exchange(
        &self,
        method: &Method,
        url: &Url,
        body: Option<Vec<u8>>,
        bytes_max: usize,
    ) -> Result<Answer, Failure> {
        if !self.is_ours(url) {
            return Err(Failure::NotSent("the URL is outside the configured API".to_owned()));
        }
        let mut request = self.http.request(method.clone(), url.clone());
        request = request.header(ACCEPT, MEDIA_TYPE).header("x-github-api-version", API_VERSION);
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body);
        }
        let response = request.send().await.map_err(|error| {
            let not_sent = error.is_connect() || error.is_builder();
            let why = causes(&error);
            if not_sent { Failure::NotSent(why) } else { Failure::Lost(why) }
        })?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = if status.is_success() {
            whole_body(response, bytes_max).await?
        } else {
            // For a message only: the status is known already, so what does not arrive is not missed.
            start_of_body(response, PROBLEM_BYTES_MAX).await.0
        };
        Ok(Answer { status, headers, body })
    }

    fn ours(&self, url: &str) -> Option<Url> {
        Url::parse(url).ok().filter(|url| self.is_ours(url))
    }

    /// Below the configured API: same origin, and its path first.
    fn is_ours(&self, url: &Url) -> bool {
        let prefix = self.api_url.path().trim_end_matches('/');
        url.origin() == self.api_url.origin()
            && url.username().is_empty()
            && url.password().is_none()
            && url.path().strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'))
    }
}

fn bearer(token: &SecretString) -> Result<HeaderValue, GitHubError> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret())).map_err(|_| {
        GitHubError::Invalid("the GitHub token holds characters that a header can't carry; set it anew".to_owned())
    })?;
    value.set_sensitive(true);
    Ok(value)
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 307 | 308)
}

fn not_understood(error: &serde_json::Error) -> String {
    format!("the answer is not as GitHub describes it: {error}")
}

/// The URL of `Link: <URL>; rel="next"`.
fn next_link(headers: &HeaderMap) -> Option<String> {
    let links = headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok());
    for mut rest in links {
        while let Some((url, after)) = rest.split_once('<').and_then(|(_, rest)| rest.split_once('>')) {
            // Up to the next link: its URL may hold commas, so the bracket is what separates.
            let parameters = after.split('<').next().unwrap_or_default();
            if parameters.contains("rel=\"next\"") {
                return Some(url.to_owned());
            }
            rest = after;
        }
    }
    None
}
