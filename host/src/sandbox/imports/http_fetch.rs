//! `http-fetch`.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::egress::{Fetch, FetchError, Fetched, RequestHeaders};
use crate::journal::{Call, Effect};
use crate::policy::Denied;
use crate::sandbox::bindings::juggernaut::host::http_fetch::{Host, Method as WitMethod, Request, Response};
use crate::sandbox::calls::{CallError, GuestError};
use crate::sandbox::run::RunError;
use crate::sandbox::state::RunState;
use crate::web::{InvalidTarget, Method, WebTarget};

/// An answer as the journal holds it: what a verifier needs to see that it came, and what a replay gives back.
#[derive(Serialize, Deserialize)]
pub(super) struct JournalledResponse {
    status: u16,
    url: String,
    redirected_from: Vec<String>,
    headers: Vec<(String, String)>,
    bytes: usize,
    sha256: String,
    base64: String,
}

impl From<Fetched> for JournalledResponse {
    fn from(fetched: Fetched) -> Self {
        let Fetched { status, target, redirected_from, headers, body } = fetched;
        Self {
            status,
            url: target.to_string(),
            redirected_from: redirected_from.iter().map(ToString::to_string).collect(),
            headers,
            bytes: body.len(),
            sha256: hex::encode(Sha256::digest(&body)),
            base64: STANDARD.encode(&body),
        }
    }
}

impl From<FetchError> for GuestError {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::Denied(denied) => denied.into(),
            FetchError::Invalid(message) => Self::Invalid(message),
            FetchError::Unavailable(message) => Self::Unavailable(message),
        }
    }
}

impl From<InvalidTarget> for GuestError {
    fn from(error: InvalidTarget) -> Self {
        Self::Invalid(error.to_string())
    }
}

impl Host for RunState {
    async fn fetch(&mut self, request: Request) -> Result<Response, CallError> {
        let Request { method, url, headers } = request;
        let target = WebTarget::parse(&url).map_err(GuestError::from)?;
        let method = match method {
            WitMethod::Get => Method::Get,
            WitMethod::Head => Method::Head,
        };
        let call = Call {
            interface: "http-fetch",
            function: "fetch",
            effect: Effect::Read,
            arguments: json!({ "method": method, "url": target.as_str(), "headers": headers }),
        };
        let (allowed, checked) = match RequestHeaders::check(&headers) {
            Ok(checked) => {
                let asked = target.clone();
                (self.judged(move |scope| scope.fetch(&asked, method)).await, checked)
            }
            Err(FetchError::Denied(denied)) => (Err(denied), RequestHeaders::default()),
            Err(malformed) => return Err(GuestError::from(malformed).into()),
        };
        let fetch = self.bounded(target, method, checked);
        let judge = self.judge();
        let answer: JournalledResponse = self
            .observe(call, allowed, |services| {
                let web = services.web.clone();
                Ok(async move { web.fetch(fetch, judge).await.map(JournalledResponse::from) })
            })
            .await?;
        let JournalledResponse { status, url, redirected_from: _, headers, bytes: _, sha256, base64 } = answer;
        let body = STANDARD
            .decode(base64)
            .map_err(|error| RunError::Host(format!("a recorded answer can not be read: {error}")))?;
        Ok(Response { status, url, headers, body, body_sha256: sha256 })
    }
}

impl RunState {
    /// Within the manifest's limits; none where it grants nothing, and nothing is fetched then.
    fn bounded(&self, target: WebTarget, method: Method, headers: RequestHeaders) -> Fetch {
        let limits = self.manifest.grants.http_fetch.as_ref().map(|grant| {
            let grant = grant.as_ref();
            (grant.response_kib_max as usize * 1024, Duration::from_millis(grant.timeout_ms_max))
        });
        let (body_bytes_max, time_max) = limits.unwrap_or_default();
        Fetch { target, method, headers, body_bytes_max, time_max }
    }

    /// Policy's answer to each URL of a fetch, to be asked where the redirects are seen.
    fn judge(&self) -> impl Fn(&WebTarget, Method) -> Result<(), Denied> + Send + Sync + 'static {
        let ask = self.standing();
        move |url, method| ask.scope().fetch(url, method).map(drop)
    }
}
