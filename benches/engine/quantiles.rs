//! Medians and tails of samples.

use std::time::Duration;

use serde_json::{Value, json};

/// The sample that `part` of all are not above: 0.5 is the median.
pub(super) fn quantile(samples: &mut [Duration], part: f64) -> Duration {
    samples.sort_unstable();
    let last = samples.len().checked_sub(1).expect("at least one sample");
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index"
    )]
    let at = (last as f64 * part).round() as usize;
    samples[at]
}

pub(super) fn in_ms(samples: &mut [Duration]) -> Value {
    let mut ms = |part| quantile(samples, part).as_secs_f64() * 1000.0;
    json!({ "p50": ms(0.5), "p99": ms(0.99) })
}
