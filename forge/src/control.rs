//! Test controls: the list of requests, faults, and holds.
//!
//! Invariant: nothing here knows a token, and nothing is on unless a test asked for it. Every list is bounded.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;

use crate::store::matches;

const REQUESTS_KEPT_MAX: usize = 20_000;
const RULES_MAX: usize = 256;

/// A request that arrived.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Seen {
    pub(crate) id: u64,
    pub(crate) method: String,
    /// As sent: still percent-encoded, without the query.
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    pub(crate) token: bool,
    /// None while it runs, and for requests that never get an answer.
    pub(crate) status: Option<u16>,
    pub(crate) fault: Option<&'static str>,
    pub(crate) at: String,
}

/// Which requests a rule is about.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Target {
    /// `*` for every method.
    #[serde(default = "any")]
    pub(crate) method: String,
    /// A pattern: `*` stands for any characters.
    #[serde(default = "any")]
    pub(crate) path: String,
    /// How many matching requests to let pass first.
    #[serde(default)]
    pub(crate) skip: u64,
    #[serde(default = "once")]
    pub(crate) times: u64,
}

fn any() -> String {
    "*".to_owned()
}

fn once() -> u64 {
    1
}

impl Default for Target {
    fn default() -> Self {
        Self { method: any(), path: any(), skip: 0, times: once() }
    }
}

impl Target {
    /// Counts one request against the rule.
    fn hit(&mut self, seen: &Seen) -> bool {
        let concerns =
            (self.method == "*" || self.method.eq_ignore_ascii_case(&seen.method)) && matches(&self.path, &seen.path);
        if !concerns || self.times == 0 {
            return false;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        self.times -= 1;
        true
    }
}

/// What happens to a request instead of, or after, its effect.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Fault {
    /// Answer this; the request has no effect.
    Status {
        status: u16,
        #[serde(default)]
        headers: BTreeMap<String, String>,
        body: Option<Value>,
    },
    /// 403 with GitHub's text about a secondary rate limit, and `Retry-After`.
    SecondaryRateLimit {
        #[serde(default = "minute")]
        retry_after: u64,
    },
    /// 403 with `x-ratelimit-remaining: 0`.
    RateLimit,
    /// Never answer, never act.
    Hang,
    /// Close the connection without acting.
    DropRequest,
    /// Act, then close the connection without an answer.
    LoseResponse,
    /// Act, then answer this, as a proxy does that lost the server behind it.
    LateStatus { status: u16 },
    /// Act, then never answer.
    LateHang,
    /// Act, send the head and half of the body, then reset the connection.
    Reset,
}

fn minute() -> u64 {
    60
}

impl Fault {
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Status { .. } => "status",
            Self::SecondaryRateLimit { .. } => "secondary-rate-limit",
            Self::RateLimit => "rate-limit",
            Self::Hang => "hang",
            Self::DropRequest => "drop-request",
            Self::LoseResponse => "lose-response",
            Self::LateStatus { .. } => "late-status",
            Self::LateHang => "late-hang",
            Self::Reset => "reset",
        }
    }
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct FaultRule {
    id: u64,
    target: Target,
    fault: Fault,
}

/// Before the request acts, or after it acted and before it is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum When {
    #[default]
    Before,
    After,
}

#[derive(Debug)]
struct Hold {
    id: u64,
    target: Target,
    when: When,
    held: Vec<Seen>,
    released: watch::Sender<bool>,
}

/// A hold as a test sees it.
#[derive(Debug, Serialize)]
pub(crate) struct HoldView {
    id: u64,
    target: Target,
    when: When,
    held: Vec<Seen>,
}

#[derive(Debug, Default)]
struct Inner {
    last_id: u64,
    requests: VecDeque<Seen>,
    faults: Vec<FaultRule>,
    holds: Vec<Hold>,
}

#[derive(Debug, Default)]
pub(crate) struct Control(Mutex<Inner>);

