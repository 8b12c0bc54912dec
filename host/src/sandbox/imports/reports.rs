//! `reports`.

use serde_json::json;

use crate::journal::{Call, Effect};
use crate::manifest::Interface;
use crate::records::{Change, ReportChange, ReportDraft, Series, StoredAs};
use crate::sandbox::bindings::juggernaut::host::reports::{Draft, Host, Series as WitSeries, Stored};
use crate::sandbox::calls::{CallError, GuestError};
use crate::sandbox::state::RunState;

impl Host for RunState {
    async fn store(&mut self, draft: Draft) -> Result<Stored, CallError> {
        let draft = checked(draft).map_err(GuestError::Invalid)?;
        let ReportDraft { title, markdown, series } = &draft;
        let call = Call {
            interface: "reports",
            function: "store",
            effect: Effect::Write,
            arguments: json!({ "title": title, "markdown": markdown, "series": series }),
        };
        let grant = self.manifest.grants.reports.as_ref().map(|grant| grant.as_ref().clone());
        let mut beyond = Vec::new();
        if let Some(kib) = grant.as_ref().map(|grant| grant.report_kib_max)
            && draft.size() > kib as usize * 1024
        {
            let remedy = format!("a report of {} bytes is larger than the {kib} KiB that are granted", draft.size());
            beyond.push(("report_kib_max".to_owned(), remedy));
        }
        let allowed = self.judged(move |scope| scope.write_records(Interface::Reports, "store", beyond)).await;
        let reports_max = grant.map_or(0, |grant| grant.reports_max);
        let change = Change::Reports(ReportChange::Store { draft, reports_max });
        let StoredAs { id, sha256 } = self.change(call, allowed, change).await?;
        Ok(Stored { id, sha256 })
    }
}

fn checked(draft: Draft) -> Result<ReportDraft, String> {
    let Draft { title, markdown, series } = draft;
    let series = series.into_iter().map(|series| {
        let WitSeries { name, unit, kind, labels, values } = series;
        Series::new(&name, &unit, &kind, &labels, values)
    });
    ReportDraft::new(&title, &markdown, series.collect::<Result<_, _>>()?)
}
