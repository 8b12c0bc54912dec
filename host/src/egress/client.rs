//! One fetch: each URL of the chain judged, then asked for, then the answer read within its limits.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Client, Response, redirect, retry};
use tokio::sync::Semaphore;

use super::guard::{Guard, Refusal};
use super::headers::{self, RequestHeaders};
use super::resolver::{self, GuardedResolver, Lookup};
use crate::answered::{self, BodyError, causes, whole_body};
use crate::policy::Denied;
use crate::web::{Method, WebTarget};

const REDIRECTS_MAX: usize = 5;
const CONNECT_SECONDS_MAX: u64 = 5;
/// Fetches of all roles of this host at once; the others wait, within their own time.
const FETCHES_MAX: usize = 64;
/// Longest `Location`, in bytes.
const LOCATION_BYTES_MAX: usize = crate::web::URL_BYTES_MAX;

/// What is asked for, and within which limits.
#[derive(Clone, Debug)]
pub struct Fetch {
    pub target: WebTarget,
    pub method: Method,
    pub headers: RequestHeaders,
    pub body_bytes_max: usize,
    /// From the first look-up to the last byte, redirects included.
    pub time_max: Duration,
}

/// An answer, whatever its status.
#[derive(Clone, Debug)]
pub struct Fetched {
    pub status: u16,
    /// Where the answer came from.
    pub target: WebTarget,
    /// The URLs that led there, in order.
    pub redirected_from: Vec<WebTarget>,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// Policy, or the guard.
    #[error(transparent)]
    Denied(Denied),
    /// The same request would end the same way again.
    #[error("{0}")]
    Invalid(String),
    /// It may work later.
    #[error("{0}")]
    Unavailable(String),
}

/// The client of the web for roles. It holds no secret.
#[derive(Clone)]
pub struct WebClient {
    pub(super) http: Client,
    pub(super) guard: Guard,
    pub(super) slots: Arc<Semaphore>,
}

impl fmt::Debug for WebClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebClient").field("guard", &self.guard).finish_non_exhaustive()
    }
}

impl WebClient {
    pub fn new(guard: Guard, user_agent: &str) -> Result<Self, FetchError> {
        Self::with_lookup(guard, user_agent, resolver::system)
    }

    pub(super) fn with_lookup(guard: Guard, user_agent: &str, lookup: Lookup) -> Result<Self, FetchError> {
        let http = Client::builder()
            .user_agent(user_agent)
            .dns_resolver(GuardedResolver::new(guard, lookup))
            .connect_timeout(Duration::from_secs(CONNECT_SECONDS_MAX))
            // Followed by hand, where each hop is judged.
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .no_proxy()
            .referer(false)
            // Whatever features of the library another crate may switch on.
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate()
            .http1_only()
            // No connection is used twice: none outlives the judgement that it was made under.
            .pool_max_idle_per_host(0)
            .build()
            .map_err(|error| FetchError::Unavailable(format!("the web client can not be made: {}", causes(&error))))?;
        Ok(Self { http, guard, slots: Arc::new(Semaphore::new(FETCHES_MAX)) })
    }

    /// `judge` is policy's answer to each URL, the first one included.
    pub async fn fetch<J>(&self, fetch: Fetch, judge: J) -> Result<Fetched, FetchError>
    where
        J: Fn(&WebTarget, Method) -> Result<(), Denied> + Send + Sync,
    {
        let time_max = fetch.time_max;
        let late = || format!("no whole answer came within {} ms (http-fetch.timeout_ms_max)", time_max.as_millis());
        match tokio::time::timeout(time_max, self.follow(fetch, judge)).await {
            Ok(fetched) => fetched,
            Err(_) => Err(FetchError::Unavailable(late())),
        }
    }

    async fn follow<J>(&self, fetch: Fetch, judge: J) -> Result<Fetched, FetchError>
    where
        J: Fn(&WebTarget, Method) -> Result<(), Denied> + Send + Sync,
    {
        let Fetch { mut target, method, headers, body_bytes_max, time_max: _ } = fetch;
        let gone = |_| FetchError::Unavailable("the host is stopping".to_owned());
        let _slot = self.slots.acquire().await.map_err(gone)?;
        let mut headers = headers.map();
        let mut redirected_from: Vec<WebTarget> = Vec::new();
        loop {
            let judged = judge(&target, method).and_then(|()| self.guard.judge(&target).map_err(Denied::from));
            judged.map_err(|denied| FetchError::Denied(led_here(denied, redirected_from.last(), &target)))?;
            let response = self.exchange(&target, method, headers.clone()).await?;
            let Some(location) = location(&response)? else {
                return answer(response, target, redirected_from, method, body_bytes_max).await;
            };
            if redirected_from.len() == REDIRECTS_MAX {
                return Err(FetchError::Invalid(format!("it redirects more than {REDIRECTS_MAX} times")));
            }
            let next = next_target(&target, &location).map_err(FetchError::Denied)?;
            if !next.same_origin(&target) {
                headers.clear();
            }
            redirected_from.push(std::mem::replace(&mut target, next));
        }
    }