/// More rules than any test needs: one is probably adding them in a loop.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("{RULES_MAX} rules are in force already; delete some")]
pub(crate) struct TooManyRules;

impl Control {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn arrived(&self, mut seen: Seen) -> Seen {
        let mut inner = self.lock();
        seen.id = inner.next_id();
        if inner.requests.len() == REQUESTS_KEPT_MAX {
            inner.requests.pop_front();
        }
        inner.requests.push_back(seen.clone());
        seen
    }

    pub(crate) fn answered(&self, id: u64, status: Option<u16>, fault: Option<&'static str>) {
        let mut inner = self.lock();
        // The one sought is almost always among the last.
        if let Some(seen) = inner.requests.iter_mut().rev().find(|it| it.id == id) {
            seen.status = status;
            seen.fault = fault;
        }
    }

    pub(crate) fn requests(&self) -> Vec<Seen> {
        self.lock().requests.iter().cloned().collect()
    }

    pub(crate) fn forget_requests(&self) {
        self.lock().requests.clear();
    }

    pub(crate) fn add_fault(&self, target: Target, fault: Fault) -> Result<FaultRule, TooManyRules> {
        let mut inner = self.lock();
        inner.faults.retain(|rule| rule.target.times > 0);
        if inner.faults.len() >= RULES_MAX {
            return Err(TooManyRules);
        }
        let id = inner.next_id();
        let rule = FaultRule { id, target, fault };
        inner.faults.push(rule.clone());
        Ok(rule)
    }

    pub(crate) fn faults(&self) -> Vec<FaultRule> {
        self.lock().faults.clone()
    }

    /// All of them without an id. Whether there was such a rule.
    pub(crate) fn remove_faults(&self, id: Option<u64>) -> bool {
        let mut inner = self.lock();
        let before = inner.faults.len();
        inner.faults.retain(|rule| id.is_some_and(|id| id != rule.id));
        id.is_none() || inner.faults.len() < before
    }

    pub(crate) fn take_fault(&self, seen: &Seen) -> Option<Fault> {
        let mut inner = self.lock();
        inner.faults.iter_mut().find_map(|rule| {
            let hit = rule.target.hit(seen);
            hit.then(|| rule.fault.clone())
        })
    }

    pub(crate) fn add_hold(&self, target: Target, when: When) -> Result<HoldView, TooManyRules> {
        let mut inner = self.lock();
        if inner.holds.len() >= RULES_MAX {
            return Err(TooManyRules);
        }
        let hold = Hold { id: inner.next_id(), target, when, held: Vec::new(), released: watch::Sender::new(false) };
        let view = hold.view();
        inner.holds.push(hold);
        Ok(view)
    }

    pub(crate) fn holds(&self) -> Vec<HoldView> {
        self.lock().holds.iter().map(Hold::view).collect()
    }

    /// Lets the held requests go on. Whether there was such a hold.
    pub(crate) fn release(&self, id: Option<u64>) -> bool {
        let mut inner = self.lock();
        let before = inner.holds.len();
        // Dropping a hold drops its sender, which is what the held requests wait for.
        inner.holds.retain(|hold| id.is_some_and(|id| id != hold.id));
        id.is_none() || inner.holds.len() < before
    }

    /// Waits here as long as a hold wants this request.
    pub(crate) async fn pass(&self, seen: &Seen, when: When) {
        let released = {
            let mut inner = self.lock();
            inner.holds.iter_mut().filter(|hold| hold.when == when).find_map(|hold| {
                let hit = hold.target.hit(seen);
                hit.then(|| {
                    hold.held.push(seen.clone());
                    hold.released.subscribe()
                })
            })
        };
        if let Some(mut released) = released {
            // An error says that the sender is gone: released.
            while released.changed().await.is_ok() {}
        }
    }
}

impl Inner {
    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }
}

impl Hold {
    fn view(&self) -> HoldView {
        HoldView { id: self.id, target: self.target.clone(), when: self.when, held: self.held.clone() }
    }
}
