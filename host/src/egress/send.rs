//! One request that changes something: sent once, and never again from here.
//!
//! Invariant: everything that is sent comes out of the grant, but for the headers that say who asks and in which encoding.
//! Where a byte of the request may have left, what is not a whole answer is `Unknown`.

use std::time::Duration;

use bytes::Bytes;
use reqwest::Response;
use reqwest::header::{ACCEPT_ENCODING, HeaderName, HeaderValue};

use super::client::{FetchError, WebClient, refusal, verb};
use super::headers::{self, RequestHeaders};
use crate::answered::{BodyError, causes, whole_body};
use crate::policy::action::SendRequest;
use crate::policy::{Denied, Granted};
use crate::web::WebTarget;

/// What tells a server that two requests are one.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Of one request.
#[derive(Clone, Copy, Debug)]
pub struct SendLimits {
    /// Of the answer.
    pub body_bytes_max: usize,
    /// From the first look-up to the last byte.
    pub time_max: Duration,
}

/// An answer, whatever its status.
#[derive(Clone, Debug)]
pub struct Answered {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

/// Why there is no answer, by what is known of the request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// By the guard, before anything was sent.
    #[error(transparent)]
    Denied(Denied),
    /// It may work later.
    #[error("{0}")]
    NotSent(String),
    /// It was answered, with what can not be given to a role.
    #[error("{0}")]
    Unfit(String),
    /// The server may have acted on it.
    #[error("{0}")]
    Unknown(String),
}

impl WebClient {
    /// Whether a place is reached from here at all, as far as its name tells.
    pub fn reaches(&self, target: &WebTarget) -> Result<(), Denied> {
        self.guard.judge(target).map_err(Denied::from)
    }

    /// Sends it once. A redirect is an answer.
    pub async fn send(&self, grant: Granted<SendRequest>, limits: SendLimits) -> Result<Answered, SendError> {
        let SendLimits { body_bytes_max, time_max } = limits;
        let waiting = tokio::time::timeout(time_max, self.slots.acquire());
        let _slot = match waiting.await {
            Ok(Ok(slot)) => slot,
            Ok(Err(_)) => return Err(SendError::NotSent("the host is stopping".to_owned())),
            Err(_) => return Err(SendError::NotSent("this host sends and fetches too much at once".to_owned())),
        };
        let target = grant.action().target.clone();
        let exchange = async {
            let response = self.exchange_once(grant).await?;
            answer(response, body_bytes_max).await
        };
        let late = || {
            let limit = time_max.as_millis();
            SendError::Unknown(format!("{target}: no whole answer came within {limit} ms (http-send.timeout_ms_max)"))
        };
        tokio::time::timeout(time_max, exchange).await.unwrap_or_else(|_| Err(late()))
    }

    async fn exchange_once(&self, grant: Granted<SendRequest>) -> Result<Response, SendError> {
        let SendRequest { target, method, headers, body, key } = grant.into_action();
        self.reaches(&target).map_err(SendError::Denied)?;
        let mut headers = RequestHeaders::check_sent(&headers).map_err(unsent)?.map();
        let key = HeaderValue::from_str(&key).map_err(|error| SendError::NotSent(format!("the key: {error}")))?;
        headers.insert(IDEMPOTENCY_KEY, key);
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let request = self.http.request(verb(method), target.url().clone()).headers(headers).body(body);
        request.send().await.map_err(|error| match refusal(&error) {
            Some(refusal) => SendError::Denied(refusal.clone().into()),
            None if error.is_connect() || error.is_builder() => {
                SendError::NotSent(format!("{target}: {}", causes(&error)))
            }
            None => SendError::Unknown(format!("{target}: {}", causes(&error))),
        })
    }
}

fn unsent(error: FetchError) -> SendError {
    match error {
        FetchError::Denied(denied) => SendError::Denied(denied),
        FetchError::Invalid(message) | FetchError::Unavailable(message) => SendError::NotSent(message),
    }
}

async fn answer(response: Response, body_bytes_max: usize) -> Result<Answered, SendError> {
    let status = response.status().as_u16();
    let unfit = |what: String| SendError::Unfit(format!("it was sent, and answered with {status}, but {what}"));
    headers::not_encoded(response.headers()).map_err(|error| unfit(error.to_string()))?;
    let headers = headers::given_of_sending(response.headers()).map_err(|error| unfit(error.to_string()))?;
    let body = whole_body(response, body_bytes_max).await.map_err(|error| match error {
        BodyError::TooLarge => {
            unfit(format!("the answer is over {} KiB (http-send.response_kib_max)", body_bytes_max / 1024))
        }
        BodyError::BrokeOff(why) => SendError::Unknown(format!("the answer broke off: {why}")),
    })?;
    Ok(Answered { status, headers, body })
}
