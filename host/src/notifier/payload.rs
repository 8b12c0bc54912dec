//! What is sent.
//!
//! Invariant: text that a stranger may have written can neither mention, link nor format anything where it is shown: Slack
//! is given it as plain text and in code spans, with its control characters escaped.

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::db::notices::{Notice, NoticeEvent};
use crate::task::HostId;
use crate::text::visible;

/// Longest details, as JSON; longer ones are replaced by their length.
const DETAILS_BYTES_MAX: usize = 8 * 1024;
/// Longest text of a field of Slack's, which allows 2000.
const FIELD_CHARS_MAX: usize = 300;
const TITLE_CHARS_MAX: usize = 500;

/// Shape of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Json,
    Slack,
}

pub(super) fn of(format: Format, notice: &Notice, host: &HostId, now: OffsetDateTime) -> Vec<u8> {
    let payload = match format {
        Format::Json => json(notice, host, now),
        Format::Slack => slack(notice, host),
    };
    payload.to_string().into_bytes()
}

pub(super) fn test(format: Format, host: &HostId, now: OffsetDateTime) -> Vec<u8> {
    let title = "A test: Juggernaut can tell people of alerts";
    let payload = match format {
        Format::Json => json!({ "event": "test", "title": title, "host": host.0, "sent_at": text(now) }),
        Format::Slack => message(title, &[section(title), fields(&[("Host", host.0.to_string())])]),
    };
    payload.to_string().into_bytes()
}

fn json(notice: &Notice, host: &HostId, now: OffsetDateTime) -> Value {
    let details = notice.details.to_string().len();
    let details =
        if details <= DETAILS_BYTES_MAX { notice.details.clone() } else { json!({ "left_out_bytes": details }) };
    json!({
        "event": notice.event, "id": notice.alert, "severity": notice.severity, "kind": notice.kind,
        "title": notice.title, "details": details, "task": notice.task, "worker": notice.worker,
        "occurrences": notice.occurrences, "state": notice.state, "first_seen_at": text(notice.first_seen_at),
        "last_seen_at": text(notice.last_seen_at), "acknowledged_by": notice.acknowledged_by,
        "resolved_by": notice.resolved_by, "host": host.0, "sent_at": text(now),
    })
}

fn slack(notice: &Notice, host: &HostId) -> Value {
    let what = match notice.event {
        NoticeEvent::Opened => "opened",
        NoticeEvent::Escalated => "got worse",
        NoticeEvent::Resolved => "resolved",
    };
    let severity = notice.severity.name();
    let title = format!("[{severity}] {what}: {}", code(&notice.title));
    let mut shown = vec![
        ("Alert", notice.alert.to_string()),
        ("Kind", notice.kind.clone()),
        ("Seen", format!("{} times, last {}", notice.occurrences, text(notice.last_seen_at))),
    ];
    shown.extend(notice.task.map(|task| ("Task", task.to_string())));
    shown.extend(notice.worker.clone().map(|worker| ("Worker", worker)));
    shown.extend(notice.resolved_by.clone().map(|by| ("Resolved by", by)));
    shown.push(("Host", host.0.to_string()));
    let headline = section(&format!("[{severity}] {what}: {}", notice.title));
    message(&title, &[headline, fields(&shown)])
}

/// `text` is what a notification shows, and all that programs show which know no blocks.
fn message(text: &str, blocks: &[Value]) -> Value {
    json!({ "text": text, "unfurl_links": false, "unfurl_media": false, "blocks": blocks })
}

fn section(text: &str) -> Value {
    json!({ "type": "section", "text": plain(text, TITLE_CHARS_MAX) })
}

fn fields(shown: &[(&str, String)]) -> Value {
    let fields: Vec<_> =
        shown.iter().map(|(name, value)| plain(&format!("{name}: {value}"), FIELD_CHARS_MAX)).collect();
    json!({ "type": "section", "fields": fields })
}

/// Text in which nothing is formatted.
fn plain(text: &str, chars_max: usize) -> Value {
    json!({ "type": "plain_text", "text": escaped(text, chars_max), "emoji": false })
}

/// A code span: nothing in it is a mention, a link or a format, neither in Slack nor where Markdown is shown.
fn code(text: &str) -> String {
    format!("`{}`", escaped(text, TITLE_CHARS_MAX).replace('`', "'"))
}

/// On one line, shortened, without what Slack takes for the beginning of a mention or a link.
fn escaped(text: &str, chars_max: usize) -> String {
    let text = visible(text);
    let mut shown: String = text.chars().take(chars_max).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn text(time: OffsetDateTime) -> String {
    time.format(&Rfc3339).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;
    use uuid::Uuid;

    use super::*;
    use crate::db::alerts::AlertState;
    use crate::journal::Severity;

    fn notice(title: &str) -> Notice {
        Notice {
            id: 7,
            event: NoticeEvent::Opened,
            attempt: 1,
            alert: Uuid::nil(),
            severity: Severity::Critical,
            kind: "kind".to_owned(),
            title: title.to_owned(),
            details: json!({ "a": "b" }),
            task: None,
            worker: Some("W".to_owned()),
            occurrences: 3,
            state: AlertState::Open,
            first_seen_at: datetime!(2026-11-27 12:00 UTC),
            last_seen_at: datetime!(2026-11-27 12:01 UTC),
            acknowledged_by: None,
            resolved_by: None,
        }
    }

    fn slack_of(title: &str) -> Value {
        slack(&notice(title), &HostId(Uuid::nil()))
    }

    #[test]
    fn nothing_in_a_hostile_title_acts() {
        let hostile = "<!channel> *b* `x` & [l](http://evil.example)\n<http://evil.example|ok>\u{202e}";
        let message = slack_of(hostile);
        let inner = "&lt;!channel&gt; *b* 'x' &amp; [l](http://evil.example)&lt;U+000A&gt;&lt;http://evil.example|ok&gt;&lt;U+202E&gt;";
        assert_eq!(message["text"], format!("[critical] opened: `{inner}`"));
        let block = &message["blocks"][0]["text"];
        assert_eq!(block["type"], "plain_text");
        assert!(!message.to_string().contains('<') && !message.to_string().contains("\\n"), "{message}");
        for field in message["blocks"][1]["fields"].as_array().unwrap() {
            assert_eq!(field["type"], "plain_text");
        }
    }

    #[test]
    fn a_message_keeps_within_limits() {
        let message = slack_of(&"&".repeat(10_000));
        assert!(message["text"].as_str().unwrap().len() < 3_000);
        let mut large = notice("t");
        large.details = json!({ "text": "x".repeat(DETAILS_BYTES_MAX) });
        let sent = json(&large, &HostId(Uuid::nil()), large.last_seen_at);
        assert!(sent["details"]["left_out_bytes"].as_u64().unwrap() > 8_000, "{sent}");
        assert_eq!((sent["state"].as_str(), sent["event"].as_str()), (Some("open"), Some("opened")));
    }
}
