//! Tells people of alerts: takes notices from the outbox and sends them to the operator's webhook.
//!
//! Invariants: at least once, and by one host at a time; nothing waits for it; it raises no alert itself, so that a webhook
//! that fails makes no more work for it. What is sent holds nothing but the alert's own columns, and no error holds the
//! webhook's address or secret.

mod payload;
mod sign;

use std::time::Duration;

use secrecy::SecretString;
use time::OffsetDateTime;
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::db::notices::Notice;
use crate::db::{Db, DbError};
use crate::egress::{Delivered, Delivery, WebClient};
use crate::journal::Severity;
use crate::task::HostId;
use crate::web::WebTarget;

pub use payload::Format;

/// From the look-up to the last byte of the answer.
const SEND_TIME_MAX: Duration = Duration::from_secs(10);
/// How long a taken notice is its host's: longer than sending it and saying so takes.
const LEASE: Duration = Duration::from_mins(1);
/// What is read of an answer.
const ANSWER_BYTES_MAX: usize = 4 * 1024;
/// Tries of one notice; with the usual pauses about an hour.
const ATTEMPTS_MAX: i32 = 12;
const PAUSE_MAX: Duration = Duration::from_mins(10);
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Of the notice, for receivers that want to know what they have seen; the same for each try.
const DELIVERY_HEADER: &str = "juggernaut-delivery";
const SIGNATURE_HEADER: &str = "juggernaut-signature";

/// Where notifications go, and which.
#[derive(Clone, Debug)]
pub struct Settings {
    pub target: WebTarget,
    pub secret: Option<SecretString>,
    pub format: Format,
    /// The least severity that people are told of.
    pub from: Severity,
    /// Pause before the second try; it doubles with each further one.
    pub retry: Duration,
}

/// Sends the outbox's notices.
#[derive(Debug)]
pub struct Notifier {
    web: WebClient,
    settings: Settings,
    host: HostId,
}

/// Why a notice did not arrive.
struct Undelivered {
    status: Option<u16>,
    error: String,
}

impl Notifier {
    pub fn new(web: WebClient, settings: Settings, host: HostId) -> Self {
        Self { web, settings, host }
    }

    /// Works until the host is down; what it has begun to send, it ends.
    pub async fn run(self, db: Db, mut down: watch::Receiver<bool>) {
        while !*down.borrow() {
            match self.send_next(&db).await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => warn!(%error, "people were not told of alerts; trying again"),
            }
            tokio::select! {
                _ = down.changed() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Sends a test notification, past the outbox.
    pub async fn test(&self) -> Result<Delivered, crate::egress::DeliveryError> {
        let body = payload::test(self.settings.format, &self.host, OffsetDateTime::now_utc());
        self.post("test".to_owned(), body).await
    }

    /// False where there is nothing to send now.
    async fn send_next(&self, db: &Db) -> Result<bool, DbError> {
        db.end_unsendable_notices(self.settings.from, ATTEMPTS_MAX).await?;
        let Some(notice) = db.take_notice(LEASE).await? else { return Ok(false) };
        let (alert, event, attempt) = (notice.alert, notice.event, notice.attempt);
        match self.send(&notice).await {
            Ok(status) => {
                db.notice_delivered(&notice, status).await?;
                info!(%alert, %event, attempt, status, "people were told of an alert");
            }
            Err(Undelivered { status, error }) if attempt < ATTEMPTS_MAX => {
                let pause = pause(self.settings.retry, attempt);
                warn!(%alert, %event, attempt, error, pause_s = pause.as_secs(), "people were not told of an alert yet");
                db.notice_again(&notice, status, &error, pause).await?;
            }
            Err(Undelivered { status, error }) => {
                error!(%alert, %event, attempt, error, "people could not be told of an alert; given up");
                db.notice_failed(&notice, status, &error).await?;
            }
        }
        Ok(true)
    }

    async fn send(&self, notice: &Notice) -> Result<u16, Undelivered> {
        let body = payload::of(self.settings.format, notice, &self.host, OffsetDateTime::now_utc());
        let answer = self.post(notice.id.to_string(), body).await;
        let Delivered { status, body: _ } =
            answer.map_err(|error| Undelivered { status: None, error: error.to_string() })?;
        if (200..300).contains(&status) {
            return Ok(status);
        }
        // Not its words: it may repeat the address.
        let what = if (300..400).contains(&status) { "a redirect, which is not followed" } else { "not a success" };
        Err(Undelivered { status: Some(status), error: format!("the webhook answered {status}, {what}") })
    }

    async fn post(&self, delivery: String, body: Vec<u8>) -> Result<Delivered, crate::egress::DeliveryError> {
        let mut headers = vec![(DELIVERY_HEADER, delivery)];
        if let Some(secret) = &self.settings.secret {
            let now = OffsetDateTime::now_utc().unix_timestamp();
            headers.push((SIGNATURE_HEADER, sign::signature(secret, now, &body)));
        }
        let (target, time_max) = (&self.settings.target, SEND_TIME_MAX);
        self.web.deliver(Delivery { target, body, headers, time_max, answer_bytes_max: ANSWER_BYTES_MAX }).await
    }
}

/// Doubles with each try.
fn pause(first: Duration, attempt: i32) -> Duration {
    let doublings = u32::try_from(attempt.saturating_sub(1)).unwrap_or(0).min(16);
    first.saturating_mul(1 << doublings).min(PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit() {
        let first = Duration::from_secs(5);
        assert_eq!([1, 2, 3].map(|attempt| pause(first, attempt).as_secs()), [5, 10, 20]);
        assert_eq!(pause(first, ATTEMPTS_MAX), PAUSE_MAX);
        assert_eq!(pause(first, i32::MAX), PAUSE_MAX);
        assert!(LEASE > SEND_TIME_MAX * 2, "a notice that is being sent is not taken by somebody else");
    }
}
