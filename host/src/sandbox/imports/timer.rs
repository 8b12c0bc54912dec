//! `timer`: durable sleep.

use std::time::Duration;

use serde_json::json;

use crate::journal::{Call, Effect};
use crate::sandbox::bindings::juggernaut::host::timer::Host;
use crate::sandbox::calls::{CallError, GuestError};
use crate::sandbox::state::RunState;

impl Host for RunState {
    async fn sleep(&mut self, milliseconds: u64) -> Result<(), CallError> {
        let seconds_max = self.manifest.grants.timer.as_ref().map_or(0, |grant| grant.as_ref().sleep_seconds_max);
        if milliseconds > seconds_max.saturating_mul(1000) {
            let message = format!("{milliseconds} ms is longer than timer.sleep_seconds_max = {seconds_max}");
            return Err(GuestError::Invalid(message).into());
        }
        let call = Call {
            interface: "timer",
            function: "sleep",
            effect: Effect::Wait,
            arguments: json!({ "milliseconds": milliseconds }),
        };
        self.wait(call, Duration::from_millis(milliseconds)).await
    }
}
