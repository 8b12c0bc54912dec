//! One message that the host itself sends to an address of its operator's, through the same guard as what roles fetch.
//!
//! Invariants: redirects are not followed; the answer is bounded in size and time; no error holds the address, which may be
//! a secret.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{ACCEPT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use super::client::{WebClient, refusal};
use super::guard::Refusal;
use crate::answered::{causes, start_of_body};
use crate::web::WebTarget;

/// What is sent, and within which limits.
#[derive(Clone, Debug)]
pub struct Delivery<'a> {
    pub target: &'a WebTarget,
    /// JSON.
    pub body: Vec<u8>,
    pub headers: Vec<(&'static str, String)>,
    /// From the look-up to the last byte.
    pub time_max: Duration,
    /// What is read of the answer; the rest is not.
    pub answer_bytes_max: usize,
}

/// An answer, whatever its status.
#[derive(Clone, Debug)]
pub struct Delivered {
    pub status: u16,
    /// Its beginning.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("{0}")]
    Unavailable(String),
}

impl WebClient {
    pub async fn deliver(&self, delivery: Delivery<'_>) -> Result<Delivered, DeliveryError> {
        let time_max = delivery.time_max;
        match tokio::time::timeout(time_max, self.send_notice(delivery)).await {
            Ok(delivered) => delivered,
            Err(_) => Err(DeliveryError::Unavailable(format!("no whole answer came within {} s", time_max.as_secs()))),
        }
    }

    async fn send_notice(&self, delivery: Delivery<'_>) -> Result<Delivered, DeliveryError> {
        let Delivery { target, body, headers, time_max: _, answer_bytes_max } = delivery;
        self.guard.judge(target)?;
        let headers = header_map(headers)?;
        let request = self.http.post(target.url().clone()).headers(headers).body(body);
        let response = request.send().await.map_err(|error| match refusal(&error) {
            Some(refusal) => DeliveryError::Refused(refusal.clone()),
            None => DeliveryError::Unavailable(causes(&error)),
        })?;
        let status = response.status().as_u16();
        match start_of_body(response, answer_bytes_max).await {
            (body, None) => Ok(Delivered { status, body }),
            (_, Some(why)) => Err(DeliveryError::Unavailable(format!("the answer broke off: {why}"))),
        }
    }
}

fn header_map(headers: Vec<(&'static str, String)>) -> Result<HeaderMap, DeliveryError> {
    let mut map = HeaderMap::new();
    map.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    map.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    for (name, value) in headers {
        let value = HeaderValue::try_from(value)
            .map_err(|_| DeliveryError::Unavailable(format!("the header {name} can not be sent")))?;
        map.insert(HeaderName::from_static(name), value);
    }
    Ok(map)
}
