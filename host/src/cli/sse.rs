//! Server-sent events, as far as the API uses them.

/// Longest event that is kept; a longer one is an error, not memory.
const EVENT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SseEvent {
    pub(super) name: String,
    pub(super) id: Option<String>,
    pub(super) data: String,
}

/// Takes bytes as they come and gives whole events.
#[derive(Debug, Default)]
pub(super) struct SseReader {
    waiting: Vec<u8>,
    event: SseEvent,
}

impl SseReader {
    /// The events that these bytes complete.
    pub(super) fn push(&mut self, bytes: &[u8]) -> anyhow::Result<Vec<SseEvent>> {
        self.waiting.extend_from_slice(bytes);
        let mut events = Vec::new();
        let mut begin = 0;
        while let Some(length) = self.waiting[begin..].iter().position(|byte| *byte == b'\n') {
            let line = String::from_utf8_lossy(&self.waiting[begin..begin + length]).into_owned();
            begin += length + 1;
            events.extend(self.line(line.trim_end_matches('\r')));
        }
        self.waiting.drain(..begin);
        anyhow::ensure!(
            self.waiting.len() + self.event.data.len() <= EVENT_BYTES_MAX,
            "the host sent an event larger than {EVENT_BYTES_MAX} bytes"
        );
        Ok(events)
    }

    fn line(&mut self, line: &str) -> Option<SseEvent> {
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            return (!event.data.is_empty()).then_some(event);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event.name),
            "id" => self.event.id = Some(value.to_owned()),
            "data" => {
                if !self.event.data.is_empty() {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            // Comments (an empty field) and what this program has no use for.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_whole_however_the_bytes_are_cut() {
        let text = ":\n\nevent: log\nid: 7\ndata: {\"a\":\ndata: \"ü\"}\n\r\nevent: end\r\ndata: x\r\n\r\nevent: lost";
        let expected = vec![
            SseEvent { name: "log".into(), id: Some("7".into()), data: "{\"a\":\n\"ü\"}".into() },
            SseEvent { name: "end".into(), id: None, data: "x".into() },
        ];
        for size in 1..=text.len() {
            let mut reader = SseReader::default();
            let events: Vec<_> = text.as_bytes().chunks(size).flat_map(|chunk| reader.push(chunk).unwrap()).collect();
            assert_eq!(events, expected, "in pieces of {size}");
        }
    }

    #[test]
    fn an_event_without_end_is_an_error() {
        let mut reader = SseReader::default();
        assert!(reader.push(&vec![b'x'; EVENT_BYTES_MAX + 1]).is_err());
    }
}
