//! What a guest says: `task.log`, stdout and stderr, as lines of the execution log within the manifest's limits.
//!
//! Invariant: no secret that [`Scanner`] finds in a line, or across lines of one stream that have not been sent yet,
//! goes on from here. A line that ends like the beginning of a secret of the host is held back, with all that follows
//! it, until it is known how its stream goes on.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use time::OffsetDateTime;

use super::leaks;
use super::run::RunError;
use crate::journal::{Alert, LogLine};
use crate::secrets::{Hit, Owner, Scanner, Spot, mark};
use crate::task::{LogLevel, TaskId};

/// What a log may hold, by the manifest.
#[derive(Clone, Copy, Debug)]
pub(super) struct LogLimits {
    pub(super) lines_max: u32,
    pub(super) line_bytes_max: u32,
}

/// Lines of a run that are not on their way to the recorder yet. Bounded: the run ends when the lines are used up.
#[derive(Debug)]
pub(super) struct LogBuffer {
    lines: VecDeque<Waiting>,
    limits: LogLimits,
    written: u32,
    /// Lines that a run before this one of the same attempt has written already.
    skip: u32,
    secrets: Arc<Scanner>,
    task: TaskId,
    /// By the action of their lines: `log`, `stdout`, `stderr`.
    streams: BTreeMap<&'static str, Stream>,
    alerts: Vec<Alert>,
}

#[derive(Debug)]
struct Waiting {
    line: LogLine,
    /// As the guest wrote it.
    bytes: usize,
    held: bool,
}

#[derive(Debug, Default)]
struct Stream {
    /// The end of what was said, as far back as a secret can reach.
    tail: Vec<u8>,
    /// Secrets that were told here and are alerted already.
    told: Vec<String>,
}

/// Shared between the run and its standard streams.
pub(super) type SharedLog = Arc<Mutex<LogBuffer>>;

impl LogBuffer {
    pub(super) fn shared(limits: LogLimits, skip: u32, secrets: Arc<Scanner>, task: TaskId) -> SharedLog {
        Arc::new(Mutex::new(Self {
            lines: VecDeque::new(),
            limits,
            written: 0,
            skip,
            secrets,
            task,
            streams: BTreeMap::new(),
            alerts: Vec::new(),
        }))
    }

    pub(super) fn line_bytes_max(&self) -> usize {
        self.limits.line_bytes_max as usize
    }

    pub(super) fn push(&mut self, level: LogLevel, action: &'static str, message: &str) -> Result<(), RunError> {
        if self.written >= self.limits.lines_max {
            return Err(RunError::OutOfLog { lines_max: self.limits.lines_max });
        }
        self.written += 1;
        let is_new = self.written > self.skip;
        let secrets = Arc::clone(&self.secrets);
        let mut said = std::mem::take(&mut self.streams.entry(action).or_default().tail);
        let before = said.len();
        said.extend_from_slice(message.as_bytes());
        let mut spots = secrets.spots(&said);
        spots.retain(|spot| spot.end > before);
        if is_new {
            for spot in &spots {
                self.tell(action, spot);
                self.black_out_waiting(action, before.saturating_sub(spot.start), spot.what);
            }
            let shown = if spots.is_empty() { message.to_owned() } else { without(&said, before, &spots) };
            let message = cut(&shown, self.line_bytes_max());
            let line = LogLine { level, action, message, at: OffsetDateTime::now_utc() };
            self.lines.push_back(Waiting { line, bytes: said.len() - before, held: false });
        }
        let from = spots.last().map_or(0, |spot| spot.end).max(said.len().saturating_sub(secrets.reach_bytes()));
        let tail = said.split_off(from);
        let goes_on = secrets.may_go_on(&tail);
        self.streams.entry(action).or_default().tail = tail;
        self.hold(action, is_new && goes_on);
        Ok(())
    }

    /// Holds the newest line back, or lets go what was held of its stream.
    fn hold(&mut self, action: &'static str, goes_on: bool) {
        if goes_on {
            if let Some(newest) = self.lines.back_mut() {
                newest.held = true;
            }
            return;
        }
        for waiting in self.lines.iter_mut().filter(|waiting| waiting.line.action == action) {
            waiting.held = false;
        }
    }

    /// An alert for each secret and stream of a run, not for each line.
    fn tell(&mut self, action: &'static str, spot: &Spot<'_>) {
        let told = &mut self.streams.entry(action).or_default().told;
        if told.iter().any(|what| what == spot.what) {
            return;
        }
        told.push(spot.what.to_owned());
        let hit = Hit { what: spot.what, owner: if spot.hosts_own { Owner::Host } else { Owner::Unknown } };
        self.alert(leaks::alert(self.task, "secret-in-log", hit, action));
    }

    /// Blacks out the lines of a stream that the last bytes before the newest one stand in, where they still wait.
    fn black_out_waiting(&mut self, action: &'static str, mut bytes: usize, what: &str) {
        for waiting in self.lines.iter_mut().rev().filter(|waiting| waiting.line.action == action) {
            if bytes == 0 {
                return;
            }
            if waiting.bytes > 0 {
                waiting.line.message = mark(what);
            }
            bytes = bytes.saturating_sub(waiting.bytes);
        }
    }

