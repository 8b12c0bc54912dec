//! One exchange with the service: the key, time limits, bounded bodies, and what a failure means.
//!
//! Invariants: the key is attached in `send` only; redirects are not followed and no proxy sees it; a request is sent once, whoever
//! wants it again asks again.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, StatusCode, redirect, retry};
use secrecy::ExposeSecret as _;
use tokio::sync::Semaphore;
use url::Url;

use super::answer::{Answer, Figures, Usage, WireAnswer, WireError};
use crate::answered::{BodyError, causes, start_of_body, whole_body};
use crate::config::{ModelSettings, Prices};
use crate::policy::Granted;
use crate::policy::action::AskModel;

const CONNECT_SECONDS_MAX: u64 = 5;
/// Requests of all roles of this host at once; the others wait, within their own time.
const REQUESTS_MAX: usize = 64;
const ANSWER_BYTES_MAX: usize = 2 << 20;
const PROBLEM_BYTES_MAX: usize = 64 << 10;
/// Longest message of the service that is passed on.
const PROBLEM_CHARS_MAX: usize = 500;
/// Bytes that a token is at least counted for: real ones are longer in nearly all texts, so estimates are high.
const BYTES_PER_TOKEN: u64 = 2;

/// What a request may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    pub tokens: u64,
    pub microdollars: u64,
}

/// An answer, and what it took.
#[derive(Clone, Debug)]
pub struct Exchanged {
    pub answer: Answer,
    pub usage: Usage,
}

/// Why there is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// Not answered, and not paid for. It may be in a moment.
    #[error("{why}")]
    Busy { limited: bool, after: Option<Duration>, why: String },
    /// Sent, and the answer did not come: it may have to be paid for.
    #[error("{0}")]
    Lost(String),
    /// The same, because the time was over.
    #[error("no whole answer came within {} ms", .0.as_millis())]
    Late(Duration),
    /// This model does not take this request.
    #[error("{0}")]
    Unfit(String),
    /// No model will answer before the operator does something.
    #[error("{0}")]
    Unusable(String),
}

impl AskError {
    /// Whether it is certain that nothing has to be paid.
    pub fn is_free(&self) -> bool {
        match self {
            Self::Busy { .. } | Self::Unfit(_) | Self::Unusable(_) => true,
            Self::Lost(_) | Self::Late(_) => false,
        }
    }
}

/// The client of the service. Cheap to clone.
#[derive(Clone)]
pub struct Models {
    http: Client,
    url: Url,
    authorization: HeaderValue,
    prices: Prices,
    slots: Arc<Semaphore>,
}

