//! The API's client. Every error says what happened and what to do.

use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;
use uuid::Uuid;

use super::output::{note, visible};
use crate::config::{ClientConfig, Env};
use crate::http::{KEY_HEADER, ProblemBody};

const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);
const REQUEST_TIME_MAX: Duration = Duration::from_mins(1);
/// Largest answer that is read.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How often a request that creates something is sent where no answer comes, and the pause between.
const TRIES_MAX: u32 = 3;
const AGAIN: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    base: Url,
    token: SecretString,
}

/// An answer: the JSON as it came, for `--json`.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) text: String,
}

impl Answer {
    pub(super) fn parse<T: DeserializeOwned>(&self) -> anyhow::Result<T> {
        serde_json::from_str(&self.text)
            .context("the host's answer is not understood; is it another version? compare `juggernaut --version`")
    }
}

impl Client {
    pub(super) fn from_env(env: Env<'_>) -> anyhow::Result<Self> {
        let folder = std::env::current_dir().context("the current folder is gone; change to another one")?;
        Self::new(ClientConfig::find(env, &folder)?)
    }

    pub(super) fn new(config: ClientConfig) -> anyhow::Result<Self> {
        let ClientConfig { url, token } = config;
        let Some(token) = token else {
            bail!(
                "there is no API token: set JUGGERNAUT_TOKEN, or run this below the folder where `juggernaut dev` runs; \
                 `juggernaut token create` makes one"
            );
        };
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIME_MAX)
            // A redirect would carry the token to wherever it points.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("juggernaut/", env!("CARGO_PKG_VERSION")))
            .build()
            .context("the HTTP client can not start; check this machine's certificates")?;
        Ok(Self { http, base: url, token })
    }

    fn request(&self, method: Method, path: &[&str], query: &[(&str, String)]) -> anyhow::Result<RequestBuilder> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| anyhow!("{} can not be a host's address", self.base))?
            .pop_if_empty()
            .extend(["api", "v1"])
            .extend(path);
        let request = self.http.request(method, url).query(query).bearer_auth(self.token.expose_secret());
        Ok(request)
    }

    pub(super) async fn get(&self, path: &[&str], query: &[(&str, String)]) -> anyhow::Result<Answer> {
        self.finish(self.request(Method::GET, path, query)?).await
    }

    pub(super) async fn post(&self, path: &[&str], body: Option<&Value>) -> anyhow::Result<Answer> {
        let request = self.request(Method::POST, path, &[])?;
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        self.finish(request).await
    }

    pub(super) async fn delete(&self, path: &[&str]) -> anyhow::Result<Answer> {
        self.finish(self.request(Method::DELETE, path, &[])?).await
    }

    /// Creates something, once: where the answer does not come, the same request is sent again, and the host knows it by
    /// its key.
    pub(super) async fn create(&self, path: &[&str], body: &Value) -> anyhow::Result<Answer> {
        let key = Uuid::new_v4().to_string();
        let mut tries = 1;
        loop {
            let request = self.request(Method::POST, path, &[])?.header(KEY_HEADER, &key).json(body);
            match self.finish(request).await {
                Err(error) if tries < TRIES_MAX && error.downcast_ref().is_some_and(Unreachable::was_reached) => {
                    note(&format!("{error:#}; sending it again"));
                    tokio::time::sleep(AGAIN).await;
                    tries += 1;
                }
                answered => return answered,
            }
        }
    }

    /// Begins an event stream; no time limit, because it lasts as long as the task does.
    pub(super) async fn stream(&self, path: &[&str], after: i64) -> anyhow::Result<Response> {
        let mut request = self.request(Method::GET, path, &[])?.header("accept", "text/event-stream");
        if after > 0 {
            request = request.header("last-event-id", after);
        }
        self.check(self.send(request).await?).await
    }

    async fn finish(&self, request: RequestBuilder) -> anyhow::Result<Answer> {
        let response = self.check(self.send(request.timeout(REQUEST_TIME_MAX)).await?).await?;
        Ok(Answer { text: self.read(response).await? })
    }

    async fn send(&self, request: RequestBuilder) -> anyhow::Result<Response> {
        let base = &self.base;
        request.send().await.map_err(|error| {
            let cause = root_cause(&error);
            if error.is_connect() {
                anyhow!(Unreachable::Unconnected(format!(
                    "no connection to {base}: {cause}; is the host running? start it with `juggernaut dev` or set \
                     JUGGERNAUT_URL"
                )))
            } else if error.is_timeout() {
                anyhow!(Unreachable::Unanswered(format!(
                    "{base} did not answer in time; look at the host's log, then try again"
                )))
            } else {
                anyhow!(Unreachable::Unanswered(format!("the request to {base} failed: {cause}; try again")))
            }
        })
    }

    /// Success, or the problem that the host tells of.
    async fn check(&self, response: Response) -> anyhow::Result<Response> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let text = self.read(response).await?;
        let Ok(problem) = serde_json::from_str::<ProblemBody>(&text) else {
            bail!("{} answered {status}, but not as a Juggernaut host does; is JUGGERNAUT_URL right?", self.base);
        };
        Err(explain(status, &problem))
    }

    async fn read(&self, mut response: Response) -> anyhow::Result<String> {
        let mut bytes = Vec::new();
        let broken = |error: reqwest::Error| {
            anyhow!(Unreachable::Unanswered(format!(
                "the answer of {} broke off: {}; try again",
                self.base,
                root_cause(&error)
            )))
        };
        while let Some(chunk) = response.chunk().await.map_err(broken)? {
            if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
                bail!("the answer of {} is larger than {ANSWER_BYTES_MAX} bytes; ask for less", self.base);
            }
            bytes.extend_from_slice(&chunk);
        }
        String::from_utf8(bytes).with_context(|| format!("the answer of {} is not text", self.base))
    }
}

/// The host can not be reached now; trying again may help.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreachable {
    #[error("{0}")]
    Unconnected(String),
    /// The request may have been received.
    #[error("{0}")]
    Unanswered(String),
}

impl Unreachable {
    fn was_reached(&self) -> bool {
        matches!(self, Self::Unanswered(_))
    }
}

fn explain(status: StatusCode, problem: &ProblemBody) -> anyhow::Error {
    let ProblemBody { kind: _, title, status: _, detail, instance, errors } = problem;
    let fields = errors.iter().filter(|error| !detail.contains(&error.message));
    let fields: Vec<_> =
        fields.map(|error| format!("; {}: {}", visible(&error.field), visible(&error.message))).collect();
    let text = format!("{}: {}{}", visible(title), visible(detail), fields.concat());
    if status == StatusCode::SERVICE_UNAVAILABLE || status == StatusCode::TOO_MANY_REQUESTS {
        return anyhow!(Unreachable::Unanswered(text));
    }
    if status.is_server_error() {
        return anyhow!("{text} ({})", visible(instance));
    }
    anyhow!(text)
}

/// The innermost cause: "Connection refused" rather than "error sending request".
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