    pub(super) fn alert(&mut self, alert: Alert) {
        Alert::gather(&mut self.alerts, alert);
    }

    /// Lets go of what is held back: the run says nothing more.
    pub(super) fn release(&mut self) {
        for waiting in &mut self.lines {
            waiting.held = false;
        }
    }

    /// Lines up to the first that is held back: their order is what a resumed run counts by.
    pub(super) fn take(&mut self) -> (Vec<Alert>, Vec<LogLine>) {
        let free = self.lines.iter().position(|waiting| waiting.held).unwrap_or(self.lines.len());
        let lines = self.lines.drain(..free).map(|waiting| waiting.line).collect();
        (std::mem::take(&mut self.alerts), lines)
    }
}

pub(super) fn lock(log: &SharedLog) -> std::sync::MutexGuard<'_, LogBuffer> {
    // A panic while the lock is held leaves a log that is short of a line, which is no reason to lose the rest.
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The text from `from` on, with marks in place of secrets.
fn without(said: &[u8], mut from: usize, spots: &[Spot<'_>]) -> String {
    let mut shown = Vec::new();
    for spot in spots {
        shown.extend_from_slice(said.get(from..spot.start).unwrap_or_default());
        shown.extend_from_slice(mark(spot.what).as_bytes());
        from = spot.end;
    }
    shown.extend_from_slice(said.get(from..).unwrap_or_default());
    String::from_utf8_lossy(&shown).into_owned()
}

/// At most `bytes_max` bytes, marked where it was cut; NUL, which PostgreSQL can not store, made visible.
fn cut(message: &str, bytes_max: usize) -> String {
    let message = message.replace('\0', "\u{2400}");
    if message.len() <= bytes_max {
        return message;
    }
    let end = message.floor_char_boundary(bytes_max);
    format!("{}… (cut: {} bytes)", &message[..end], message.len())
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;

    const SECRET: &str = "correct-horse-battery";

    fn log(skip: u32) -> SharedLog {
        let secrets = Scanner::new(&[("A".to_owned(), SecretString::from(SECRET))]);
        LogBuffer::shared(LogLimits { lines_max: 100, line_bytes_max: 60 }, skip, Arc::new(secrets), TaskId::generate())
    }

    fn said(log: &SharedLog, lines: &[(&'static str, &str)]) {
        for (action, line) in lines {
            lock(log).push(LogLevel::Info, action, line).unwrap();
        }
    }

    fn taken(log: &SharedLog) -> Vec<String> {
        lock(log).take().1.into_iter().map(|line| line.message).collect()
    }

    #[test]
    fn a_secret_is_blacked_out_and_told_of_once_for_each_stream() {
        let log = log(0);
        let line = format!("it is {SECRET}.");
        said(&log, &[("log", &line), ("log", &line), ("stdout", &line), ("stdout", "fine")]);
        let (alerts, lines) = lock(&log).take();
        let messages: Vec<_> = lines.iter().map(|line| line.message.as_str()).collect();
        assert_eq!(messages, ["it is [redacted: A].", "it is [redacted: A].", "it is [redacted: A].", "fine"]);
        assert_eq!(alerts.iter().map(|alert| alert.occurrences).collect::<Vec<_>>(), [2]);
        assert!(!format!("{alerts:?}").contains(SECRET));
    }

    #[test]
    fn a_secret_across_lines_is_blacked_out_before_its_first_half_is_sent() {
        let log = log(0);
        said(&log, &[("log", "say correct-hor")]);
        assert!(taken(&log).is_empty(), "the first half was sent");
        said(&log, &[("stdout", "another stream waits its turn"), ("log", "se-battery it was")]);
        assert_eq!(taken(&log), ["[redacted: A]", "another stream waits its turn", "[redacted: A] it was"]);
        // One letter to a line is caught as far as the lines wait together.
        let letters: Vec<_> = SECRET.split_inclusive(|_: char| true).map(|letter| ("stdout", letter)).collect();
        said(&log, &letters);
        assert_eq!(taken(&log), vec!["[redacted: A]"; SECRET.len()]);
    }

    #[test]
    fn what_only_began_like_a_secret_is_let_go() {
        let log = log(0);
        said(&log, &[("log", "say correct-hor")]);
        assert!(taken(&log).is_empty());
        said(&log, &[("log", "rible")]);
        assert_eq!(taken(&log), ["say correct-hor", "rible"]);
        said(&log, &[("log", "correct-horse-")]);
        lock(&log).release();
        assert_eq!(taken(&log), ["correct-horse-"]);
    }

    #[test]
    fn a_secret_where_a_long_line_is_cut_is_gone_before_the_cut() {
        let log = log(0);
        said(&log, &[("log", &format!("{}{SECRET}", "x".repeat(50)))]);
        assert_eq!(taken(&log), [format!("{}[redacted:… (cut: 63 bytes)", "x".repeat(50))]);
    }

    #[test]
    fn lines_of_an_earlier_start_are_not_written_but_remembered() {
        let log = log(1);
        said(&log, &[("log", "say correct-hor"), ("log", "se-battery it was")]);
        assert_eq!(taken(&log), ["[redacted: A] it was"]);
    }
}