impl fmt::Debug for Models {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Models").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}

impl Models {
    /// None where there is no key.
    pub fn new(settings: &ModelSettings, user_agent: &str) -> Result<Option<Self>, String> {
        let ModelSettings { api_key, base_url, prices, budget: _ } = settings;
        let Some(key) = api_key else { return Ok(None) };
        let mut authorization = HeaderValue::from_str(&format!("Bearer {}", key.expose_secret()))
            .map_err(|_| "OPENROUTER_API_KEY holds characters that a header can't carry; set it anew".to_owned())?;
        authorization.set_sensitive(true);
        let mut url = base_url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["chat", "completions"]);
        }
        let http = Client::builder()
            .user_agent(user_agent)
            .connect_timeout(Duration::from_secs(CONNECT_SECONDS_MAX))
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .no_proxy()
            .build()
            .map_err(|error| format!("the client of the models can not be made: {}", causes(&error)))?;
        let slots = Arc::new(Semaphore::new(REQUESTS_MAX));
        Ok(Some(Self { http, url, authorization, prices: prices.clone(), slots }))
    }

    /// On the safe side: more tokens than there will be.
    pub fn estimate(&self, model: &str, body: &serde_json::Value, answer_tokens_max: u32) -> Estimate {
        let prompt = (body.to_string().len() as u64).div_ceil(BYTES_PER_TOKEN);
        let answer = u64::from(answer_tokens_max);
        Estimate { tokens: prompt + answer, microdollars: self.prices.of(model).of(prompt, answer) }
    }

    /// Sends a request once. `estimate` is what counts where the service gives no figures.
    pub async fn exchange(
        &self,
        grant: Granted<AskModel>,
        estimate: Estimate,
        time_max: Duration,
    ) -> Result<Exchanged, AskError> {
        let AskModel { model, body, tokens: _ } = grant.into_action();
        let sent = async {
            let gone = |_| AskError::Unusable("the host is stopping".to_owned());
            let _slot = self.slots.acquire().await.map_err(gone)?;
            self.send(body.to_string()).await
        };
        let body = tokio::time::timeout(time_max, sent).await.unwrap_or(Err(AskError::Late(time_max)))?;
        let wire: WireAnswer = serde_json::from_slice(&body)
            .map_err(|error| AskError::Lost(format!("the answer is not understood: {error}")))?;
        let (answer, figures) = wire.read().map_err(|error| of_error(&error))?;
        Ok(Exchanged { answer, usage: self.usage(&model, figures, estimate) })
    }

    fn usage(&self, model: &str, figures: Option<Figures>, estimate: Estimate) -> Usage {
        match figures {
            None => Usage { prompt_tokens: estimate.tokens, answer_tokens: 0, microdollars: estimate.microdollars },
            Some(Figures { prompt_tokens, answer_tokens, microdollars }) => Usage {
                prompt_tokens,
                answer_tokens,
                microdollars: microdollars.unwrap_or_else(|| self.prices.of(model).of(prompt_tokens, answer_tokens)),
            },
        }
    }

    async fn send(&self, body: String) -> Result<Bytes, AskError> {
        let request = self.http.post(self.url.clone());
        let request =
            request.header(AUTHORIZATION, self.authorization.clone()).header(CONTENT_TYPE, "application/json");
        let response = request.body(body).send().await.map_err(|error| {
            let not_sent = error.is_connect() || error.is_builder();
            let why = causes(&error);
            if not_sent { AskError::Busy { limited: false, after: None, why } } else { AskError::Lost(why) }
        })?;
        let (status, headers) = (response.status(), response.headers().clone());
        if status.is_success() {
            return whole_body(response, ANSWER_BYTES_MAX).await.map_err(|error| match error {
                BodyError::TooLarge => AskError::Lost(format!("the answer is larger than {ANSWER_BYTES_MAX} bytes")),
                BodyError::BrokeOff(why) => AskError::Lost(why),
            });
        }
        // For a message only: what does not arrive is not missed.
        let problem = start_of_body(response, PROBLEM_BYTES_MAX).await.0;
        Err(of_status(status, retry_after(&headers), &problem_text(&problem)))
    }
}

/// What a status means for whoever asked.
fn of_status(status: StatusCode, after: Option<Duration>, problem: &str) -> AskError {
    let why = format!("{}: {problem}", status.as_u16());
    match status.as_u16() {
        401 => AskError::Unusable(format!(
            "the service refuses the key ({why}); the operator sets OPENROUTER_API_KEY anew"
        )),
        402 => AskError::Unusable(format!("there is no credit left ({why}); the operator tops it up")),
        408 | 429 => AskError::Busy { limited: status == StatusCode::TOO_MANY_REQUESTS, after, why },
        500..=599 => AskError::Busy { limited: false, after, why },
        300..=399 => {
            AskError::Unusable(format!("the service is elsewhere ({why}); the operator sets OPENROUTER_BASE_URL"))
        }
        _ => AskError::Unfit(why),
    }
}

/// An error in an answer with status 200.
fn of_error(error: &WireError) -> AskError {
    let message = cut(&error.message);
    match error.status().and_then(|status| StatusCode::from_u16(status).ok()) {
        Some(status) if !status.is_success() => of_status(status, None, &message),
        Some(_) | None => AskError::Lost(message),
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

fn problem_text(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Problem {
        error: WireError,
    }
    match serde_json::from_slice::<Problem>(body) {
        Ok(problem) => cut(&problem.error.message),
        Err(_) => "no account of it".to_owned(),
    }
}

fn cut(text: &str) -> String {
    text.chars().map(|it| if it.is_control() { ' ' } else { it }).take(PROBLEM_CHARS_MAX).collect()
}
