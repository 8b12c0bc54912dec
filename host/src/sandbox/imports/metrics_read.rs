//! `metrics-read`.

use serde_json::json;

use crate::journal::{Call, Effect};
use crate::manifest::Interface;
use crate::policy::Beyond;
use crate::records::{Figures, Metric, MetricQuery, Query};
use crate::sandbox::bindings::juggernaut::host::metrics_read::{Host, Metric as WitMetric, Table};
use crate::sandbox::calls::{CallError, GuestError};
use crate::sandbox::state::RunState;

impl Host for RunState {
    async fn measure(&mut self, metric: WitMetric, window_seconds: u64) -> Result<Table, CallError> {
        if window_seconds == 0 {
            return Err(GuestError::Invalid("window-seconds is 0; measure over a second at least".to_owned()).into());
        }
        let metric = Metric::from(metric);
        let call = Call {
            interface: "metrics-read",
            function: "measure",
            effect: Effect::Read,
            arguments: json!({ "metric": metric.name(), "window_seconds": window_seconds }),
        };
        let grant = self.manifest.grants.metrics_read.as_ref();
        let beyond = beyond_window(window_seconds, grant.map(|grant| grant.as_ref().window_hours_max));
        let allowed = self.judged(move |scope| scope.read_records(Interface::MetricsRead, "measure", beyond)).await;
        let query = Query::Metrics(MetricQuery { metric, window_seconds });
        let Figures { columns, rows } = self.look(call, allowed, query).await?;
        Ok(Table { columns, rows })
    }
}

/// What a window exceeds; nothing where there is no grant, which is denied by itself.
pub(super) fn beyond_window(seconds: u64, hours_max: Option<u32>) -> Beyond {
    match hours_max {
        Some(hours) if seconds > u64::from(hours) * 3600 => {
            let remedy = format!("a window of {seconds} seconds is longer than the {hours} hours that are granted");
            vec![("window_hours_max".to_owned(), remedy)]
        }
        Some(_) | None => Vec::new(),
    }
}

impl From<WitMetric> for Metric {
    fn from(metric: WitMetric) -> Self {
        match metric {
            WitMetric::Completion => Self::Completion,
            WitMetric::Duration => Self::Duration,
            WitMetric::Queue => Self::Queue,
            WitMetric::Throughput => Self::Throughput,
            WitMetric::Errors => Self::Errors,
            WitMetric::Cost => Self::Cost,
            WitMetric::Running => Self::Running,
            WitMetric::Budget => Self::Budget,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_within_its_grant_to_the_second() {
        assert!(beyond_window(3600, Some(1)).is_empty());
        assert_eq!(beyond_window(3601, Some(1))[0].0, "window_hours_max");
        assert!(!beyond_window(u64::MAX, Some(8784)).is_empty());
    }
}