    async fn exchange(&self, target: &WebTarget, method: Method, headers: HeaderMap) -> Result<Response, FetchError> {
        let request = self.http.request(verb(method), target.url().clone()).headers(headers);
        let request = request.header(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        request.send().await.map_err(|error| match refusal(&error) {
            Some(refusal) => FetchError::Denied(refusal.clone().into()),
            None => FetchError::Unavailable(format!("{target}: {}", causes(&error))),
        })
    }
}

impl From<Refusal> for Denied {
    fn from(refusal: Refusal) -> Self {
        Self { policies: vec!["egress-guard".to_owned()], message: refusal.to_string() }
    }
}

pub(super) fn verb(method: Method) -> reqwest::Method {
    match method {
        Method::Get => reqwest::Method::GET,
        Method::Head => reqwest::Method::HEAD,
        Method::Post => reqwest::Method::POST,
        Method::Put => reqwest::Method::PUT,
        Method::Patch => reqwest::Method::PATCH,
        Method::Delete => reqwest::Method::DELETE,
    }
}

/// Where the answer sends us, if it does.
fn location(response: &Response) -> Result<Option<String>, FetchError> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let mut values = response.headers().get_all(LOCATION).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(_), Some(_)) => Err(FetchError::Invalid("it redirects to two places at once".to_owned())),
        (Some(value), None) => {
            let text = value.to_str().ok().filter(|text| text.len() <= LOCATION_BYTES_MAX);
            let text = text.ok_or_else(|| FetchError::Invalid("it redirects to what is no URL".to_owned()))?;
            Ok(Some(text.to_owned()))
        }
    }
}

/// The URL of a redirect, in the one canonical form, or why it is not followed.
pub(super) fn next_target(from: &WebTarget, location: &str) -> Result<WebTarget, Denied> {
    let deny = |message: String| Denied { policies: vec!["redirect".to_owned()], message };
    // The parser would make slashes of backslashes, and drop control characters.
    let plain = location.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    let joined = from.url().join(location).ok().filter(|_| plain);
    let joined = joined.ok_or_else(|| deny(format!("{from} redirects to {location:?}, which is no URL")))?;
    if from.is_https() && joined.scheme() != "https" {
        return Err(deny(format!("{from} redirects away from https")));
    }
    WebTarget::parse(joined.as_str()).map_err(|invalid| deny(format!("{from} redirects: {invalid}")))
}

/// Says in a refusal how the fetch came there.
fn led_here(denied: Denied, from: Option<&WebTarget>, target: &WebTarget) -> Denied {
    match from {
        None => denied,
        Some(from) => Denied { message: format!("{from} redirects to {target}: {}", denied.message), ..denied },
    }
}

async fn answer(
    response: Response,
    target: WebTarget,
    redirected_from: Vec<WebTarget>,
    method: Method,
    body_bytes_max: usize,
) -> Result<Fetched, FetchError> {
    headers::not_encoded(response.headers())?;
    let headers = headers::given(response.headers())?;
    let status = response.status().as_u16();
    if method == Method::Head {
        return Ok(Fetched { status, target, redirected_from, headers, body: Bytes::new() });
    }
    let body = whole_body(response, body_bytes_max).await.map_err(|error| match error {
        BodyError::TooLarge => {
            let limit = body_bytes_max / 1024;
            FetchError::Invalid(format!("the answer is over {limit} KiB (http-fetch.response_kib_max)"))
        }
        BodyError::BrokeOff(why) => FetchError::Unavailable(format!("the answer broke off: {why}")),
    })?;
    Ok(Fetched { status, target, redirected_from, headers, body })
}

/// The guard's refusal, where the resolver met one.
pub(super) fn refusal(error: &reqwest::Error) -> Option<&Refusal> {
    answered::chain(error).find_map(|cause| cause.downcast_ref())
}
