//! `http-send`: one request to the web that changes something.
//!
//! Invariant: sent once. Only to a target that the manifest calls idempotent it is sent again, under the same key, and only
//! where nobody knows what became of the first.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::approval::exact_digest;
use crate::egress::{Answered, FetchError, RequestHeaders, SendError, SendLimits, WebClient};
use crate::journal::{self, Call, Effect};
use crate::policy::action::SendRequest;
use crate::policy::{Granted, Ruling};
use crate::sandbox::approval::{Shown, quoted};
use crate::sandbox::bindings::juggernaut::host::http_send::{Host, Method as WitMethod, Request, Response};
use crate::sandbox::calls::{CallError, GuestError};
use crate::sandbox::errors::ActError;
use crate::sandbox::late::Late;
use crate::sandbox::mutations::{Mutation, Recovery, StepName};
use crate::sandbox::run::RunError;
use crate::sandbox::state::RunState;
use crate::text::visible;
use crate::web::{Method, WebTarget};

/// Largest body that an approver is shown; of a larger one, its length and digest.
const SHOWN_BODY_BYTES_MAX: usize = 256 * 1024;

/// A request, with what the manifest says of its target.
#[derive(Clone)]
struct Sending {
    target: WebTarget,
    method: Method,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    idempotent: bool,
}

/// An answer as the journal holds it.
#[derive(Serialize, Deserialize)]
pub(super) struct JournalledAnswer {
    status: u16,
    url: String,
    headers: Vec<(String, String)>,
    bytes: usize,
    sha256: String,
    base64: String,
}

#[derive(Clone)]
struct Sender {
    web: WebClient,
    limits: SendLimits,
}

impl From<SendError> for ActError {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Denied(denied) => Self::NotDone(denied.into()),
            SendError::NotSent(message) => Self::NotDone(GuestError::Unavailable(message)),
            SendError::Unfit(message) => Self::Refused(GuestError::Invalid(message)),
            SendError::Unknown(message) => Self::Unknown(message),
        }
    }
}

impl Host for RunState {
    async fn send(&mut self, request: Request) -> Result<Response, CallError> {
        let Request { method, url, headers, body } = request;
        let target = WebTarget::parse(&url).map_err(GuestError::from)?;
        let method = match method {
            WitMethod::Post => Method::Post,
            WitMethod::Put => Method::Put,
            WitMethod::Patch => Method::Patch,
        };
        // What is denied is journalled; what is malformed is not even that.
        if let Err(malformed @ (FetchError::Invalid(_) | FetchError::Unavailable(_))) =
            RequestHeaders::check_sent(&headers)
        {
            return Err(GuestError::from(malformed).into());
        }
        let grant = self.manifest.grants.http_send.as_ref().map(toml::Spanned::as_ref);
        let body_kib_max = grant.map_or(0, |grant| grant.request_kib_max);
        if body.len() > body_kib_max as usize * 1024 {
            let bytes = body.len();
            let message =
                format!("the body has {bytes} bytes; at most {body_kib_max} KiB are sent (http-send.request_kib_max)");
            return Err(GuestError::Invalid(message).into());
        }
        let idempotent = grant.is_some_and(|grant| grant.is_idempotent(&target, method));
        let call = Call {
            interface: "http-send",
            function: "send",
            effect: Effect::Write,
            arguments: json!({
                "method": method, "url": target.as_str(), "headers": headers, "body": journal::bytes_argument(&body),
            }),
        };
        let sending = Sending { target, method, headers, body, idempotent };
        let JournalledAnswer { status, url: _, headers, bytes: _, sha256: _, base64 } =
            self.mutate(call, sending).await?;
        let body = STANDARD
            .decode(base64)
            .map_err(|error| RunError::Host(format!("a recorded answer can not be read: {error}")))?;
        Ok(Response { status, headers, body })
    }
}

impl Mutation for Sending {
    type Action = SendRequest;
    type Output = JournalledAnswer;
    type Client = Sender;
    type Error = SendError;

    fn content(&self) -> &[u8] {
        &self.body
    }

    fn recovery(&self) -> Recovery {
        if self.idempotent { Recovery::Again } else { Recovery::Person }
    }

    fn client(state: &RunState) -> Result<Sender, GuestError> {
        let Some(grant) = state.manifest.grants.http_send.as_ref().map(toml::Spanned::as_ref) else {
            return Err(GuestError::Denied("http-send is not granted".to_owned()));
        };
        let limits = SendLimits {
            body_bytes_max: grant.response_kib_max as usize * 1024,
            time_max: Duration::from_millis(grant.timeout_ms_max),
        };
        Ok(Sender { web: state.services.web.clone(), limits })
    }

    async fn decide(&self, state: &mut RunState, step: &StepName) -> Result<Ruling<SendRequest>, GuestError> {
        if let Err(FetchError::Denied(denied)) = RequestHeaders::check_sent(&self.headers) {
            return state.ruled(Err(denied));
        }
        let Self { target, method, headers, body, idempotent: _ } = self.clone();
        let action = SendRequest { target, method, headers, body, key: step.key() };
        let ruling = state.judged(move |scope| scope.send(action)).await;
        let ruling = state.ruled(ruling)?;
        // Nobody is asked to approve what is never reached.
        let reached = state.services.web.reaches(&self.target);
        state.ruled(reached)?;
        Ok(ruling)
    }

