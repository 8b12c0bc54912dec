//! The headers that cross the boundary, in both directions. Whatever is not named here does not.

use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::client::FetchError;
use crate::policy::Denied;

/// Headers of one request.
const HEADERS_MAX: usize = 8;
/// Longest name and value of a request's header, in bytes.
const NAME_BYTES_MAX: usize = 80;
const VALUE_BYTES_MAX: usize = 1024;
/// All headers of an answer together, in bytes.
const ANSWER_BYTES_MAX: usize = 32 * 1024;

/// What a role may send. Nothing that names another host, method or user.
const SENT: &[HeaderName] =
    &[header::ACCEPT, header::ACCEPT_LANGUAGE, header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE];
/// What a role is given of an answer.
const GIVEN: &[HeaderName] =
    &[header::CONTENT_TYPE, header::ETAG, header::LAST_MODIFIED, header::LINK, header::RETRY_AFTER];
/// The same where something is changed.
const SENT_WITH_BODY: &[HeaderName] = &[header::ACCEPT, header::CONTENT_TYPE, header::IF_MATCH];
const GIVEN_OF_SENDING: &[HeaderName] = &[header::CONTENT_TYPE, header::ETAG, header::LOCATION, header::RETRY_AFTER];

/// Headers of a role's request, checked.
#[derive(Clone, Debug, Default)]
pub struct RequestHeaders(HeaderMap);

impl RequestHeaders {
    /// Malformed ones are `Invalid` before any is `Denied`: a refusal is journalled with what it refused, which is
    /// then visible ASCII.
    pub fn check(given: &[(String, String)]) -> Result<Self, FetchError> {
        Self::of(given, SENT)
    }

    /// Of a request that changes something.
    pub fn check_sent(given: &[(String, String)]) -> Result<Self, FetchError> {
        Self::of(given, SENT_WITH_BODY)
    }

    fn of(given: &[(String, String)], sent: &[HeaderName]) -> Result<Self, FetchError> {
        if given.len() > HEADERS_MAX {
            return Err(FetchError::Invalid(format!("headers: at most {HEADERS_MAX} are sent")));
        }
        let parsed = given.iter().map(|(name, value)| parse(name, value)).collect::<Result<Vec<_>, _>>();
        let parsed = parsed.map_err(FetchError::Invalid)?;
        let mut headers = HeaderMap::new();
        for (name, value) in parsed {
            if !sent.contains(&name) {
                let allowed: Vec<_> = sent.iter().map(HeaderName::as_str).collect();
                return Err(FetchError::Denied(Denied {
                    policies: vec!["request-headers".to_owned()],
                    message: format!("header {name} is not sent for a role; only {} are", allowed.join(", ")),
                }));
            }
            if headers.insert(name.clone(), value).is_some() {
                return Err(FetchError::Invalid(format!("header {name}: is given twice")));
            }
        }
        Ok(Self(headers))
    }

    pub(super) fn map(&self) -> HeaderMap {
        self.0.clone()
    }
}

/// No tab, no line break, nothing beyond ASCII: readers of such a value disagree about it.
fn parse(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), String> {
    let shown: String = name.chars().take(80).collect();
    let known = Some(name).filter(|name| name.len() <= NAME_BYTES_MAX).and_then(|name| name.parse().ok());
    let name: HeaderName = known.ok_or_else(|| format!("header {shown:?}: is no name of a header"))?;
    if value.len() > VALUE_BYTES_MAX {
        return Err(format!("header {name}: is over {VALUE_BYTES_MAX} bytes"));
    }
    let plain = value.bytes().all(|byte| (b' '..=b'~').contains(&byte)) && value.trim() == value;
    match HeaderValue::from_str(value) {
        Ok(value) if plain => Ok((name, value)),
        Ok(_) | Err(_) => {
            Err(format!("header {name}: holds a character other than visible ASCII, or white space at an end"))
        }
    }
}

/// What is given of an answer's headers: several of one name joined, values that are no text left out.
pub(super) fn given(answer: &HeaderMap) -> Result<Vec<(String, String)>, FetchError> {
    chosen(answer, GIVEN)
}

pub(super) fn given_of_sending(answer: &HeaderMap) -> Result<Vec<(String, String)>, FetchError> {
    chosen(answer, GIVEN_OF_SENDING)
}

fn chosen(answer: &HeaderMap, names: &[HeaderName]) -> Result<Vec<(String, String)>, FetchError> {
    let bytes: usize = answer.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if bytes > ANSWER_BYTES_MAX {
        return Err(FetchError::Invalid(format!("the answer's headers are over {ANSWER_BYTES_MAX} bytes")));
    }
    let joined = |name: &HeaderName| {
        let values: Vec<_> = answer.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
        (!values.is_empty()).then(|| (name.as_str().to_owned(), values.join(", ")))
    };
    Ok(names.iter().filter_map(joined).collect())
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
