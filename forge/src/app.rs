//! What all handlers share.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::PoisonError;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use crate::clock;
use crate::control::Control;
use crate::error::{ApiError, StoreError};
use crate::store::{Store, read_json, write_json};

const RATE_LIMIT: u64 = 5000;
const RATE_PERIOD_S: i64 = 3600;

pub(crate) struct App {
    pub(crate) store: Store,
    /// `http://127.0.0.1:PORT`
    pub(crate) base: String,
    pub(crate) tokens: Tokens,
    pub(crate) control: Control,
    pub(crate) rate: Rate,
    pub(crate) stop: watch::Receiver<bool>,
}

impl App {
    /// Returns once the forge is told to stop, or whoever could tell it is gone.
    pub(crate) async fn stopped(&self) {
        let mut stop = self.stop.clone();
        if let Err(gone) = stop.wait_for(|stop| *stop).await {
            tracing::debug!(%gone, "the forge was dropped");
        }
    }
}

/// Git and files block, so they run where blocking is allowed.
pub(crate) async fn blocking<T: Send + 'static>(
    app: &std::sync::Arc<App>,
    work: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, ApiError> {
    let app = std::sync::Arc::clone(app);
    match tokio::task::spawn_blocking(move || work(&app.store)).await {
        Ok(result) => Ok(result?),
        Err(error) => Err(ApiError::internal(&error)),
    }
}

/// Who may call, and under which name.
///
/// Invariant: only digests of tokens are kept or stored.
pub(crate) struct Tokens {
    file: PathBuf,
    /// Of the forge itself, from its options. Without it, every token is good.
    main: Option<Known>,
    login: String,
    added: Mutex<Vec<Known>>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Known {
    login: String,
    sha256: String,
}

impl Tokens {
    pub(crate) fn open(file: PathBuf, token: Option<&str>, login: String) -> Result<Self, StoreError> {
        let main = token.map(|token| Known { login: login.clone(), sha256: digest(token) });
        let added = Mutex::new(read_json(&file)?);
        Ok(Self { file, main, login, added })
    }

    /// The login of a token's owner, if the token is known.
    pub(crate) fn login(&self, token: &str) -> Option<String> {
        let sha256 = digest(token);
        let added = self.added.lock().unwrap_or_else(PoisonError::into_inner);
        let known = added.iter().chain(&self.main).find(|known| known.sha256 == sha256);
        match (known, &self.main) {
            (Some(known), _) => Some(known.login.clone()),
            (None, None) if !token.is_empty() => Some(self.login.clone()),
            (None, _) => None,
        }
    }

    pub(crate) fn add(&self, login: String, token: &str) -> Result<(), StoreError> {
        let mut added = self.added.lock().unwrap_or_else(PoisonError::into_inner);
        let sha256 = digest(token);
        added.retain(|known| known.sha256 != sha256);
        added.push(Known { login, sha256 });
        write_json(&self.file, &*added)
    }
}

fn digest(token: &str) -> String {
    hex::encode(Sha256::digest(token.as_bytes()))
}

/// The primary rate limit, which is reported and never enforced; a test that wants to be limited sets a fault.
pub(crate) struct Rate(Mutex<RateState>);

#[derive(Clone, Copy)]
pub(crate) struct RateState {
    pub(crate) limit: u64,
    pub(crate) remaining: u64,
    pub(crate) reset: i64,
    exhausted: bool,
}

impl RateState {
    pub(crate) fn used(self) -> u64 {
        self.limit - self.remaining
    }

    fn fresh() -> Self {
        Self {
            limit: RATE_LIMIT,
            remaining: RATE_LIMIT,
            reset: clock::now_unix_ms() / 1000 + RATE_PERIOD_S,
            exhausted: false,
        }
    }
}

impl Rate {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(RateState::fresh()))
    }

    pub(crate) fn get(&self) -> RateState {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next answer says that nothing remains.
    pub(crate) fn exhaust(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).exhausted = true;
    }

    pub(crate) fn count(&self) -> RateState {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if clock::now_unix_ms() / 1000 >= state.reset {
            *state = RateState::fresh();
        }
        state.remaining = state.remaining.saturating_sub(1);
        let mut shown = *state;
        if std::mem::take(&mut state.exhausted) {
            shown.remaining = 0;
        }
        shown
    }
}