    async fn show(&self, _: &mut RunState, _: &Call, action: &SendRequest) -> Result<Shown, GuestError> {
        Ok(shown(action))
    }

    async fn act(client: Sender, grant: Granted<SendRequest>, _: Late) -> Result<JournalledAnswer, SendError> {
        let url = grant.action().target.to_string();
        let Answered { status, headers, body } = client.web.send(grant, client.limits).await?;
        Ok(JournalledAnswer {
            status,
            url,
            headers,
            bytes: body.len(),
            sha256: hex::encode(Sha256::digest(&body)),
            base64: STANDARD.encode(&body),
        })
    }

    fn denied_by(error: &SendError) -> &[String] {
        match error {
            SendError::Denied(denied) => &denied.policies,
            SendError::NotSent(_) | SendError::Unfit(_) | SendError::Unknown(_) => &[],
        }
    }

    /// The web shows nobody what was sent to it.
    async fn find(&self, _: Sender, step: StepName) -> Result<Option<JournalledAnswer>, SendError> {
        Err(SendError::Unknown(format!("{step} left no trace that can be looked for")))
    }
}

/// What an approver sees: everything that is sent, or its digest where it can not be shown.
fn shown(action: &SendRequest) -> Shown {
    let SendRequest { target, method, headers, body, key } = action;
    let sha256 = Sha256::digest(body);
    let mut text = String::from("Send to the web\n\n");
    let mut field = |name: &str, value: String| text.push_str(&format!("{name:8} {value}\n"));
    field("method", method.to_string());
    field("URL", visible(target.as_str()).into_owned());
    for (name, value) in headers {
        field("header", format!("{}: {}", visible(name), visible(value)));
    }
    field("header", format!("idempotency-key: {key} (by the host)"));
    field("body", format!("{} bytes, SHA-256 {}", body.len(), hex::encode(sha256)));
    let as_text = std::str::from_utf8(body).ok().filter(|text| !text.contains('\0'));
    let (note, block) = match as_text {
        _ if body.is_empty() => ("\nThe body is empty.\n", None),
        Some(text) if body.len() <= SHOWN_BODY_BYTES_MAX => ("\nBody (a bar begins each line of it):\n", Some(text)),
        Some(_) => ("\nNOT SHOWN: the body is too long.\n", None),
        None => ("\nNOT SHOWN: the body is no text.\n", None),
    };
    text.push_str(note);
    text.push_str(&block.map(quoted).unwrap_or_default());
    let mut parts: Vec<&[u8]> = vec![method.name().as_bytes(), target.as_str().as_bytes()];
    for (name, value) in headers {
        parts.extend([name.as_bytes(), value.as_bytes()]);
    }
    parts.push(&sha256);
    Shown { text, exact: exact_digest(parts), role_says: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn action(body: &[u8]) -> SendRequest {
        SendRequest {
            target: WebTarget::parse("https://hooks.example.org/v1/a").unwrap(),
            method: Method::Post,
            headers: vec![("content-type".to_owned(), "text/plain".to_owned())],
            body: body.to_vec(),
            key: "juggernaut-t/1/0".to_owned(),
        }
    }

    #[test]
    fn an_approver_sees_what_is_sent_and_nothing_passes_for_the_hosts_words() {
        let text = shown(&action("a\u{202e}b\n\nmethod   GET\n\u{1b}[2J".as_bytes())).text;
        assert!(text.contains("method   POST\nURL      https://hooks.example.org/v1/a\n"), "{text}");
        assert!(text.contains("header   content-type: text/plain\n"), "{text}");
        assert!(text.contains("| a<U+202E>b\n| \n| method   GET\n| <U+001B>[2J\n"), "{text}");
    }

    #[test]
    fn what_can_not_be_shown_is_said_to_be_there() {
        for (body, note) in [
            (vec![0xff, 0xfe], "NOT SHOWN: the body is no text"),
            (b"a\0b".to_vec(), "NOT SHOWN: the body is no text"),
            (vec![b'x'; SHOWN_BODY_BYTES_MAX + 1], "NOT SHOWN: the body is too long"),
            (Vec::new(), "The body is empty"),
        ] {
            let text = shown(&action(&body)).text;
            let sha256 = hex::encode(Sha256::digest(&body));
            assert!(text.contains(note) && text.contains(&format!("{} bytes, SHA-256 {sha256}", body.len())), "{text}");
        }
    }

    #[test]
    fn another_request_is_another_action() {
        let first = shown(&action(b"x")).exact;
        let changes: [fn(&mut SendRequest); 4] = [
            |it| it.body = b"y".to_vec(),
            |it| it.method = Method::Put,
            |it| it.target = WebTarget::parse("https://hooks.example.org/v1/b").unwrap(),
            |it| it.headers[0].1.push('x'),
        ];
        for change in changes {
            let mut other = action(b"x");
            change(&mut other);
            assert_ne!(shown(&other).exact, first);
        }
    }
}
