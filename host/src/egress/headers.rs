//! The headers that cross the boundary, in both directions. Whatever is not named here does not.

use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::client::FetchError;
use crate::policy::Denied;

/// Headers of one request.
pub const HEADERS_MAX: usize = 8;
/// Longest value of a request's header, in bytes.
const REQUEST_VALUE_BYTES_MAX: usize = 1024;
/// All headers of an answer together, in bytes.
const ANSWER_BYTES_MAX: usize = 32 * 1024;

/// What a role may send. Nothing that names another host, method or user.
const SENT: &[HeaderName] =
    &[header::ACCEPT, header::ACCEPT_LANGUAGE, header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE];
/// What a role is given of an answer.
const GIVEN: &[HeaderName] =
    &[header::CONTENT_TYPE, header::ETAG, header::LAST_MODIFIED, header::LINK, header::RETRY_AFTER];

/// Headers of a role's request, checked.
#[derive(Clone, Debug, Default)]
pub struct RequestHeaders(HeaderMap);

impl RequestHeaders {
    pub fn check(given: &[(String, String)]) -> Result<Self, FetchError> {
        if given.len() > HEADERS_MAX {
            return Err(FetchError::Invalid(format!("headers: at most {HEADERS_MAX} are sent")));
        }
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            let lower = name.to_ascii_lowercase();
            let Some(known) = SENT.iter().find(|known| known.as_str() == lower) else {
                let shown: String = name.chars().take(80).collect();
                let allowed: Vec<_> = SENT.iter().map(HeaderName::as_str).collect();
                return Err(FetchError::Denied(Denied {
                    policies: vec!["request-headers".to_owned()],
                    message: format!("header {shown:?} is not sent for a role; only {} are", allowed.join(", ")),
                }));
            };
            if value.len() > REQUEST_VALUE_BYTES_MAX {
                return Err(FetchError::Invalid(format!("header {known}: is over {REQUEST_VALUE_BYTES_MAX} bytes")));
            }
            // Also no tab, no line break, nothing beyond ASCII: readers of such a value disagree about it.
            let plain = value.bytes().all(|byte| (b' '..=b'~').contains(&byte)) && value.trim() == value;
            let Some(value) = HeaderValue::from_str(value).ok().filter(|_| plain) else {
                let problem = "holds a character other than visible ASCII, or white space at an end";
                return Err(FetchError::Invalid(format!("header {known}: {problem}")));
            };
            if headers.insert(known.clone(), value).is_some() {
                return Err(FetchError::Invalid(format!("header {known}: is given twice")));
            }
        }
        Ok(Self(headers))
    }

    pub(super) fn map(&self) -> HeaderMap {
        self.0.clone()
    }
}

/// What is given of an answer's headers: several of one name joined, values that are no text left out.
pub(super) fn given(answer: &HeaderMap) -> Result<Vec<(String, String)>, FetchError> {
    let bytes: usize = answer.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if bytes > ANSWER_BYTES_MAX {
        return Err(FetchError::Invalid(format!("the answer's headers are over {ANSWER_BYTES_MAX} bytes")));
    }
    let joined = |name: &HeaderName| {
        let values: Vec<_> = answer.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
        (!values.is_empty()).then(|| (name.as_str().to_owned(), values.join(", ")))
    };
    Ok(GIVEN.iter().filter_map(joined).collect())
}

/// An answer in an encoding that was not asked for: unpacking it could cost any amount of memory.
pub(super) fn not_encoded(answer: &HeaderMap) -> Result<(), FetchError> {
    let encoded = |name: HeaderName, plain: &str| {
        let mut values = answer.get_all(name).iter();
        values.find(|value| !value.as_bytes().eq_ignore_ascii_case(plain.as_bytes())).cloned()
    };
    let found = encoded(header::CONTENT_ENCODING, "identity");
    match found.or_else(|| encoded(header::TRANSFER_ENCODING, "chunked")) {
        None => Ok(()),
        Some(value) => Err(FetchError::Invalid(format!(
            "the server encodes its answer as {value:?} though asked not to; encoded answers are refused"
        ))),
    }
}
