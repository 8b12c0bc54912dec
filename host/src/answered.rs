//! What every client of ours does with an answer: reads it within a bound, and says why there is none.

use std::error::Error;
use std::iter;

use bytes::{Bytes, BytesMut};
use reqwest::Response;

/// Why a body was not read to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyError {
    TooLarge,
    /// With the causes.
    BrokeOff(String),
}

/// Reads a body of at most that many bytes; one that says that it is larger is not begun.
pub async fn whole_body(mut response: Response, bytes_max: usize) -> Result<Bytes, BodyError> {
    if response.content_length().is_some_and(|bytes| bytes > bytes_max as u64) {
        return Err(BodyError::TooLarge);
    }
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| BodyError::BrokeOff(causes(&error)))? {
        if body.len() + chunk.len() > bytes_max {
            return Err(BodyError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// Reads at most that many bytes of a body; the rest is not looked at. What came, and why it broke off if it did.
pub async fn start_of_body(mut response: Response, bytes_max: usize) -> (Bytes, Option<String>) {
    let mut body = BytesMut::new();
    let mut broke_off = None;
    while body.len() < bytes_max {
        match response.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => break,
            Err(error) => {
                broke_off = Some(causes(&error));
                break;
            }
        }
    }
    body.truncate(bytes_max);
    (body.freeze(), broke_off)
}

/// The whole chain, since the library's own text is only "error sending request"; without the first, which repeats the
/// URL.
pub fn causes(error: &reqwest::Error) -> String {
    let texts: Vec<_> = chain(error).skip(1).map(ToString::to_string).collect();
    if texts.is_empty() { "the request could not be made".to_owned() } else { texts.join(": ") }
}

/// The error, its cause, the cause of that, and so on.
pub fn chain(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    let first: &(dyn Error + 'static) = error;
    iter::successors(Some(first), |error| (**error).source())
}
