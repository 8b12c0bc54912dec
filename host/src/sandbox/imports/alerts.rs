//! `alerts`.

use serde_json::json;

use crate::journal::{Call, Effect};
use crate::manifest::Interface;
use crate::policy::Beyond;
use crate::records::{AlertChange, AlertDraft, AlertQuery, Change, OpenAlert, Query, Severity};
use crate::sandbox::bindings::juggernaut::host::alerts::{Alert, Draft, Host, Severity as WitSeverity};
use crate::sandbox::calls::{CallError, GuestError};
use crate::sandbox::state::RunState;

impl Host for RunState {
    async fn list_open(&mut self) -> Result<Vec<Alert>, CallError> {
        let call = Call { interface: "alerts", function: "list-open", effect: Effect::Read, arguments: json!({}) };
        let allowed = self
            .judged(|scope: crate::policy::Scope<'_>| scope.read_records(Interface::Alerts, "list-open", Vec::new()));
        let allowed = allowed.await;
        let query = Query::Alerts(AlertQuery::Open { kinds: self.alert_kinds().to_vec() });
        let open: Vec<OpenAlert> = self.look(call, allowed, query).await?;
        Ok(open.into_iter().map(Alert::from).collect())
    }

    async fn raise(&mut self, draft: Draft) -> Result<String, CallError> {
        let Draft { severity, kind, fingerprint, title, details } = draft;
        let severity = match severity {
            WitSeverity::Info => Severity::Info,
            WitSeverity::Warning => Severity::Warning,
            WitSeverity::Critical => Severity::Critical,
        };
        let draft = AlertDraft::new(severity, kind, &fingerprint, &title, &details).map_err(GuestError::Invalid)?;
        let AlertDraft { severity, kind, fingerprint, title, details } = &draft;
        let call = Call {
            interface: "alerts",
            function: "raise",
            effect: Effect::Write,
            arguments: json!({
                "severity": severity, "kind": kind, "fingerprint": fingerprint, "title": title, "details": details,
            }),
        };
        let beyond = self.beyond_kinds(kind);
        let allowed = self.judged(move |scope| scope.write_records(Interface::Alerts, "raise", beyond)).await;
        let alerts_max = self.manifest.grants.alerts.as_ref().map_or(0, |grant| grant.as_ref().alerts_max);
        self.change(call, allowed, Change::Alerts(AlertChange::Raise { draft, alerts_max })).await
    }

    async fn resolve(&mut self, kind: String, fingerprint: String) -> Result<(), CallError> {
        let call = Call {
            interface: "alerts",
            function: "resolve",
            effect: Effect::Write,
            arguments: json!({ "kind": kind, "fingerprint": fingerprint }),
        };
        let beyond = self.beyond_kinds(&kind);
        let allowed = self.judged(move |scope| scope.write_records(Interface::Alerts, "resolve", beyond)).await;
        // As it was stored.
        let fingerprint = crate::records::storable(&fingerprint);
        self.change(call, allowed, Change::Alerts(AlertChange::Resolve { kind, fingerprint })).await
    }
}

impl RunState {
    fn alert_kinds(&self) -> &[String] {
        self.manifest.grants.alerts.as_ref().map(|grant| grant.as_ref().kinds.as_slice()).unwrap_or_default()
    }

    fn beyond_kinds(&self, kind: &str) -> Beyond {
        if self.alert_kinds().iter().any(|granted| granted == kind) {
            return Vec::new();
        }
        let shown: String = kind.chars().take(100).collect();
        vec![("kinds".to_owned(), format!("alerts of the kind {shown:?} are not granted"))]
    }
}

impl From<OpenAlert> for Alert {
    fn from(open: OpenAlert) -> Self {
        let OpenAlert {
            id,
            severity,
            kind,
            fingerprint,
            title,
            acknowledged,
            occurrences,
            first_seen_ms,
            last_seen_ms,
        } = open;
        let severity = match severity {
            Severity::Info => WitSeverity::Info,
            Severity::Warning => WitSeverity::Warning,
            Severity::Critical => WitSeverity::Critical,
        };
        Self { id, severity, kind, fingerprint, title, acknowledged, occurrences, first_seen_ms, last_seen_ms }
    }
}
